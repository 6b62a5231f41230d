"""Worlds that metric sources read: pods' pages, and an HTTP server that speaks as Prometheus."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from gitlab_mesh.adapters.metrics.plugin import SourceContext
from gitlab_mesh.core.metrics.counts import Side, SideTarget
from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.ports import HttpAnswer
from gitlab_mesh.testing.clock import FakeClock

BOUNDS_MS = (5, 50, 500)
STABLE_PODS = ("shop-1", "shop-2")
CANARY_PODS = ("shop-canary-1",)


@dataclass
class Served:
    """What one pod served so far: (code, milliseconds) → requests."""

    side: Side
    requests: dict[tuple[str, float], int] = field(default_factory=dict)

    def series(self, reporter: str = "destination") -> list[tuple[str, dict[str, str], int]]:
        """Return Istio's series: name, labels, value."""
        base = {
            "reporter": reporter,
            "destination_workload": "shop" if self.side is Side.STABLE else "shop-canary",
            "destination_workload_namespace": "shop",
            "destination_service": "shop.shop.svc.cluster.local",
            "request_protocol": "http",
        }
        rows: list[tuple[str, dict[str, str], int]] = []
        for code in sorted({code for code, _ in self.requests}):
            labels = {**base, "response_code": code, "response_flags": "-"}
            own = {ms: count for (its, ms), count in self.requests.items() if its == code}
            rows.append(("istio_requests_total", labels, sum(own.values())))
            for bound in (*BOUNDS_MS, float("inf")):
                count = sum(n for ms, n in own.items() if ms <= bound)
                le = "+Inf" if bound == float("inf") else str(bound)
                rows.append(("istio_request_duration_milliseconds_bucket", {**labels, "le": le}, count))
        return rows


def render_page(series: list[tuple[str, dict[str, str], int]]) -> str:
    """Render a metrics page as a pod shows it, other metrics among it."""
    lines = ["# TYPE envoy_server_uptime gauge", "envoy_server_uptime{} 17", "# TYPE istio_requests_total counter"]
    for name, labels, value in series:
        lines.append(name + "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + f"}} {value}")
    return "\n".join(lines) + "\n"


class FakePods:
    """Port PodProxy over pages by pod; a page may be an error, a status, or a function."""

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {}
        self.asked: list[tuple[str, str, int, str, float]] = []

    def get_path(self, namespace: str, pod: str, port: int, path: str, *, timeout: float) -> HttpAnswer:
        self.asked.append((namespace, pod, port, path, timeout))
        if pod not in self.pages:
            raise ObjectMissingError(f"Pod {namespace}/{pod} does not exist")
        page = self.pages[pod]
        if callable(page):
            page = page()
        if isinstance(page, Exception):
            raise page
        if isinstance(page, int):
            return HttpAnswer(page, b"")
        return HttpAnswer(200, page.encode() if isinstance(page, str) else page)


@dataclass
class Request:
    """What arrived at the server."""

    method: str
    path: str
    headers: Mapping[str, str]
    form: dict[str, str]


Answer = tuple[int, Mapping[str, str], bytes]


class PrometheusServer:
    """An HTTP server on loopback; ``answer`` decides what it says."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.now = 1_700_000_000.0
        self.results: dict[str, Any] = {}
        self.answer: Callable[[Request], Answer | None] = lambda request: None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                form = {key: values[0] for key, values in parse_qs(self.rfile.read(length).decode()).items()}
                request = Request("POST", self.path, dict(self.headers), form)
                outer.requests.append(request)
                answer = outer.answer(request) or outer.succeed(form["query"])
                status, headers, body = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                """Be quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                """A client that hangs up is what some tests want."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def succeed(self, query: str) -> Answer:
        """Answer with the result of the first key that the query contains; else with no series."""
        if query == "time()":
            return data("scalar", [self.now, str(self.now)])
        for key, result in self.results.items():
            if key in query:
                return (
                    result if isinstance(result, tuple) else data("vector" if _is_vector(result) else "matrix", result)
                )
        return data("matrix" if query.endswith("ms]") else "vector", [])

    def queries(self) -> list[str]:
        return [request.form["query"] for request in self.requests]


def _is_vector(result: list[dict[str, Any]]) -> bool:
    return bool(result) and "value" in result[0]


def data(result_type: str, result: Any, **extra: Any) -> Answer:
    """Render Prometheus' success."""
    body = {"status": "success", "data": {"resultType": result_type, "result": result}, **extra}
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


def error(status: int, kind: str, text: str) -> Answer:
    """Render Prometheus' error."""
    body = {"status": "error", "errorType": kind, "error": text}
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


def to_matrix(
    series: list[tuple[str, dict[str, str], int]], scrape: Mapping[str, str], times: list[float]
) -> list[dict[str, Any]]:
    """Render series as a range selector's result: the value at all times (the last is what counts)."""
    return [
        {"metric": {"__name__": name, **labels, **scrape}, "values": [[moment, str(value)] for moment in times]}
        for name, labels, value in series
    ]


def make_context(pods: FakePods, clock: FakeClock, env: Mapping[str, str], gateways: tuple[str, ...]) -> SourceContext:
    return SourceContext(clock, pods, lambda namespace, selector: gateways, env)


@pytest.fixture
def targets() -> tuple[SideTarget, ...]:
    host = "shop.shop.svc.cluster.local"
    return (
        SideTarget(Side.STABLE, "shop", "shop", host, "stable", STABLE_PODS),
        SideTarget(Side.CANARY, "shop", "shop-canary", host, "canary", CANARY_PODS),
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pods() -> FakePods:
    return FakePods()


@pytest.fixture
def context(pods: FakePods, clock: FakeClock) -> Callable[..., SourceContext]:
    def make(env: Mapping[str, str] | None = None, gateways: tuple[str, ...] = ()) -> SourceContext:
        return make_context(pods, clock, env or {}, gateways)

    return make


@pytest.fixture
def prometheus() -> Iterator[PrometheusServer]:
    server = PrometheusServer()
    yield server
    server.close()


class Kit:
    """The functions and classes of this file: test modules cannot import it."""

    served = Served
    page = staticmethod(render_page)
    matrix = staticmethod(to_matrix)
    data = staticmethod(data)
    error = staticmethod(error)


@pytest.fixture(scope="session")
def kit() -> Any:
    return Kit
