"""What we rely on: get, list with selectors and pages, watch, kinds and paths that a server does not have."""

from __future__ import annotations

import pytest

from tests.contract.api import Api, Object
from tests.contract.api_objects import config_map, route


def names(body: Object) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


def fill(api: Api, count: int = 7) -> None:
    for number in range(count):
        assert api.admin.create(config_map(f"c{number}", labels={"set": "c", "n": str(number)})).status == 201


def test_a_list_is_sorted_and_its_items_of_built_in_kinds_carry_no_kind(api: Api) -> None:
    for name in ("b", "a", "c"):
        api.admin.create(config_map(name))
        api.admin.create(route(name))
    maps, routes = api.admin.list("ConfigMap").body, api.admin.list("VirtualService").body
    assert (maps["kind"], maps["apiVersion"]) == ("ConfigMapList", "v1")
    assert [name for name in names(maps) if name in "abc"] == ["a", "b", "c"]
    assert all("kind" not in item and "apiVersion" not in item for item in maps["items"])
    assert (routes["kind"], routes["apiVersion"]) == ("VirtualServiceList", "networking.istio.io/v1")
    assert names(routes) == ["a", "b", "c"]
    assert {item["kind"] for item in routes["items"]} == {"VirtualService"}
    assert maps["metadata"]["resourceVersion"].isdigit()


def test_pages_show_one_moment(api: Api) -> None:
    fill(api)
    first = api.admin.list("ConfigMap", labelSelector="set=c", limit="3").body
    assert names(first) == ["c0", "c1", "c2"]
    assert "remainingItemCount" not in first["metadata"], "not with a selector"
    api.admin.delete("ConfigMap", "c4")
    api.admin.create(config_map("c31", labels={"set": "c"}))
    query = {"labelSelector": "set=c", "limit": "3"}
    second = api.admin.list("ConfigMap", **query, continue_=first["metadata"]["continue"]).body
    assert names(second) == ["c3", "c4", "c5"], "as it was at the first page"
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    third = api.admin.list("ConfigMap", **query, continue_=second["metadata"]["continue"]).body
    assert names(third) == ["c6"]
    assert "continue" not in third["metadata"]


def test_a_continue_token_must_be_the_servers(api: Api) -> None:
    answer = api.admin.list("ConfigMap", limit="3", continue_="abc")
    assert answer.refusal == (400, "BadRequest")
    assert answer.message.startswith("invalid continue token: continue key is not valid")
    assert api.admin.list("ConfigMap", limit="x").refusal == (400, "BadRequest")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("set=c,n in (1,2)", ["c1", "c2"]),
        ("set,n notin (1,2,3,4,5)", ["c0", "c6"]),
        ("set==c,n!=0,n!=1,n!=2,n!=3", ["c4", "c5", "c6"]),
        ("set=c,!other,n>4", ["c5", "c6"]),
        ("set=c,n<1", ["c0"]),
        ("set=d", []),
    ],
)
def test_label_selectors(api: Api, selector: str, expected: list[str]) -> None:
    fill(api)
    assert names(api.admin.list("ConfigMap", labelSelector=selector).body) == expected


def test_field_selectors(api: Api) -> None:
    fill(api, 2)
    assert names(api.admin.list("ConfigMap", fieldSelector="metadata.name=c1").body) == ["c1"]
    answer = api.admin.list("ConfigMap", fieldSelector="data.a=1")
    assert answer.refusal == (400, "BadRequest")
    assert answer.message == '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"'
    events = api.admin.list("Event", fieldSelector="involvedObject.name=shop,involvedObject.kind=VirtualService")
    assert events.body["items"] == []
    assert api.admin.list("Event", fieldSelector="a.b=1").message == "field label not supported: a.b"


@pytest.mark.parametrize("selector", ["a==b==c", "a b", "a=b/c", "a in b"])
def test_a_selector_that_cannot_be_read(api: Api, selector: str) -> None:
    assert api.admin.list("ConfigMap", labelSelector=selector).refusal == (400, "BadRequest")


def test_a_list_over_all_namespaces(api: Api) -> None:
    api.admin.create(config_map("everywhere", labels={"of": api.namespace}))
    path = api.admin.path("ConfigMap", namespace="")
    found = api.admin.send("GET", path, labelSelector=f"of={api.namespace}").body
    assert [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in found["items"]] == [
        (api.namespace, "everywhere")
    ]


def test_a_list_in_a_namespace_that_does_not_exist_is_empty(api: Api) -> None:
    assert api.admin.send("GET", api.admin.path("ConfigMap", namespace="nowhere")).body["items"] == []


def test_what_is_missing(api: Api) -> None:
    answer = api.admin.get("VirtualService", "none")
    assert answer.refusal == (404, "NotFound")
    assert answer.message == 'virtualservices.networking.istio.io "none" not found'
    assert answer.body["details"] == {"name": "none", "group": "networking.istio.io", "kind": "virtualservices"}


def test_kinds_that_the_server_does_not_have(api: Api) -> None:
    core = api.admin.send("GET", f"/api/v1/namespaces/{api.namespace}/nothings")
    assert core.refusal == (404, "NotFound")
    assert core.message == "the server could not find the requested resource"
    for place in ("none.example/v1", "networking.istio.io/v1", "networking.istio.io/v9"):
        # no Status: a client that asks for objects of a CRD that is not installed gets text
        answer = api.admin.send("GET", f"/apis/{place}/namespaces/{api.namespace}/nothings")
        assert (answer.status, answer.body) == (404, "404 page not found\n")


def test_methods_that_a_path_does_not_have(api: Api) -> None:
    cases = [
        ("PATCH", api.admin.path("ConfigMap")),
        ("PUT", api.admin.path("ConfigMap")),
        ("POST", api.admin.path("ConfigMap", "a")),
        ("POST", api.admin.path("ConfigMap", namespace="")),
        ("GET", api.admin.path("SelfSubjectAccessReview")),
    ]
    for method, path in cases:
        answer = api.admin.send(method, path, {})
        assert answer.refusal == (405, "MethodNotAllowed"), (method, path)
        assert answer.message == "the server does not allow this method on the requested resource"


def test_old_versions_of_a_kind_are_served(api: Api) -> None:
    api.admin.create(route())
    for version in ("v1beta1", "v1alpha3"):
        path = f"/apis/networking.istio.io/{version}/namespaces/{api.namespace}/virtualservices/shop"
        found = api.admin.send("GET", path).body
        assert found["apiVersion"] == f"networking.istio.io/{version}"
        assert found["spec"] == route()["spec"]


def test_a_watch_tells_what_comes_and_resumes_where_it_was_left(api: Api) -> None:
    first = api.admin.create(config_map("a", labels={"w": "1"})).body
    start = api.admin.list("ConfigMap", labelSelector="w").body["metadata"]["resourceVersion"]
    with api.admin.watch("ConfigMap", labelSelector="w", resourceVersion=start) as events:
        api.admin.create(config_map("b", labels={"w": "1"}))
        added = next(events)
        assert (added["type"], added["object"]["metadata"]["name"], added["object"]["kind"]) == (
            "ADDED",
            "b",
            "ConfigMap",
        )
    api.admin.patch("ConfigMap", "a", [{"op": "add", "path": "/data/b", "value": "2"}])
    api.admin.patch("ConfigMap", "b", [{"op": "remove", "path": "/metadata/labels/w"}])
    api.admin.delete("ConfigMap", "a")
    version = added["object"]["metadata"]["resourceVersion"]
    with api.admin.watch("ConfigMap", labelSelector="w", resourceVersion=version) as events:
        told = [next(events) for _ in range(3)]
    seen = [(event["type"], event["object"]["metadata"]["name"]) for event in told]
    assert seen == [("MODIFIED", "a"), ("DELETED", "b"), ("DELETED", "a")], "what leaves the selector is deleted"
    assert told[2]["object"]["metadata"]["uid"] == first["metadata"]["uid"]
    assert int(told[2]["object"]["metadata"]["resourceVersion"]) > int(told[0]["object"]["metadata"]["resourceVersion"])


def test_a_watch_without_a_version_begins_with_what_is_there(api: Api) -> None:
    api.admin.create(config_map("a", labels={"w": "1"}))
    with api.admin.watch("ConfigMap", labelSelector="w") as events:
        event = next(events)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")


def test_a_bookmark_ends_the_first_events_where_it_is_asked_for(api: Api) -> None:
    api.admin.create(config_map("a", labels={"w": "1"}))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    with api.admin.watch("ConfigMap", labelSelector="w", **query) as events:
        assert next(events)["type"] == "ADDED"
        mark = next(events)
        assert mark["type"] == "BOOKMARK"
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        version = mark["object"]["metadata"]["resourceVersion"]
    api.admin.delete("ConfigMap", "a")
    with api.admin.watch("ConfigMap", labelSelector="w", resourceVersion=version) as events:
        assert next(events)["type"] == "DELETED"


def test_a_watch_from_too_long_ago_is_expired(api: Api) -> None:
    with api.admin.watch("ConfigMap", resourceVersion=api.old_version()) as events:
        [event] = events
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: 1 (")
