"""Three worlds behind one face: two clusters in memory, and the real client on the sandbox's HTTP API server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.adapters.kubernetes.client import KubernetesAccess, KubernetesCluster, KubernetesPodProxy, connect
from gitlab_mesh.ports import Access, Cluster, PodProxy
from gitlab_mesh.sandbox.apiserver.access import User
from gitlab_mesh.sandbox.apiserver.http_server import HttpServer
from gitlab_mesh.sandbox.apiserver.kubeconfig import render_kubeconfig
from gitlab_mesh.sandbox.apiserver.server import ApiServer
from gitlab_mesh.testing.clock import FakeClock
from gitlab_mesh.testing.cluster import ADMIN, MemoryCluster
from gitlab_mesh.testing.lean import LeanCluster

READER_RULES = (
    {
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": "shop"},
        "rules": [
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]},
            {"apiGroups": ["networking.istio.io"], "resources": ["virtualservices"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"], "resourceNames": ["shop-1"]},
        ],
    },
)
READER = User("reader", "reader-token", READER_RULES)


@dataclass
class Client:
    """One actor's three ports."""

    cluster: Cluster
    proxy: PodProxy
    access: Access


@dataclass
class World:
    """A cluster with the namespace ``shop``; ``pods`` answers what is proxied to pods."""

    admin: Client
    reader: Client
    foreign: MemoryCluster | LeanCluster
    clock: FakeClock
    pods: dict[str, tuple[int, bytes] | OSError] = field(default_factory=dict)

    def answer(self, namespace: str, pod: str, port: int, path: str) -> tuple[int, dict[str, str], bytes]:
        found = self.pods.get(f"{namespace}/{pod}:{port}{path}", (404, b"the pod knows no such page"))
        if isinstance(found, OSError):
            raise found
        return found[0], {"Content-Type": "text/plain"}, found[1]


@pytest.fixture(params=["memory", "lean", "http"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    clock = FakeClock()
    if request.param == "lean":
        yield _lean_world(clock)
        return
    memory = MemoryCluster(now=clock.now, namespaces=["shop", "other"])
    server = memory.server
    server.add_user(READER)
    ends: list[Callable[[], Any]] = []
    if request.param == "memory":
        admin, reader = memory, MemoryCluster(server, user=READER)
        clients = [Client(cluster, cluster, cluster) for cluster in (admin, reader)]
    else:
        clients = _http_clients(server, tmp_path, clock, ends)
    world = World(clients[0], clients[1], memory.as_actor("kubectl-edit"), clock)
    server.pod_proxy = world.answer
    yield world
    for end in reversed(ends):
        end()


def _lean_world(clock: FakeClock) -> World:
    lean = LeanCluster(now=clock.now, namespaces=["shop", "other"])
    reader = LeanCluster(lean.store, user=READER)
    world = World(Client(lean, lean, lean), Client(reader, reader, reader), lean.as_actor("kubectl-edit"), clock)
    lean.store.pod_proxy = world.answer
    return world


def _http_clients(server: ApiServer, directory: Path, clock: FakeClock, ends: list[Callable[[], Any]]) -> list[Client]:
    http = HttpServer(server).start()
    ends.append(http.stop)
    clients = []
    for user in (ADMIN, READER):
        path = directory / user.name
        path.write_text(render_kubeconfig(http.url, user.token))
        connection = connect(None, {"KUBECONFIG": str(path)}, sleep=clock.sleep)
        ends.append(connection.close)
        clients.append(
            Client(KubernetesCluster(connection), KubernetesPodProxy(connection), KubernetesAccess(connection))
        )
    return clients
