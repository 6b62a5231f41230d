"""Releases through a Gateway API HTTPRoute that istiod translates: promoted, taken back, recovered after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gitlab_mesh.sandbox.shop import NAMESPACE
from tests.e2e.controlplane.control_plane import PATIENCE, wait_until
from tests.e2e.mesh.installation import ROOT
from tests.e2e.runner import SLOW, Runner

API = "gateway.networking.k8s.io/v1"
HOST = "shop-route.example"
GATEWAY: dict[str, Any] = {
    "apiVersion": API,
    "kind": "Gateway",
    # Istio finds the Service of a "manual deployment" in the Gateway's own namespace.
    "metadata": {"name": "shop-route", "namespace": ROOT},
    "spec": {
        "gatewayClassName": "istio",
        "addresses": [{"type": "Hostname", "value": f"istio-ingressgateway.{ROOT}.svc.cluster.local"}],
        "listeners": [
            {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
        ],
    },
}
ROUTE: dict[str, Any] = {
    "apiVersion": API,
    "kind": "HTTPRoute",
    "metadata": {"name": "shop", "namespace": NAMESPACE},
    "spec": {
        "parentRefs": [{"name": "shop-route", "namespace": ROOT}],
        "hostnames": [HOST],
        "rules": [
            {
                "name": "internal",
                "matches": [{"headers": [{"name": "x-internal", "value": "true"}]}],
                "backendRefs": [{"name": "shop", "port": 80}],
            },
            {"name": "primary", "backendRefs": [{"name": "shop", "port": 80}], "timeouts": {"request": "5s"}},
        ],
    },
}
CHANGES: dict[str, Any] = {"route": {"virtualService": None, "httpRoute": "shop", "http": ["primary"]}}


@pytest.fixture
def routed(runner: Runner) -> Iterator[Runner]:
    """The shop behind an HTTPRoute beside its VirtualService."""
    plane = runner.mesh.plane
    plane.apply(GATEWAY, ROUTE)
    runner.configure(**CHANGES)
    runner.grant()
    wait_until("the route", lambda: runner.mesh.request(HOST).status == 200, pause=0.2)
    yield runner
    plane.kubectl("delete", "httproute", "shop", "-n", NAMESPACE)
    plane.kubectl("delete", "gateway.gateway.networking.k8s.io", "shop-route", "-n", ROOT)


def weight(runner: Runner) -> int:
    """The canary's weight in the live HTTPRoute."""
    route = runner.mesh.plane.json("GET", f"/apis/{API}/namespaces/{NAMESPACE}/httproutes/shop")
    weights = {one["name"]: one.get("weight", 1) for one in route["spec"]["rules"][1]["backendRefs"]}
    return int(weights.get("shop-canary", 0))


@pytest.mark.parametrize(("tag", "code"), [("1.5.0", 0), ("bad", 10)])
def test_a_release_through_an_http_route(routed: Runner, tag: str, code: int) -> None:
    before = routed.snapshot()
    with routed.traffic(host=HOST) as traffic, routed.canary(tag) as job:
        ended = job.end()
        traffic.wait_for(traffic.facts.requests + 50, PATIENCE)
    assert ended.code == code, ended.log
    assert routed.findings(before, image="" if code else f"registry.example/shop:{tag}") == []
    assert traffic.facts.failed_by_mesh == 0
    assert set(traffic.facts.by_version) == {"1.4.0", tag}


def test_a_killed_release_is_taken_back_from_the_cluster_alone(routed: Runner) -> None:
    before = routed.snapshot()
    routed.configure(**CHANGES, **SLOW)
    with routed.traffic(host=HOST) as traffic:
        with routed.canary("1.5.0") as job:
            wait_until("a weight", lambda: weight(routed) > 0 or job.process.poll() is not None, pause=0.2)
            job.kill()
        assert weight(routed) == 20, job.log
        recovered = routed.run("recover", "--expired")
    assert recovered.code == 0, recovered.log
    assert routed.findings(before) == []
    assert traffic.facts.failed_by_mesh == 0
