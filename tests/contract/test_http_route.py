"""Plans of an HTTPRoute, written to a cluster: defaults do no harm, and everything comes back as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gitlab_mesh.core.mesh.backends import BackendPair
from gitlab_mesh.core.mesh.http_route import plan_http_weight, read_http_state
from gitlab_mesh.core.mesh.http_route_additions import plan_http_prepare, plan_http_restore
from gitlab_mesh.core.mesh.route import RouteChange
from gitlab_mesh.errors import ConflictError
from gitlab_mesh.ports import Cluster, Object

from .conftest import World

PAIR = BackendPair("shop", "shop", "shop-stable", "shop-canary")
FENCE = "shop-1/1"


def http_route() -> Object:
    filters = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-team", "value": "a"}]}}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {
            "parentRefs": [{"name": "public"}],
            "hostnames": ["shop.example"],
            "rules": [
                {"matches": [{"path": {"value": "/admin"}}], "backendRefs": [{"name": "admin", "port": 80}]},
                {"backendRefs": [{"name": "shop", "port": 80, "filters": filters}]},
            ],
        },
    }


def service() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"selector": {"app": "shop"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }


class Shop:
    """A route and its Service on a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        cluster.create(service())
        cluster.create(http_route())

    @property
    def route(self) -> Object:
        return self.cluster.get("HTTPRoute", "shop", "shop")

    @property
    def others(self) -> dict[str, Object]:
        return {f"Service/shop/{item['metadata']['name']}": item for item in self.cluster.list("Service", "shop")}

    def write(self, change: RouteChange) -> None:
        for body in change.create:
            self.cluster.create(copy.deepcopy(dict(body)))
        for patch in change.patches:
            self.cluster.patch(patch.kind, patch.namespace, patch.name, patch.operations)
        for kind, namespace, name in change.delete:
            self.cluster.delete(kind, namespace, name)

    def meant(self) -> list[Any]:
        route = self.route
        return [route["spec"], route["metadata"].get("annotations"), sorted(self.others)]


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world.admin.cluster)


def test_prepare_move_restore_leaves_everything_as_it_was(shop: Shop) -> None:
    before = shop.meant()
    prepared = plan_http_prepare(shop.route, shop.others, PAIR, FENCE)
    shop.write(prepared)
    refs = shop.route["spec"]["rules"][1]["backendRefs"]
    assert [ref["name"] for ref in refs] == ["shop-stable", "shop-canary"]
    assert refs[1]["filters"] == refs[0]["filters"]
    for share in (0.0005, 0.25, 1.0, 0.0):
        shop.write(plan_http_weight(shop.route, PAIR, share, FENCE))
        assert read_http_state(shop.route, shop.others, PAIR).share == pytest.approx(share)
    shop.write(plan_http_restore(shop.route, shop.others, PAIR, prepared.originals, FENCE))
    assert shop.meant() == before


def test_a_write_by_somebody_else_lets_a_planned_weight_fail(shop: Shop) -> None:
    shop.write(plan_http_prepare(shop.route, shop.others, PAIR, FENCE))
    planned = plan_http_weight(shop.route, PAIR, 0.5, FENCE)
    weight = {"op": "add", "path": "/spec/rules/1/backendRefs/1/weight", "value": 3}
    shop.cluster.patch("HTTPRoute", "shop", "shop", [weight])
    with pytest.raises(ConflictError):
        shop.write(planned)


def test_only_a_change_of_what_is_wanted_counts_as_a_generation(shop: Shop) -> None:
    before = read_http_state(shop.route, shop.others, PAIR).version
    label = {"op": "add", "path": "/metadata/labels", "value": {"team": "a"}}
    shop.cluster.patch("HTTPRoute", "shop", "shop", [label])
    assert read_http_state(shop.route, shop.others, PAIR).version == before
    shop.write(plan_http_prepare(shop.route, shop.others, PAIR, FENCE))
    assert read_http_state(shop.route, shop.others, PAIR).version != before
