"""Latency by buckets: which bounds are compared, and what "10 % slower" means at each of them.

A histogram says how many requests were slower than each bound. One bound is one kind of bad request, so the same
bets serve as for errors; all bounds together test the shift of the whole histogram. The bounds and tolerances come
from stable's own requests before they are used, so they cannot be chosen to fit the canary.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, log1p
from statistics import NormalDist

from gitlab_mesh.core.judge.betting import Tolerance
from gitlab_mesh.core.metrics.counts import Histogram

__all__ = ["Bound", "bound_at", "plan_bounds", "slower_than"]

_NORMAL = NormalDist()
_SLACK, _MARGIN_SLACK = 0.001, 0.005
_RARE, _COMMON, _TAIL = 0.001, 0.5, 0.12


@dataclass(frozen=True, slots=True)
class Bound:
    """One compared bucket bound.

    Attributes:
        seconds: The bound; a slower request counts.
        base: Stable's share of slower requests when the bound was chosen.
        tolerated: This multiple of stable's share is tolerated (rollback).
        margin: This multiple may be promoted.
        slack: Absolute part of ``tolerated``.
        margin_slack: Absolute part of ``margin``.
        required: Whether promotion needs it: the tail, where users feel it and evidence is cheap.
    """

    seconds: float
    base: float
    tolerated: float
    margin: float
    slack: float
    margin_slack: float
    required: bool


def slower_than(histogram: Histogram, seconds: float) -> int:
    """Count the requests in the buckets above the bound."""
    pairs = zip(histogram.upper_bounds, histogram.counts, strict=True)
    return sum(count for bound, count in pairs if bound > seconds)


def plan_bounds(stable: Histogram, *, tolerance: float, margin: float, most: int = 5) -> tuple[Bound, ...]:
    """Choose the bounds from stable's histogram.

    Args:
        stable: Stable's requests so far.
        tolerance: "This much slower", relative, is not held against the canary.
        margin: "This much slower", relative, may be promoted.
        most: At most so many bounds.

    Returns:
        Bounds that 0.1–50 % of stable's requests exceed, and the next one above: what no request of stable's
        reaches shows a canary that hangs. Empty if the histogram says nothing.
    """
    bounds = [bound for bound in stable.upper_bounds if 0 < bound < inf]
    total = sum(stable.counts)
    if total <= 0 or len(bounds) < 2:
        return ()
    shares = [slower_than(stable, bound) / total for bound in bounds]
    seen = [i for i, share in enumerate(shares) if _RARE <= share <= _COMMON]
    if not seen:
        # All of stable in one bucket: the first bound above it is the only one that can tell.
        seen = [i for i, share in enumerate(shares) if share < _RARE][:1]
    elif seen[-1] + 1 < len(bounds):
        seen.append(seen[-1] + 1)
    step = max(1.0, len(seen) / most)
    chosen = sorted({seen[min(len(seen) - 1, round((i + 1) * step) - 1)] for i in range(min(most, len(seen)))})
    depths = [_NORMAL.inv_cdf(min(max((share * total + 0.5) / (total + 1.0), 1e-9), 1 - 1e-9)) for share in shares]
    return tuple(
        Bound(
            seconds=bounds[i],
            base=shares[i],
            tolerated=_multiple(bounds, depths, i, tolerance),
            margin=_multiple(bounds, depths, i, margin),
            slack=_SLACK,
            margin_slack=_MARGIN_SLACK,
            required=shares[i] <= _TAIL,
        )
        for i in chosen
    )


def bound_at(stable: Histogram, seconds: float, tolerated: Tolerance, margin: Tolerance) -> Bound | None:
    """Build the bound at which a slow request counts like an error; None without a finite bucket bound there.

    Args:
        stable: Stable's requests so far; only its layout matters.
        seconds: Slower is bad; rounded up to a bucket bound.
        tolerated: As for errors.
        margin: As for errors.
    """
    above = [bound for bound in stable.upper_bounds if seconds <= bound < inf]
    if not above:
        return None
    return Bound(above[0], 0.0, tolerated.ratio, margin.ratio, tolerated.slack, margin.slack, required=True)


def _multiple(bounds: list[float], depths: list[float], i: int, slower: float) -> float:
    """Share of requests beyond ``bounds[i]`` if all were slower, over the share now; between 1 and 4.

    "Slower by s" moves the share at b to the share at b / (1 + s); between two bounds the share is interpolated
    as for log-normal latencies: normal quantile against log seconds.
    """
    j = i if i > 0 else 1
    slope = (depths[j] - depths[j - 1]) / (log(bounds[j]) - log(bounds[j - 1]))
    moved = _NORMAL.cdf(depths[i] - slope * log1p(slower))
    return min(max(moved / max(_NORMAL.cdf(depths[i]), 1e-12), 1.0), 4.0)
