"""How much more the split of bad requests between the sides varies than independent requests would.

Errors come in clusters, pods pause for garbage collection: then counts vary more than the model says, on one side
alone. The factor found here divides all log gains (``Capital.look(temper=...)``), which keeps them fair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import exp

from gitlab_mesh.core.judge.betting import Arms

__all__ = ["Dispersion"]

_SIDE = 3
"""Bins on each side that a bin is compared with."""
_PRIOR = 3.0
_SHRINK = 2.0
_FIELDS = 5
_MEMORY = 15.0
"""So many bins are remembered where each one says much; where errors are rare, as many more as it takes."""
_LOUDEST = 4.0
"""Variance from which on a bin's word is as loud as any: one outage must not outweigh an hour of ordinary errors."""


class Dispersion:
    """Pearson dispersion of the split between the sides, each stretch of time against its neighbours on both sides.

    Neighbours before *and after*: a cluster stands out against both, a regression that began only against one. So a
    sudden onset keeps its full power, and only what came and went counts as noise. It is known a lag later.

    Args:
        lag_looks: Looks between a look and the moment when it begins to count, at least 3 are useful.
    """

    __slots__ = ("_bins", "_filled", "_served", "_squares", "_variance", "_width")

    def __init__(self, lag_looks: int) -> None:
        self._width = max(1, lag_looks // _SIDE)
        self._filled = 0
        self._served = [0.0, 0.0]
        self._squares = self._variance = 0.0
        self._bins: deque[tuple[float, float, float]] = deque()

    @property
    def factor(self) -> float:
        """The dispersion, at least 1; near 1 while little is known."""
        return max(1.0, (_PRIOR + self._squares) / (_PRIOR + self._variance))

    def look(self, arms: Arms) -> float:
        """Return the factor for this look (from the past alone), then learn from it."""
        factor = self.factor
        if arms.canary_n <= 0 or arms.stable_n <= 0:
            return factor
        canary, stable = arms.canary_bad, arms.stable_bad
        if self._filled:
            before = self._bins.pop()
            canary, stable = canary + before[0], stable + before[1]
        else:
            self._served = [0.0, 0.0]
        # The weight may change inside a bin: what it served as a whole says how its bad requests should split.
        self._served = [self._served[0] + arms.canary_n, self._served[1] + arms.stable_n]
        self._bins.append((canary, stable, self._served[0] / self._served[1]))
        self._filled = (self._filled + 1) % self._width
        if len(self._bins) > 2 * _SIDE and not self._filled:
            self._compare()
            self._bins.popleft()
        return factor

    def _compare(self) -> None:
        """Compare the middle bin with all others."""
        canary, stable, odds = self._bins[_SIDE]
        bad = canary + stable
        if bad <= 0.0:
            return
        others = [one for i, one in enumerate(self._bins) if i != _SIDE]
        around_canary = sum(one[0] for one in others) + _SHRINK
        around_usual = sum(one[1] * one[2] for one in others) + _SHRINK
        odds *= around_canary / around_usual
        share = odds / (1.0 + odds)
        variance = bad * share * (1.0 - share)
        # The neighbours' ratio is itself an estimate: by the delta method the deviation has this much more variance.
        expected = variance * (1.0 + variance * (1.0 / around_canary + 1.0 / around_usual))
        loud = min(1.0, _LOUDEST / expected)
        keep = exp(-min(1.0, variance) / _MEMORY)
        self._squares = keep * self._squares + loud * (canary - bad * share) ** 2
        self._variance = keep * self._variance + loud * expected

    def dump(self) -> list[float]:
        """Return the state as numbers."""
        flat = [number for one in self._bins for number in one]
        return [self._squares, self._variance, float(self._filled), *self._served, *flat]

    def load(self, numbers: Sequence[float]) -> None:
        """Take over a state that ``dump`` returned."""
        self._squares, self._variance, filled, *self._served = numbers[:_FIELDS]
        self._filled = int(filled)
        rest = numbers[_FIELDS:]
        self._bins = deque(zip(rest[::3], rest[1::3], rest[2::3], strict=True))
