"""managedFields and server-side apply: who owns which field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gitlab_mesh.errors import ConflictError
from gitlab_mesh.sandbox.apiserver.ownership import decode_fields, encode_fields
from gitlab_mesh.testing.cluster import MemoryCluster
from tests.sandbox.apiserver.objects import config_map, deployment, route


def fields_of(body: dict[str, Any], manager: str, operation: str = "Update") -> dict[str, Any]:
    """FieldsV1 of a manager, {} if it owns nothing."""
    return next(
        (
            entry["fieldsV1"]
            for entry in body["metadata"]["managedFields"]
            if (entry["manager"], entry["operation"]) == (manager, operation) and "subresource" not in entry
        ),
        {},
    )


def test_whoever_writes_a_weight_owns_all_of_http(cluster: MemoryCluster) -> None:
    created = cluster.as_actor("helm").create(route())
    assert fields_of(created, "helm") == {"f:spec": {".": {}, "f:hosts": {}, "f:http": {}}}
    patched = cluster.as_actor("kubectl-edit").patch(
        "VirtualService", "shop", "shop", [{"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 99}]
    )
    assert fields_of(patched, "helm") == {"f:spec": {".": {}, "f:hosts": {}}}
    assert fields_of(patched, "kubectl-edit") == {"f:spec": {"f:http": {}}}
    entry = patched["metadata"]["managedFields"][-1]
    assert (entry["manager"], entry["apiVersion"]) == ("kubectl-edit", "networking.istio.io/v1")
    assert entry["fieldsType"] == "FieldsV1"


def test_the_time_of_a_manager_moves_only_with_its_own_writes() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    cluster = MemoryCluster(now=lambda: now, namespaces=["shop"])
    cluster.as_actor("helm").create(route())
    now += timedelta(seconds=10)
    weight = [{"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 99}]
    patched = cluster.patch("VirtualService", "shop", "shop", weight)
    times = {entry["manager"]: entry["time"] for entry in patched["metadata"]["managedFields"]}
    assert times == {"helm": "2026-01-02T03:04:05Z", "gitlab-mesh": "2026-01-02T03:04:15Z"}
    now += timedelta(seconds=10)
    same = cluster.patch("VirtualService", "shop", "shop", weight)
    assert same == patched, "a write that changes nothing leaves no trace"


def test_labels_and_keyed_lists_are_owned_one_by_one(cluster: MemoryCluster) -> None:
    cluster.as_actor("helm").create(deployment())
    other = cluster.as_actor("team")
    patched = other.patch(
        "Deployment", "shop", "shop-v1", [{"op": "add", "path": "/metadata/labels", "value": {"a": "1"}}]
    )
    assert fields_of(patched, "team") == {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}
    image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "x:2"}]
    patched = other.patch("Deployment", "shop", "shop-v1", image)
    container = fields_of(patched, "team")["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert container == {'k:{"name":"app"}': {"f:image": {}}}
    helm = fields_of(patched, "helm")["f:spec"]
    assert "f:image" not in helm["f:template"]["f:spec"]["f:containers"]['k:{"name":"app"}']
    assert helm["f:selector"] == {}


def test_status_writes_are_a_manager_of_their_own(cluster: MemoryCluster) -> None:
    created = cluster.create(deployment())
    status = {"observedGeneration": 1, "conditions": [{"type": "Available", "status": "True"}]}
    written = cluster.update_status({**created, "status": status})
    entry = next(entry for entry in written["metadata"]["managedFields"] if entry.get("subresource") == "status")
    conditions = entry["fieldsV1"]["f:status"]["f:conditions"]
    assert conditions['k:{"type":"Available"}'] == {".": {}, "f:status": {}, "f:type": {}}


def test_fields_survive_their_encoding() -> None:
    fields = frozenset({("f:a",), ("f:a", "f:b"), ("f:c", 'k:{"name":"x"}', "f:d"), ("f:e", 'v:"f"')})
    encoded = encode_fields(fields)
    assert encoded == {
        "f:a": {".": {}, "f:b": {}},
        "f:c": {'k:{"name":"x"}': {"f:d": {}}},
        "f:e": {'v:"f"': {}},
    }
    assert decode_fields(encoded) == fields


def test_apply_creates_owns_and_removes_what_is_wanted_no_more(cluster: MemoryCluster) -> None:
    created = cluster.apply(config_map(a="1", b="2"))
    assert fields_of(created, "gitlab-mesh", "Apply") == {"f:data": {"f:a": {}, "f:b": {}}}
    cluster.as_actor("other").patch("ConfigMap", "shop", "settings", [{"op": "add", "path": "/data/c", "value": "3"}])
    applied = cluster.apply(config_map(a="1"))
    assert applied["data"] == {"a": "1", "c": "3"}
    again = cluster.apply(config_map(a="1"))
    assert again["metadata"]["resourceVersion"] == applied["metadata"]["resourceVersion"]


def test_apply_names_the_owner_of_a_field_and_takes_it_only_by_force(cluster: MemoryCluster) -> None:
    cluster.as_actor("helm").apply(route())
    with pytest.raises(ConflictError, match=r'conflict with "helm": \.spec\.http'):
        cluster.apply(route(canary=10))
    taken = cluster.apply(route(canary=10), force=True)
    assert taken["spec"]["http"][0]["route"][1]["weight"] == 10
    assert fields_of(taken, "helm", "Apply") == {"f:spec": {"f:hosts": {}}}
    assert fields_of(taken, "gitlab-mesh", "Apply") == {"f:spec": {"f:hosts": {}, "f:http": {}}}


def test_two_appliers_of_the_same_value_share_it(cluster: MemoryCluster) -> None:
    cluster.as_actor("one").apply(config_map(a="1", b="2"))
    cluster.as_actor("two").apply(config_map(a="1"))
    after = cluster.as_actor("one").apply(config_map(b="2"))
    assert after["data"] == {"a": "1", "b": "2"}, "the other still wants a"


def test_apply_merges_containers_and_env_by_name(cluster: MemoryCluster) -> None:
    cluster.as_actor("helm").apply(deployment())
    mine: dict[str, Any] = deployment()
    del mine["spec"]["replicas"]
    mine["spec"]["template"]["spec"]["containers"] = [{"name": "app", "env": [{"name": "A", "value": "1"}]}]
    applied = cluster.apply(mine)
    container = applied["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example/shop:1.4.0"
    assert container["env"] == [{"name": "A", "value": "1"}]
    mine["spec"]["template"]["spec"]["containers"] = [{"name": "app"}]
    applied = cluster.apply(mine)
    assert "env" not in applied["spec"]["template"]["spec"]["containers"][0]


def test_managed_fields_can_be_reset(cluster: MemoryCluster) -> None:
    cluster.as_actor("helm").create(route())
    body = cluster.get("VirtualService", "shop", "shop")
    body["metadata"]["managedFields"] = [{}]
    body["metadata"]["labels"] = {"a": "1"}
    written = cluster.update(body)
    assert [entry["manager"] for entry in written["metadata"]["managedFields"]] == ["gitlab-mesh"]
