"""How fast a weight is in force at an Envoy that istiod feeds, and that no request is lost while weights change."""

from __future__ import annotations

import copy
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gitlab_mesh.sandbox.shop import NAMESPACE
from gitlab_mesh.sandbox.world import Sandbox
from tests.e2e import http_routes
from tests.e2e.controlplane.control_plane import PATIENCE, wait_until
from tests.e2e.http_routes import ROUTE_PATH
from tests.e2e.runner import Runner

SIDES = ("stable", "canary")
WEIGHTS = tuple(1 + number % 99 for number in range(100))
JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True)
class Kind:
    """A kind of route: where it is, and where in it the destinations of the rule that a release moves are."""

    name: str
    path: str
    destinations: str


VIRTUAL_SERVICE = Kind(
    "VirtualService", f"/apis/networking.istio.io/v1/namespaces/{NAMESPACE}/virtualservices/shop", "/spec/http/1/route"
)
HTTP_ROUTE = Kind("HTTPRoute", ROUTE_PATH, "/spec/rules/1/backendRefs")


def start_canary(runner: Runner) -> None:
    """Put a canary's pods beside the shop, by hand."""
    body = copy.deepcopy(next(one for one in runner.shop.objects if one["kind"] == "Deployment"))
    body["metadata"]["name"] = "shop-canary"
    body["spec"]["selector"]["matchLabels"]["version"] = "canary"
    body["spec"]["template"]["metadata"]["labels"]["version"] = "canary"
    body["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/shop:1.5.0"
    runner.mesh.plane.apply(body)
    runner.mesh.wait_ready(NAMESPACE, "shop-canary")


@pytest.fixture
def virtual_service(runner: Runner) -> Kind:
    """The shop's VirtualService with two subsets, and a canary."""
    start_canary(runner)
    rule = copy.deepcopy(next(one for one in runner.shop.objects if one["kind"] == "DestinationRule"))
    rule["spec"]["subsets"].append({"name": "canary", "labels": {"version": "canary"}})
    runner.mesh.plane.apply(rule)
    route = [{"destination": {"host": "shop", "subset": side}, "weight": 100 * (side == "stable")} for side in SIDES]
    split(runner, VIRTUAL_SERVICE, route)
    return VIRTUAL_SERVICE


@pytest.fixture
def http_route(runner: Runner) -> Iterator[Kind]:
    """An HTTPRoute with two backends in its place, and a canary."""
    start_canary(runner)
    plane, mesh = runner.mesh.plane, runner.mesh
    service = next(one for one in runner.shop.objects if one["kind"] == "Service")
    with http_routes.instead(runner):
        for side in SIDES:
            selector = {**service["spec"]["selector"], "version": side}
            metadata = {**service["metadata"], "name": f"shop-{side}"}
            plane.apply({**service, "metadata": metadata, "spec": {**service["spec"], "selector": selector}})
        for side in SIDES:  # istiod does not look at backends of weight 0, so Services must be known before
            cluster = f"outbound|80||shop-{side}.{NAMESPACE}.svc.cluster.local"
            wait_until(cluster, lambda c=cluster: mesh.endpoints(mesh.gateway, c))
        split(
            runner,
            HTTP_ROUTE,
            [{"name": f"shop-{side}", "port": 80, "weight": 100 * (side == "stable")} for side in SIDES],
        )
        yield HTTP_ROUTE


def split(runner: Runner, kind: Kind, destinations: list[Any]) -> None:
    """Write both destinations and wait until the gateway knows the new ones."""
    operation = {"op": "replace", "path": kind.destinations, "value": destinations}
    runner.mesh.plane.json("PATCH", kind.path, [operation], content_type=JSON_PATCH)
    wait_until("the split", lambda: weights_of(gateway_routes(runner)) == (100, 0))


def gateway_routes(runner: Runner) -> list[Any]:
    return runner.mesh.config_dump(runner.mesh.gateway, "dynamic_route_configs")


def weights_of(routes: list[Any]) -> tuple[int, ...]:
    """The weights that an Envoy has in force, stable first."""
    found = {}

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for cluster in value.get("weighted_clusters", {}).get("clusters", ()):
                found[side_of(cluster["name"])] = cluster.get("weight", 0)
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(routes)
    if found:
        return tuple(found.get(side, 0) for side in SIDES)
    text = json.dumps(routes)
    return (100, 0) if "outbound|80|stable|" in text or "outbound|80||shop-stable." in text else ()


def side_of(cluster: str) -> str:
    """The side that a cluster leads to, by its subset or its Service's name."""
    _, _, subset, host = cluster.split("|")
    return subset or host.partition(".")[0].removeprefix("shop-")


def operations(kind: Kind, canary: int) -> list[dict[str, Any]]:
    """The JSON Patch that gives the canary this weight."""
    return [
        {"op": "replace", "path": f"{kind.destinations}/{index}/weight", "value": value}
        for index, value in enumerate((100 - canary, canary))
    ]


def quantiles(seconds: list[float]) -> tuple[float, float]:
    """p50 and p95 in milliseconds."""
    found = statistics.quantiles(seconds, n=100)
    return found[49] * 1000, found[94] * 1000


def emulated_seconds() -> list[float]:
    """The same changes in the sandbox."""
    with Sandbox.start() as sandbox:
        client = sandbox.client()
        rule = [{"op": "add", "path": "/spec/subsets/-", "value": {"name": "canary", "labels": {"version": "canary"}}}]
        client.patch("DestinationRule", NAMESPACE, "shop", rule)
        route = [{"destination": {"host": "shop", "subset": side}, "weight": 50} for side in SIDES]
        client.patch(
            "VirtualService", NAMESPACE, "shop", [{"op": "replace", "path": "/spec/http/1/route", "value": route}]
        )
        seconds = []
        for canary in WEIGHTS:
            started = time.monotonic()
            written = client.patch("VirtualService", NAMESPACE, "shop", operations(VIRTUAL_SERVICE, canary))
            version = written["metadata"]["resourceVersion"]
            wait_until(
                f"weight {canary}",
                lambda v=version: sandbox.mesh.accepted_resource_version("VirtualService", NAMESPACE, "shop") == v,
                pause=0.0005,
            )
            seconds.append(time.monotonic() - started)
    return seconds


@pytest.fixture(scope="session")
def emulated() -> tuple[float, float]:
    """The sandbox's quantiles, for comparison."""
    return quantiles(emulated_seconds())


def test_100_weight_changes_under_load_lose_no_request(
    runner: Runner, virtual_service: Kind, emulated: tuple[float, float], capsys: Any
) -> None:
    change_100_times(runner, virtual_service, emulated, capsys)


def test_100_weight_changes_of_an_http_route_under_load_lose_no_request(
    runner: Runner, http_route: Kind, emulated: tuple[float, float], capsys: Any
) -> None:
    change_100_times(runner, http_route, emulated, capsys)


def change_100_times(runner: Runner, kind: Kind, emulated: tuple[float, float], capsys: Any) -> None:
    seconds, looks = [], []

    def is_in_force(canary: int) -> bool:
        began = time.monotonic()
        found = weights_of(gateway_routes(runner))
        looks.append(time.monotonic() - began)
        return found == (100 - canary, canary)

    with runner.traffic(100.0) as traffic:
        for canary in WEIGHTS:
            started = time.monotonic()
            runner.mesh.plane.json("PATCH", kind.path, operations(kind, canary), content_type=JSON_PATCH)
            wait_until(f"weight {canary}", lambda c=canary: is_in_force(c), pause=0.0)
            seconds.append(time.monotonic() - started)
        facts = traffic.wait_for(traffic.facts.requests + 100, PATIENCE)
    real = quantiles(seconds)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{kind.name}, patch of a weight -> in force at Envoy, {len(WEIGHTS)} changes: "
            f"istiod and the gateway p50 {real[0]:.0f} ms, p95 {real[1]:.0f} ms "
            f"(one look takes {statistics.median(looks) * 1000:.0f} ms; {facts.requests} requests meanwhile, "
            f"{facts.failed_by_mesh} failed); the sandbox with a VirtualService "
            f"p50 {emulated[0]:.0f} ms, p95 {emulated[1]:.0f} ms\n"
        )
    assert traffic.facts.failed_by_mesh == 0
    assert traffic.facts.failed_by_application == 0
    assert set(traffic.facts.by_version) == {"1.4.0", "1.5.0"}
    assert real[1] < 5000
