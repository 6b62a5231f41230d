"""Evidence about the canary's share of bad requests against an absolute limit.

Used for the SLO budget, and during the start-up: a cold start is forgiven, an outage is not. An absolute limit alone
would punish a canary for an outage of both sides, so the judge only believes the *smaller* of this capital and the
comparison with stable: that tests "within the limit, or no worse than stable" (intersection–union, Berger 1982).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, inf, log, log1p

__all__ = ["ABOVE", "BELOW", "OUTAGE", "Limit"]

OUTAGE: Mapping[float, float] = {0.995: 0.6, 0.9: 0.2, 0.7: 0.15, 0.55: 0.05}
"""What an outage looks like: share of errors → weight of that bet."""

ABOVE = (1.3, 1.7, 2.5, 5.0, 15.0, 80.0)
BELOW = (0.8, 0.6, 0.4, 0.2, 0.05)


class Limit:
    """Likelihood ratio of a Bernoulli share against the limit, a mixture over alternatives on one side of it.

    Args:
        limit: The share that the null hypothesis allows, above 0 and below 1.
        alternatives: Share → weight; all above the limit, or all below it.
        ceiling: Log of the largest capital worth keeping.
    """

    __slots__ = ("_ceiling", "_hits", "_logs", "_misses")

    def __init__(self, limit: float, alternatives: Mapping[float, float], ceiling: float = inf) -> None:
        self._hits = [log(share / limit) for share in alternatives]
        self._misses = [log1p(-share) - log1p(-limit) for share in alternatives]
        total = sum(alternatives.values())
        self._logs = [log(weight / total) for weight in alternatives.values()]
        self._ceiling = ceiling

    @classmethod
    def beside(cls, limit: float, factors: Sequence[float], ceiling: float = inf) -> Limit:
        """Build alternatives at multiples of the limit."""
        return cls(limit, {min(limit * factor, 1.0 - (1.0 - limit) / 100.0): 1.0 for factor in factors}, ceiling)

    def look(self, n: float, bad: float, cap: float = inf) -> float:
        """Bet on one look; return the log of the capital, which may rise by at most ``cap``."""
        if n <= 0:
            return self.log_wealth
        allowed = min(self.log_wealth + cap, self._ceiling)
        changes = zip(self._logs, self._hits, self._misses, strict=True)
        self._logs = [value + bad * hit + (n - bad) * miss for value, hit, miss in changes]
        over = self.log_wealth - allowed
        if over > 0:
            self._logs = [value - over for value in self._logs]
        return self.log_wealth

    @property
    def log_wealth(self) -> float:
        """Log of the capital; 0 at the start."""
        best = max(self._logs)
        return best + log(sum(exp(max(value - best, -700.0)) for value in self._logs))

    def dump(self) -> list[float]:
        """Return the state as numbers."""
        return list(self._logs)

    def load(self, numbers: Sequence[float]) -> None:
        """Take over a state that ``dump`` returned."""
        if len(numbers) != len(self._logs):
            raise ValueError(f"expected {len(self._logs)} numbers, got {len(numbers)}")
        self._logs = list(numbers)
