"""Arithmetic on counts: merge, increment, soundness. Everything that adds or subtracts counts does it here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from gitlab_mesh.core.metrics.counts import Counts, Histogram
from gitlab_mesh.errors import UsageError

__all__ = ["EMPTY", "LayoutError", "describe_layout", "find_fault", "increment", "merge"]

EMPTY = Counts()

_MAX_COUNT = 10**18
"""More requests than any process can have served; beyond it a number is garbage."""


class LayoutError(UsageError):
    """Two histograms have different bucket bounds and cannot be added."""


def merge(left: Counts, right: Counts) -> Counts:
    """Add two counts of disjoint requests; associative and commutative, ``EMPTY`` is neutral.

    Raises:
        LayoutError: Both have a histogram and their bounds differ.
    """
    return Counts(
        left.requests + right.requests,
        _add(left.errors, right.errors),
        _merge_latency(left.latency, right.latency),
        _add(left.events, right.events),
    )


def _add(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {kind: left.get(kind, 0) + right.get(kind, 0) for kind in {**left, **right}}


def _merge_latency(left: Histogram | None, right: Histogram | None) -> Histogram | None:
    if left is None or right is None:
        return left or right
    if left.upper_bounds != right.upper_bounds:
        raise LayoutError(
            f"bucket bounds differ: {describe_layout(left.upper_bounds)} and {describe_layout(right.upper_bounds)}"
        )
    return Histogram(left.upper_bounds, tuple(a + b for a, b in zip(left.counts, right.counts, strict=True)))


def increment(before: Counts, after: Counts) -> Counts | None:
    """Return what was served between two cumulative readings of one counter; never negative.

    A total that fell is a restart: the process began again at 0 and everything it shows was served since. A total
    that rose while a part of it fell is neither growth nor surely a restart (a proxy may drop series that it has
    not used for long): then nothing is known, and None is returned rather than a guess that may be too large.
    A histogram that is new beside requests already counted, or that fell alone, adds nothing this time.

    Raises:
        LayoutError: The bounds changed.
    """
    if after.requests < before.requests:
        return after
    errors = _subtract(after.errors, before.errors)
    requests = after.requests - before.requests
    if any(count < 0 for count in errors.values()) or sum(errors.values()) > requests:
        return None
    events = _subtract(after.events, before.events)
    return Counts(
        requests, errors, _latency_increment(before, after), {kind: max(count, 0) for kind, count in events.items()}
    )


def _subtract(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    """Return the differences that are not 0, sorted."""
    found = {kind: left.get(kind, 0) - right.get(kind, 0) for kind in {**left, **right}}
    return {kind: count for kind, count in sorted(found.items()) if count}


def _latency_increment(before: Counts, after: Counts) -> Histogram | None:
    if after.latency is None:
        return None
    if before.latency is None:
        if before.requests == 0:
            return after.latency
        return Histogram(after.latency.upper_bounds, (0,) * len(after.latency.counts))
    if before.latency.upper_bounds != after.latency.upper_bounds:
        raise LayoutError(
            f"bucket bounds changed from {describe_layout(before.latency.upper_bounds)} "
            f"to {describe_layout(after.latency.upper_bounds)}"
        )
    counts = tuple(b - a for a, b in zip(before.latency.counts, after.latency.counts, strict=True))
    if min(counts, default=0) < 0:
        counts = (0,) * len(counts)
    return Histogram(after.latency.upper_bounds, counts)


def find_fault(counts: Counts) -> str:
    """Say what is wrong with counts as a source gave them; empty if they are sound."""
    numbers = [counts.requests, *counts.errors.values(), *counts.events.values()]
    numbers += counts.latency.counts if counts.latency else ()
    for number in numbers:
        if isinstance(number, float) and not math.isfinite(number):
            return f"{number} is not a count"
        if isinstance(number, bool) or not isinstance(number, int):
            return f"{number!r} is not a whole number"
        if not 0 <= number <= _MAX_COUNT:
            return f"{number} is not a count"
    if sum(counts.errors.values()) > counts.requests:
        return f"{sum(counts.errors.values())} errors of {counts.requests} requests"
    return _find_layout_fault(counts.latency)


def _find_layout_fault(latency: Histogram | None) -> str:
    if latency is None:
        return ""
    bounds = latency.upper_bounds
    if not bounds or len(bounds) != len(latency.counts) or bounds[-1] != math.inf:
        return "the histogram's last bucket is not +Inf"
    if any(math.isnan(bound) for bound in bounds) or any(a >= b for a, b in pairwise(bounds)):
        return "the histogram's bounds do not rise"
    return ""


def describe_layout(bounds: tuple[float, ...]) -> str:
    """Say bounds in a few words: how many, the first and the last finite ones, in milliseconds."""
    finite = [f"{bound * 1000:g}" for bound in bounds if math.isfinite(bound)]
    shown = finite if len(finite) <= 4 else [*finite[:2], "…", *finite[-2:]]
    return f"{len(bounds)} buckets ({', '.join(shown)} ms)"
