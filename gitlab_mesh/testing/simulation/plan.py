"""What a seed means: consecutive seeds go through every pair of boundary and kind of fault."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from gitlab_mesh.testing.simulation.kinds import DRIVER_FAULTS, WORLD_FAULTS, PlannedFault, kinds_for
from gitlab_mesh.testing.simulation.schedule import KILL_MIDWAY, SHAPES, Schedule, through_http_route

__all__ = ["Catalogue", "Pair", "plan_plain", "plan_schedule"]

Pair = tuple[str, str, str]
"""Shape, boundary, kind of fault."""

PRIME = 7919
"""Consecutive seeds are this far apart among the pairs."""

_DUELS = 0.12
"""Part of the schedules in which a driver stands still before a write while another one takes over."""

_CONTESTED = (
    "patch VirtualService",
    "patch HTTPRoute",
    "create Service",
    "patch DestinationRule",
    "patch Deployment",
    "create Deployment",
)
"""Writes that two drivers must not both do; record and lease have versions of their own."""


@dataclass(frozen=True)
class Catalogue:
    """Where faults can be put.

    Attributes:
        calls: Shape → boundary, in the order of its first call → how often it is met there.
    """

    calls: Mapping[str, Mapping[str, int]]

    @cached_property
    def shapes(self) -> Mapping[str, tuple[str, ...]]:
        """Boundary → shapes in which it is met."""
        found: dict[str, list[str]] = {}
        for shape, calls in self.calls.items():
            for boundary in calls:
                found.setdefault(boundary, []).append(shape)
        return {boundary: tuple(shapes) for boundary, shapes in found.items()}

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every boundary × kind, with the first shape in which the boundary is met."""
        return tuple(
            (shapes[0], boundary, kind)
            for boundary, shapes in self.shapes.items()
            for kind in kinds_for(boundary.partition("/")[2].partition(" ")[0])
        )

    @cached_property
    def contested(self) -> tuple[str, ...]:
        """Boundaries at which two drivers must not both get through."""
        return tuple(boundary for boundary in self.shapes if boundary.endswith(_CONTESTED))


def plan_schedule(seed: int, catalogue: Catalogue) -> Schedule:
    """Return the schedule of a seed: consecutive seeds go through all pairs, everything else is drawn."""
    draw = random.Random(seed)
    pairs = catalogue.pairs
    shape, boundary, kind = pairs[seed * PRIME % len(pairs)]
    if draw.random() < _DUELS:
        return _plan_duel(draw, seed, catalogue)
    if draw.random() < 0.5:  # not always in the shape that met it first
        shape = draw.choice(catalogue.shapes[boundary])
    planned = [_fault(draw, kind, boundary, catalogue.calls[shape][boundary])]
    for _ in range(draw.choices((0, 1, 2, 3), (45, 30, 15, 10))[0]):
        other_shape, other, its_kind = draw.choice(pairs)
        planned.append(_fault(draw, its_kind, other, catalogue.calls[other_shape][other]))
    planned += [_pause_for(draw, fault) for fault in planned if fault.kind in DRIVER_FAULTS and draw.random() < 0.6]
    return _with_faults(_in_some_world(draw, seed, SHAPES[shape]), planned)


def plan_plain(pair: Pair, *, number: int = 0) -> Schedule:
    """Return a schedule with one fault only, in the shape where its boundary is met."""
    shape, boundary, kind = pair
    schedule, fault = SHAPES[shape], PlannedFault(kind, boundary, number, 12.0)
    if boundary.startswith("canary:"):
        return replace(schedule, faults=(*schedule.faults, fault))
    return replace(schedule, ending_faults=(fault,))


def _plan_duel(draw: random.Random, seed: int, catalogue: Catalogue) -> Schedule:
    boundary = draw.choice(catalogue.contested)
    shape = draw.choice(catalogue.shapes[boundary])
    fault = _fault(draw, draw.choice(DRIVER_FAULTS), boundary, catalogue.calls[shape][boundary])
    pause = replace(fault, kind="pause", seconds=draw.choice((15.0, 45.0, 90.0)))
    return _with_faults(_in_some_world(draw, seed, SHAPES[shape]), [fault, pause])


def _in_some_world(draw: random.Random, seed: int, base: Schedule) -> Schedule:
    schedule = replace(
        base,
        seed=seed,
        lag=draw.choices((0.0, 1.5, 4.0, 20.0), (60, 20, 15, 5))[0],
        rate=draw.choice((50.0, 200.0, 400.0)),
        delay=draw.choice((0.0, 1.0, 15.0, 60.0, 600.0)),
        ending=draw.choice(("rollback", "recover", "after-script")),
        race=draw.choice((0.0, 0.1, 0.5)),
    )
    if base.shape.startswith("promote") and draw.random() < 0.08:
        schedule = replace(schedule, real_judge=True, tag=draw.choice(("good-2", "bad", "slow")), rate=400.0)
    if base.shape in ("promote", "silent") and draw.random() < 0.3:
        schedule = replace(schedule, subset=draw.random() < 0.5, annotated=draw.random() < 0.5)
    if not base.first and draw.random() < 0.15:
        schedule = replace(schedule, autoscaled=True)
    if not base.first and draw.random() < 0.1:
        schedule = replace(schedule, both=True)
    if draw.random() < 0.15:
        schedule = replace(schedule, http_route=True)
    if draw.random() < 0.08:
        schedule = replace(schedule, bypass=0.1)
    if not base.first and draw.random() < 0.15:
        schedule = replace(schedule, watched=True)
    # At its small shares nobody can tell callers that bypass the route from proxies that lag: 23 is right there.
    if schedule.real_judge and not (base.budget or schedule.bypass) and draw.random() < 0.4:
        schedule = replace(schedule, budget=True)
    return schedule


def _with_faults(schedule: Schedule, planned: Sequence[PlannedFault]) -> Schedule:
    canary = [fault for fault in planned if fault.boundary.startswith("canary:")]
    others = [fault for fault in planned if not fault.boundary.startswith("canary:")]
    if others and not (schedule.faults or canary or schedule.later):
        canary = [KILL_MIDWAY]
    whole = replace(schedule, faults=(*schedule.faults, *canary), ending_faults=tuple(others))
    return through_http_route(whole) if schedule.http_route else whole


def _fault(draw: random.Random, kind: str, boundary: str, count: int) -> PlannedFault:
    number = 0 if draw.random() < 0.5 else draw.randrange(count)
    seconds = draw.choice((3.0, 12.0, 40.0, 100.0))
    if kind == "outage":
        seconds = draw.choice((3.0, 8.0, 40.0, 400.0))
    if kind in WORLD_FAULTS and draw.random() < 0.3:
        seconds = 1e9
    return PlannedFault(kind, boundary, number, seconds)


def _pause_for(draw: random.Random, fault: PlannedFault) -> PlannedFault:
    return PlannedFault("pause", fault.boundary, fault.number, draw.choice((2.0, 15.0, 45.0, 90.0)))
