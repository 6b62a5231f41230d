"""What of a snapshot can be used at all: sound counts, fresh samples, one layout of buckets.

Nothing that a source brings is trusted; whatever is refused is named, and is then no data (S7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from gitlab_mesh.core.judge.model import UserValue
from gitlab_mesh.core.metrics.arithmetic import describe_layout, find_fault
from gitlab_mesh.core.metrics.counts import PodSample, Side, Snapshot, UserSample

__all__ = ["Counter", "check_layouts", "find_now", "select_fresh", "select_sound", "select_user"]

Counter = tuple[Side, str]
"""Whose counter: side and pod."""


def select_sound(samples: Sequence[PodSample], problems: list[str]) -> list[PodSample]:
    """Drop what no counter can say, in an order that does not depend on the source's."""
    sound: dict[Counter, PodSample] = {}
    twice: set[Counter] = set()
    for sample in samples:
        counter = (sample.side, sample.pod)
        fault = find_fault(sample.counts)
        if not math.isfinite(sample.time_seconds):
            fault = f"its time is {sample.time_seconds}"
        if fault:
            problems.append(f"pod {sample.pod} ({sample.side}): {fault}; the sample is not used")
        elif counter in sound:
            twice.add(counter)
        else:
            sound[counter] = sample
    for side, pod in sorted(twice):
        del sound[side, pod]
        problems.append(f"pod {pod} ({side}): two samples in one reading; neither is used")
    return [sound[counter] for counter in sorted(sound)]


def find_now(snapshot: Snapshot, samples: Sequence[PodSample]) -> float | None:
    """Return the source's own time at this reading, or the newest sample's where it does not tell; None: unknown."""
    if snapshot.time_seconds is not None:
        return snapshot.time_seconds if math.isfinite(snapshot.time_seconds) else None
    return max((sample.time_seconds for sample in samples), default=None)


def select_fresh(
    samples: Sequence[PodSample], now: float, max_age_seconds: float, problems: list[str]
) -> list[PodSample]:
    """Drop samples that are too old, or ahead of their own clock by as much."""
    fresh = []
    for sample in samples:
        if sample.time_seconds - now > max_age_seconds:
            problems.append(
                f"pod {sample.pod} ({sample.side}): its time is {sample.time_seconds - now:.0f} s ahead of its "
                "source's own clock; the sample is not used"
            )
        elif now - sample.time_seconds > max_age_seconds:
            problems.append(
                f"pod {sample.pod} ({sample.side}): the last sample is {now - sample.time_seconds:.0f} s old; "
                f"older than {max_age_seconds:g} s is no data"
            )
        else:
            fresh.append(sample)
    return fresh


def check_layouts(
    samples: Sequence[PodSample], bounds: tuple[float, ...] | None
) -> tuple[list[PodSample], tuple[float, ...] | None, dict[str, str]]:
    """Hold every histogram to one layout; a sample with another one loses its latency, and latency has a fault."""
    checked = []
    faults: dict[str, str] = {}
    for sample in samples:
        latency = sample.counts.latency
        if latency is not None and bounds is None:
            bounds = latency.upper_bounds
        if latency is not None and bounds is not None and latency.upper_bounds != bounds:
            faults.setdefault(
                "latency",
                f"pod {sample.pod} ({sample.side}) counts latency in {describe_layout(latency.upper_bounds)}, this "
                f"release began with {describe_layout(bounds)}: the two cannot be compared; give both sides the same "
                "proxy version and the same histogram settings",
            )
            sample = replace(sample, counts=replace(sample.counts, latency=None))
        checked.append(sample)
    return checked, bounds, faults


def select_user(
    samples: Sequence[UserSample], now: float | None, max_age_seconds: float, problems: list[str]
) -> tuple[UserValue, ...]:
    """Keep readings of the user's metrics that are numbers and fresh."""
    values = []
    for sample in samples:
        of = f"metric {sample.name}" + (f" ({sample.side})" if sample.side else "")
        if not math.isfinite(sample.value):
            problems.append(f"{of}: the query answered {sample.value}, which is no value")
        elif now is not None and not now - sample.time_seconds <= max_age_seconds:
            problems.append(f"{of}: the value is {now - sample.time_seconds:.0f} s old")
        else:
            values.append(UserValue(sample.name, sample.side, sample.value))
    return tuple(values)
