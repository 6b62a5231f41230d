"""Whole releases through a Gateway API HTTPRoute on a real istiod, with the printed Role and no more."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from gitlab_mesh.adapters.clock import Interrupts, SystemClock
from gitlab_mesh.adapters.kubernetes.client import KubernetesCluster, connect
from gitlab_mesh.adapters.kubernetes.gateway_api import GatewayApiRouter
from gitlab_mesh.config.model import RouteConfig, ServiceConfig
from gitlab_mesh.sandbox.shop import HOST, NAMESPACE
from tests.e2e.controlplane.control_plane import PATIENCE, Object, wait_until
from tests.e2e.mesh.installation import ROOT
from tests.e2e.runner import SLOW, Runner

API = "gateway.networking.k8s.io"
ROUTE_PATH = f"/apis/{API}/v1/namespaces/{NAMESPACE}/httproutes/shop"
ROUTE: dict[str, Any] = {"virtualService": None, "httpRoute": "shop", "http": ["primary"]}
OWN = ("VirtualService", "DestinationRule", "Gateway")
"""What the shop's team would not have if it used the Gateway API."""


def gateway_api() -> list[Object]:
    """A Gateway that the ingress gateway serves, and the shop's route at it and inside the mesh."""
    address = {"type": "Hostname", "value": f"istio-ingressgateway.{ROOT}.svc.cluster.local"}
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
    spec = {"gatewayClassName": "istio", "addresses": [address], "listeners": [listener]}
    gateway = {"apiVersion": f"{API}/v1", "kind": "Gateway", "metadata": {"name": "public", "namespace": ROOT}}
    parents = [{"name": "public", "namespace": ROOT}, {"group": "", "kind": "Service", "name": "shop"}]
    internal = {"headers": [{"name": "x-internal", "value": "true"}]}
    backends = [{"name": "shop", "port": 80}]
    rules = [
        {"name": "internal", "matches": [internal], "backendRefs": backends},
        {"name": "primary", "backendRefs": backends, "timeouts": {"request": "5s"}},
    ]
    metadata = {"name": "shop", "namespace": NAMESPACE, "annotations": {"storefront.example/owner": "team storefront"}}
    route = {"apiVersion": f"{API}/v1", "kind": "HTTPRoute", "metadata": metadata}
    return [
        {**gateway, "spec": spec},
        {**route, "spec": {"parentRefs": parents, "hostnames": [HOST], "rules": rules}},
    ]


@pytest.fixture
def released(runner: Runner) -> Iterator[Runner]:
    """The shop with an HTTPRoute in place of its VirtualService."""
    plane = runner.mesh.plane
    plane.install_crds()
    try:
        for kind in OWN:
            plane.kubectl("delete", f"{kind}.networking.istio.io", "--all", "-n", NAMESPACE)
        plane.apply(*gateway_api())
        runner.configure(route=ROUTE)
        runner.grant()
        wait_until("users", lambda: runner.mesh.request(HOST).status == 200)
        yield runner
    finally:
        plane.kubectl("delete", "httproute", "shop", "-n", NAMESPACE, "--ignore-not-found")
        plane.kubectl("delete", f"gateway.{API}", "public", "-n", ROOT, "--ignore-not-found")
        plane.kubectl("delete", "service", "-n", NAMESPACE, "-l", "app.kubernetes.io/managed-by=gitlab-mesh")
        plane.apply(*(body for body in runner.shop.objects if body["kind"] in OWN))
        wait_until("users", lambda: runner.mesh.request(HOST).status == 200)


def meant(runner: Runner) -> Any:
    """The route as its team wrote it."""
    found = runner.mesh.plane.json("GET", ROUTE_PATH)
    return copy.deepcopy((found["spec"], found["metadata"]["annotations"]))


def weights(runner: Runner) -> dict[str, int]:
    rules = runner.mesh.plane.json("GET", ROUTE_PATH)["spec"]["rules"]
    return {ref["name"]: ref["weight"] for ref in rules[1]["backendRefs"]}


def test_a_good_release_is_promoted_and_no_request_fails(released: Runner) -> None:
    before, route = released.snapshot(), meant(released)
    with released.traffic() as traffic, released.canary("1.5.0") as job:
        ended = job.end()
        traffic.wait_for(traffic.facts.requests + 100, PATIENCE)
    assert ended.code == 0, ended.log
    assert released.findings(before, image="registry.example/shop:1.5.0") == []
    assert meant(released) == route
    assert (traffic.facts.failed_by_mesh, traffic.facts.failed_by_application) == (0, 0), ended.log
    assert set(traffic.facts.by_version) == {"1.4.0", "1.5.0"}


def test_a_bad_release_is_taken_back(released: Runner) -> None:
    before, route = released.snapshot(), meant(released)
    with released.traffic() as traffic, released.canary("bad") as job:
        ended = job.end()
    assert ended.code == 10, ended.log
    assert released.findings(before) == []
    assert meant(released) == route
    assert traffic.facts.failed_by_mesh == 0


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
