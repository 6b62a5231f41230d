"""An HTTPRoute's plans: what is touched, what stays byte-equal, what is refused, whatever the route looks like."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.mesh.acceptance import find_pending
from gitlab_mesh.core.mesh.backends import BackendPair, find_rules, leads_to
from gitlab_mesh.core.mesh.http_route import plan_http_weight, read_http_state
from gitlab_mesh.core.mesh.http_route_additions import originals_unrecorded, plan_http_prepare, plan_http_restore
from gitlab_mesh.core.mesh.route import FENCE_ANNOTATION, RouteChange, RouteState
from gitlab_mesh.errors import ConflictError, GitlabMeshError, UsageError

PAIR = BackendPair("shop", "shop", "shop-stable", "shop-canary")
FENCE = "shop-1/1"
Json = dict[str, Any]


def http_route(*rules: Json, **metadata: Any) -> Json:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "shop", "generation": 3, **metadata},
        "spec": {"parentRefs": [{"name": "public"}], "hostnames": ["shop.example"], "rules": list(rules)},
    }


def to(name: str = "shop", **fields: Any) -> Json:
    return {"name": name, "port": 80, **fields}


def rule(*refs: Json, **fields: Any) -> Json:
    return {"backendRefs": list(refs), **fields}


def service(name: str = "shop", selector: Json | None = None, **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop", "labels": {"team": "a"}},
        "spec": {
            "selector": {"app": "shop"} if selector is None else selector,
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080}],
            "clusterIP": "10.0.0.9",
            "type": "NodePort",
            **spec,
        },
    }


class World:
    """Objects to which changes are applied as the API server does."""

    def __init__(self, *objects: Json) -> None:
        self.objects = {self.key(item): copy.deepcopy(item) for item in objects}

    @staticmethod
    def key(item: Any) -> str:
        return f"{item['kind']}/{item['metadata']['namespace']}/{item['metadata']['name']}"

    def apply(self, change: RouteChange, patches: int | None = None) -> None:
        for body in change.create:
            self.objects[self.key(body)] = copy.deepcopy(dict(body))
        for patch in change.patches[:patches]:
            key = f"{patch.kind}/{patch.namespace}/{patch.name}"
            self.objects[key] = jsonpatch.apply_patch(self.objects[key], list(patch.operations))
        if patches is None:
            for kind, namespace, name in change.delete:
                del self.objects[f"{kind}/{namespace}/{name}"]

    @property
    def route(self) -> Json:
        return self.objects["HTTPRoute/shop/shop"]

    @property
    def others(self) -> dict[str, Json]:
        return {key: item for key, item in self.objects.items() if item["kind"] != "HTTPRoute"}

    def state(self, pair: BackendPair = PAIR) -> RouteState:
        return read_http_state(self.route, self.others, pair)

    def prepare(self, pair: BackendPair = PAIR) -> RouteChange:
        return plan_http_prepare(self.route, self.others, pair, FENCE)

    def move(self, share: float, pair: BackendPair = PAIR) -> None:
        self.apply(plan_http_weight(self.route, pair, share, FENCE))

    def restore(self, originals: Any, pair: BackendPair = PAIR) -> None:
        self.apply(plan_http_restore(self.route, self.others, pair, originals, FENCE))


DEFAULTED = {"group": "", "kind": "Service", "weight": 1}
"""What a real API server fills in."""


def shapes() -> dict[str, tuple[Json, ...]]:
    named = rule(to(), name="primary", matches=[{"path": {"type": "PathPrefix", "value": "/"}}])
    internal = rule(to("admin"), name="internal")
    header = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "1"}]}}
    return {
        "as small as it can be": (http_route(rule(to())), service()),
        "as a server stores it": (http_route(rule(to(**DEFAULTED))), service()),
        "beside another rule": (http_route(internal, named), service()),
        "annotations": (http_route(rule(to()), annotations={"team": "a"}), service()),
        "filters of the backend": (http_route(rule(to(filters=[header], weight=7))), service()),
        "beside another backend": (http_route(rule(to("new", weight=30), to(weight=70))), service()),
        "the sides' Services are there": (
            http_route(rule(to("shop-stable", weight=100), to("shop-canary", weight=0))),
            service(),
            service("shop-stable", {"app": "shop", "version": "stable"}),
            service("shop-canary", {"version": "canary"}),
        ),
    }


@pytest.mark.parametrize("name", shapes())
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_prepare_move_restore_leaves_everything_byte_equal(name: str, share: float) -> None:
    world = World(*shapes()[name])
    before = copy.deepcopy(world.objects)
    prepared = world.prepare()
    world.apply(prepared)
    assert (world.state().share, world.state().fence) == (0, FENCE)
    world.move(share)
    assert world.state().share == pytest.approx(share, abs=0.01)
    world.move(0)
    assert world.state().share == 0
    for _ in range(2):  # twice-safe
        world.restore(prepared.originals)
        assert world.objects == before


def test_each_side_gets_a_service_that_selects_its_pods_by_stables_labels() -> None:
    world = World(http_route(rule(to())), service())
    world.objects["Service/shop/shop"]["metadata"]["annotations"] = {
        "networking.istio.io/traffic-distribution": "PreferClose",
        "cloud.example/load-balancer": "x",
    }
    world.apply(world.prepare())
    canary = world.objects["Service/shop/shop-canary"]
    assert canary["spec"] == {
        "selector": {"app": "shop", "version": "canary"},
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
    }
    assert canary["metadata"]["annotations"] == {"networking.istio.io/traffic-distribution": "PreferClose"}
    assert world.objects["Service/shop/shop-stable"]["spec"]["selector"] == {"app": "shop", "version": "stable"}
    assert world.route["spec"]["rules"] == [rule(to("shop-stable"), to("shop-canary", weight=0))]


def test_stables_traffic_stays_where_it_is_until_the_second_patch() -> None:
    world = World(http_route(rule(to(weight=1))), service())
    prepared = world.prepare()
    world.apply(prepared, patches=1)
    assert world.route["spec"]["rules"] == [
        rule(to(weight=1), to("shop-stable", weight=0), to("shop-canary", weight=0))
    ]
    assert world.state().share is None  # not complete: no weight may be raised yet
    world.apply(world.prepare())  # whoever goes on
    assert world.state().share == 0


@pytest.mark.parametrize("patches", [0, 1, 2])
def test_a_preparation_that_broke_off_is_taken_back(patches: int) -> None:
    world = World(http_route(rule(to(**DEFAULTED))), service())
    before = copy.deepcopy(world.objects)
    prepared = world.prepare()
    world.apply(prepared, patches=patches)
    world.restore(prepared.originals)
    assert world.objects == before


def test_a_service_that_selects_stable_alone_needs_no_exchange() -> None:
    pair = BackendPair("shop", "shop", "shop", "shop-canary")
    world = World(http_route(rule(to())), service(selector={"app": "shop", "version": "stable"}))
    before = copy.deepcopy(world.objects)
    prepared = world.prepare(pair)
    assert [body["metadata"]["name"] for body in prepared.create] == ["shop-canary"]
    world.apply(prepared)
    world.move(0.25, pair)
    assert (world.state(pair).share, world.state(pair).pair) == (0.25, (75, 25))
    world.restore(prepared.originals, pair)
    assert world.objects == before


def test_foreign_edits_during_the_rollout_survive_the_restoration() -> None:
    world = World(http_route(rule(to())), service())
    prepared = world.prepare()
    world.apply(prepared)
    world.move(0.25)
    added = rule(to(), matches=[{"path": {"value": "/new"}}])
    world.route["spec"]["rules"].insert(0, added)
    world.route["spec"]["rules"][1]["timeouts"] = {"request": "9s"}
    world.route["metadata"]["annotations"]["team"] = "b"
    world.apply(plan_http_restore(world.route, world.others, PAIR, prepared.originals, FENCE))
    assert world.route["spec"]["rules"] == [added, rule(to(), timeouts={"request": "9s"})]
    assert world.route["metadata"]["annotations"] == {"team": "b"}


def test_without_a_record_the_route_leads_to_the_service_again() -> None:
    world = World(http_route(rule(to(weight=1))), service())
    before = copy.deepcopy(world.objects)
    world.apply(world.prepare())
    world.move(0.5)
    world.move(0)
    world.restore(originals_unrecorded(world.route, world.others, PAIR))
    assert world.route["spec"]["rules"] == [rule(to(weight=100))]
    assert world.others == {key: item for key, item in before.items() if item["kind"] == "Service"}
    assert "annotations" not in world.route["metadata"]


def test_services_that_are_the_users_are_neither_made_nor_deleted() -> None:
    world = World(*shapes()["the sides' Services are there"])
    prepared = world.prepare()
    assert prepared.create == ()
    gone = plan_http_restore(None, world.others, PAIR, prepared.originals, FENCE)
    assert gone.delete == ()


def test_a_service_of_ours_that_lost_its_answer_is_ours_to_delete() -> None:
    world = World(http_route(rule(to())), service())
    for body in world.prepare().create:
        world.objects[world.key(body)] = dict(body)
    again = world.prepare()
    assert again.create == ()
    assert {key for key in again.originals if key.startswith("Service/")} == {
        "Service/shop/shop-stable",
        "Service/shop/shop-canary",
    }


def refusals() -> dict[str, tuple[tuple[Json, ...], type[GitlabMeshError], str]]:
    ours = {"app.kubernetes.io/managed-by": "gitlab-mesh"}
    rest = service("shop-canary", {"app": "other"})
    rest["metadata"]["labels"] = ours
    policy = {
        "kind": "DestinationRule",
        "metadata": {"name": "limits", "namespace": "shop"},
        "spec": {"host": "shop", "trafficPolicy": {"outlierDetection": {}}},
    }
    fenced = http_route(rule(to()), annotations={FENCE_ANNOTATION: "shop-9/4"})
    return {
        "no Service": ((http_route(rule(to())),), UsageError, "does not exist"),
        "a Service without selector": ((http_route(rule(to())), service(selector={})), UsageError, "has no selector"),
        "a foreign canary Service": (
            (http_route(rule(to())), service(), service("shop-canary", {"app": "shop"})),
            UsageError,
            "does not select version=canary",
        ),
        "the rest of another release": (
            (http_route(rule(to())), service(), rest),
            ConflictError,
            "the rest of another",
        ),
        "a policy for the host": ((http_route(rule(to())), service(), policy), UsageError, "would not hold"),
        "sticky sessions": (
            (http_route(rule(to(), sessionPersistence={"type": "Cookie"})), service()),
            UsageError,
            "sessionPersistence",
        ),
        "canary has traffic": (
            (http_route(rule(to("shop-stable"), to("shop-canary"))), *shapes()["the sides' Services are there"][1:]),
            ConflictError,
            "already gets weight 1",
        ),
        "somebody's fence": ((fenced, service()), ConflictError, "belongs to rollout shop-9/4"),
        "a sum too small": (
            (http_route(rule(to("new", weight=1), to(weight=1))), service()),
            UsageError,
            "beside other backends",
        ),
        "both stables": ((http_route(rule(to(), to("shop-stable"))), service()), UsageError, "leads to both"),
        "two rules": ((http_route(rule(to()), rule(to())), service()), UsageError, "2 rules lead to"),
        "no rule": ((http_route(rule(to("other"))), service()), UsageError, "its backends are other"),
        "another kind": ((http_route(rule(to(kind="ServiceImport"))), service()), UsageError, "no rule leads to"),
        "another namespace": ((http_route(rule(to(namespace="x"))), service()), UsageError, "no rule leads to"),
    }


@pytest.mark.parametrize("name", refusals())
def test_what_cannot_be_moved_safely_is_refused_before_anything_is_written(name: str) -> None:
    objects, error, message = refusals()[name]
    world = World(*objects)
    with pytest.raises(error, match=message):
        world.prepare()


def test_named_rules_are_moved_together() -> None:
    rules = [rule(to(), name="a"), rule(to(), name="b"), rule(to(), name="c")]
    pair = BackendPair("shop", "shop", "shop-stable", "shop-canary", rules=("c", "a"))
    assert find_rules(http_route(*rules), pair) == (0, 2)
    world = World(http_route(*rules), service())
    before = copy.deepcopy(world.objects)
    prepared = world.prepare(pair)
    world.apply(prepared)
    world.move(0.05, pair)
    assert world.state(pair).uniform
    assert world.route["spec"]["rules"][1] == rules[1]
    world.restore(prepared.originals, pair)
    assert world.objects == before


def test_a_weight_needs_our_fence_and_the_canarys_backend() -> None:
    world = World(http_route(rule(to())), service())
    world.apply(world.prepare())
    with pytest.raises(ConflictError, match="shop-1/1"):
        plan_http_weight(world.route, PAIR, 0.1, "shop-1/2")
    del world.route["spec"]["rules"][0]["backendRefs"][1]
    with pytest.raises(ConflictError, match="is gone"):
        world.move(0.1)


def test_the_finest_share_keeps_to_whole_numbers() -> None:
    world = World(http_route(rule(to(weight=1))), service())
    world.apply(world.prepare())
    world.move(0.0005)
    assert world.state().pair == (1999, 1)


def test_who_else_leads_there_is_seen() -> None:
    assert leads_to(http_route(rule(to())), "shop", "shop")
    assert not leads_to(http_route(rule(to("other"), to(namespace="x"))), "shop", "shop")
    assert leads_to(http_route(rule(to(namespace="x"))), "x", "shop")


def status(generation: int = 3, **conditions: str) -> Json:
    listed = [
        {"type": kind, "status": conditions.get(kind, "True"), "reason": "Why", "observedGeneration": generation}
        for kind in ("Accepted", "ResolvedRefs")
    ]
    return {
        "parents": [
            {
                "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public"},
                "controllerName": "istio.io/gateway-controller",
                "conditions": listed,
            }
        ]
    }


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "no controller has answered"),
        (status(2), "has seen generation 2 of 3"),
        (status(Accepted="False"), "Accepted False .Why"),
        (status(ResolvedRefs="False"), "ResolvedRefs False"),
        ({"parents": [{**status()["parents"][0], "conditions": []}]}, "has not said Accepted"),
        ({"parents": [{**status()["parents"][0], "parentRef": {"name": "other"}}]}, "no controller has answered"),
    ],
)
def test_only_this_generation_accepted_by_every_parent_is_in_force(found: Json, said: str) -> None:
    route = {**http_route(rule(to())), "status": found}
    import re

    assert re.search(said, find_pending(route))
    assert read_http_state(route, {}, PAIR).pending
    assert find_pending({**route, "status": status()}) == ""


def test_a_status_is_no_foreign_write() -> None:
    route = http_route(rule(to()), resourceVersion="5")
    before = read_http_state(route, {}, PAIR).version
    after = read_http_state({**route, "metadata": {**route["metadata"], "resourceVersion": "6"}}, {}, PAIR)
    assert after.version == before
    changed = read_http_state({**route, "metadata": {**route["metadata"], "generation": 4}}, {}, PAIR)
    assert changed.version != before


@st.composite
def routes(draw: st.DrawFn) -> Json:
    """Any route with one rule to the shop: other rules and backends around it, defaults there or not."""
    filled = draw(st.booleans())
    fields = {"group": "", "kind": "Service"} if filled else {}
    weights = st.integers(0, 1000)
    other = st.builds(lambda name, weight: to(name, weight=weight, **fields), st.sampled_from("xyz"), weights)
    others = draw(st.lists(other, max_size=3, unique_by=lambda ref: ref["name"]))
    weight = draw(st.integers(100, 1000)) if others else draw(st.sampled_from([None, 0, 1, 5, 100]))
    mine = to(**fields, **({} if weight is None else {"weight": weight}))
    refs = [*others, mine]
    draw(st.randoms()).shuffle(refs)
    around = [rule(to("elsewhere"), name="x")] * draw(st.integers(0, 1))
    name = draw(st.sampled_from([{}, {"name": "primary"}]))
    annotations = draw(st.sampled_from([{}, {"annotations": {"team": "a"}}]))
    return http_route(*around, rule(*refs, **name), **annotations)


@given(routes(), st.lists(st.integers(1, 20).map(lambda part: part / 20), max_size=4))
def test_any_route_comes_back_as_it_was_and_the_others_keep_their_weights(route: Json, shares: list[float]) -> None:
    world = World(route, service())
    before = copy.deepcopy(world.objects)
    prepared = world.prepare()
    world.apply(prepared)
    foreign = [ref for one in world.route["spec"]["rules"] for ref in one["backendRefs"] if "shop" not in ref["name"]]
    for share in [*shares, 0]:
        world.move(share)
        rules = world.route["spec"]["rules"]
        assert [ref for one in rules for ref in one["backendRefs"] if "shop" not in ref["name"]] == foreign
        assert world.state().share == pytest.approx(share, abs=0.006)
    world.restore(prepared.originals)
    assert world.objects == before
