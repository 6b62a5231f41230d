"""Two worlds with the same application and objects: the sandbox's Envoy, and istiod with its gateway and sidecars."""

from __future__ import annotations

import http.client
import json
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gitlab_mesh.core.kinds import KINDS, find_kind
from gitlab_mesh.sandbox.envoy.mesh import Mesh as EmulatedMesh
from gitlab_mesh.sandbox.envoy.model import PodEndpoint, ProxyPod
from gitlab_mesh.sandbox.processes import Processes
from tests.e2e.controlplane.control_plane import wait_until
from tests.e2e.mesh.installation import GATEWAY_PORT, sidecar_objects
from tests.e2e.mesh.mesh import Mesh

__all__ = ["GATEWAY_HOST", "INSIDE", "NAMESPACE", "Emulated", "Raw", "Real", "Request", "World", "base_objects"]

NAMESPACE = "routing"
APP = "echo"
GATEWAY_HOST = "routing.example"
INSIDE = f"{APP}.{NAMESPACE}.svc.cluster.local"
VERSIONS = ("v1", "v2")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a test.

    Attributes:
        path: With query.
        host: ``Host`` header; None: the one that the door has by default.
        door: "gateway", "mesh" (a client's sidecar) or "both".
        method: HTTP method.
        headers: Sent as well.
        hits: Compare how many requests reached each version: retries and mirrors.
    """

    path: str = "/"
    host: str | None = None
    door: str = "both"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    hits: bool = False


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


class World(Protocol):
    """What both worlds can do."""

    def put(self, objects: list[Json]) -> None:
        """Let exactly these objects (besides the base) be there."""

    def send(self, request: Request, door: str, test: str) -> Raw:
        """Send a request."""

    def hits(self, version: str, test: str) -> int:
        """How many requests with this ``x-test`` reached a version."""

    def routes(self, door: str) -> list[Json]:
        """Virtual hosts that are in force at a door."""


def base_objects() -> list[Json]:
    """Service, subsets and both kinds of gateways; pods are each world's own."""
    return [
        body(
            "v1",
            "Service",
            APP,
            {"selector": {"app": APP}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        ),
        *(
            body(
                "v1",
                "Service",
                f"{APP}-{version}",
                {
                    "selector": {"app": APP, "version": version},
                    "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
                },
            )
            for version in VERSIONS
        ),
    ]


def body(api_version: str, kind: str, name: str, spec: Json, *, namespace: str = NAMESPACE) -> Json:
    """Return an object, in the tests' namespace if nothing else is said."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def request_headers(request: Request, door: str, test: str) -> dict[str, str]:
    """Return the headers to send, ``Host`` included."""
    host = request.host or (GATEWAY_HOST if door == "gateway" else INSIDE)
    return {"Host": host, "x-test": test, **request.headers}


def send_http(connection: http.client.HTTPConnection, request: Request, headers: Mapping[str, str]) -> Raw:
    """Send a request on a connection of its own; status 0 if no answer came (a listener that goes, say)."""
    begun = time.monotonic()
    try:
        connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return Raw(0, {}, repr(error).encode(), 0.0)
    finally:
        connection.close()
    found = {name.lower(): value for name, value in answer.getheaders()}
    return Raw(answer.status, found, content, time.monotonic() - begun)


class Emulated:
    """The sandbox's translation and its Envoy; a pod a version."""

    def __init__(self, mesh: EmulatedMesh, objects: list[Json], ports: Mapping[str, int]) -> None:
        self._mesh = mesh
        self._objects = objects
        self._ports = ports

    @classmethod
    @contextmanager
    def start(cls, directory: Path) -> Iterator[Emulated]:
        """Run it."""
        objects: list[Json] = list(base_objects())
        pods: list[PodEndpoint] = []
        (directory / "envoy").mkdir(parents=True)
        with Processes(directory) as processes:
            ports = {version: _start_echo(processes, version) for version in VERSIONS}
            pods += [
                PodEndpoint(NAMESPACE, f"{APP}-{one}-0", {"app": APP, "version": one}, f"{APP}-{one}", ports[one])
                for one in VERSIONS
            ]
            client = ProxyPod(NAMESPACE, "client-0", "client", {"app": "client"})
            mesh = EmulatedMesh(
                lambda: list(objects), lambda: list(pods), directory / "envoy", processes, client=client
            )
            mesh.start()
            try:
                yield cls(mesh, objects, ports)
            finally:
                mesh.stop()

    def put(self, objects: list[Json]) -> None:
        """See ``World``."""
        now = {"creationTimestamp": "2026-01-01T00:00:00Z"}
        self._objects[:] = [
            {**one, "metadata": {**one["metadata"], **now, "resourceVersion": uuid.uuid4().hex}}
            for one in (*base_objects(), *objects)
        ]
        self._mesh.wait(self._mesh.notify(), 20)

    def send(self, request: Request, door: str, test: str) -> Raw:
        """See ``World``."""
        port = self._mesh.gateway_port if door == "gateway" else self._mesh.mesh_port
        return send_http(_connection("127.0.0.1", port), request, request_headers(request, door, test))

    def hits(self, version: str, test: str) -> int:
        """See ``World``."""
        answer = send_http(_connection("127.0.0.1", self._ports[version]), Request(f"/hits/{test}"), {})
        return int(json.loads(answer.body)["hits"])

    def routes(self, door: str) -> list[Json]:
        """See ``World``."""
        config = json.loads(self._mesh.proxy.admin.get("/config_dump?resource=dynamic_route_configs"))
        name = "gateway" if door == "gateway" else "mesh"
        return [
            host
            for one in config["configs"]
            if one["route_config"]["name"] == name
            for host in one["route_config"].get("virtual_hosts", ())
        ]


def _connection(address: str, port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(address, port, timeout=20)


def _start_echo(processes: Processes, version: str) -> int:
    argv = [sys.executable, str(Path(__file__).with_name("echo.py")), "--version", version]
    child = processes.start(f"echo-{version}", argv, pipe=True)
    assert child.stdout is not None
    return int(json.loads(child.stdout.readline())["port"])


class Real:
    """Namespace ``routing`` on a real Istio."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._there: list[str] = []

    @classmethod
    def deploy(cls, mesh: Mesh) -> Real:
        """Create everything and wait until a client reaches the application."""
        plane = mesh.plane
        space = {"name": NAMESPACE, "labels": {"istio-injection": "enabled"}}
        plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": space})
        account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
        wait_until("the namespace's service account", lambda: plane.request("GET", account).ok)
        plane.apply(*sidecar_objects(NAMESPACE, APP), *base_objects(), *map(_deployment, VERSIONS), _client())
        for version in VERSIONS:
            mesh.wait_ready(NAMESPACE, f"{APP}-{version}")
        real = cls(mesh)
        wait_until("a client", lambda: real.send(Request(), "mesh", "start").status == 200, pause=0.2)
        return real

    def put(self, objects: list[Json]) -> None:
        """See ``World``."""
        kept = [_path(one) for one in objects]
        plane = self._mesh.plane
        for gone in [path for path in self._there if path not in kept]:
            plane.request("DELETE", gone).raise_for_status()
        for one in objects:
            path = f"{_path(one)}?fieldManager=tests&force=true"
            plane.request("PATCH", path, one, content_type="application/apply-patch+yaml").raise_for_status()
        self._there = kept

    def send(self, request: Request, door: str, test: str) -> Raw:
        """See ``World``."""
        if door == "gateway":
            connection = _connection(self._mesh.gateway.address, GATEWAY_PORT)
        else:
            try:
                connection = self._mesh.connection(self._mesh.pod(NAMESPACE, "client"), "127.0.0.1", 80)
            except OSError as error:
                return Raw(0, {}, repr(error).encode(), 0.0)
        return send_http(connection, request, request_headers(request, door, test))

    def hits(self, version: str, test: str) -> int:
        """See ``World``."""
        connection = self._mesh.connection(self._mesh.pod(NAMESPACE, f"{APP}-{version}"), "127.0.0.1", 8080)
        return int(json.loads(send_http(connection, Request(f"/hits/{test}"), {}).body)["hits"])

    def routes(self, door: str) -> list[Json]:
        """See ``World``."""
        pod = self._mesh.gateway if door == "gateway" else self._mesh.pod(NAMESPACE, "client")
        return [
            host
            for dump in self._mesh.config_dump(pod, "dynamic_route_configs")
            for host in dump["route_config"].get("virtual_hosts", ())
        ]


def _path(one: Json) -> str:
    metadata = one["metadata"]
    word = f"{one['kind']}.{str(one['apiVersion']).rpartition('/')[0]}"
    return find_kind(word if word in KINDS else one["kind"]).path(metadata["namespace"], metadata["name"])


def _deployment(version: str) -> Json:
    labels = {"app": APP, "version": version}
    container = {
        "name": APP,
        "image": f"registry.example/echo:{version}",
        "ports": [{"name": "http", "containerPort": 8080}],
    }
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    return body("apps/v1", "Deployment", f"{APP}-{version}", spec)


def _client() -> Json:
    pod = body("v1", "Pod", "client", {"containers": [{"name": "client", "image": "registry.example/client:1"}]})
    pod["metadata"]["labels"] = {"app": "client"}
    return pod
