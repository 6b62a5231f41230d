"""Whole releases through a Gateway API HTTPRoute on a real istiod, with the printed Role and no more."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from gitlab_mesh.adapters.clock import Interrupts, SystemClock
from gitlab_mesh.adapters.kubernetes.client import KubernetesCluster, connect
from gitlab_mesh.adapters.kubernetes.gateway_api import GatewayApiRouter
from gitlab_mesh.config.model import RouteConfig, ServiceConfig
from gitlab_mesh.sandbox.shop import NAMESPACE
from tests.e2e import http_routes
from tests.e2e.controlplane.control_plane import PATIENCE, wait_until
from tests.e2e.http_routes import BESIDE, ROUTE, ROUTE_PATH
from tests.e2e.runner import FENCE, QUICK, SLOW, Runner


@pytest.fixture
def beside(runner: Runner) -> Iterator[Runner]:
    with http_routes.beside(runner):
        yield runner


@pytest.fixture
def released(runner: Runner) -> Iterator[Runner]:
    with http_routes.instead(runner):
        yield runner


def meant(runner: Runner) -> Any:
    """The route as its team wrote it."""
    found = runner.mesh.plane.json("GET", ROUTE_PATH)
    return copy.deepcopy((found["spec"], found["metadata"]["annotations"]))


def weights(runner: Runner) -> dict[str, int]:
    rules = runner.mesh.plane.json("GET", ROUTE_PATH)["spec"]["rules"]
    return {ref["name"]: ref["weight"] for ref in rules[1]["backendRefs"]}


def test_a_good_release_is_promoted_and_no_request_fails(released: Runner) -> None:
    before, route = released.snapshot(), meant(released)
    released.configure(route=ROUTE, judge=QUICK)
    with released.traffic() as traffic, released.canary("1.5.0") as job:
        ended = job.end()
        traffic.wait_for(traffic.facts.requests + 100, PATIENCE)
    assert ended.code == 0, ended.log
    assert released.findings(before, image="registry.example/shop:1.5.0") == []
    assert meant(released) == route
    assert (traffic.facts.failed_by_mesh, traffic.facts.failed_by_application) == (0, 0), ended.log
    assert set(traffic.facts.by_version) == {"1.4.0", "1.5.0"}


def test_a_bad_release_is_taken_back(beside: Runner) -> None:
    before, route = beside.snapshot(), meant(beside)
    with beside.traffic(host=BESIDE) as traffic, beside.canary("bad") as job:
        ended = job.end()
        traffic.wait_for(traffic.facts.requests + 50, PATIENCE)
    assert ended.code == 10, ended.log
    assert beside.findings(before) == []
    assert meant(beside) == route
    assert traffic.facts.failed_by_mesh == 0
    assert set(traffic.facts.by_version) == {"1.4.0", "bad"}


def test_a_killed_release_is_taken_back_from_the_cluster_alone(beside: Runner) -> None:
    before, route = beside.snapshot(), meant(beside)
    beside.configure(route=ROUTE, **SLOW)
    with beside.traffic(host=BESIDE) as traffic:
        with beside.canary("1.5.0") as job:
            wait_until("a weight", lambda: weights(beside).get("shop-canary", 0) > 0 or job.process.poll() is not None)
            job.kill()
        assert weights(beside)["shop-canary"] == 20, job.log
        recovered = beside.run("recover", "--expired")
    assert recovered.code == 0, recovered.log
    assert beside.findings(before) == []
    assert meant(beside) == route
    assert traffic.facts.failed_by_mesh == 0


@pytest.mark.parametrize(("resource", "verb"), [("httproutes", "patch"), ("services", "create")])
def test_a_missing_right_is_named_before_anything_happens(beside: Runner, resource: str, verb: str) -> None:
    before, route = beside.snapshot(), meant(beside)
    with beside.without(resource, verb):
        ended = beside.run("canary", "--image", "registry.example/shop:1.5.0")
    assert ended.code == 21, ended.log
    assert f"{verb} {resource}" in ended.log
    assert beside.findings(before) == []
    assert meant(beside) == route
    assert FENCE not in json.dumps(beside.mesh.plane.json("GET", ROUTE_PATH)["metadata"]["annotations"])


def test_weight_0_is_not_called_observed_while_istiod_hangs(released: Runner) -> None:
    before, route = released.snapshot(), meant(released)
    released.configure(route=ROUTE, **SLOW)
    with released.traffic(), released.canary("1.5.0") as job:
        wait_until("a weight", lambda: weights(released).get("shop-canary", 0) > 0)
        job.kill()
        released.mesh.hang_istiod()
        try:
            ended = released.run("rollback")
        finally:
            released.mesh.wake_istiod()
        assert ended.code == 23, ended.log
        assert "has seen generation" in ended.log
        assert weights(released)["shop-canary"] == 0
        again = released.run("rollback")
        assert again.code == 0, again.log
    assert released.findings(before) == []
    assert meant(released) == route


def test_the_exchange_of_backends_costs_no_request(released: Runner) -> None:
    before, route = released.snapshot(), meant(released)
    connection = connect(None, {"KUBECONFIG": str(released.mesh.plane.kubeconfig())})
    service = ServiceConfig("shop", NAMESPACE, RouteConfig(http_route="shop", http=("primary",)))
    router = GatewayApiRouter(KubernetesCluster(connection), service, SystemClock(Interrupts()))
    try:
        with released.traffic(200.0) as traffic:
            for number in range(5):
                fence = f"shop-exchange/{number}"
                change = router.plan_prepare(router.read(), fence)
                assert router.apply(change).share == 0
                router.apply(router.plan_restore(router.read(), change.originals, fence))
                traffic.wait_for(traffic.facts.requests + 100, PATIENCE)
    finally:
        connection.close()
    assert traffic.facts.requests > 2000
    assert traffic.facts.failed_by_mesh == 0
    assert released.findings(before) == []
    assert meant(released) == route
