"""Merge, JSON and strategic merge patches as values, and that a JSON Patch is all or nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.errors import ConflictError, GitlabMeshError
from gitlab_mesh.sandbox.apiserver.patches import json_patch, merge_patch, strategic_merge_patch
from gitlab_mesh.sandbox.apiserver.resources import resource_of_kind
from gitlab_mesh.sandbox.apiserver.status import StatusError
from gitlab_mesh.testing.cluster import MemoryCluster
from tests.sandbox.apiserver.objects import config_map

DEPLOYMENT = resource_of_kind("Deployment")
SERVICE = resource_of_kind("Service")


@pytest.mark.parametrize(
    ("live", "patch", "expected"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(live: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy((live, patch))
    assert merge_patch(live, patch) == expected
    assert (live, patch) == before


def pod_spec(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": list(containers), **more}}}}


APP = {"name": "app", "image": "app:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
SIDE = {"name": "side", "image": "side:1", "args": ["a", "b"]}


@pytest.mark.parametrize(
    ("live", "patch", "expected"),
    [
        (
            pod_spec(APP, SIDE),
            pod_spec({"name": "app", "env": [{"name": "B", "value": "3"}]}),
            pod_spec({**APP, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]}, SIDE),
        ),
        (pod_spec(APP), pod_spec(SIDE), pod_spec(APP, SIDE)),
        (pod_spec(APP, SIDE), pod_spec({"name": "app", "$patch": "delete"}), pod_spec(SIDE)),
        (
            pod_spec(APP, SIDE),
            pod_spec({"$patch": "replace"}, {"name": "x", "image": "x"}),
            pod_spec({"name": "x", "image": "x"}),
        ),
        (pod_spec(SIDE), pod_spec({"name": "side", "args": ["c"]}), pod_spec({**SIDE, "args": ["c"]})),
        (pod_spec(SIDE), pod_spec({"name": "side", "args": None}), pod_spec({"name": "side", "image": "side:1"})),
        (
            pod_spec(tolerations=[{"key": "a"}]),
            {"spec": {"template": {"spec": {"tolerations": [{"key": "b"}]}}}},
            pod_spec(tolerations=[{"key": "b"}]),
        ),
        (
            pod_spec(APP, SIDE),
            {"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "side"}, {"name": "app"}]}}}},
            pod_spec(SIDE, APP),
        ),
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}},
            {"metadata": {"finalizers": ["b", "c"]}},
        ),
        (
            {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}},
            {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
            {"spec": {"strategy": {"type": "Recreate"}}},
        ),
        (
            {"metadata": {"labels": {"a": "1", "b": "2"}}},
            {"metadata": {"labels": {"$patch": "replace", "c": "3"}}},
            {"metadata": {"labels": {"c": "3"}}},
        ),
        ({"metadata": {"labels": {"a": "1"}}}, {"metadata": {"labels": {"$patch": "delete"}}}, {"metadata": {}}),
    ],
)
def test_strategic_merge_patch(live: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy((live, patch))
    assert strategic_merge_patch(DEPLOYMENT, live, patch) == expected
    assert (live, patch) == before


def test_ports_of_a_service_are_merged_by_port() -> None:
    live = {"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 90, "name": "other"}]}}
    patch = {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}
    merged = strategic_merge_patch(SERVICE, live, patch)
    assert merged["spec"]["ports"] == [{"port": 80, "name": "http", "targetPort": 8080}, {"port": 90, "name": "other"}]


def test_an_item_without_its_merge_key_is_refused() -> None:
    with pytest.raises(StatusError, match="does not contain declared merge key: name"):
        strategic_merge_patch(DEPLOYMENT, pod_spec(APP), pod_spec({"image": "x"}))


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ([{"op": "test", "path": "/data/a", "value": "2"}], 422),
        ([{"op": "replace", "path": "/nowhere/at", "value": "2"}], 422),
        ([{"op": "replace", "path": "data", "value": "2"}], 422),
        ([{"op": "test", "path": "/data", "value": {"a": 1}}], 422),
        ([{"op": "test", "path": ""}], 422),
        ([{"op": "replace", "path": "", "value": "x"}], 422),
        ([{"op": "add", "value": "x"}], 422),
        ([{"op": "remove", "path": "/nowhere/at/all"}], 422),
        ([{"op": "add", "path": "/data/a/b", "value": "2"}], 422),
        ({"op": "test"}, 400),
        (["x"], 400),
        ([{"op": "invented", "path": "/data/a"}], 422),
    ],
)
def test_a_json_patch_that_does_not_apply_is_refused(operations: Any, code: int) -> None:
    with pytest.raises(StatusError) as caught:
        json_patch({"data": {"a": "1"}}, operations)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "replace", "path": "/data/new", "value": "2"}, {"a": [1, 2], "new": "2"}),
        ({"op": "add", "path": "/data/new"}, {"a": [1, 2], "new": None}),
        ({"op": "copy", "path": "/data/b", "from": "/data/missing"}, {"a": [1, 2], "b": None}),
        ({"op": "replace", "path": "/data/a/-1", "value": 3}, {"a": [1, 3]}),
        ({"op": "add", "path": "/data/a/-", "value": 3}, {"a": [1, 2, 3]}),
        ({"op": "remove", "path": "/data/a/-2"}, {"a": [2]}),
        ({"op": "move", "path": "/data/b", "from": "/data/a"}, {"b": [1, 2]}),
        ({"op": "replace", "path": "", "value": {"data": {}}}, {}),
    ],
)
def test_where_the_servers_library_departs_from_the_rfc(operation: dict[str, Any], expected: Any) -> None:
    assert json_patch({"data": {"a": [1, 2]}}, [operation])["data"] == expected


@pytest.mark.parametrize(
    ("path", "holds"),
    [
        ("/metadata/annotations/gone", True),
        ("/metadata/annotations/x~1y", True),
        ("/metadata/annotations/a", False),
        ("/metadata/annotations/a~1b", False),
        ("/metadata/labels/a", False),
    ],
)
def test_a_test_for_null_holds_where_the_member_is_missing(path: str, holds: bool) -> None:
    live = {"metadata": {"annotations": {"a": "1", "a/b": "2"}}}
    operations = [{"op": "test", "path": path, "value": None}, {"op": "add", "path": "/data", "value": {}}]
    if holds:
        assert json_patch(live, operations) == {**live, "data": {}}
        return
    with pytest.raises(StatusError) as caught:
        json_patch(live, operations)
    assert caught.value.code == 422


paths = st.sampled_from(["/data/a", "/data/b", "/data/c", "/metadata/labels", "/metadata/labels/x", "/data/d/e"])
operations = st.one_of(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "replace", "test"]), "path": paths, "value": st.sampled_from(["1", "2"])}
    ),
    st.fixed_dictionaries({"op": st.just("remove"), "path": paths}),
    st.fixed_dictionaries({"op": st.sampled_from(["move", "copy"]), "path": paths, "from": paths}),
)


@given(st.lists(operations, max_size=6))
def test_a_json_patch_is_all_or_nothing(patch: list[dict[str, Any]]) -> None:
    cluster = MemoryCluster(namespaces=["shop"])
    before = cluster.create(config_map(a="1", b="2"))
    try:
        after = cluster.patch("ConfigMap", "shop", "settings", patch)
    except GitlabMeshError:
        assert cluster.get("ConfigMap", "shop", "settings") == before
        return
    assert cluster.get("ConfigMap", "shop", "settings") == after
    one_by_one: Any = {key: value for key, value in before.items() if key != "metadata"}
    one_by_one["metadata"] = {"labels": before["metadata"].get("labels")} if "labels" in before["metadata"] else {}
    for operation in patch:
        one_by_one = json_patch(one_by_one, [operation])
    # null in a map of texts is the empty text
    assert after.get("data") == {key: value or "" for key, value in one_by_one["data"].items()}
    assert after["metadata"].get("labels") == (one_by_one["metadata"].get("labels") or None)


def test_a_failed_test_leaves_the_earlier_operations_undone() -> None:
    cluster = MemoryCluster(namespaces=["shop"])
    before = cluster.create(config_map(a="1"))
    with pytest.raises(ConflictError):
        cluster.patch(
            "ConfigMap",
            "shop",
            "settings",
            [{"op": "replace", "path": "/data/a", "value": "2"}, {"op": "test", "path": "/data/a", "value": "1"}],
        )
    assert cluster.get("ConfigMap", "shop", "settings") == before
