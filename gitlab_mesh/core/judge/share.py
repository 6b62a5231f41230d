"""The share test: does the canary receive the share of the requests that it was given?

A sample-ratio test (Lindon and Malek 2022) with a band: routing that is broken, or a canary that gets nothing,
must never look like a canary without errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log

from gitlab_mesh.core.judge.betting import Arms, Capital, Tolerance

__all__ = ["ShareTest"]

_STEPS = (1.3, 1.8, 3.0, 6.0, 15.0, 50.0)
_FALSE = 0.001
_LOOKS = 2


class ShareTest:
    """Evidence that the odds of a request to reach the canary are outside ``[1 / band, band]`` times the weight's.

    Args:
        band: Tolerated factor, above 1.
        settle_looks: Looks after a change of weight that are not compared: proxies and scrapes lag.
    """

    __slots__ = ("_band", "_high", "_low", "_settle", "_since", "_weight", "canary", "total")

    def __init__(self, band: float, settle_looks: int) -> None:
        self._band = band
        self._settle = settle_looks
        self._high = Capital(_STEPS)
        self._low = Capital([1.0 / step for step in _STEPS])
        self._weight, self._since = -1.0, 0
        self.canary = self.total = 0.0

    def look(self, weight: float, canary_requests: int, stable_requests: int) -> float:
        """Bet on one look; return the evidence, 1 at the start, broken from ``limit`` on."""
        if not 0.0 < weight < 1.0:
            return self.evidence
        if abs(weight - self._weight) > 1e-9:
            self._weight, self._since = weight, 0
            self.canary = self.total = 0.0
        self._since += 1
        if self._since <= self._settle:
            return self.evidence
        self.canary += canary_requests
        self.total += canary_requests + stable_requests
        arms = Arms(weight, canary_requests, 1.0 - weight, stable_requests)
        cap = log(2.0 / _FALSE) / _LOOKS * 1.001
        self._high.look(arms, Tolerance(self._band), cap=cap)
        self._low.look(arms, Tolerance(1.0 / self._band), cap=cap)
        return self.evidence

    @property
    def evidence(self) -> float:
        """Mean capital of both directions."""
        return (exp(min(self._high.log_wealth, 300.0)) + exp(min(self._low.log_wealth, 300.0))) / 2.0

    @property
    def limit(self) -> float:
        """From here on the share is wrong, with a promised false alarm in a thousand releases."""
        return 1.0 / _FALSE

    @property
    def observed(self) -> float | None:
        """Share of the canary at this weight."""
        return self.canary / self.total if self.total else None

    @property
    def wanted(self) -> float:
        """The weight that is compared with; negative before the first."""
        return self._weight

    def dump(self) -> list[float]:
        """Return the state as numbers."""
        head = [self._weight, float(self._since), self.canary, self.total]
        return [*head, *self._high.dump(), *self._low.dump()]

    def load(self, numbers: Sequence[float]) -> None:
        """Take over a state that ``dump`` returned."""
        self._weight, since, self.canary, self.total = numbers[:4]
        self._since = int(since)
        half = 4 + (len(numbers) - 4) // 2
        self._high.load(numbers[4:half])
        self._low.load(numbers[half:])
