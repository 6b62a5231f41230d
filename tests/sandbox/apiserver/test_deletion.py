"""Deletion: preconditions, finalizers, grace, and what was owned."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.errors import AccessDeniedError, ConflictError, ObjectMissingError
from gitlab_mesh.testing.cluster import MemoryCluster
from tests.sandbox.apiserver.objects import config_map, pod


def owned(name: str, *owners: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    body = config_map(name)
    body["metadata"].update(metadata)
    body["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        for owner in owners
    ]
    return body


def names(cluster: MemoryCluster) -> list[str]:
    return [body["metadata"]["name"] for body in cluster.list("ConfigMap", "shop")]


def test_a_missing_object_is_fine_and_a_wrong_uid_is_not(cluster: MemoryCluster) -> None:
    cluster.delete("ConfigMap", "shop", "nothing")
    cluster.create(config_map("a"))
    with pytest.raises(ConflictError, match="does not match the UID in record"):
        cluster.delete("ConfigMap", "shop", "a", uid="another")
    uid = cluster.get("ConfigMap", "shop", "a")["metadata"]["uid"]
    cluster.delete("ConfigMap", "shop", "a", uid=uid)
    assert names(cluster) == []


def test_children_go_with_their_last_owner(cluster: MemoryCluster) -> None:
    first, second = cluster.create(config_map("first")), cluster.create(config_map("second"))
    child = cluster.create(owned("child", first))
    cluster.create(owned("grandchild", child))
    cluster.create(owned("shared", first, second))
    cluster.delete("ConfigMap", "shop", "first")
    assert names(cluster) == ["second", "shared"]
    left = cluster.get("ConfigMap", "shop", "shared")["metadata"]["ownerReferences"]
    assert [owner["name"] for owner in left] == ["second"]
    cluster.delete("ConfigMap", "shop", "second")
    assert names(cluster) == []


def test_orphans_stay(cluster: MemoryCluster) -> None:
    owner = cluster.create(config_map("owner"))
    cluster.create(owned("child", owner))
    cluster.delete("ConfigMap", "shop", "owner", policy="Orphan")
    assert names(cluster) == ["child"]
    assert "ownerReferences" not in cluster.get("ConfigMap", "shop", "child")["metadata"]


def test_in_the_foreground_the_owner_waits_for_its_children(cluster: MemoryCluster) -> None:
    owner = cluster.create(config_map("owner"))
    cluster.create(owned("child", owner, finalizers=["example.com/hold"]))
    cluster.delete("ConfigMap", "shop", "owner", policy="Foreground")
    waiting = cluster.get("ConfigMap", "shop", "owner")["metadata"]
    assert waiting["finalizers"] == ["foregroundDeletion"]
    assert "deletionTimestamp" in waiting
    cluster.patch("ConfigMap", "shop", "child", [{"op": "remove", "path": "/metadata/finalizers"}])
    assert names(cluster) == []


def test_finalizers_hold_an_object_until_they_are_gone(cluster: MemoryCluster) -> None:
    body = config_map("a")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    created = cluster.create(body)
    cluster.delete("ConfigMap", "shop", "a")
    marked = cluster.get("ConfigMap", "shop", "a")
    assert "deletionTimestamp" in marked["metadata"]
    cluster.delete("ConfigMap", "shop", "a")
    assert cluster.get("ConfigMap", "shop", "a") == marked
    marked["metadata"]["finalizers"] = []
    gone = cluster.update(marked)
    assert int(gone["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])
    with pytest.raises(ObjectMissingError):
        cluster.get("ConfigMap", "shop", "a")


def test_a_pod_gets_its_grace_only_if_something_runs_it(cluster: MemoryCluster) -> None:
    cluster.create(pod("idle"))
    cluster.create(pod("running"))
    cluster.server.set_pod_grace(lambda body: body["metadata"]["name"] == "running")
    cluster.delete("Pod", "shop", "idle")
    cluster.delete("Pod", "shop", "running")
    [left] = cluster.list("Pod", "shop")
    assert left["metadata"]["name"] == "running"
    assert left["metadata"]["deletionGracePeriodSeconds"] == 30
    assert left["metadata"]["deletionTimestamp"] > left["metadata"]["creationTimestamp"]
    cluster.delete("Pod", "shop", "running", grace_seconds=0)
    assert cluster.list("Pod", "shop") == []


def test_a_namespace_takes_its_objects_along(cluster: MemoryCluster) -> None:
    cluster.create(config_map("a"))
    cluster.create(pod("b"))
    cluster.delete("Namespace", "", "shop")
    assert cluster.list("ConfigMap", "") == []
    assert cluster.list("Pod", "") == []
    with pytest.raises(AccessDeniedError, match="may not be deleted"):
        cluster.delete("Namespace", "", "default")
