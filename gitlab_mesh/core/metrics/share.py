"""Two questions about traffic itself: does the share fit the weight, and has the canary gone quiet?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from gitlab_mesh.core.metrics.counts import Side, Snapshot

__all__ = ["flat_since", "observed_share_contradicts"]

_EXACT_VARIANCE = 1e6
"""Above it the normal law differs from the binomial by less than 1e-3 of the tail, and summing would take long."""


def observed_share_contradicts(stable_requests: int, canary_requests: int, weight: float, alpha: float = 1e-3) -> bool:
    """Say whether these requests cannot have been split by this weight (two-sided exact binomial test).

    "Does not contradict" is all that confirming a step may ask: a share that must *reach* a band never confirms
    where traffic is low. Envoy draws the cluster of every request at random by weight, so the canary's part of n
    requests is binomial.

    Args:
        stable_requests: Increment of stable, at least 0.
        canary_requests: Increment of the canary over the same time, at least 0.
        weight: The canary's share, 0–1.
        alpha: Probability of a false contradiction, for this one look.
    """
    total = stable_requests + canary_requests
    if weight <= 0:
        return canary_requests > 0
    if weight >= 1:
        return stable_requests > 0
    if total == 0:
        return False
    if canary_requests <= total * weight:
        tail = _lower_tail(canary_requests, total, weight)
    else:
        tail = _lower_tail(stable_requests, total, 1 - weight)
    return 2 * tail < alpha


def _lower_tail(count: int, total: int, probability: float) -> float:
    """P(X ≤ count) for X ~ Bin(total, probability), count not above the mean.

    Summed downwards from ``count``: there each term is smaller than the one before, so the sum ends early.
    """
    variance = total * probability * (1 - probability)
    if variance > _EXACT_VARIANCE:
        return NormalDist().cdf((count + 0.5 - total * probability) / math.sqrt(variance))
    log_term = (
        math.lgamma(total + 1)
        - math.lgamma(count + 1)
        - math.lgamma(total - count + 1)
        + count * math.log(probability)
        + (total - count) * math.log1p(-probability)
    )
    odds = (1 - probability) / probability
    term = total_terms = 1.0
    for k in range(count, 0, -1):
        term *= k / (total - k + 1) * odds
        total_terms += term
        if term < 1e-17 * total_terms:
            break
    return min(1.0, math.exp(log_term + math.log(total_terms)))


def flat_since(snapshots: Sequence[Snapshot], side: Side = Side.CANARY) -> tuple[float, float] | None:
    """Say during which time none of the side's request counters moved, up to the last reading.

    Args:
        snapshots: Successive readings, oldest first (the drain's).
        side: Whose counters.

    Returns:
        Start and end of the quiet time by the source's clock: all counters were at their last value from start on,
        and all were read at end or later. None: not known (no sample, or a single one), or a counter moved at its
        last reading. A pod that cannot be read any more holds the end back: silence is not quiet.
    """
    starts: dict[str, float] = {}
    ends: dict[str, float] = {}
    values: dict[str, int] = {}
    for snapshot in snapshots:
        for sample in snapshot.samples:
            if sample.side is not side or not sample.time_seconds > ends.get(sample.pod, -math.inf):
                continue
            if values.get(sample.pod) != sample.counts.requests:
                starts[sample.pod] = sample.time_seconds
                values[sample.pod] = sample.counts.requests
            ends[sample.pod] = sample.time_seconds
    if not ends:
        return None
    start, end = max(starts.values()), min(ends.values())
    return (start, end) if end > start else None
