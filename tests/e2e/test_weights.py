"""How fast a weight is in force at an Envoy that istiod feeds, and that no request is lost while weights change."""

from __future__ import annotations

import copy
import json
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gitlab_mesh.sandbox.shop import NAMESPACE
from gitlab_mesh.sandbox.world import Sandbox
from tests.e2e.controlplane.control_plane import PATIENCE, wait_until
from tests.e2e.mesh.shop import Shop
from tests.e2e.runner import Runner

ROUTE = f"/apis/networking.istio.io/v1/namespaces/{NAMESPACE}/virtualservices/shop"
JSON_PATCH = "application/json-patch+json"
SIDES = ("stable", "canary")
WEIGHTS = tuple(1 + number % 99 for number in range(100))


@pytest.fixture
def split(runner: Runner) -> Iterator[Shop]:
    """The shop with a canary beside it and a route with two destinations, made by hand."""
    shop = runner.shop
    plane = runner.mesh.plane
    canary = copy.deepcopy(next(one for one in shop.objects if one["kind"] == "Deployment"))
    canary["metadata"]["name"] = "shop-canary"
    canary["spec"]["selector"]["matchLabels"]["version"] = "canary"
    canary["spec"]["template"]["metadata"]["labels"]["version"] = "canary"
    canary["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/shop:1.5.0"
    rule = copy.deepcopy(next(one for one in shop.objects if one["kind"] == "DestinationRule"))
    rule["spec"]["subsets"].append({"name": "canary", "labels": {"version": "canary"}})
    plane.apply(canary, rule)
    runner.mesh.wait_ready(NAMESPACE, "shop-canary")
    http = plane.json("GET", ROUTE)["spec"]["http"]
    route = [{"destination": {"host": "shop", "subset": side}, "weight": 100 * (side == "stable")} for side in SIDES]
    http[1]["route"] = route
    plane.json("PATCH", ROUTE, {"spec": {"http": http}}, content_type="application/merge-patch+json")
    wait_until("the split", lambda: weights_of(gateway_routes(runner)) == (100, 0))
    return shop


def gateway_routes(runner: Runner) -> list[Any]:
    return runner.mesh.config_dump(runner.mesh.gateway, "dynamic_route_configs")


def weights_of(routes: list[Any]) -> tuple[int, ...]:
    """The weights that an Envoy has in force, stable first."""
    found = {}

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for cluster in value.get("weighted_clusters", {}).get("clusters", ()):
                found[cluster["name"].split("|")[2]] = cluster.get("weight", 0)
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(routes)
    if found:
        return tuple(found.get(side, 0) for side in SIDES)
    return (100, 0) if "outbound|80|stable|" in json.dumps(routes) else ()


def operations(canary: int) -> list[dict[str, Any]]:
    """The JSON Patch that gives the canary this weight."""
    return [
        {"op": "replace", "path": f"/spec/http/1/route/{index}/weight", "value": value}
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
            written = client.patch("VirtualService", NAMESPACE, "shop", operations(canary))
            version = written["metadata"]["resourceVersion"]
            wait_until(
                f"weight {canary}",
                lambda v=version: sandbox.mesh.accepted_resource_version("VirtualService", NAMESPACE, "shop") == v,
                pause=0.0005,
            )
            seconds.append(time.monotonic() - started)
    return seconds


def test_100_weight_changes_under_load_lose_no_request(runner: Runner, split: Shop, capsys: Any) -> None:
    seconds, looks = [], []

    def is_in_force(canary: int) -> bool:
        began = time.monotonic()
        found = weights_of(gateway_routes(runner))
        looks.append(time.monotonic() - began)
        return found == (100 - canary, canary)

    with runner.traffic(100.0) as traffic:
        for canary in WEIGHTS:
            started = time.monotonic()
            runner.mesh.plane.json("PATCH", ROUTE, operations(canary), content_type=JSON_PATCH)
            wait_until(f"weight {canary}", lambda c=canary: is_in_force(c), pause=0.0)
            seconds.append(time.monotonic() - started)
        facts = traffic.wait_for(traffic.facts.requests + 100, PATIENCE)
    real, emulated = quantiles(seconds), quantiles(emulated_seconds())
    with capsys.disabled():
        sys.stdout.write(
            f"\npatch of a weight -> in force at Envoy, {len(WEIGHTS)} changes: "
            f"istiod and the gateway p50 {real[0]:.0f} ms, p95 {real[1]:.0f} ms "
            f"(one look takes {statistics.median(looks) * 1000:.0f} ms; {facts.requests} requests meanwhile, "
            f"{facts.failed_by_mesh} failed); sandbox p50 {emulated[0]:.0f} ms, p95 {emulated[1]:.0f} ms\n"
        )
    assert traffic.facts.failed_by_mesh == 0
    assert traffic.facts.failed_by_application == 0
    assert set(traffic.facts.by_version) == {"1.4.0", "1.5.0"}
    assert real[1] < 5000
