"""How many more canary requests a comparison needs before it passes, if the canary is no worse than stable."""

from __future__ import annotations

from math import log

from gitlab_mesh.core.judge.betting import BETTER, Stake, Tolerance, stake_of
from gitlab_mesh.core.judge.track import Track

__all__ = ["growth", "requests_needed"]

_SLOW = 1.5
"""A mixture starts on many bets and must find the right one: measured, see docs/judge.md."""


def growth(worse: float, tolerance: Tolerance, weight: float, stable_p: float, canary_p: float) -> float:
    """Return the mean log growth of one bet a canary request.

    Args:
        worse: The bet.
        tolerance: The boundary.
        weight: Share of the canary, above 0 and below 1.
        stable_p: Stable's true share of bad requests.
        canary_p: The canary's.
    """
    stable_n = (1.0 - weight) / weight
    stake: Stake = stake_of(worse, tolerance, 1.0, stable_n)
    return canary_p * stake.canary + stable_n * stable_p * stake.stable - stake.price


def requests_needed(track: Track, weight: float, level: float) -> float:
    """Forecast the canary requests until this comparison passes at ``level``.

    The canary is taken to be as good as both sides together; where its own estimate is beyond the margin, no number
    of requests will do, and the caller should say so.
    """
    missing = log(1.0 / level) - track.fine.log_wealth
    if missing <= 0:
        return 0.0
    both = track.canary_n + track.stable_n
    share = (track.canary_bad + track.stable_bad + 0.5) / (both + 1.0)
    share_weight = min(max(weight, 1e-6), 1.0 - 1e-6)
    best = max(growth(worse, track.margin, share_weight, share, share) for worse in BETTER)
    return _SLOW * track.dispersion.factor * missing / best if best > 0 else float("inf")
