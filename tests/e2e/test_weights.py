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
from tests.e2e.controlplane.control_plane import wait_until
from tests.e2e.mesh.shop import Shop
from tests.e2e.runner import Runner

ROUTE = f"/apis/networking.istio.io/v1/namespaces/{NAMESPACE}/virtualservices/shop"
JSON_PATCH = "application/json-patch+json"
CHANGES = 100


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
    wait_until("the split", lambda: weights_of(gateway_routes(runner)) == (100, 0), seconds=20)
    return shop


SIDES = ("stable", "canary")


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


def write(runner: Runner, canary: int) -> None:
    operations = [
        {"op": "replace", "path": f"/spec/http/1/route/{index}/weight", "value": value}
        for index, value in enumerate((100 - canary, canary))
    ]
    runner.mesh.plane.json("PATCH", ROUTE, operations, content_type=JSON_PATCH)


def test_100_weight_changes_under_load_lose_no_request(runner: Runner, split: Shop, capsys: Any) -> None:
    seconds = []
    with runner.traffic(100.0) as traffic:
        for number in range(CHANGES):
            canary = 1 + number % 99
            started = time.monotonic()
            write(runner, canary)
            wait_until(
                f"weight {canary}", lambda w=canary: weights_of(gateway_routes(runner)) == (100 - w, w), pause=0.0
            )
            seconds.append(time.monotonic() - started)
        facts = traffic.wait_for(traffic.facts.requests + 100, 30)
    p50, p95 = (statistics.quantiles(seconds, n=100)[at - 1] * 1000 for at in (50, 95))
    with capsys.disabled():
        sys.stdout.write(
            f"\npatch → in force at the gateway's Envoy, {CHANGES} changes under {facts.requests} requests: "
            f"p50 {p50:.0f} ms, p95 {p95:.0f} ms (with reading the config dump through nsenter and curl)\n"
        )
    assert traffic.facts.failed_by_mesh == 0
    assert traffic.facts.failed_by_application == 0
    assert set(traffic.facts.by_version) == {"1.4.0", "1.5.0"}
    assert p95 < 5000
