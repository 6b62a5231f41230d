"""An interval for ``p_canary - ratio * p_stable`` that holds at every look at once.

For each difference d, a mixture of bets tests it; the interval is every d that has not lost yet
(a confidence sequence by inversion of e-processes; sources in ``docs/judge.md``).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, log1p

from gitlab_mesh.core.judge.betting import Arms

__all__ = ["COARSE", "FINE", "Excess"]

FINE = (0.96, 0.88, 0.74, 0.5, 0.2, 0.02)
"""Bets for the upper end; the lower end bets on their inverses. Near 1 they serve much traffic, near 0 little."""

COARSE = (0.93, 0.6, 0.1)
"""For the intervals of latency bounds, which are only shown."""

_STEPS = 40
_CLOSE = 1e-9


class Excess:
    """The always-valid interval of the excess share of bad requests, −1 to 1.

    ``ln E[prod] <= kappa * n_canary * (p_canary - ratio * p_stable)`` for each bet and look (because
    ``1 + y <= exp(y)``), so the price of a hypothetical excess d is linear in d, and two sums a bet suffice.

    Args:
        ratio: What stable's share is multiplied by.
        miss: Probability that the interval ever misses, for each of its two ends.
        bets: ``FINE`` or ``COARSE``.
    """

    __slots__ = ("_bets", "_down", "_need", "_ratio", "_up")

    def __init__(self, ratio: float = 1.0, miss: float = 0.05, bets: Sequence[float] = FINE) -> None:
        self._ratio = ratio
        self._need = log(len(bets) / miss)
        self._bets = tuple(bets)
        self._up = [[0.0, 0.0] for _ in bets]
        self._down = [[0.0, 0.0] for _ in bets]

    def look(self, arms: Arms) -> None:
        """Learn from one look."""
        if arms.canary_n <= 0 or arms.stable_n <= 0:
            return
        tolerated = self._ratio * arms.canary_n
        whole = log1p(tolerated / arms.stable_n)
        bad = arms.canary_bad + arms.stable_bad
        for i, bet in enumerate(self._bets):
            for worse, pair in ((bet, self._up[i]), (1.0 / bet, self._down[i])):
                odds = worse * tolerated / arms.stable_n
                pair[0] += bad * (whole - log1p(odds)) + arms.canary_bad * log(worse)
                pair[1] += (worse - 1.0) / (1.0 + odds) * arms.canary_n

    @property
    def low(self) -> float:
        """Lower end; −1 while nothing is known."""
        return -self._end([(gain, -slope) for gain, slope in self._down])

    @property
    def high(self) -> float:
        """Upper end; 1 while nothing is known."""
        return self._end([(gain, slope) for gain, slope in self._up])

    def _end(self, bets: Sequence[tuple[float, float]]) -> float:
        """Smallest d in [−1, 1] at which the mixture has reached its goal.

        The slopes are negative, so the log of the sum rises with d and is convex: Newton's steps from the right end
        approach the crossing from the right and never pass it.
        """
        d = 1.0
        for _ in range(_STEPS):
            logs = [gain - d * slope for gain, slope in bets]
            best = max(logs)
            weights = [exp(value - best) if value > best - 700.0 else 0.0 for value in logs]
            total = sum(weights)
            over = best + log(total) - self._need
            if over < 0.0 and d == 1.0:
                return 1.0
            rise = -sum(weight * slope for weight, (_, slope) in zip(weights, bets, strict=True)) / total
            step = over / rise if rise > 0.0 else 2.0
            if step <= _CLOSE:
                break
            d -= step
            if d <= -1.0:
                return -1.0
        return d

    def dump(self) -> list[float]:
        """Return the state as numbers."""
        return [number for pair in (*self._up, *self._down) for number in pair]

    def load(self, numbers: Sequence[float]) -> None:
        """Take over a state that ``dump`` returned."""
        pairs = [list(pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
        self._up, self._down = pairs[: len(self._bets)], pairs[len(self._bets) :]
