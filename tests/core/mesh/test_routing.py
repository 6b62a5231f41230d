"""Plans of minimal changes: what is touched, what stays byte-equal, what is refused."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.mesh.additions import plan_prepare, plan_restore
from gitlab_mesh.core.mesh.fencing import plan_fence
from gitlab_mesh.core.mesh.hosts import resolve_host
from gitlab_mesh.core.mesh.pair import Pair
from gitlab_mesh.core.mesh.route import FENCE_ANNOTATION, RouteChange
from gitlab_mesh.core.mesh.routing import find_moved, plan_weight, read_state, routes_to
from gitlab_mesh.core.mesh.weights import plan_pair
from gitlab_mesh.errors import ConflictError, UsageError

HOST = "shop.shop.svc.cluster.local"
PAIR = Pair("shop", HOST)
FENCE = "shop-1/1"


def virtual_service(*https: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "shop", "namespace": "shop", **metadata},
        "spec": {"hosts": ["shop.example"], "http": list(https)},
    }


def rule(*subsets: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"host": "shop", **spec, **({"subsets": list(subsets)} if subsets else {})},
    }


def to(host: str = "shop", weight: int | None = None, **destination: Any) -> dict[str, Any]:
    return {
        "destination": {"host": host, **destination},
        **({"weight": weight} if weight is not None else {}),
    }


STABLE = {"name": "stable", "labels": {"version": "stable"}}
PRIMARY = {"name": "primary", "timeout": "2s", "retries": {"attempts": 2}, "route": [to(subset="stable")]}
INTERNAL = {
    "name": "internal",
    "match": [{"headers": {"x-internal": {"exact": "1"}}}],
    "route": [to("admin", subset="v7")],
}


class World:
    """Objects to which changes are applied as the API server does."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = {self.key(item): copy.deepcopy(item) for item in objects}

    @staticmethod
    def key(item: dict[str, Any]) -> str:
        return f"{item['kind']}/{item['metadata']['namespace']}/{item['metadata']['name']}"

    def apply(self, change: RouteChange) -> None:
        for body in change.create:
            self.objects[self.key(dict(body))] = copy.deepcopy(dict(body))
        for patch in change.patches:
            key = f"{patch.kind}/{patch.namespace}/{patch.name}"
            self.objects[key] = jsonpatch.apply_patch(self.objects[key], list(patch.operations))
        for kind, namespace, name in change.delete:
            self.objects.pop(f"{kind}/{namespace}/{name}", None)

    @property
    def service(self) -> dict[str, Any]:
        return next(item for item in self.objects.values() if item["kind"] == "VirtualService")

    @property
    def rule(self) -> dict[str, Any] | None:
        return next((item for item in self.objects.values() if item["kind"] == "DestinationRule"), None)


def shapes() -> dict[str, tuple[dict[str, Any], ...]]:
    many = to("other", 30, subset="x")
    return {
        "subset there, no canary": (virtual_service(INTERNAL, PRIMARY), rule(STABLE)),
        "no subset on the destination": (virtual_service({"route": [to()]}), rule(STABLE)),
        "no DestinationRule": (virtual_service({"route": [to()]}),),
        "rule without subsets": (virtual_service({"route": [to(port={"number": 80})]}), rule()),
        "everything there": (
            virtual_service({"route": [to(subset="stable", weight=100), to(subset="canary", weight=0)]}),
            rule(STABLE, {"name": "canary", "labels": {"version": "canary"}}),
        ),
        "third destination": (virtual_service({"route": [to(subset="stable", weight=70), many]}), rule(STABLE)),
        "annotations": (virtual_service(PRIMARY, annotations={"team": "a"}, labels={"x": "y"}), rule(STABLE)),
        "canary without weight": (
            virtual_service({"route": [to(subset="stable", weight=100), to(subset="canary")]}),
            rule(STABLE),
        ),
    }


@pytest.mark.parametrize("name", shapes())
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_prepare_move_restore_leaves_everything_byte_equal(name: str, share: float) -> None:
    world = World(*shapes()[name])
    before = copy.deepcopy(world.objects)
    prepared = plan_prepare(world.service, world.rule, PAIR, FENCE)
    world.apply(prepared)
    assert read_state(world.service, world.rule, PAIR).share == 0
    world.apply(plan_weight(world.service, PAIR, share, FENCE))
    assert read_state(world.service, world.rule, PAIR).share == pytest.approx(share, abs=0.01)
    world.apply(plan_weight(world.service, PAIR, 0, FENCE))
    world.apply(plan_restore(world.service, world.rule, PAIR, prepared.originals, FENCE))
    assert world.objects == before


@pytest.mark.parametrize("name", shapes())
def test_restore_is_twice_safe(name: str) -> None:
    world = World(*shapes()[name])
    before = copy.deepcopy(world.objects)
    prepared = plan_prepare(world.service, world.rule, PAIR, FENCE)
    world.apply(prepared)
    for _ in range(2):
        world.apply(plan_restore(world.service, world.rule, PAIR, prepared.originals, FENCE))
    assert world.objects == before


def test_foreign_edits_during_the_rollout_survive_the_restoration() -> None:
    world = World(virtual_service(INTERNAL, PRIMARY), rule(STABLE))
    prepared = plan_prepare(world.service, world.rule, PAIR, FENCE)
    world.apply(prepared)
    added = {"name": "new", "route": [to("promo")]}
    world.service["spec"]["http"].insert(0, added)
    world.service["spec"]["http"][2]["timeout"] = "9s"
    world.service["metadata"]["annotations"]["team"] = "b"
    world.apply(plan_restore(world.service, world.rule, PAIR, prepared.originals, FENCE))
    assert world.service["spec"]["http"] == [added, INTERNAL, {**PRIMARY, "timeout": "9s"}]
    assert world.service["metadata"]["annotations"] == {"team": "b"}


def test_canary_subset_is_reached_by_stables_traffic_policy() -> None:
    policy = {"tls": {"mode": "ISTIO_MUTUAL"}}
    world = World(virtual_service(PRIMARY), rule({**STABLE, "trafficPolicy": policy}))
    world.apply(plan_prepare(world.service, world.rule, PAIR, FENCE))
    assert world.rule is not None
    assert world.rule["spec"]["subsets"][1] == {
        "name": "canary",
        "labels": {"version": "canary"},
        "trafficPolicy": policy,
    }


def test_an_edit_between_read_and_write_makes_the_write_fail() -> None:
    world = World(virtual_service(PRIMARY), rule(STABLE))
    world.apply(plan_prepare(world.service, world.rule, PAIR, FENCE))
    change = copy.deepcopy(plan_weight(world.service, PAIR, 0.1, FENCE))
    world.service["spec"]["http"][0]["route"][0]["weight"] = 99
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        world.apply(change)


def test_a_driver_that_was_taken_over_writes_nothing() -> None:
    world = World(virtual_service(PRIMARY), rule(STABLE))
    world.apply(plan_prepare(world.service, world.rule, PAIR, FENCE))
    late = plan_weight(world.service, PAIR, 0.5, FENCE)
    world.apply(plan_fence(world.service, "shop-1/2"))
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        world.apply(late)
    with pytest.raises(ConflictError, match="another driver took over"):
        plan_weight(world.service, PAIR, 0.5, FENCE)
    with pytest.raises(ConflictError, match="shop-1/2"):
        plan_restore(world.service, world.rule, PAIR, {"VirtualService/shop/shop": {}}, FENCE)


@pytest.mark.parametrize(
    ("service", "pair", "message"),
    [
        (virtual_service(PRIMARY, {"name": "api", "route": [to()]}), PAIR, "2 HTTP routes lead to"),
        (virtual_service(INTERNAL), PAIR, "no HTTP route leads to"),
        (virtual_service(PRIMARY), Pair("shop", HOST, routes=("gone",)), "does not exist"),
        (virtual_service(PRIMARY, PRIMARY), Pair("shop", HOST, routes=("primary",)), "more than once"),
        (virtual_service(PRIMARY, INTERNAL), Pair("shop", HOST, routes=("internal",)), "does not lead to"),
        (
            virtual_service({"route": [to(subset="stable", weight=50), to(weight=50)]}),
            PAIR,
            "2 destinations for stable",
        ),
    ],
)
def test_what_is_ambiguous_is_refused(service: dict[str, Any], pair: Pair, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_state(service, rule(STABLE), pair)


def test_several_named_routes_move_together() -> None:
    api = {"name": "api", "route": [to(subset="stable", weight=100)]}
    pair = Pair("shop", HOST, routes=("primary", "api"))
    world = World(virtual_service(PRIMARY, INTERNAL, api), rule(STABLE))
    assert find_moved(world.service, pair) == (0, 2)
    world.apply(plan_prepare(world.service, world.rule, pair, FENCE))
    world.apply(plan_weight(world.service, pair, 0.25, FENCE))
    state = read_state(world.service, world.rule, pair)
    assert (state.share, state.uniform) == (0.25, True)
    world.service["spec"]["http"][2]["route"][1]["weight"] = 90
    state = read_state(world.service, world.rule, pair)
    assert state.uniform is False
    assert state.share is not None
    assert state.share > 0.5


def test_a_canary_that_already_gets_traffic_is_refused() -> None:
    service = virtual_service({"route": [to(subset="stable", weight=90), to(subset="canary", weight=10)]})
    with pytest.raises(ConflictError, match="already gets weight 10"):
        plan_prepare(service, rule(STABLE), PAIR, FENCE)


def test_another_rollouts_fence_is_respected() -> None:
    service = virtual_service(PRIMARY, annotations={FENCE_ANNOTATION: "other/3"})
    with pytest.raises(ConflictError, match="other/3"):
        plan_prepare(service, rule(STABLE), PAIR, FENCE)


def test_who_wrote_the_weights_is_read_from_managed_fields() -> None:
    fields = [
        {"manager": "kubectl", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:http": {}}}},
        {"manager": "argocd", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:http": {}}}},
        {"manager": "late", "time": "2026-01-03T00:00:00Z", "fieldsV1": {"f:metadata": {}}},
    ]
    assert read_state(virtual_service(PRIMARY, managedFields=fields), None, PAIR).writer == "argocd"


@pytest.mark.parametrize(
    ("host", "resolved"),
    [
        ("shop", HOST),
        ("shop.shop", HOST),
        ("shop.shop.svc", HOST),
        (HOST, HOST),
        ("api.example.com", "api.example.com"),
    ],
)
def test_hosts_resolve_as_in_istio(host: str, resolved: str) -> None:
    assert resolve_host(host, "shop") == resolved


def test_routes_to_sees_every_http_route() -> None:
    assert routes_to(virtual_service(INTERNAL, PRIMARY), HOST)
    assert not routes_to(virtual_service(INTERNAL), HOST)


@given(total=st.integers(2, 10_000), share=st.integers(0, 100))
def test_pair_keeps_its_sum_wherever_the_share_can_be_told(total: int, share: int) -> None:
    stable, canary = plan_pair(total, share / 100, whole_route=True)
    assert stable >= 0
    assert canary >= 0
    assert canary / (stable + canary) == pytest.approx(share / 100, abs=1e-4)
    if share * total % 100 == 0:
        assert stable + canary == total


def test_shares_below_one_percent_need_the_whole_route() -> None:
    assert plan_pair(100, 0.0005, whole_route=True) == (1999, 1)
    assert plan_pair(100, 0.025, whole_route=True) == (975, 25)
    assert plan_pair(70, 0.5, whole_route=False) == (35, 35)
    with pytest.raises(UsageError, match="other destinations"):
        plan_pair(70, 0.001, whole_route=False)
    with pytest.raises(UsageError, match="too small"):
        plan_pair(100, 0.00004, whole_route=True)
