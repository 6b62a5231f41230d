"""What the suites of this folder run on: the sandbox's API, and clusters in memory. A real one: tests/e2e/contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
from tests.contract.api import Api, Caller, Object
from tests.contract.api_objects import pod

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
    """A cluster with the empty namespaces ``shop`` and ``other``.

    Attributes:
        admin: May do everything.
        reader: May do what ``READER_RULES`` say.
        foreign: Somebody else who writes, as field manager kubectl-edit.
        serve: Makes a pod of namespace ``shop`` that answers with these pages, None: that refuses connections;
            returns its port.
    """

    admin: Client
    reader: Client
    foreign: Cluster
    clock: FakeClock
    serve: Callable[[str, Pages | None], int]


Pages = Mapping[str, tuple[int, bytes]]
"""Path with query → status and body."""
MISSING = (404, b"the pod knows no such page")


@dataclass
class ModelPods:
    """Pods of the models: nothing runs, the answer is looked up."""

    cluster: MemoryCluster | LeanCluster
    pages: dict[str, Pages | None] = field(default_factory=dict)

    def serve(self, name: str, pages: Pages | None) -> int:
        """See ``World``."""
        made = self.cluster.create(pod(name, namespace="shop"))
        self.cluster.update_status({**made, "status": {"phase": "Running", "podIP": "10.0.0.1"}})
        self.pages[name] = pages
        return 8080

    def answer(self, namespace: str, name: str, port: int, path: str) -> tuple[int, dict[str, str], bytes]:
        """Answer what is proxied to a pod."""
        pages = self.pages[name]
        if pages is None or port != 8080:
            raise ConnectionRefusedError("connection refused")
        status, body = pages.get(path, MISSING)
        return status, {"Content-Type": "text/plain"}, body


@pytest.fixture(params=["memory", "lean", "http"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    clock = FakeClock()
    if request.param == "lean":
        yield _lean_world(clock)
        return
    memory = MemoryCluster(now=clock.now, namespaces=["shop", "other"])
    server = memory.server
    server.add_user(READER)
    pods = ModelPods(memory)
    ends: list[Callable[[], Any]] = []
    if request.param == "memory":
        admin, reader = memory, MemoryCluster(server, user=READER)
        clients = [Client(cluster, cluster, cluster) for cluster in (admin, reader)]
    else:
        clients = _http_clients(server, tmp_path, clock, ends)
    server.pod_proxy = pods.answer
    yield World(clients[0], clients[1], memory.as_actor("kubectl-edit"), clock, pods.serve)
    for end in reversed(ends):
        end()


def _lean_world(clock: FakeClock) -> World:
    lean = LeanCluster(now=clock.now, namespaces=["shop", "other"])
    reader = LeanCluster(lean.store, user=READER)
    pods = ModelPods(lean)
    lean.store.pod_proxy = pods.answer
    admin, other = Client(lean, lean, lean), Client(reader, reader, reader)
    return World(admin, other, lean.as_actor("kubectl-edit"), clock, pods.serve)


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


class SandboxApi:
    """The sandbox's API server as a server under test."""

    namespace = "contract"
    is_real = False

    def __init__(self) -> None:
        self._admin = User("admin", "admin-token")
        self._server = ApiServer([self._admin])
        self._http = HttpServer(self._server).start()
        self._callers: list[Caller] = []
        self.admin = self._caller(self._admin)
        self.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})

    def caller(self, rules: list[Object], name: str = "deployer") -> Caller:
        """See ``Api``."""
        role = {"kind": "Role", "metadata": {"name": name, "namespace": self.namespace}, "rules": rules}
        user = User(f"system:serviceaccount:{self.namespace}:{name}", f"{name}-token", (role,))
        self._server.add_user(user)
        return self._caller(user)

    def anonymous(self) -> Caller:
        """See ``Api``."""
        return self._caller(User("system:anonymous", ""))

    def old_version(self) -> str:
        """See ``Api``."""
        self._server.store.forget_history()
        return "1"

    def close(self) -> None:
        """End the server."""
        for caller in self._callers:
            caller.close()
        self._http.stop()

    def _caller(self, user: User) -> Caller:
        found = Caller(self._http.url, user.token, None, self.namespace, user.name)
        self._callers.append(found)
        return found


@pytest.fixture
def api() -> Iterator[Api]:
    """The server under test, with a namespace of this test's own."""
    server = SandboxApi()
    yield server
    server.close()
