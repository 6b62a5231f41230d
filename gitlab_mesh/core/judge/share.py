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
_HEAD = 4


class ShareTest:
    """Evidence that the odds of a request to reach the canary are outside ``[1 / band, band]`` times the weight's.

    Args:
        band: Tolerated factor, above 1.
        settle_looks: By so many looks proxies and scrapes may lag. Until then the share is compared with every weight
            that may still be in force, so that a ramp is no blind period: too much is more than the largest of them
            explains, too little less than the smallest.
    """

    __slots__ = ("_band", "_high", "_low", "_ranges", "_settle", "_since", "_weight", "canary", "total")

    def __init__(self, band: float, settle_looks: int) -> None:
        self._band = band
        self._settle = settle_looks
        self._high = Capital(_STEPS)
        self._low = Capital([1.0 / step for step in _STEPS])
        self._weight, self._since = -1.0, 0
        self._ranges = [(0.0, 0.0)] * settle_looks
        self.canary = self.total = 0.0

    def look(self, weight: float, canary_requests: int, stable_requests: int) -> float:
        """Bet on one look; return the evidence, 1 at the start, broken from ``limit`` on."""
        least, most = self._in_force(weight, silent=canary_requests + stable_requests == 0)
        if not 0.0 < weight < 1.0:
            return self.evidence
        if abs(weight - self._weight) > 1e-9:
            self._weight, self._since = weight, 0
            self.canary = self.total = 0.0
        self._since += 1
        cap = log(2.0 / _FALSE) / _LOOKS * 1.001
        arms = Arms(most, canary_requests, 1.0 - most, stable_requests)
        self._high.look(arms, Tolerance(self._band), cap=cap)
        arms = Arms(least, canary_requests, 1.0 - least, stable_requests)
        self._low.look(arms, Tolerance(1.0 / self._band), cap=cap)
        if self._since > self._settle:
            self.canary += canary_requests
            self.total += canary_requests + stable_requests
        return self.evidence

    def _in_force(self, weight: float, *, silent: bool) -> tuple[float, float]:
        """Return the least and the largest weight under which this look's requests may have been routed.

        What a silent look should have brought comes with the next one, so its weight counts there.
        """
        self._ranges.append((weight, weight))
        least = min(low for low, _ in self._ranges)
        most = max(high for _, high in self._ranges)
        if silent:
            before, now = self._ranges[-2:]
            self._ranges[-2:] = [(min(before[0], now[0]), max(before[1], now[1]))]
        self._ranges = self._ranges[-self._settle :]
        return least, most

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
        ranges = [number for pair in self._ranges for number in pair]
        return [*head, *self._high.dump(), *self._low.dump(), *ranges]

    def load(self, numbers: Sequence[float]) -> None:
        """Take over a state that ``dump`` returned."""
        self._weight, since, self.canary, self.total = numbers[:_HEAD]
        self._since = int(since)
        size = len(self._high.dump())
        self._high.load(numbers[_HEAD : _HEAD + size])
        self._low.load(numbers[_HEAD + size : _HEAD + 2 * size])
        rest = numbers[_HEAD + 2 * size :]
        self._ranges = list(zip(rest[::2], rest[1::2], strict=True))
