"""Two VirtualServices of one service, the gateway's and the mesh's, move as one: all or none."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from gitlab_mesh.config.model import RouteConfig
from gitlab_mesh.core.record import Driver
from gitlab_mesh.errors import ObjectMissingError, TransientError
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel, shop_objects
from gitlab_mesh_jobs.rollback.job import JOB as ROLLBACK
from tests.jobs.releases import FAST, KillAt, Killed, assert_nothing_left, release, service, user_objects

BOTH = service(route=RouteConfig("shop", also=("shop-mesh",)))


def objects() -> list[Object]:
    found = shop_objects()
    inner = copy.deepcopy(found[3])
    inner["metadata"] = {"name": "shop-mesh", "namespace": "shop"}
    route = {"destination": {"host": "shop"}}
    inner["spec"] = {"hosts": ["shop"], "gateways": ["mesh"], "http": [{"retries": {"attempts": 2}, "route": [route]}]}
    found[3]["spec"]["gateways"] = ["shop"]
    return [*found, inner]


def shares(model: ShopModel) -> tuple[float, float]:
    """Canary's share in both routes."""
    found = []
    for name in ("shop", "shop-mesh"):
        routes = model.cluster.get("VirtualService", "shop", name)["spec"]["http"][-1]["route"]
        canary = [item.get("weight", 0) for item in routes if item["destination"].get("subset") == "canary"]
        found.append(canary[0] / sum(item.get("weight", 0) for item in routes) if canary else 0.0)
    return found[0], found[1]


@pytest.mark.parametrize("tag", ["1.5.0", "bad"])
def test_both_routes_move_as_one_and_are_put_back(tag: str) -> None:
    model = ShopModel(objects())
    before = user_objects(model)
    seen: set[tuple[float, float]] = set()

    def watch(seconds: float) -> None:
        model._pass(seconds)
        seen.add(shares(model))

    model.clock.on_sleep = watch
    result = release(ModelPorts(model, BOTH), tag)
    assert result.exit_code == (10 if tag == "bad" else 0)
    assert all(first == second for first, second in seen)
    assert (0.1, 0.1) in seen
    if tag == "1.5.0":
        before["Deployment/shop"]["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/shop:1.5.0"
    assert_nothing_left(model, before)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(2, 30, 2))
def test_killed_between_the_two_one_call_brings_both_back(number: int, *, after: bool) -> None:
    model = ShopModel(objects())
    before = user_objects(model)
    cluster = model.cluster.as_actor("gitlab-mesh", fault=KillAt(number, after=after))
    with pytest.raises(Killed):
        release(ModelPorts(model, BOTH, cluster=cluster), "1.5.0")
    assert ROLLBACK.run(ModelPorts(model, BOTH, driver=Driver("101", "1001")), {}).exit_code == 0
    record, _ = ModelPorts(model, BOTH).store.read()
    if record is not None and record.outcome == "promoted":
        before["Deployment/shop"]["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/shop:1.5.0"
    assert_nothing_left(model, before)


class RefuseSecond:
    """The API server fails every raise of the second route that is meant to be kept."""

    def before(self, call: Any) -> None:
        if call.verb == "patch" and call.kind == "VirtualService" and call.name == "shop-mesh":
            weights = [item["value"] for item in call.body if str(item["path"]).endswith("/weight")]
            if weights and weights[-1] > 0:
                raise TransientError("the API server did not do patch (HTTP 500)")

    def after(self, call: Any) -> None:
        return


def test_if_one_cannot_move_both_are_at_zero_in_the_end() -> None:
    model = ShopModel(objects())
    before = user_objects(model)
    cluster = model.cluster.as_actor("gitlab-mesh")
    cluster.fault = RefuseSecond()
    result = release(ModelPorts(model, BOTH, cluster=cluster), "1.5.0")
    assert result.exit_code == 20
    assert shares(model) == (0.0, 0.0)
    assert_nothing_left(model, before)


def test_a_foreign_write_of_the_second_route_is_drift() -> None:
    model = ShopModel(objects())
    ports = ModelPorts(model, replace(BOTH, rollout=replace(FAST, reassert=0)))
    argo = model.cluster.as_actor("argocd-controller")

    def reset(seconds: float) -> None:
        model._pass(seconds)
        if shares(model) == (0.1, 0.1):
            operations = [{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 0},
                          {"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 100}]  # fmt: skip
            argo.patch("VirtualService", "shop", "shop-mesh", operations)

    model.clock.on_sleep = reset
    result = release(ports, "1.5.0")
    assert result.exit_code == 22
    assert "argocd-controller" in result.report.reason
    assert shares(model) == (0.0, 0.0)


@pytest.mark.parametrize("name", ["shop", "shop-mesh"])
def test_one_of_them_is_deleted_and_the_other_is_taken_back_before_the_canary_ends(name: str) -> None:
    model = ShopModel(objects())
    ports = ModelPorts(model, BOTH)
    before = user_objects(model)
    del before[f"VirtualService/{name}"]
    seen: list[tuple[float | None, int]] = []

    def delete(seconds: float) -> None:
        model._pass(seconds)
        if model._share() == 0.5:
            model.cluster.delete("VirtualService", "shop", name)
        seen.append((model._share(), len(model.pods("shop-canary"))))

    model.clock.on_sleep = delete
    result = release(ports, "1.5.0")
    assert result.exit_code == 22
    assert_nothing_left(model, before)
    assert not [share for share, canaries in seen if share and not canaries]


def test_a_release_does_not_begin_while_one_of_them_is_missing() -> None:
    model = ShopModel(objects())
    model.cluster.delete("VirtualService", "shop", "shop-mesh")
    with pytest.raises(ObjectMissingError, match="shop-mesh"):
        release(ModelPorts(model, BOTH), "1.5.0")
