"""What the ports Cluster, PodProxy and Access promise, on the fake and on the real client alike."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.errors import AccessDeniedError, ConflictError, ObjectMissingError, TransientError, UsageError
from gitlab_mesh.ports import AccessRule, Object

from .conftest import World


def config_map(name: str = "a", **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "data": data,
    }


def virtual_service() -> Object:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"hosts": ["shop"], "http": [{"route": [{"destination": {"host": "shop"}, "weight": 100}]}]},
    }


def test_create_get_delete(world: World) -> None:
    cluster = world.admin.cluster
    made = cluster.create(config_map(x="1"))
    assert made["metadata"]["uid"]
    found = cluster.get("ConfigMap", "shop", "a")
    assert (found["kind"], found["apiVersion"], found["data"]) == ("ConfigMap", "v1", {"x": "1"})
    assert found["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    cluster.delete("ConfigMap", "shop", "a")
    with pytest.raises(ObjectMissingError, match="ConfigMap shop/a"):
        cluster.get("ConfigMap", "shop", "a")
    cluster.delete("ConfigMap", "shop", "a")


def test_what_exists_is_a_conflict(world: World) -> None:
    world.admin.cluster.create(config_map())
    with pytest.raises(ConflictError, match="already exists"):
        world.admin.cluster.create(config_map())


def test_list_by_label_in_one_and_in_all_namespaces(world: World) -> None:
    cluster = world.admin.cluster
    cluster.create(config_map("a"))
    cluster.create(config_map("b"))
    elsewhere = config_map("a")
    elsewhere["metadata"]["namespace"] = "other"
    cluster.create(elsewhere)
    assert [found["metadata"]["name"] for found in cluster.list("ConfigMap", "shop")] == ["a", "b"]
    labelled = cluster.list("ConfigMap", "", label_selector="app in (a),app!=b")
    assert sorted(found["metadata"]["namespace"] for found in labelled) == ["other", "shop"]
    assert {(found["kind"], found["apiVersion"]) for found in labelled} == {("ConfigMap", "v1")}
    assert cluster.list("ConfigMap", "shop", label_selector="app=c") == []


def test_many_objects_are_listed_whole(world: World) -> None:
    for number in range(620):
        world.foreign.create(config_map(f"c{number:04}"))
    assert len(world.admin.cluster.list("ConfigMap", "shop")) == 620


def test_update_is_conditional(world: World) -> None:
    cluster = world.admin.cluster
    first = cluster.create(config_map(x="1"))
    second = cluster.update({**first, "data": {"x": "2"}})
    assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    with pytest.raises(ConflictError, match="nothing was written"):
        cluster.update({**first, "data": {"x": "3"}})
    assert cluster.get("ConfigMap", "shop", "a")["data"] == {"x": "2"}


def test_patch_is_all_or_nothing(world: World) -> None:
    cluster = world.admin.cluster
    cluster.create(virtual_service())
    weight = "/spec/http/0/route/0/weight"
    patched = cluster.patch(
        "VirtualService",
        "shop",
        "shop",
        [{"op": "test", "path": weight, "value": 100}, {"op": "replace", "path": weight, "value": 90}],
    )
    assert patched["spec"]["http"][0]["route"][0]["weight"] == 90
    refused: list[list[dict[str, Any]]] = [
        [{"op": "replace", "path": weight, "value": 1}, {"op": "test", "path": weight, "value": 100}],
        [{"op": "replace", "path": "/spec/http/7/route/0/weight", "value": 1}],
        [{"op": "remove", "path": "/metadata/annotations/gone"}],
    ]
    for operations in refused:
        with pytest.raises(ConflictError, match="VirtualService shop/shop"):
            cluster.patch("VirtualService", "shop", "shop", operations)
    assert cluster.get("VirtualService", "shop", "shop") == patched


def test_writes_carry_our_field_manager(world: World) -> None:
    world.foreign.create(virtual_service())
    world.admin.cluster.patch(
        "VirtualService",
        "shop",
        "shop",
        [{"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 90}],
    )
    found = world.admin.cluster.get("VirtualService", "shop", "shop")
    assert {entry["manager"] for entry in found["metadata"]["managedFields"]} == {"gitlab-mesh", "kubectl-edit"}


def test_dry_run_changes_nothing(world: World) -> None:
    cluster = world.admin.cluster
    cluster.create(config_map("b"), dry_run=True)
    with pytest.raises(ObjectMissingError):
        cluster.get("ConfigMap", "shop", "b")
    before = cluster.create(config_map(x="1"))
    shown = cluster.patch("ConfigMap", "shop", "a", [{"op": "add", "path": "/data/x", "value": "2"}], dry_run=True)
    assert shown["data"] == {"x": "2"}
    assert cluster.get("ConfigMap", "shop", "a") == before


def test_delete_of_a_successor_is_refused(world: World) -> None:
    cluster = world.admin.cluster
    first = cluster.create(config_map())
    cluster.delete("ConfigMap", "shop", "a", uid=first["metadata"]["uid"])
    cluster.create(config_map())
    with pytest.raises(ConflictError):
        cluster.delete("ConfigMap", "shop", "a", uid=first["metadata"]["uid"])
    assert cluster.get("ConfigMap", "shop", "a")


def test_missing_objects(world: World) -> None:
    cluster = world.admin.cluster
    with pytest.raises(ObjectMissingError):
        cluster.patch("Deployment", "shop", "none", [{"op": "add", "path": "/spec/replicas", "value": 0}])
    with pytest.raises(ObjectMissingError):
        cluster.update(config_map("none"))
    with pytest.raises(ObjectMissingError):
        cluster.create({**config_map(), "metadata": {"name": "a", "namespace": "nowhere"}})


def test_what_the_server_finds_invalid_is_a_usage_error(world: World) -> None:
    with pytest.raises(UsageError):
        world.admin.cluster.create(config_map("Not_A_Name"))


def test_unknown_kinds_are_ours_to_refuse(world: World) -> None:
    with pytest.raises(UsageError, match="kind Wizard is not known"):
        world.admin.cluster.list("Wizard", "shop")


def test_a_right_that_is_missing_is_named(world: World) -> None:
    world.admin.cluster.create(config_map())
    assert world.reader.cluster.get("ConfigMap", "shop", "a")
    with pytest.raises(AccessDeniedError, match=r"no right to patch configmaps(.|\n)*namespace shop"):
        world.reader.cluster.patch("ConfigMap", "shop", "a", [{"op": "add", "path": "/data", "value": {}}])
    with pytest.raises(AccessDeniedError, match=r"no right to delete virtualservices of API group networking\.istio"):
        world.reader.cluster.delete("VirtualService", "shop", "shop")


# Access


def test_denied(world: World) -> None:
    rules = [
        AccessRule("get", "", "configmaps", "shop"),
        AccessRule("patch", "", "configmaps", "shop"),
        AccessRule("get", "", "configmaps", "other"),
        AccessRule("get", "networking.istio.io", "virtualservices", "shop", "shop"),
        AccessRule("get", "", "pods/proxy", "shop", "shop-1"),
        AccessRule("get", "", "pods/proxy", "shop"),
        AccessRule("get", "", "pods", "shop"),
    ]
    assert world.admin.access.denied(rules) == []
    assert world.reader.access.denied(iter(rules)) == [rules[1], rules[2], rules[5], rules[6]]


# PodProxy


def test_pod_proxy(world: World) -> None:
    metrics, health = b"istio_requests_total 1\n", b"warming up"
    pages = {"/stats/prometheus?usedonly=1": (200, metrics), "/health": (503, health)}
    port = world.serve("shop-1", pages)
    proxy = world.admin.proxy
    answer = proxy.get_path("shop", "shop-1", port, "/stats/prometheus?usedonly=1", timeout=5)
    assert (answer.status, answer.body) == (200, metrics)
    own = proxy.get_path("shop", "shop-1", port, "health", timeout=5)
    assert (own.status, own.body) == (503, health)
    assert proxy.get_path("shop", "shop-1", port, "/none", timeout=5).status == 404


def test_pod_that_does_not_answer(world: World) -> None:
    port = world.serve("shop-1", None)
    with pytest.raises(TransientError, match="shop-1"):
        world.admin.proxy.get_path("shop", "shop-1", port, "/", timeout=5)


def test_pod_that_does_not_exist(world: World) -> None:
    with pytest.raises(ObjectMissingError, match="shop-9"):
        world.admin.proxy.get_path("shop", "shop-9", 8080, "/", timeout=5)


def test_pod_proxy_without_right(world: World) -> None:
    port = world.serve("shop-2", {})
    with pytest.raises(AccessDeniedError, match="pods/proxy"):
        world.reader.proxy.get_path("shop", "shop-2", port, "/", timeout=5)


def test_log_of_a_pod_that_does_not_exist(world: World) -> None:
    with pytest.raises(ObjectMissingError, match="shop-9"):
        world.admin.proxy.get_log("shop", "shop-9", "app", lines=5, timeout=5)


def test_log_without_right(world: World) -> None:
    world.serve("shop-2", {})
    with pytest.raises(AccessDeniedError, match="pods/log"):
        world.reader.proxy.get_log("shop", "shop-2", "app", lines=5, timeout=5)
