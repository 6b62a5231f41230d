"""Is this run slower than the one before, by more than a margin? The judge's own tests on slices of both runs.

Each pair of slices is one look: requests, errors, and how many answers were slower than some bounds, on both sides.
The judge's bets then say whether the run is worse than tolerated, or surely within the margin; a stall that hits one
slice counts as one event, because scatter between slices makes the bets careful. The two runs were not at the same
time: a machine that was slower as a whole is beyond any test on two runs, and is what the tolerance is for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from math import inf

from gitlab_mesh.core.judge.judge import Judge
from gitlab_mesh.core.judge.latency import Bound, plan_bounds
from gitlab_mesh.core.judge.model import Gate, Judgement, Look, Verdict, VerdictKind
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.judge.track import Track
from gitlab_mesh.core.load.histogram import coarse_limit
from gitlab_mesh.core.load.result import LoadResult
from gitlab_mesh.core.load.slices import Slice, Slices
from gitlab_mesh.core.metrics.counts import Counts, Histogram
from gitlab_mesh.errors import UsageError

__all__ = ["check_alike", "compare_results"]

_ROOM = 16
"""Coarse buckets: a doubling."""

_LEAST_REQUESTS = 400
"""Of either run: below it no tail of the baseline is known."""


def compare_results(baseline: LoadResult, now: LoadResult, *, tolerance: float, margin: float) -> Judgement:
    """Compare two runs of the same load.

    Args:
        baseline: The run before.
        now: The run in question.
        tolerance: This much slower, relative, is not held against it.
        margin: It must be shown to be less than this much slower to pass.

    Returns:
        One verdict on errors and one on latency, in the words of load-check.

    Raises:
        UsageError: The runs had different kinds of requests or rates that differ by more than a tenth.
    """
    check_alike(baseline, now.kinds, now.planned_rate)
    settings = JudgeSettings(
        bake_seconds=0.0,
        startup_seconds=0.0,
        guard_seconds=0.0,
        latency_tolerance=tolerance,
        latency_margin=max(margin, tolerance),
    )
    left, right = _align(baseline.slices, now.slices)
    bounds = _bounds([*left, *right])
    width = max(baseline.slices.width_seconds, now.slices.width_seconds)
    judge = Judge(settings, look_seconds=width)
    planned = _plan(baseline, bounds, settings)
    if planned:  # the baseline was there before: it alone says what is slow
        judge.compare_bounds(planned)
    judgement = None
    for number, (before, after) in enumerate(zip(left, right, strict=True)):
        stable, canary = _counts(before, bounds), _counts(after, bounds)
        total = stable.requests + canary.requests
        if total:
            weight = canary.requests / total
            judgement = judge.look(Look(time_seconds=(number + 1) * width, stable=stable, canary=canary, weight=weight))
    if judgement is None:
        return Judgement((), Gate(open=False), Gate(open=False), reason="neither run has requests")
    return _in_our_words(judgement, judge, min(baseline.requests, now.requests))


def check_alike(baseline: LoadResult, kinds: Collection[str], rate: float) -> None:
    """Refuse a baseline of another load.

    Args:
        baseline: The run before.
        kinds: Names of this load's kinds of requests.
        rate: Its planned requests per second.

    Raises:
        UsageError: Other requests, or a rate that differs by more than a tenth.
    """
    if set(baseline.kinds) != set(kinds):
        raise UsageError(
            "the baseline had other requests",
            why=f"{', '.join(sorted(baseline.kinds))} then, {', '.join(sorted(kinds))} now",
            hint="record a new baseline with this scenario",
        )
    if not 0.9 <= rate / max(baseline.planned_rate, 1e-9) <= 1.1:
        raise UsageError(
            f"the baseline had {baseline.planned_rate:g} requests/s, this run {rate:g}",
            why="latency under different loads says nothing about the release",
            hint="record a new baseline at this rate",
        )


def _align(left: Slices, right: Slices) -> tuple[list[Slice], list[Slice]]:
    """Return the slices of the time that both runs have, equally wide."""
    width = max(left.width_seconds, right.width_seconds)
    pair = []
    for slices in (left, right):
        wide = Slices(width)
        wide.merge(slices)
        pair.append({round(start / width): one for start, one in wide.entries()})
    shared = sorted(pair[0].keys() & pair[1].keys())
    return [pair[0][index] for index in shared], [pair[1][index] for index in shared]


def _bounds(slices: Sequence[Slice]) -> list[int]:
    """Return the coarse buckets in use, from the lowest to some above the highest, where only a slower run reaches."""
    used = {bucket for one in slices for bucket in one.buckets}
    return list(range(max(min(used) - 1, 0), max(used) + 1 + _ROOM)) if used else []


def _plan(baseline: LoadResult, bounds: Sequence[int], settings: JudgeSettings) -> tuple[Bound, ...]:
    whole = Slice()
    for _, one in baseline.slices.entries():
        whole.merge(one)
    histogram = _counts(whole, bounds).latency
    if histogram is None:
        return ()
    return plan_bounds(histogram, tolerance=settings.latency_tolerance, margin=settings.latency_margin)


def _counts(one: Slice, buckets: Sequence[int]) -> Counts:
    bounds = (*(coarse_limit(bucket) for bucket in buckets), inf)
    counts = (*(one.buckets.get(bucket, 0) for bucket in buckets), 0)
    return Counts(one.requests, {"failed": one.errors} if one.errors else {}, Histogram(bounds, counts))


def _in_our_words(judgement: Judgement, judge: Judge, requests: int) -> Judgement:
    """Keep errors and latency; say baseline and run instead of stable and canary."""
    tracks = {"errors": (judge.errors,), "latency": tuple(track for _, track in judge.latency or ())}
    kept = tuple(
        _reword(verdict, tracks[verdict.metric], requests) for verdict in judgement.verdicts if verdict.metric in tracks
    )
    return replace(judgement, verdicts=kept, reason=_swap(judgement.reason))


def _reword(verdict: Verdict, tracks: Sequence[Track], requests: int) -> Verdict:
    reason = _swap(verdict.reason)
    kind = verdict.kind
    if kind is VerdictKind.PASS and any(_is_beyond(track) for track in tracks):
        kind = VerdictKind.UNDECIDED
        reason = "all in all beyond the margin, but in too few events to tell whether they will come again"
    if kind is not VerdictKind.BREACH and requests < _LEAST_REQUESTS:
        kind = VerdictKind.UNDECIDED
        reason = f"too few requests to compare: {requests}, at least {_LEAST_REQUESTS} help"
    return replace(verdict, metric=f"{verdict.metric} against the baseline", kind=kind, reason=reason)


def _is_beyond(track: Track) -> bool:
    """Whether the totals alone are beyond the margin: a stall is one event to the bets, but may be most of a tail."""
    if track.canary is None or track.stable is None:
        return False
    return track.canary > track.margin.ratio * track.stable + track.margin.slack


def _swap(text: str) -> str:
    return text.replace("the canary", "this run").replace("canary", "this run").replace("stable", "the baseline")
