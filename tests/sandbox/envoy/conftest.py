"""Builders of Istio objects, tiny upstreams, and a running mesh."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.sandbox.envoy.mesh import Mesh
from gitlab_mesh.sandbox.envoy.model import InboundPod, MeshSettings, PodEndpoint, ProxyPod
from gitlab_mesh.sandbox.processes import Processes

Json = dict[str, Any]


class Objects:
    """Istio and Kubernetes objects of the shop."""

    @staticmethod
    def body(kind: str, name: str, spec: Json, *, namespace: str = "shop", age: int = 0, version: str = "1") -> Json:
        meta = {"name": name, "namespace": namespace, "resourceVersion": version}
        return {
            "kind": kind,
            "metadata": meta | {"creationTimestamp": f"2026-01-{28 - age:02}T00:00:00Z"},
            "spec": spec,
        }

    @classmethod
    def service(cls, name: str = "shop", *, ports: tuple[int, ...] = (80,), **kw: Any) -> Json:
        spec = {"selector": {"app": "shop"}, "ports": [{"name": f"http-{port}", "port": port} for port in ports]}
        return cls.body("Service", name, spec, **kw)

    @classmethod
    def rule(cls, *subsets: str, name: str = "shop", host: str = "shop", policy: Json | None = None, **kw: Any) -> Json:
        spec: Json = {"host": host, "subsets": [{"name": one, "labels": {"version": one}} for one in subsets]}
        return cls.body("DestinationRule", name, spec | ({"trafficPolicy": policy} if policy else {}), **kw)

    @classmethod
    def gateway(cls, *hosts: str, port: int = 80, selector: Json | None = None, **server: Any) -> Json:
        listed = {"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": list(hosts), **server}
        return cls.body("Gateway", "public", {"selector": selector or {"istio": "ingressgateway"}, "servers": [listed]})

    @classmethod
    def route(cls, http: list[Json], *, hosts: tuple[str, ...] = ("shop",), name: str = "shop", **kw: Any) -> Json:
        gateways = kw.pop("gateways", None)
        spec = {"hosts": list(hosts), "http": http, **({"gateways": gateways} if gateways else {})}
        return cls.body("VirtualService", name, spec, **kw)

    @classmethod
    def weights(cls, *pairs: tuple[str, int], **kw: Any) -> Json:
        return cls.route([{"route": [cls.to(subset, weight=weight) for subset, weight in pairs]}], **kw)

    @staticmethod
    def to(subset: str = "", host: str = "shop", **rest: Any) -> Json:
        return {"destination": {"host": host, **({"subset": subset} if subset else {})}, **rest}

    @staticmethod
    def pod(
        version: str = "v1", *, app_port: int = 9001, ready: bool = True, name: str = "", uid: str = ""
    ) -> PodEndpoint:
        name = name or f"shop-{version}-0"
        return PodEndpoint("shop", name, {"app": "shop", "version": version}, f"shop-{version}", app_port, ready, uid)

    @classmethod
    def inbound(cls, version: str = "v1", **kw: Any) -> InboundPod:
        pod = cls.pod(version, **kw)
        return InboundPod(pod, f"shop/{pod.name}#1", 20000 + int(version[1:]))


@pytest.fixture
def make() -> type[Objects]:
    return Objects


@pytest.fixture
def mesh_settings() -> MeshSettings:
    return MeshSettings(15080, 15001, client=ProxyPod("shop", "client-0", "client", {"app": "client"}))


class Upstreams:
    """App processes' stand-ins: each answers with JSON about itself and the request.

    Paths: ``/status/<code>`` answers so; ``/hold`` waits for ``release``; ``/fail/<n>`` fails n times, then works.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._servers: list[asyncio.Server] = []
        self.held = threading.Semaphore(0)
        self._release = self._call(self._event())
        self.attempts: Counter[str] = Counter()

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _event(self) -> asyncio.Event:
        return asyncio.Event()

    def start(self, name: str) -> int:
        async def serve() -> asyncio.Server:
            return await asyncio.start_server(lambda r, w: self._serve(name, r, w), "127.0.0.1", 0)

        server = self._call(serve())
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._release.set)

    async def _serve(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                method, path, _ = first.split(" ")
                headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
                if length := int(headers.get("content-length", 0)):
                    await reader.readexactly(length)
                status = await self._status(name, path)
                body = json.dumps({"pod": name, "method": method, "path": path, "headers": headers}).encode()
                writer.write(
                    f"HTTP/1.1 {status} X\r\nx-app: {name}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
                )
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _status(self, name: str, path: str) -> int:
        parts = path.split("?")[0].strip("/").split("/")
        self.attempts[path] += 1
        if parts[0] == "status":
            return int(parts[1])
        if parts[0] == "fail":
            return 503 if self.attempts[path] <= int(parts[1]) else 200
        if parts[0] == "hold":
            self.held.release()
            await self._release.wait()
        return 200

    def close(self) -> None:
        async def end() -> None:
            for server in self._servers:
                server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._call(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def upstreams() -> Iterator[Upstreams]:
    running = Upstreams()
    yield running
    running.close()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def seen(self) -> Json:
        """What the app saw."""
        found: Json = json.loads(self.body)
        return found

    @property
    def pod(self) -> str:
        return str(self.seen["pod"])


class Client:
    """One kept-alive connection."""

    def __init__(self, port: int, host: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self._host = host

    def get(self, path: str = "/", method: str = "GET", **headers: str) -> Answer:
        sent = {"Host": self._host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        self._connection.request(method, path, headers=sent)
        answer = self._connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def close(self) -> None:
        self._connection.close()


@dataclass
class World:
    """A mesh with the objects and pods that a test puts into it."""

    mesh: Mesh
    upstreams: Upstreams
    objects: list[Json] = field(default_factory=list)
    pods: list[PodEndpoint] = field(default_factory=list)
    problems: list[Exception] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    def put(self, body: Json) -> None:
        """Create or replace an object."""
        key = (body["kind"], body["metadata"]["name"])
        self.objects[:] = [one for one in self.objects if (one["kind"], one["metadata"]["name"]) != key] + [body]

    def settle(self) -> None:
        self.mesh.wait(self.mesh.notify())

    def client(self, port: int | None = None, host: str = "shop.shop") -> Client:
        client = Client(port or self.mesh.mesh_port, host)
        self.clients.append(client)
        return client


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path, upstreams: Upstreams) -> Iterator[World]:
    """A running mesh: Service shop with subsets v1 and v2, one pod each, all traffic to v1.

    Its parameter is the number of Envoy's worker threads, 1 by default.
    """
    with Processes(tmp_path) as processes:
        made: World
        directory = tmp_path / "envoy"
        directory.mkdir()
        mesh = Mesh(
            lambda: list(made.objects),
            lambda: list(made.pods),
            directory,
            processes,
            on_problem=lambda problem: made.problems.append(problem),
            concurrency=getattr(request, "param", 1),
        )
        made = World(mesh, upstreams)
        made.objects += [Objects.service(), Objects.rule("v1", "v2"), Objects.weights(("v1", 100), ("v2", 0))]
        made.pods += [Objects.pod(one, app_port=upstreams.start(one)) for one in ("v1", "v2")]
        mesh.start()
        yield made
        upstreams.release()
        for client in made.clients:
            client.close()
        mesh.stop()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Wait for something that another process does, at most 30 s."""

    def wait(done: Callable[[], bool]) -> None:
        tick = threading.Event()
        for _ in range(3000):
            if done():
                return
            tick.wait(0.01)
        pytest.fail("it did not happen within 30 s")

    return wait
