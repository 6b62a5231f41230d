"""The contract suites on a real kube-apiserver: the fixtures of ``tests/contract/conftest.py`` once more."""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from gitlab_mesh.adapters.kubernetes.client import KubernetesAccess, KubernetesCluster, KubernetesPodProxy, connect
from gitlab_mesh.adapters.kubernetes.connection import Answer, Connection
from gitlab_mesh.core.kinds import find_kind
from gitlab_mesh.testing.clock import FakeClock
from tests.contract.api import Api, Caller, Object
from tests.contract.api_objects import pod
from tests.contract.conftest import MISSING, READER_RULES, Client, Pages, World
from tests.e2e.controlplane.control_plane import ControlPlane, wait_until
from tests.e2e.mesh import isolation

_numbers = itertools.count(1)
_POD_ADDRESS = "10.255.0.1"
_EMPTIED = (
    "ConfigMap", "Lease", "Pod", "Service", "EndpointSlice", "Deployment", "VirtualService", "DestinationRule",
    "HTTPRoute",
)  # fmt: skip


class RealApi:
    """A namespace on a real API server; its callers are service accounts with tokens of their own."""

    is_real = True

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._authority = str(plane.directory / "apiserver.crt")
        self._callers: list[Caller] = []
        self.namespace = f"contract-{next(_numbers)}"
        self.admin = self._caller(_token_of(plane.kubeconfig("admin")), "admin")
        plane.json("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        self._add_account("default")

    def caller(self, rules: list[Object], name: str = "deployer") -> Caller:
        """See ``Api``."""
        self._add_account(name)
        group = "rbac.authorization.k8s.io"
        place = f"/apis/{group}/v1/namespaces/{self.namespace}"
        self._plane.json("POST", f"{place}/roles", {"metadata": {"name": name}, "rules": rules})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self.namespace}
        reference = {"apiGroup": group, "kind": "Role", "name": name}
        binding = {"metadata": {"name": name}, "subjects": [subject], "roleRef": reference}
        self._plane.json("POST", f"{place}/rolebindings", binding)
        found = self._caller(
            self._plane.account_token(self.namespace, name), f"system:serviceaccount:{self.namespace}:{name}"
        )
        wait_until("the Role to be in force", lambda: _are_in_force(found, rules))
        return found

    def anonymous(self) -> Caller:
        """See ``Api``."""
        return self._caller("", "system:anonymous")

    def old_version(self) -> str:
        """See ``Api``."""
        self._plane.restart_apiserver()  # its watch caches begin anew, with what is there now
        return "1"

    def close(self) -> None:
        """Close all connections; the namespace stays, as nothing here deletes one."""
        for caller in self._callers:
            caller.close()

    def _add_account(self, name: str) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts"
        self._plane.json("POST", path, {"metadata": {"name": name}})

    def _caller(self, token: str, name: str) -> Caller:
        found = Caller(self._plane.url, token, self._authority, self.namespace, name)
        self._callers.append(found)
        return found


def _token_of(kubeconfig: Path) -> str:
    return str(yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"])


def _are_in_force(caller: Caller, rules: list[Object]) -> bool:
    """The authorizer learns of a Role by its own watch, a moment later."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    review = caller.send("POST", path, {"spec": {"namespace": caller.namespace}})
    known = [(rule["resources"], rule["verbs"]) for rule in review.body["status"]["resourceRules"]]
    return all((rule["resources"], rule["verbs"]) in known for rule in rules)


@pytest.fixture(scope="session")
def plane(control_plane: ControlPlane) -> ControlPlane:
    """The shared control plane: tests here leave namespaces ``contract-…`` behind and fill ``shop`` and ``other``."""
    return control_plane


@pytest.fixture
def api(plane: ControlPlane) -> Iterator[Api]:
    """The server under test, with a namespace of this test's own."""
    server = RealApi(plane)
    yield server
    server.close()


class RealPods:
    """Pods at an address of the network that this process is in: an API server proxies nothing to loopback ones."""

    def __init__(self, plane: ControlPlane) -> None:
        assert isolation.is_inside() or "PYTEST_XDIST_WORKER" in os.environ, "the machine's own network is left alone"
        subprocess.run(["ip", "address", "replace", f"{_POD_ADDRESS}/32", "dev", "lo"], check=True)
        self._plane = plane
        self._servers: list[ThreadingHTTPServer] = []

    def serve(self, name: str, pages: Pages | None) -> int:
        """See ``World``."""
        server = ThreadingHTTPServer((_POD_ADDRESS, 0), _page_handler(pages or {}))
        port = int(server.server_address[1])
        if pages is None:
            server.server_close()
        else:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            self._servers.append(server)
        place = find_kind("Pod").path("shop")
        self._plane.json("POST", place, pod(name))
        status = {"status": {"phase": "Running", "podIP": _POD_ADDRESS}}
        self._plane.json("PATCH", f"{place}/{name}/status", status, content_type="application/merge-patch+json")
        return port

    def close(self) -> None:
        """End all servers."""
        for server in self._servers:
            server.shutdown()
            server.server_close()


def _page_handler(pages: Pages) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = pages.get(self.path, MISSING)
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    return Handler


@pytest.fixture(scope="session")
def accounts(plane: ControlPlane) -> dict[str, Path]:
    """Kubeconfigs for the adapters' contract: who may do everything, and the reader."""
    for name in ("shop", "other"):
        plane.json("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        plane.json("POST", f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
    plane.json("POST", "/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": "reader"}})
    [role] = READER_RULES
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": "shop"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    plane.apply(
        {"apiVersion": "rbac.authorization.k8s.io/v1", **role},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "reader", "namespace": "shop"},
            "subjects": [subject],
            "roleRef": reference,
        },
    )
    return {"admin": plane.kubeconfig("admin"), "reader": plane.account_kubeconfig("shop", "reader")}


@pytest.fixture
def world(plane: ControlPlane, accounts: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The adapters on the real server; the namespaces are emptied first."""
    for namespace in ("shop", "other"):
        for kind in _EMPTIED:
            plane.json("DELETE", find_kind(kind).path(namespace), {"gracePeriodSeconds": 0})
    clock = FakeClock()
    links = {name: connect(None, {"KUBECONFIG": str(path)}, sleep=clock.sleep) for name, path in accounts.items()}
    clients = [Client(KubernetesCluster(one), KubernetesPodProxy(one), KubernetesAccess(one)) for one in links.values()]
    pods = RealPods(plane)
    foreign = KubernetesCluster(cast(Connection, _Renamed(links["admin"], "kubectl-edit")))
    yield World(clients[0], clients[1], foreign, clock, pods.serve)
    pods.close()
    for link in links.values():
        link.close()


class _Renamed:
    """A connection whose writes are in another field manager's name."""

    def __init__(self, connection: Connection, manager: str) -> None:
        self._connection = connection
        self._manager = manager

    def request(self, method: str, path: str, *, query: Mapping[str, str] | None = None, **more: Any) -> Answer:
        """See ``Connection``."""
        named = {**(query or {}), "fieldManager": self._manager} if method != "GET" else query
        return self._connection.request(method, path, query=named, **more)
