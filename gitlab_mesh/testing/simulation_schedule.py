"""What a seed means: one release, its faults, and how it is ended afterwards."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gitlab_mesh.config.model import HttpSmoke, RolloutConfig, RouteConfig, ServiceConfig, SmokeCheck, StepConfig
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.testing.simulation_faults import WORLD_FAULTS, PlannedFault, kinds_for

__all__ = ["SHAPES", "Pair", "Schedule", "all_pairs", "plan_schedule", "service_of"]

Pair = tuple[str, str, str]
"""Shape, boundary, kind of fault."""

ROLLOUT = RolloutConfig(
    steps=(StepConfig(20), StepConfig(50)),
    step_bake=4.0,
    look_interval=2.0,
    deadline=150.0,
    ready_deadline=25.0,
    confirm_deadline=20.0,
    drain=8.0,
    lease=10.0,
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """One run of the simulation.

    Attributes:
        seed: Of everything that is drawn while it runs.
        tag: Of the image that is released.
        reject_at: See ``Script``.
        silent: See ``Script``.
        real_judge: The real judge decides, on drawn errors and latencies.
        subset: The DestinationRule already has the canary's subset.
        annotated: The VirtualService has annotations of its own.
        smoke: The canary is asked over ``pods/proxy`` first.
        rate: Requests a second.
        lag: Seconds until proxies follow a changed route.
        faults: Of the canary job.
        ending: Job that ends it later: rollback, after-script, recover.
        ending_faults: Of that job; a clean one follows then.
        delay: Seconds between the end of the drivers and the job that ends it.
        race: Chance that another driver runs at a boundary.
    """

    seed: int
    shape: str = "promote"
    tag: str = "good-2"
    reject_at: int = 0
    silent: bool = False
    real_judge: bool = False
    subset: bool = False
    annotated: bool = True
    smoke: bool = False
    rate: float = 200.0
    lag: float = 0.0
    faults: tuple[PlannedFault, ...] = ()
    ending: str = "rollback"
    ending_faults: tuple[PlannedFault, ...] = ()
    delay: float = 30.0
    race: float = 0.2


KILL_MIDWAY = PlannedFault("kill-after", "canary:set-weight/patch VirtualService", 1)
KILL_IN_PROMOTION = PlannedFault("kill-after", "canary:patch-stable/patch Deployment", 0)
KILL_EARLY = PlannedFault("kill-after", "canary:deploy/create Deployment", 0)

SHAPES: Mapping[str, Schedule] = {
    "promote": Schedule(0, "promote"),
    "promote-subset": Schedule(0, "promote-subset", subset=True, annotated=False, smoke=True),
    "reject": Schedule(0, "reject", tag="bad", reject_at=2),
    "stable-breaks": Schedule(0, "stable-breaks", tag="breaks-in-stable"),
    "crash": Schedule(0, "crash", tag="crash"),
    "silent": Schedule(0, "silent", silent=True),
    "killed": Schedule(0, "killed", faults=(KILL_MIDWAY,)),
    "killed-early": Schedule(0, "killed-early", faults=(KILL_EARLY,)),
    "killed-in-promotion": Schedule(0, "killed-in-promotion", faults=(KILL_IN_PROMOTION,)),
}
"""Runs without other faults than these; their boundaries are the ones that faults are put at."""


def service_of(schedule: Schedule) -> ServiceConfig:
    """Return the service's settings: short steps, coarse looks."""
    smoke = (SmokeCheck("health", HttpSmoke("/health"), timeout=3.0),) if schedule.smoke else ()
    judge = JudgeSettings(bake_seconds=20.0) if schedule.real_judge else JudgeSettings()
    return ServiceConfig("shop", "shop", RouteConfig(virtual_service="shop"), rollout=ROLLOUT, judge=judge, smoke=smoke)


def all_pairs(boundaries: Mapping[str, Sequence[str]]) -> list[Pair]:
    """Return every boundary × kind pair; ``boundaries`` lists each shape's own, in the order of their first call."""
    pairs: list[Pair] = []
    known: set[str] = set()
    for shape, listed in boundaries.items():
        for boundary in listed:
            if boundary not in known:
                known.add(boundary)
                verb = boundary.partition("/")[2].partition(" ")[0]
                pairs += [(shape, boundary, kind) for kind in kinds_for(verb)]
    return pairs


def plan_schedule(seed: int, pairs: Sequence[Pair], counts: Mapping[str, int]) -> Schedule:
    """Return the schedule of a seed: consecutive seeds go through all pairs, everything else is drawn.

    Args:
        seed: Of the schedule.
        pairs: From ``all_pairs``.
        counts: How often each boundary is met in its shape.
    """
    draw = random.Random(seed)
    shape, boundary, kind = pairs[seed * 7919 % len(pairs)]
    base = SHAPES[shape]
    first = _fault(draw, kind, boundary, counts.get(boundary, 1))
    more: list[PlannedFault] = []
    for _ in range(draw.choices((0, 1, 2, 3), (45, 30, 15, 10))[0]):
        _, other, its_kind = draw.choice(pairs)
        more.append(_fault(draw, its_kind, other, counts.get(other, 1)))
    planned = [first, *more]
    planned += [_pause_for(draw, fault) for fault in planned if _starts_driver(fault.kind) and draw.random() < 0.6]
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
    canary = [fault for fault in planned if fault.boundary.startswith("canary:")]
    others = [fault for fault in planned if not fault.boundary.startswith("canary:")]
    if others and not base.faults and not canary:
        canary = [KILL_MIDWAY]
    return replace(schedule, faults=(*base.faults, *canary), ending_faults=tuple(others))


def _fault(draw: random.Random, kind: str, boundary: str, count: int) -> PlannedFault:
    number = 0 if draw.random() < 0.5 else draw.randrange(count)
    seconds = draw.choice((3.0, 12.0, 40.0, 100.0))
    if kind == "outage":
        seconds = draw.choice((3.0, 8.0, 40.0, 400.0))
    if kind in WORLD_FAULTS and draw.random() < 0.3:
        seconds = 1e9
    return PlannedFault(kind, boundary, number, seconds)


def _starts_driver(kind: str) -> bool:
    return kind in ("second-pipeline", "person-rollback", "same-job-again", "after-script")


def _pause_for(draw: random.Random, fault: PlannedFault) -> PlannedFault:
    return PlannedFault("pause", fault.boundary, fault.number, draw.choice((2.0, 15.0, 45.0, 90.0)))
