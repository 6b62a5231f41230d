"""The Gateway API router: what waits for what, and what happens when the control plane does not follow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from gitlab_mesh.adapters.kubernetes.gateway_api import SETTLE_SECONDS, GatewayApiRouter
from gitlab_mesh.adapters.kubernetes.istio import IstioRouter
from gitlab_mesh.adapters.kubernetes.routers import build_router
from gitlab_mesh.config.model import RouteConfig, ServiceConfig
from gitlab_mesh.errors import ConflictError, ObjectMissingError, TransientError, UsageError
from gitlab_mesh.ports import Object
from gitlab_mesh.sandbox.apiserver.messages import Response
from gitlab_mesh.testing.clock import FakeClock
from gitlab_mesh.testing.cluster import ADMIN, MemoryCluster

SERVICE = ServiceConfig("shop", "shop", RouteConfig(http_route="shop"))
FENCE = "shop-1/1"


def http_route(name: str = "shop") -> Object:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"parentRefs": [{"name": "public"}], "rules": [{"backendRefs": [{"name": "shop", "port": 80}]}]},
    }


def service(name: str = "shop", **selector: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": {"app": "shop", **selector}, "ports": [{"name": "http", "port": 80}]},
    }


class ControlPlane:
    """Follows the cluster while the router waits: endpoints of Services, status of routes.

    Attributes:
        follows: Whether it writes a route's status.
        endpoints: Whether Services get ready endpoints.
        seen: Backends of the route at each look, to tell what was written when.
    """

    def __init__(self, cluster: MemoryCluster) -> None:
        self.cluster = cluster
        self.follows = self.endpoints = True
        self.seen: list[tuple[list[str], list[str]]] = []

    def step(self, seconds: float = 0.0) -> None:
        routes = self.cluster.list("HTTPRoute", "shop")
        services = [item["metadata"]["name"] for item in self.cluster.list("Service", "shop")]
        refs = routes[0]["spec"]["rules"][0]["backendRefs"]
        self.seen.append(([f"{ref['name']}:{ref['weight']}" for ref in refs], services))
        for name in services if self.endpoints else []:
            self._add_slice(name)
        for route in routes if self.follows else []:
            self._accept(route)

    def _add_slice(self, name: str) -> None:
        if not self.cluster.list("EndpointSlice", "shop", label_selector=f"kubernetes.io/service-name={name}"):
            self.cluster.create(
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": f"{name}-1",
                        "namespace": "shop",
                        "labels": {"kubernetes.io/service-name": name},
                    },
                    "addressType": "IPv4",
                    "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
                }
            )

    def _accept(self, route: Object) -> None:
        generation = route["metadata"]["generation"]
        conditions = [
            {"type": kind, "status": "True", "observedGeneration": generation} for kind in ("Accepted", "ResolvedRefs")
        ]
        parents = [
            {"parentRef": ref, "controllerName": "x", "conditions": conditions} for ref in route["spec"]["parentRefs"]
        ]
        if (route.get("status") or {}).get("parents") != parents:
            self.cluster.update_status({**route, "status": {"parents": parents}})


@pytest.fixture
def cluster() -> MemoryCluster:
    cluster = MemoryCluster(user=ADMIN, namespaces=["shop"])
    cluster.load([service(), http_route()])
    return cluster


@pytest.fixture
def plane(cluster: MemoryCluster) -> ControlPlane:
    plane = ControlPlane(cluster.as_actor("istiod"))
    plane.step()
    return plane


@pytest.fixture
def clock(plane: ControlPlane) -> FakeClock:
    return FakeClock(on_sleep=plane.step)


@pytest.fixture
def router(cluster: MemoryCluster, clock: FakeClock) -> GatewayApiRouter:
    return GatewayApiRouter(cluster, SERVICE, clock)


def refs_of(cluster: MemoryCluster, name: str = "shop") -> dict[str, int]:
    route = cluster.get("HTTPRoute", "shop", name)
    return {ref["name"]: ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]}


def prepare(router: GatewayApiRouter) -> dict[str, Any]:
    change = router.plan_prepare(router.read(), FENCE)
    router.apply(change)
    return dict(change.originals)


def test_the_kind_of_route_chooses_the_router(cluster: MemoryCluster, clock: FakeClock) -> None:
    assert isinstance(build_router(cluster, SERVICE, clock), GatewayApiRouter)
    other = ServiceConfig("shop", "shop", RouteConfig(virtual_service="shop"))
    assert isinstance(build_router(cluster, other, clock), IstioRouter)


def test_stable_is_exchanged_only_for_what_has_endpoints_and_is_known(
    router: GatewayApiRouter, plane: ControlPlane, clock: FakeClock
) -> None:
    prepare(router)
    stages = list(dict.fromkeys(tuple(refs) for refs, _ in plane.seen))
    assert stages == [("shop:1",), ("shop:1", "shop-stable:0", "shop-canary:0")]
    assert refs_of(plane.cluster) == {"shop-stable": 1, "shop-canary": 0}
    assert SETTLE_SECONDS in clock.sleeps


def test_without_endpoints_the_route_is_not_touched(
    router: GatewayApiRouter, plane: ControlPlane, clock: FakeClock
) -> None:
    plane.endpoints = False
    for _ in range(2):  # also where the Services are there already
        with pytest.raises(TransientError, match="shop-stable has no ready endpoint"):
            prepare(router)
    assert clock.monotonic() < SERVICE.rollout.lease  # nobody renews the lease meanwhile
    assert refs_of(plane.cluster) == {"shop": 1}


def test_without_a_control_plane_stables_traffic_stays_where_it_is(
    router: GatewayApiRouter, plane: ControlPlane
) -> None:
    plane.follows = False
    with pytest.raises(TransientError, match="has seen generation 1 of 2"):
        prepare(router)
    assert refs_of(plane.cluster) == {"shop": 1, "shop-stable": 0, "shop-canary": 0}
    plane.follows = True
    prepare(router)  # the executor tries again
    assert refs_of(plane.cluster) == {"shop-stable": 1, "shop-canary": 0}


def test_services_are_deleted_only_when_no_proxy_needs_them(router: GatewayApiRouter, plane: ControlPlane) -> None:
    originals = prepare(router)
    plane.follows = False
    state = router.read()
    with pytest.raises(TransientError, match="its former backends are deleted only then"):
        router.apply(router.plan_restore(state, originals, FENCE))
    assert refs_of(plane.cluster) == {"shop": 1}
    assert plane.seen[-1][1] == ["shop", "shop-canary", "shop-stable"]
    plane.follows = True
    router.apply(router.plan_restore(router.read(), originals, FENCE))
    assert [item["metadata"]["name"] for item in plane.cluster.list("Service", "shop")] == ["shop"]
    assert router.plan_restore(router.read(), originals, FENCE).empty


def test_a_weight_is_written_at_once_and_pending_until_it_is_taken_up(
    router: GatewayApiRouter, plane: ControlPlane
) -> None:
    prepare(router)
    plane.step()
    assert not router.read().pending
    state = router.apply(router.plan_weight(router.read(), 0.1, FENCE))
    assert (state.share, state.pair) == (0.1, (90, 10))
    assert "has seen generation 3 of 4" in state.pending
    plane.step()
    assert not router.read().pending


def test_a_takeover_lets_the_driver_before_fail(router: GatewayApiRouter) -> None:
    prepare(router)
    late = router.plan_weight(router.read(), 0.5, FENCE)
    router.apply(router.plan_take_over(router.read(), "shop-1/2"))
    with pytest.raises(ConflictError):
        router.apply(late)
    assert router.read().share == 0


def test_several_routes_are_moved_as_one(cluster: MemoryCluster, plane: ControlPlane, clock: FakeClock) -> None:
    cluster.load([http_route("shop-mesh")])
    plane.step()
    router = GatewayApiRouter(
        cluster, ServiceConfig("shop", "shop", RouteConfig(http_route="shop", also=("shop-mesh",))), clock
    )
    originals = prepare(router)
    router.apply(router.plan_weight(router.read(), 0.25, FENCE))
    assert refs_of(cluster, "shop") == refs_of(cluster, "shop-mesh") == {"shop-stable": 75, "shop-canary": 25}
    assert router.read().uniform
    router.apply(router.plan_weight(router.read(), 0.0, FENCE))
    router.apply(router.plan_restore(router.read(), originals, FENCE))
    assert refs_of(cluster, "shop") == refs_of(cluster, "shop-mesh") == {"shop": 1}


def test_without_its_route_what_was_added_beside_it_goes(router: GatewayApiRouter, cluster: MemoryCluster) -> None:
    originals = prepare(router)
    cluster.delete("HTTPRoute", "shop", "shop")
    change = router.plan_restore(None, originals, FENCE)
    with pytest.raises(ObjectMissingError):  # reading back what is gone
        router.apply(change)
    assert [item["metadata"]["name"] for item in cluster.list("Service", "shop")] == ["shop"]


def test_a_dry_run_leaves_nothing(router: GatewayApiRouter, cluster: MemoryCluster) -> None:
    state = router.apply(router.plan_prepare(router.read(), FENCE), dry_run=True)
    assert (state.share, state.fence) == (None, None)
    assert refs_of(cluster) == {"shop": 1}


def test_the_label_of_stables_pods_tells_the_sides_apart(router: GatewayApiRouter, cluster: MemoryCluster) -> None:
    template = {
        "metadata": {"labels": {"app": "shop", "version": "v1"}},
        "spec": {"containers": [{"name": "a", "image": "b"}]},
    }
    cluster.load(
        [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "shop", "namespace": "shop"},
                "spec": {"selector": {"matchLabels": {"app": "shop"}}, "template": template},
            }
        ]
    )
    prepare(router)
    selector = cluster.get("Service", "shop", "shop-stable")["spec"]["selector"]
    assert selector == {"app": "shop", "version": "v1"}
    assert router.read().label_values == ("v1", "canary")


def test_a_rule_for_the_services_host_is_refused(router: GatewayApiRouter, cluster: MemoryCluster) -> None:
    spec = {"host": "shop.shop.svc.cluster.local", "trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 3}}}
    metadata = {"name": "limits", "namespace": "shop"}
    cluster.load(
        [{"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": metadata, "spec": spec}]
    )
    with pytest.raises(UsageError, match="would not hold for the sides"):
        router.plan_prepare(router.read(), FENCE)


def test_a_missing_route_is_named(cluster: MemoryCluster, clock: FakeClock) -> None:
    service = ServiceConfig("shop", "shop", RouteConfig(http_route="other"))
    with pytest.raises(ObjectMissingError, match="HTTPRoute shop/other does not exist"):
        GatewayApiRouter(cluster, service, clock).read()


class KilledError(BaseException):
    """The process is gone: nothing that it would have done any more happens."""


class Mortal(MemoryCluster):
    """A client that dies before or after its n-th write."""

    def __init__(self, cluster: MemoryCluster, deadly: int, *, after: bool) -> None:
        super().__init__(cluster.server, user=ADMIN)
        self.writes = 0
        self._deadly = deadly
        self._after = after

    def _around(
        self, verb: str, kind: str, namespace: str, name: str, body: Any, send: Callable[[], Response]
    ) -> Response:
        self.writes += verb in ("create", "patch", "delete")
        hit = verb in ("create", "patch", "delete") and self.writes == self._deadly
        if hit and not self._after:
            raise KilledError
        answer = send()
        if hit:
            raise KilledError
        return answer


def owned(cluster: MemoryCluster) -> list[Any]:
    route = cluster.get("HTTPRoute", "shop", "shop")
    services = cluster.list("Service", "shop")
    meant = [(item["metadata"]["name"], item["spec"]) for item in services]
    return [route["spec"], route["metadata"].get("annotations"), meant]


WRITES = 2 + 2 + 2 + 1 + 2
"""Services, preparation, weights up and down, the route put back, Services deleted."""


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("deadly", range(1, WRITES + 2))
def test_killed_at_any_write_another_driver_brings_everything_back(
    cluster: MemoryCluster, clock: FakeClock, deadly: int, after: bool
) -> None:
    before = owned(cluster)
    mortal = Mortal(cluster, deadly, after=after)
    router = GatewayApiRouter(mortal, SERVICE, clock)
    recorded: dict[str, Any] = {}
    with contextlib.suppress(KilledError):
        change = router.plan_prepare(router.read(), FENCE)
        recorded.update(change.originals)  # the record is written first
        router.apply(change)
        for share in (0.25, 0.0):
            router.apply(router.plan_weight(router.read(), share, FENCE))
        router.apply(router.plan_restore(router.read(), recorded, FENCE))
    assert mortal.writes == min(deadly, WRITES)
    heir, fence = GatewayApiRouter(cluster, SERVICE, clock), "shop-1/2"
    state = heir.apply(heir.plan_take_over(heir.read(), fence))
    if state.share:
        heir.apply(heir.plan_weight(state, 0.0, fence))
    for _ in range(2):  # twice-safe
        heir.apply(heir.plan_restore(heir.read(), recorded, fence))
    assert owned(cluster) == before
