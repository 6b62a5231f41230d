"""The meter: turns successive snapshots into increments that two sides served at the same time.

What it hands out was served after the last ``mark`` (the weight was ours and constant), on both sides over the same
stretch of the source's clock as nearly as its samples allow. Where a guard must choose, it counts too little, never
too much: requests that are not surely part of the window are left out.

Rules, by counter (one pod, one side):

* The first reading after a ``mark`` is only a baseline, and only a sample taken at or after the snapshot that follows
  the mark can be one: a scrape from before the weight change is not evidence about the time after it.
* A pod that the cluster lists for the first time while the window is open began at 0; any other is a baseline first.
* A sample not newer than the last one (repeated, late, out of order) is passed over.
* A total that fell is a restart: the new value counts (``arithmetic.increment``).
* A counter without a sample for ``max_age_seconds`` is forgotten, and named. While one side has none at all, nothing
  counts on either.

Increments wait until both sides have moved and no counter that is expected any moment is missing (1.5 times the
usual gap between samples), so that Prometheus' scrapes of different pods at different moments do not look like
a shifted share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gitlab_mesh.core.judge.model import UserValue
from gitlab_mesh.core.metrics.arithmetic import EMPTY, increment, merge
from gitlab_mesh.core.metrics.counts import Counts, PodSample, Side, SideTarget, Snapshot
from gitlab_mesh.core.metrics.screening import Counter, check_layouts, find_now, select_fresh, select_sound, select_user

__all__ = ["Counter", "Increments", "MeterState", "Reading", "advance", "mark"]

_PATIENCE = 1.5
"""A sample is overdue after this many usual gaps; less would give up on plain jitter, more would delay a rollback."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The last sample that was used of one counter."""

    time_seconds: float
    counts: Counts


@dataclass(frozen=True, slots=True)
class MeterState:
    """What the meter remembers between two looks. A fresh one takes its first snapshot as baseline.

    Attributes:
        since_seconds: Samples before this moment of the source's clock are not used; None: the next snapshot says.
        readings: Last reading by counter.
        listed: Pods that the cluster listed at any look of this rollout.
        newborn: Those that it listed first while this window was open, and that have not been read yet.
        moved: Counters with a new sample since the last increments were handed out.
        pending: Increments that wait for the other side; a side that has not moved is absent.
        gap_seconds: Usual time between two samples of a counter; 0 while unknown.
        covered_seconds: Moment of the source's clock up to which increments were handed out; None: none yet.
        bounds: Bucket bounds of this rollout; the first histogram sets them.
    """

    since_seconds: float | None = None
    readings: Mapping[Counter, Reading] = field(default_factory=dict)
    listed: frozenset[Counter] = frozenset()
    newborn: frozenset[Counter] = frozenset()
    moved: frozenset[Counter] = frozenset()
    pending: Mapping[Side, Counts] = field(default_factory=dict)
    gap_seconds: float = 0.0
    covered_seconds: float | None = None
    bounds: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Increments:
    """What one look adds; the fields of ``core.judge.model.Look`` that come from metrics.

    Attributes:
        stable: Served by stable.
        canary: Served by the canary, over the same time.
        seconds: How much of the source's clock they cover; 0 if they still wait or there are none.
        user: Sound readings of the user's metrics.
        problems: Why something is missing, one sentence each.
        faults: Metric → why its numbers cannot be used (its verdict is ``error``).
    """

    stable: Counts = EMPTY
    canary: Counts = EMPTY
    seconds: float = 0.0
    user: tuple[UserValue, ...] = ()
    problems: tuple[str, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)


def mark(state: MeterState) -> MeterState:
    """Start a new window: call it after the weight changed, or whenever it was not surely ours.

    Call it when the new weight is in force, before the next reading: that snapshot's moment begins the window.
    Increments that wait are dropped: they were served under the old weight.
    """
    return MeterState(listed=state.listed, gap_seconds=state.gap_seconds, bounds=state.bounds)


def advance(
    state: MeterState, snapshot: Snapshot, *, max_age_seconds: float, targets: Sequence[SideTarget] = ()
) -> tuple[MeterState, Increments]:
    """Take one snapshot in.

    Args:
        state: From the call before, or ``MeterState()``.
        snapshot: As the source gave it; nothing in it is trusted.
        max_age_seconds: Older samples (by the source's own clock) are no data.
        targets: The sides as given to ``MetricSource.read``. Their pods tell new ones from overlooked ones, so they
            must be all that exist, ready or not; without them every counter that appears is a baseline first.

    Returns:
        The next state, and what to hand to the judge now.
    """
    problems = list(snapshot.problems)
    samples = select_sound(snapshot.samples, problems)
    now = find_now(snapshot, samples)
    user = select_user(snapshot.user, now, max_age_seconds, problems)
    listed = frozenset((target.side, pod) for target in targets for pod in target.pods)
    newborn = frozenset() if state.since_seconds is None else state.newborn | (listed - state.listed)
    state = replace(state, listed=state.listed | listed, newborn=newborn)
    if now is None:
        return state, Increments(user=user, problems=tuple(problems))
    if state.since_seconds is None:
        since = min([sample.time_seconds for sample in samples] if snapshot.time_seconds is None else [now])
        state = replace(state, since_seconds=since)
    samples = select_fresh(samples, now, max_age_seconds, problems)
    samples, bounds, faults = check_layouts(samples, state.bounds)
    state = replace(_forget_stale(state, now, max_age_seconds, problems), bounds=bounds)
    state = _count(state, samples, faults, problems)
    problems += _name_silent_sides(state, now, max_age_seconds)
    state, increments = _hand_out(state, now)
    if faults:
        increments = replace(
            increments,
            stable=replace(increments.stable, latency=None),
            canary=replace(increments.canary, latency=None),
        )
    return state, replace(increments, user=user, problems=tuple(problems), faults=faults)


def _forget_stale(state: MeterState, now: float, max_age_seconds: float, problems: list[str]) -> MeterState:
    kept = {counter: r for counter, r in state.readings.items() if now - r.time_seconds <= max_age_seconds}
    for side in Side:
        lost = sorted(pod for (its_side, pod) in state.readings.keys() - kept.keys() if its_side is side)
        if lost:
            problems.append(f"{side}: no new sample of {', '.join(lost)} for more than {max_age_seconds:g} s")
    return replace(state, readings=kept, moved=state.moved & kept.keys())


def _name_silent_sides(state: MeterState, now: float, max_age_seconds: float) -> list[str]:
    silent = [side for side in Side if side not in {its_side for its_side, _ in state.readings}]
    waited = now - (state.since_seconds if state.since_seconds is not None else now)
    if waited <= max_age_seconds:
        return []  # after a weight change the first scrape may still be on its way
    return [f"{side}: no sample is younger than {max_age_seconds:g} s, so nothing is compared" for side in silent]


def _count(
    state: MeterState,
    samples: Sequence[PodSample],
    faults: Mapping[str, str],
    problems: list[str],
) -> MeterState:
    readings = dict(state.readings)
    counting = {side for side, _ in readings} >= set(Side)
    pending = dict(state.pending) if counting else {}
    moved = set(state.moved) if counting else set()
    gaps = []
    for sample in samples:
        counter = (sample.side, sample.pod)
        last = readings.get(counter)
        if state.since_seconds is not None and sample.time_seconds < state.since_seconds:
            continue
        if last is not None and sample.time_seconds <= last.time_seconds:
            continue
        readings[counter] = Reading(sample.time_seconds, sample.counts)
        if last is not None:
            gaps.append(sample.time_seconds - last.time_seconds)
        if not counting:
            continue
        moved.add(counter)
        if last is None and counter not in state.newborn:
            continue
        if last is not None and sample.counts.requests < last.counts.requests:
            problems.append(f"pod {sample.pod} ({sample.side}): its counters began again, the proxy restarted")
        added = increment(last.counts if last else EMPTY, sample.counts)
        if added is None:
            problems.append(
                f"pod {sample.pod} ({sample.side}): some of its counters fell while others rose; this interval does "
                "not count"
            )
            added = EMPTY
        if faults:
            added = replace(added, latency=None)
        pending[sample.side] = merge(pending.get(sample.side, EMPTY), added)
    if not counting and {side for side, _ in readings} >= set(Side):
        state = replace(state, covered_seconds=_find_frontier(readings))
    gap = min(gaps, default=state.gap_seconds)
    return replace(
        state,
        readings=readings,
        newborn=state.newborn - readings.keys() if counting else frozenset(),
        pending=pending,
        moved=frozenset(moved),
        gap_seconds=gap,
    )


def _find_frontier(readings: Mapping[Counter, Reading]) -> float:
    """Moment of the source's clock up to which both sides are known."""
    newest: dict[Side, float] = {}
    for (side, _), reading in readings.items():
        newest[side] = max(newest.get(side, -math.inf), reading.time_seconds)
    return min(newest.values())


def _hand_out(state: MeterState, now: float) -> tuple[MeterState, Increments]:
    if state.pending.keys() != set(Side):
        return state, Increments()
    for counter in state.readings.keys() - state.moved:
        if now - state.readings[counter].time_seconds <= _PATIENCE * state.gap_seconds:
            return state, Increments()
    frontier = _find_frontier(state.readings)
    increments = Increments(
        state.pending.get(Side.STABLE, EMPTY),
        state.pending.get(Side.CANARY, EMPTY),
        max(0.0, frontier - (state.covered_seconds if state.covered_seconds is not None else frontier)),
    )
    return replace(state, pending={}, moved=frozenset(), covered_seconds=frontier), increments
