"""Requests that the sender refused before a pod was chosen: every pod ejected, or a limit of the connection pool.

Telemetry names no workload for them, so they belong to no side. Where the destination's host or subset tells the side
they are counted there (``core.metrics.istio.find_target``); here are the others. They must not vanish: a canary that
loses its requests this way would look faultless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.metrics.arithmetic import EMPTY, increment
from gitlab_mesh.core.metrics.counts import Counts, Snapshot
from gitlab_mesh.core.report.formatting import format_count, format_percent

__all__ = ["Refusals", "count_refusals", "find_material_refusals", "mark_refusals"]

_FEWEST = 3
"""Fewer may be chance: one pod that restarts."""

_USUAL = 2.0
"""What was usual before the release is not held against it, up to this multiple."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """Refused requests since the weight was written.

    Attributes:
        count: Of them, with an error.
        total: The same since the first reading, whatever the weight was.
        usual: Refused requests for each served one, over the senders' whole life before the release; None: not read.
        readings: Last cumulative counts by sending pod.
        begins: The next reading begins the window: what it adds was refused under the weight before.
    """

    count: int = 0
    total: int = 0
    usual: float | None = None
    readings: Mapping[str, Counts] | None = None
    begins: bool = False


def mark_refusals(state: Refusals) -> Refusals:
    """Begin to count anew: another weight is in force."""
    return replace(state, count=0, begins=True)


def count_refusals(state: Refusals, snapshot: Snapshot) -> Refusals:
    """Take one snapshot in; the first one says what is usual."""
    if state.readings is None:
        served = sum(sample.counts.requests for sample in snapshot.samples)
        refused = sum(_errors(counts) for counts in snapshot.unplaced.values())
        usual = refused / served if served else 0.0
        return replace(state, usual=usual, readings=dict(snapshot.unplaced), begins=False)
    # A sender appears with its first refusal: what it counts then is new.
    added = (increment(state.readings.get(pod, EMPTY), now) or EMPTY for pod, now in snapshot.unplaced.items())
    new = sum(_errors(counts) for counts in added)
    readings = {**state.readings, **snapshot.unplaced}
    count = 0 if state.begins else state.count + new
    return replace(state, count=count, total=state.total + new, readings=readings, begins=False)


def find_material_refusals(
    state: Refusals, *, stable: tuple[int, int], canary: tuple[int, int], settings: JudgeSettings
) -> str:
    """Say in a sentence why nothing may pass, if the refused requests would fail the canary were they all its own.

    Args:
        state: Counted since the weight was written.
        stable: Requests and errors of stable in the same time.
        canary: The same of the canary.
        settings: The margin of errors.
    """
    unusual = state.count - _USUAL * (state.usual or 0.0) * (stable[0] + canary[0])
    if unusual < _FEWEST:
        return ""
    margin = settings.error_margin_ratio * (stable[1] + 0.5) / (stable[0] + 1.0) + settings.error_margin
    ratio = (canary[1] + unusual) / (canary[0] + unusual)
    if ratio <= margin:
        return ""
    return (
        f"{format_count(state.count)} requests were refused before a pod was chosen (all ejected, or a limit of the "
        f"connection pool); nobody can tell whose they were, and were they the canary's it would fail "
        f"{format_percent(ratio)}"
    )


def _errors(counts: Counts) -> int:
    return sum(counts.errors.values())
