"""What a schedule says: one release in one world, its faults, the jobs that follow, and how it is ended."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gitlab_mesh.config.model import (
    HttpSmoke,
    RolloutConfig,
    RouteConfig,
    ServiceConfig,
    SmokeCheck,
    StepConfig,
    WatchConfig,
)
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.shop import shop_objects
from gitlab_mesh.testing.simulation.kinds import PlannedFault

__all__ = ["IMAGE", "KILL_MIDWAY", "SHAPES", "Schedule", "objects_of", "service_of"]

IMAGE = "registry.example/shop"

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
        shape: Name of the shape that it is made from.
        tag: Of the image that is released.
        reject_at: See ``Script``.
        silent: See ``Script``.
        real_judge: The real judge decides, on drawn errors and latencies.
        subset: The DestinationRule already has the canary's subset.
        annotated: The VirtualService has annotations of its own.
        smoke: The canary is asked over ``pods/proxy`` first.
        autoscaled: Stable has an autoscaler that may go below what it has now.
        both: Two VirtualServices, a gateway's and the mesh's, lead to the service.
        first: There is no stable yet.
        external: ``promote: external``.
        paused: The second step pauses.
        held: ``on_inconclusive: hold``.
        budget: Weights follow the evidence instead of steps; goes with ``real_judge``.
        watched: Stable keeps 5 % as control for a while before the promotion.
        rate: Requests a second.
        lag: Seconds until proxies follow a changed route.
        bypass: Part of the requests that do not follow the route.
        later: Jobs that follow while all goes well: continue, deploy-stable, promote, previous, other, again.
        faults: Of the canary job.
        ending: Job that ends it later: rollback, after-script, recover.
        ending_faults: Of all jobs after the first; where the one that ends it has some, a clean one follows.
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
    autoscaled: bool = False
    both: bool = False
    first: bool = False
    external: bool = False
    paused: bool = False
    held: bool = False
    watched: bool = False
    budget: bool = False
    rate: float = 200.0
    lag: float = 0.0
    bypass: float = 0.0
    later: tuple[str, ...] = ()
    faults: tuple[PlannedFault, ...] = ()
    ending: str = "rollback"
    ending_faults: tuple[PlannedFault, ...] = ()
    delay: float = 30.0
    race: float = 0.2

    @property
    def routes(self) -> tuple[str, ...]:
        """Names of the shop's VirtualServices."""
        return ("shop", "shop-mesh") if self.both else ("shop",)


KILL_MIDWAY = PlannedFault("kill-after", "canary:set-weight/patch VirtualService", 1)
KILL_IN_PROMOTION = PlannedFault("kill-after", "canary:patch-stable/patch Deployment", 0)
SHIFT = PlannedFault("foreign-shift", "canary:look/list Pod", 3)
KILL_EARLY = PlannedFault("kill-after", "canary:deploy/create Deployment", 0)
_AWAITED = ("deploy-stable", "promote")
_RETURNED = ("previous", "other", "again")

_SHAPES = (
    Schedule(0, "promote"),
    Schedule(0, "promote-subset", subset=True, annotated=False, smoke=True),
    Schedule(0, "reject", tag="bad", reject_at=2),
    Schedule(0, "stable-breaks", tag="breaks-in-stable"),
    Schedule(0, "crash", tag="crash"),
    Schedule(0, "silent", silent=True),
    Schedule(0, "killed", faults=(KILL_MIDWAY,)),
    Schedule(0, "killed-early", faults=(KILL_EARLY,)),
    Schedule(0, "killed-in-promotion", faults=(KILL_IN_PROMOTION,)),
    Schedule(0, "killed-recovered", faults=(KILL_MIDWAY,), ending="recover"),
    Schedule(0, "killed-after-script", faults=(KILL_MIDWAY,), ending="after-script"),
    Schedule(0, "autoscaled", autoscaled=True),
    Schedule(0, "autoscaled-killed", autoscaled=True, faults=(KILL_MIDWAY,)),
    Schedule(0, "reasserted", faults=(SHIFT,)),
    Schedule(0, "both", both=True),
    Schedule(0, "both-killed", both=True, autoscaled=True, faults=(replace(KILL_MIDWAY, number=2),)),
    Schedule(0, "bypassed", tag="bad", reject_at=2, bypass=0.1),
    Schedule(0, "paused", paused=True, later=("continue",)),
    Schedule(0, "paused-only", paused=True),
    Schedule(0, "held", silent=True, held=True, later=("continue",)),
    Schedule(0, "external", external=True, later=_AWAITED),
    Schedule(0, "external-unpromoted", external=True),
    Schedule(0, "returned", later=_RETURNED),
    Schedule(0, "watched", watched=True),
    Schedule(0, "watched-reject", watched=True, tag="bad", reject_at=3),
    Schedule(0, "watched-killed", watched=True, faults=(replace(KILL_MIDWAY, number=2),)),
    Schedule(0, "watched-external", watched=True, external=True, later=_AWAITED),
    Schedule(0, "budget", budget=True, real_judge=True, rate=400.0),
    Schedule(0, "budget-killed", budget=True, real_judge=True, rate=400.0, faults=(replace(KILL_MIDWAY, number=3),)),
    Schedule(0, "first", first=True),
    Schedule(0, "first-crash", first=True, tag="crash"),
    Schedule(0, "first-killed", first=True, faults=(KILL_EARLY,)),
)
SHAPES: Mapping[str, Schedule] = {shape.shape: shape for shape in _SHAPES}
"""Runs without other faults than these; their boundaries are the ones that faults are put at."""


def service_of(schedule: Schedule) -> ServiceConfig:
    """Return the service's settings: short steps, coarse looks."""
    smoke = (SmokeCheck("health", HttpSmoke("/health"), timeout=3.0),) if schedule.smoke else ()
    judge = JudgeSettings(bake_seconds=20.0) if schedule.real_judge else JudgeSettings()
    if schedule.budget:  # large enough to be at the top before the deadline
        judge = replace(judge, startup_seconds=10.0, bad_request_budget=400.0)
    rollout = replace(
        ROLLOUT,
        promote="external" if schedule.external else "image",
        on_inconclusive="hold" if schedule.held else "rollback",
        steps=(ROLLOUT.steps[0], replace(ROLLOUT.steps[1], pause=schedule.paused)),
        schedule="budget" if schedule.budget else "steps",
        watch=WatchConfig(duration=10.0 if schedule.watched else 0.0),
    )
    route = RouteConfig(virtual_service="shop", also=schedule.routes[1:])
    return ServiceConfig("shop", "shop", route, rollout=rollout, judge=judge, smoke=smoke)


def objects_of(schedule: Schedule) -> list[Object]:
    """Return the user's own objects."""
    objects = shop_objects()
    if schedule.both:
        inner = copy.deepcopy(next(body for body in objects if body["kind"] == "VirtualService"))
        inner["metadata"] = {"name": "shop-mesh", "namespace": "shop"}
        route = {"destination": {"host": "shop"}}
        inner["spec"] = {"hosts": ["shop"], "gateways": ["mesh"], "http": [{"timeout": "3s", "route": [route]}]}
        objects.append(inner)
    for body in objects:
        if body["kind"] == "VirtualService" and not schedule.annotated:
            body["metadata"].pop("annotations", None)
        if body["kind"] == "VirtualService" and schedule.both and body["metadata"]["name"] == "shop":
            body["spec"]["gateways"] = ["shop"]
        if body["kind"] == "DestinationRule" and schedule.subset:
            body["spec"]["subsets"].append({"name": "canary", "labels": {"version": "canary"}})
    if schedule.autoscaled:
        objects += [_autoscaler(), _budget()]
    return [body for body in objects if not (schedule.first and body["kind"] == "Deployment")]


def _autoscaler() -> Object:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"},
            "minReplicas": 1,
            "maxReplicas": 6,
        },
    }


def _budget() -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "shop"}}},
    }
