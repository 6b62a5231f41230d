"""A runner that reaches GitLab only through a proxy: every request goes there, and its refusals are one line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gitlab_mesh.gitlab import DeploymentRecords, MergeRequestLabels, ReviewThreads, StickyNotes
from gitlab_mesh.sandbox.gitlab import GitlabServer

if TYPE_CHECKING:
    from gitlab_mesh.sandbox.gitlab.contract import Contract
    from tests.gitlab.conftest import World

ORIGIN = "http://gitlab.inside.example/tools/gitlab"


class Proxy(ThreadingHTTPServer):
    """Forwards requests for one origin to the emulated GitLab; ``refuse`` answers 407 instead."""

    daemon_threads = True

    def __init__(self, gitlab: GitlabServer) -> None:
        super().__init__(("127.0.0.1", 0), Forward)
        self.gitlab = gitlab
        self.seen: list[str] = []
        self.refuse = False


class Forward(BaseHTTPRequestHandler):
    server: Proxy

    def _forward(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        status, content = 407, b"<html>Proxy Authentication Required</html>"
        headers = {"Content-Type": "text/html"}
        if not self.server.refuse:
            answer = self.server.gitlab.handle(self.command, target, dict(self.headers), body)
            status, content, headers = answer.status, answer.body, dict(answer.headers)
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _forward  # noqa: N815 - the names that http.server calls

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def proxied(
    make_world: Callable[[GitlabServer], World], monkeypatch: pytest.MonkeyPatch, gitlab_contract: Contract | None
) -> Iterator[tuple[World, Proxy]]:
    """A GitLab below a path that only the proxy reaches; the name resolves nowhere."""
    server = GitlabServer(root="/tools/gitlab", contract=gitlab_contract)
    server.base_url = ORIGIN
    world = make_world(server)
    proxy = Proxy(server)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    for name in ("no_proxy", "NO_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
    yield world, proxy
    for connection in world.connections:
        connection.close()
    proxy.shutdown()
    proxy.server_close()
    thread.join()


def test_every_kind_of_call_goes_through_the_proxy(proxied: tuple[World, Proxy]) -> None:
    world, proxy = proxied
    connection = world.connect(world.job())
    assert StickyNotes(connection).post("shop", "x") == ""
    assert ReviewThreads(connection).open("shop", "x") == ""
    assert MergeRequestLabels(connection).put("mesh::promoted", family=()) == ""
    records = DeploymentRecords(connection, environment_url="https://shop.example")
    assert records.record("production", "running") == ""
    assert len(proxy.seen) == len(world.server.requests)
    assert all(f" {ORIGIN}/api/v4/" in line for line in proxy.seen)


def test_a_proxy_that_refuses_is_one_line(proxied: tuple[World, Proxy]) -> None:
    world, proxy = proxied
    proxy.refuse = True
    answer = StickyNotes(world.connect(world.job())).post("shop", "x")
    assert "407" in answer
    assert "\n" not in answer
    assert "<html" not in answer
    assert world.token not in answer


def test_a_host_on_the_no_proxy_list_is_asked_directly(
    proxied: tuple[World, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, proxy = proxied
    monkeypatch.setenv("no_proxy", "gitlab.inside.example")
    answer = StickyNotes(world.connect(world.job(), budget_seconds=3.0)).post("shop", "x")
    assert "GitLab cannot be reached" in answer or "did not answer" in answer
    assert proxy.seen == []
