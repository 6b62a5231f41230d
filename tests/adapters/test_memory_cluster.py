"""The cluster in memory: the ports, faults around every call, several actors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gitlab_mesh.errors import ConflictError, ObjectMissingError, TransientError, UsageError
from gitlab_mesh.ports import Access, AccessRule, Cluster, PodProxy
from gitlab_mesh.sandbox.apiserver.access import User
from gitlab_mesh.testing.cluster import Call, MemoryCluster

MAP: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings", "namespace": "shop"},
    "data": {"a": "1"},
}


class Script:
    """A fault that does what it is told at the n-th call (from 1), and remembers all calls."""

    def __init__(self, *, before: dict[int, Any] | None = None, after: dict[int, Any] | None = None) -> None:
        self.calls: list[Call] = []
        self._before = before or {}
        self._after = after or {}

    def before(self, call: Call) -> None:
        self.calls.append(call)
        self._do(self._before.get(len(self.calls)))

    def after(self, call: Call) -> None:
        self._do(self._after.get(len(self.calls)))

    def _do(self, what: Any) -> None:
        if isinstance(what, Exception):
            raise what
        if what is not None:
            what()


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(namespaces=["shop"])


def test_it_is_all_three_ports(cluster: MemoryCluster) -> None:
    as_cluster: Cluster = cluster
    as_proxy: PodProxy = cluster
    as_access: Access = cluster
    assert as_cluster is as_proxy is as_access


def test_objects_are_the_callers_own(cluster: MemoryCluster) -> None:
    created = cluster.create(MAP)
    created["data"]["a"] = "changed by the caller"
    listed = cluster.list("ConfigMap", "shop")[0]
    assert listed["data"] == {"a": "1"}
    assert (listed["apiVersion"], listed["kind"]) == ("v1", "ConfigMap")
    listed["data"].clear()
    assert cluster.get("ConfigMap", "shop", "settings")["data"] == {"a": "1"}


def test_errors_are_those_of_the_port(cluster: MemoryCluster) -> None:
    cluster.create(MAP)
    with pytest.raises(ConflictError, match="already exists"):
        cluster.create(MAP)
    with pytest.raises(ObjectMissingError):
        cluster.get("ConfigMap", "shop", "other")
    with pytest.raises(ConflictError, match="does not fit the live object"):
        cluster.patch("ConfigMap", "shop", "settings", [{"op": "test", "path": "/data/a", "value": "2"}])
    with pytest.raises(UsageError, match="cannot unmarshal"):
        cluster.merge_patch("ConfigMap", "shop", "settings", {"data": {"a": 2}})
    with pytest.raises(UsageError, match="kind Nothing is not known"):
        cluster.get("Nothing", "shop", "x")
    cluster.delete("ConfigMap", "shop", "other")
    with pytest.raises(ConflictError):
        cluster.delete("ConfigMap", "shop", "settings", uid="another")


def test_a_fault_before_a_call_prevents_it(cluster: MemoryCluster) -> None:
    cluster.fault = Script(before={1: TransientError("the network is down")})
    with pytest.raises(TransientError):
        cluster.create(MAP)
    cluster.fault = None
    assert cluster.list("ConfigMap", "shop") == []


def test_a_fault_after_a_call_loses_its_answer_only(cluster: MemoryCluster) -> None:
    cluster.fault = Script(after={1: TransientError("the answer was lost")})
    with pytest.raises(TransientError):
        cluster.create(MAP)
    cluster.fault = None
    assert cluster.get("ConfigMap", "shop", "settings")["data"] == {"a": "1"}


def test_a_foreign_write_between_read_and_write_is_a_conflict(cluster: MemoryCluster) -> None:
    cluster.create(MAP)
    other = cluster.as_actor("kubectl-edit")
    patch = [{"op": "replace", "path": "/data/a", "value": "theirs"}]
    script = Script(before={2: lambda: other.patch("ConfigMap", "shop", "settings", patch)})
    cluster.fault = script
    live = cluster.get("ConfigMap", "shop", "settings")
    with pytest.raises(ConflictError):
        cluster.update({**live, "data": {"a": "ours"}})
    cluster.fault = None
    live = cluster.get("ConfigMap", "shop", "settings")
    assert live["data"] == {"a": "theirs"}
    assert {"gitlab-mesh", "kubectl-edit"} >= {entry["manager"] for entry in live["metadata"]["managedFields"]}
    assert [(call.verb, call.kind, call.name, call.is_write) for call in script.calls] == [
        ("get", "ConfigMap", "settings", False),
        ("update", "ConfigMap", "settings", True),
    ]


def test_every_call_is_told_with_its_body(cluster: MemoryCluster) -> None:
    script = Script()
    cluster.fault = script
    cluster.create(MAP)
    patch = [{"op": "test", "path": "/data/a", "value": "1"}]
    cluster.patch("ConfigMap", "shop", "settings", patch)
    cluster.list("ConfigMap", "shop")
    cluster.delete("ConfigMap", "shop", "settings")
    cluster.denied([AccessRule("get", "", "pods", "shop")])
    assert [(call.verb, call.kind) for call in script.calls] == [
        ("create", "ConfigMap"),
        ("patch", "ConfigMap"),
        ("list", "ConfigMap"),
        ("delete", "ConfigMap"),
        ("create", "SelfSubjectAccessReview"),
    ]
    assert script.calls[0].body == MAP
    assert script.calls[1].body == patch
    script.calls[0].body["data"].clear()
    assert MAP["data"] == {"a": "1"}


def test_two_runs_with_the_same_clock_are_the_same() -> None:
    def run() -> dict[str, Any]:
        cluster = MemoryCluster(now=lambda: datetime(2026, 1, 2, tzinfo=UTC), namespaces=["shop"])
        return cluster.create(MAP)

    assert run() == run()


def test_loading_brings_status_and_namespaces_along(cluster: MemoryCluster) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "elsewhere"},
        "spec": {"containers": [{"name": "app", "image": "x:1"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    }
    poor = cluster.as_actor("poor", user=User("poor", "poor-token", rules=()))
    script = Script()
    poor.fault = script
    poor.load([pod])
    assert cluster.get("Pod", "elsewhere", "p")["status"] == {"phase": "Running", "podIP": "10.0.0.1"}
    assert script.calls == []


def test_pods_answer_through_the_proxy(cluster: MemoryCluster) -> None:
    for name, status in (("p", {"podIP": "10.0.0.1"}), ("unscheduled", {})):
        cluster.load(
            [
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": name, "namespace": "shop"},
                    "spec": {"containers": [{"name": "app", "image": "x:1"}]},
                    "status": status,
                }
            ]
        )
    with pytest.raises(TransientError, match="nothing runs pods here"):
        cluster.get_path("shop", "p", 80, "/", timeout=1)
    with pytest.raises(TransientError, match="has no address yet"):
        cluster.get_path("shop", "unscheduled", 80, "/", timeout=1)

    def answer(namespace: str, name: str, port: int, path: str) -> tuple[int, dict[str, str], bytes]:
        if port == 1:
            raise TimeoutError("timed out")
        return (500 if path == "/broken" else 200), {}, f"{namespace}/{name}:{port}{path}".encode()

    cluster.server.pod_proxy = answer
    got = cluster.get_path("shop", "p", 15020, "/stats/prometheus?usedonly", timeout=1)
    assert (got.status, got.body) == (200, b"shop/p:15020/stats/prometheus?usedonly")
    assert cluster.get_path("shop", "p", 80, "broken", timeout=1).status == 500
    with pytest.raises(TransientError, match="timed out"):
        cluster.get_path("shop", "p", 1, "/", timeout=1)
    with pytest.raises(ObjectMissingError):
        cluster.get_path("shop", "nobody", 80, "/", timeout=1)
