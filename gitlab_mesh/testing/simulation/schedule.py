"""What a schedule says: one release in one world, its faults, the jobs that follow, and how it is ended."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gitlab_mesh.config.model import (
    FreezeConfig,
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

__all__ = ["IMAGE", "KILL_MIDWAY", "SHAPES", "Schedule", "objects_of", "service_of", "through_http_route"]

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
        both: Two routes, a gateway's and the mesh's, lead to the service.
        http_route: The routes are HTTPRoutes; with ``subset`` the sides' Services are the user's own.
        frozen: A freeze window: "" none, "now" since long ago, "soon" since some time after the beginning.
        hotfix: The release gets past it, and is not compared with stable.
        stable: Tag of the image that stable has.
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
    http_route: bool = False
    frozen: str = ""
    hotfix: bool = False
    stable: str = "good"
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
        """Names of the shop's routes."""
        return ("shop", "shop-mesh") if self.both else ("shop",)

    @property
    def kind(self) -> str:
        """Of them."""
        return "HTTPRoute" if self.http_route else "VirtualService"


def through_http_route(schedule: Schedule) -> Schedule:
    """Return the same schedule where the routes are HTTPRoutes, with its faults at their boundaries."""

    def moved(faults: tuple[PlannedFault, ...]) -> tuple[PlannedFault, ...]:
        return tuple(replace(one, boundary=one.boundary.replace("VirtualService", "HTTPRoute")) for one in faults)

    return replace(
        schedule, http_route=True, faults=moved(schedule.faults), ending_faults=moved(schedule.ending_faults)
    )


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
    *(
        through_http_route(shape)
        for shape in (
            Schedule(0, "http-route"),
            Schedule(0, "http-route-services", subset=True, annotated=False),
            Schedule(0, "http-route-reject", tag="bad", reject_at=2),
            Schedule(0, "http-route-stable-breaks", tag="breaks-in-stable"),
            Schedule(0, "http-route-killed", faults=(KILL_MIDWAY,)),
            Schedule(0, "http-route-killed-early", faults=(KILL_EARLY,)),
            Schedule(0, "http-route-killed-in-promotion", faults=(KILL_IN_PROMOTION,)),
            Schedule(0, "http-route-reasserted", faults=(SHIFT,)),
            Schedule(0, "http-route-both", both=True),
            Schedule(0, "http-route-both-killed", both=True, autoscaled=True, faults=(replace(KILL_MIDWAY, number=2),)),
            Schedule(0, "http-route-paused", paused=True, later=("continue",)),
            Schedule(0, "http-route-external", external=True, later=_AWAITED),
            Schedule(0, "http-route-returned", later=_RETURNED),
        )
    ),
    Schedule(0, "frozen", frozen="now"),
    Schedule(0, "frozen-paused", frozen="soon", paused=True, later=("continue",)),
    Schedule(0, "frozen-returned", frozen="soon", later=("previous", "again")),
    Schedule(0, "hotfix", frozen="now", hotfix=True, stable="broken", real_judge=True),
    Schedule(0, "hotfix-down", hotfix=True, stable="never-ready", real_judge=True),
    Schedule(0, "hotfix-reject", hotfix=True, tag="broken", stable="broken", real_judge=True),
    Schedule(0, "hotfix-killed", frozen="now", hotfix=True, real_judge=True, faults=(KILL_MIDWAY,)),
    through_http_route(Schedule(0, "http-route-hotfix", frozen="now", hotfix=True)),
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
    if schedule.http_route:
        route = RouteConfig(http_route="shop", also=schedule.routes[1:])
    freeze = {
        "now": (FreezeConfig("holidays", first_day="2025-12-20", last_day="2026-01-06"),),
        "soon": (FreezeConfig("inventory", begin="00:02"),),
    }.get(schedule.frozen, ())
    return ServiceConfig("shop", "shop", route, rollout=rollout, judge=judge, smoke=smoke, freeze=freeze)


def objects_of(schedule: Schedule) -> list[Object]:
    """Return the user's own objects."""
    objects = shop_objects(image=f"{IMAGE}:{schedule.stable}")
    if schedule.http_route:
        objects = _through_http_routes(objects, schedule)
    elif schedule.both:
        inner = copy.deepcopy(next(body for body in objects if body["kind"] == "VirtualService"))
        inner["metadata"] = {"name": "shop-mesh", "namespace": "shop"}
        route = {"destination": {"host": "shop"}}
        inner["spec"] = {"hosts": ["shop"], "gateways": ["mesh"], "http": [{"timeout": "3s", "route": [route]}]}
        objects.append(inner)
    for body in objects:
        if body["kind"] == schedule.kind and not schedule.annotated:
            body["metadata"].pop("annotations", None)
        if body["kind"] == "VirtualService" and schedule.both and body["metadata"]["name"] == "shop":
            body["spec"]["gateways"] = ["shop"]
        if body["kind"] == "DestinationRule" and schedule.subset:
            body["spec"]["subsets"].append({"name": "canary", "labels": {"version": "canary"}})
    if schedule.autoscaled:
        objects += [_autoscaler(), _budget()]
    return [body for body in objects if not (schedule.first and body["kind"] == "Deployment")]


def _through_http_routes(objects: list[Object], schedule: Schedule) -> list[Object]:
    """The same shop behind HTTPRoutes, with everything that an API server would fill in."""
    service = next(body for body in objects if body["kind"] == "Service")
    gateway: Object = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "name": "public",
        "namespace": "istio-ingress",
    }
    mesh: Object = {"group": "", "kind": "Service", "name": "shop", "port": 80}
    routes = [_http_route(name, parent) for name, parent in zip(schedule.routes, (gateway, mesh), strict=False)]
    routes[0]["metadata"]["annotations"] = {"owner": "team-shop"}
    sides = []
    for version in ("stable", "canary") if schedule.subset else ():
        side = copy.deepcopy(service)
        side["metadata"]["name"] = f"shop-{version}"
        side["spec"]["selector"]["version"] = version
        sides.append(side)
    return [body for body in objects if body["kind"] in ("Deployment", "Service")] + sides + routes


def _http_route(name: str, parent: Object) -> Object:
    def rule(name: str, path: str, backend: str) -> Object:
        return {
            "name": name,
            "matches": [{"path": {"type": "PathPrefix", "value": path}}],
            "backendRefs": [{"group": "", "kind": "Service", "name": backend, "port": 80, "weight": 1}],
        }

    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "parentRefs": [parent],
            "hostnames": ["shop.example"],
            "rules": [rule("internal", "/internal", "admin"), rule("primary", "/", "shop")],
        },
    }


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
