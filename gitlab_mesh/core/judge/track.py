"""One compared metric: evidence that the canary is worse, and evidence that it is within the margin."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log

from gitlab_mesh.core.judge.betting import BETTER, WORSE, Arms, Capital, Tolerance
from gitlab_mesh.core.judge.dispersion import Dispersion
from gitlab_mesh.core.judge.excess import FINE, Excess

__all__ = ["Track", "equal_prior", "relevant_prior"]

_CEILING = 100.0
_AIMED = 0.7
"""Part of the stakes that lies where the decision is; the rest is spread evenly. A bet far from it gains so much on
each bad request that a small stake suffices."""


def relevant_prior(base: float, tolerated: Tolerance, margin: Tolerance, bets: Sequence[float] = WORSE) -> list[float]:
    """Spread the bets on "worse": some evenly, most where a release first becomes one that must not be promoted.

    Args:
        base: Stable's share of bad requests so far.
        tolerated: The rollback boundary.
        margin: The promotion boundary.
        bets: The bets.
    """
    line = tolerated.ratio * base + tolerated.slack
    first = (margin.ratio * base + margin.slack) / line if line > 0 else inf
    return _spread(bets, log(min(max(first, 1.0), 500.0)) + 0.4, 0.6)


def equal_prior(base: float, margin: Tolerance) -> list[float]:
    """Spread the bets on "better than the margin": some evenly, most where a canary as good as stable is.

    Args:
        base: Stable's share of bad requests so far.
        margin: The promotion boundary.
    """
    line = margin.ratio * base + margin.slack
    return _spread(BETTER, log(max(base / line, BETTER[-1])) if line > 0 else 0.0, 0.3)


def _spread(bets: Sequence[float], centre: float, width: float) -> list[float]:
    bumps = [exp(-0.5 * ((log(worse) - centre) / width) ** 2) for worse in bets]
    total = sum(bumps)
    return [(1.0 - _AIMED) / len(bets) + _AIMED * bump / total for bump in bumps]


class Track:
    """Both directions of one comparison, with the guards.

    Args:
        name: Of the metric.
        tolerated: Rollback boundary: up to here the canary is not held to be worse.
        margin: Promotion boundary: evidence must show it to be below.
        promote_level: Chance of passing something at the margin.
        lag_looks: Of the dispersion guard.
        bets: On "worse".
        ends: Bets of the interval that is shown.
    """

    __slots__ = (
        "_bets",
        "_ends",
        "base",
        "canary_bad",
        "canary_n",
        "dispersion",
        "excess",
        "fine",
        "margin",
        "name",
        "stable_bad",
        "stable_n",
        "tolerated",
        "worse",
    )

    def __init__(
        self,
        name: str,
        tolerated: Tolerance,
        margin: Tolerance,
        *,
        promote_level: float,
        lag_looks: int,
        bets: Sequence[float] = WORSE,
        ends: Sequence[float] = FINE,
    ) -> None:
        self.name = name
        self.base: float | None = None
        self.tolerated = tolerated
        self.margin = margin
        self.worse = Capital(bets)
        self.fine = Capital(BETTER, ceiling=log(_CEILING / promote_level))
        self.dispersion = Dispersion(lag_looks)
        self._bets, self._ends = bets, ends
        self.excess = Excess(bets=ends)
        self.canary_n = self.canary_bad = self.stable_n = self.stable_bad = 0.0

    def look(self, arms: Arms, cap: float) -> None:
        """Learn from one look; ``cap`` is the log of the most that it may multiply the evidence for worse by."""
        temper = self.dispersion.look(arms)
        self.worse.look(arms, self.tolerated, temper=temper, cap=cap)
        self.fine.look(arms, self.margin, temper=temper)
        self.excess.look(arms)
        self.canary_n += arms.canary_n
        self.canary_bad += arms.canary_bad
        self.stable_n += arms.stable_n
        self.stable_bad += arms.stable_bad

    def begin(self, base: float | None) -> None:
        """Start anew: what was seen guides the bets, but is not held against the canary.

        Args:
            base: Stable's share of bad requests so far; spreads the bets. None: as before.
        """
        self.base = base if base is not None else self.base
        worse, fine = self._priors()
        self.worse.restart(worse)
        self.fine.restart(fine)
        self.excess = Excess(bets=self._ends)
        self.canary_n = self.canary_bad = self.stable_n = self.stable_bad = 0.0

    @property
    def canary(self) -> float | None:
        """The canary's share of bad requests."""
        return self.canary_bad / self.canary_n if self.canary_n else None

    @property
    def stable(self) -> float | None:
        """Stable's share of bad requests."""
        return self.stable_bad / self.stable_n if self.stable_n else None

    def _priors(self) -> tuple[list[float], list[float]]:
        if self.base is None:
            return [], []
        worse = relevant_prior(self.base, self.tolerated, self.margin, self._bets)
        return worse, equal_prior(self.base, self.margin)

    def dump(self) -> list[list[float]]:
        """Return the state as lists of numbers."""
        return [
            self.worse.dump(),
            self.fine.dump(),
            self.dispersion.dump(),
            self.excess.dump(),
            [-1.0 if self.base is None else self.base, self.canary_n, self.canary_bad, self.stable_n, self.stable_bad],
        ]

    def load(self, state: Sequence[Sequence[float]]) -> None:
        """Take over a state that ``dump`` returned."""
        worse, fine, dispersion, excess, counts = state
        base, self.canary_n, self.canary_bad, self.stable_n, self.stable_bad = counts
        self.base = base if base >= 0.0 else None
        worse_prior, fine_prior = self._priors()
        self.worse.load(worse, worse_prior)
        self.fine.load(fine, fine_prior)
        self.dispersion.load(dispersion)
        self.excess.load(excess)
