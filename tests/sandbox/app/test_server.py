"""The shop as a process: HTTP, errors by luck, orderly end, sudden end."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitlab_mesh.adapters.load import LoadPlan, run_load
from gitlab_mesh.sandbox.app.behaviour import BEHAVIOURS, GOOD, Behaviour
from gitlab_mesh.sandbox.processes import Child, Processes

pytestmark = pytest.mark.sandbox

StartShop = Callable[..., tuple[Child, int]]


@pytest.fixture
def start_shop(tmp_path: Path) -> Iterator[StartShop]:
    with Processes(tmp_path) as processes:

        def start(behaviour: Behaviour, *, seed: int = 1) -> tuple[Child, int]:
            child = processes.start(
                f"shop-{len(processes.running)}",
                [sys.executable, "-m", "gitlab_mesh.sandbox.app", "--version", "1.5.0",
                 "--behaviour", behaviour.to_json(), "--seed", str(seed)],
                pipe=True,
            )  # fmt: skip
            assert child.stdout
            line = child.stdout.readline()
            return child, json.loads(line)["port"] if line else 0

        yield start


def ask(port: int, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.getheader("x-version", ""), answer.read()
    finally:
        connection.close()


def test_pages(start_shop: StartShop) -> None:
    _, port = start_shop(GOOD)
    assert ask(port, "/?q=1") == (200, "1.5.0", b'{"service": "shop", "version": "1.5.0"}')
    assert ask(port, "/", "POST", b"x" * 100_000)[0] == 200
    assert ask(port, "/", "HEAD") == (200, "1.5.0", b"")
    assert ask(port, "/version") == (200, "1.5.0", b"1.5.0")
    assert ask(port, "/healthz") == (200, "1.5.0", b"ok")
    assert ask(port, "/nothing")[0] == 404


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000, b"400"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
    ],
)
def test_wrong_requests_are_refused(start_shop: StartShop, request_bytes: bytes, status: bytes) -> None:
    _, port = start_shop(GOOD)
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(request_bytes)
        assert client.recv(100).startswith(b"HTTP/1.1 " + status)


def test_pipelined_and_split_requests_are_answered_in_order(start_shop: StartShop) -> None:
    _, port = start_shop(replace(GOOD, sigma=1))
    with socket.create_connection(("127.0.0.1", port), 5) as client, client.makefile("rb") as answers:
        client.sendall(b"GET / HTTP/1.1\r\n\r\nGET /version HTTP/1.1\r\n\r\nGET /hea")
        client.sendall(b"lthz HTTP/1.1\r\nconnection: close\r\n\r\n")
        bodies = answers.read().split(b"\r\n\r\n")[1:]
    assert [body.split(b"HTTP")[0] for body in bodies] == [
        b'{"service": "shop", "version": "1.5.0"}', b"1.5.0", b"ok",
    ]  # fmt: skip


def test_errors_are_drawn_per_request_and_probes_are_spared(start_shop: StartShop) -> None:
    _, port = start_shop(replace(BEHAVIOURS["bad"], error_ratio=0.2))
    load = LoadPlan(url=f"http://127.0.0.1:{port}/", rate=1000, duration_seconds=1, origin_header="x-version")
    result = run_load(load)
    assert result.requests == 1000
    assert set(result.errors) == {"http_5xx"}
    assert result.failed == pytest.approx(200, abs=60)
    assert ask(port, "/healthz")[0] == 200
    assert run_load(replace(load, url=load.url + "healthz")).failed == 0


def test_thousands_of_requests_a_second(start_shop: StartShop) -> None:
    """Pipelined, so that the client costs next to nothing; goal 5,000/s, half of it where cores are shared."""
    _, port = start_shop(GOOD)
    count = 5000
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"GET /version HTTP/1.1\r\n\r\n")
        packet = len(client.recv(4096))
        start = time.monotonic()
        client.sendall(b"GET /version HTTP/1.1\r\n\r\n" * count)
        missing = packet * count
        while missing:
            missing -= len(client.recv(1 << 16))
        seconds = time.monotonic() - start
    assert count / seconds > 2500


def test_never_ready_listens_but_is_not_ready(start_shop: StartShop) -> None:
    _, port = start_shop(BEHAVIOURS["never-ready"])
    assert ask(port, "/healthz")[0] == 503
    assert ask(port, "/version")[0] == 200


def test_crash_ends_before_it_listens(start_shop: StartShop) -> None:
    child, port = start_shop(BEHAVIOURS["crash"])
    assert port == 0
    assert child.wait(5) == 1
    assert "panic" in child.tail()


def test_dies_in_the_middle(start_shop: StartShop) -> None:
    child, port = start_shop(replace(GOOD, dies_after_requests=20))
    result = run_load(LoadPlan(url=f"http://127.0.0.1:{port}/", rate=200, duration_seconds=0.3))
    assert child.wait(5) == 1
    assert "died after 20 requests" in child.tail()
    assert result.errors.get("connect", 0) > 0
    aged, _ = start_shop(replace(GOOD, dies_after_seconds=0.1))
    assert aged.wait(5) == 1


def test_sigterm_lets_requests_in_work_finish(start_shop: StartShop) -> None:
    child, port = start_shop(replace(GOOD, median_seconds=0.3, sigma=0))
    with (
        socket.create_connection(("127.0.0.1", port), 5) as idle,
        socket.create_connection(("127.0.0.1", port)) as busy,
    ):
        idle.sendall(b"GET /version HTTP/1.1\r\n\r\n")
        assert idle.recv(4096)
        busy.sendall(b"GET / HTTP/1.1\r\n\r\n")
        idle.sendall(b"GET /version HTTP/1.1\r\n\r\n")  # when this is answered, the one before is in work
        assert idle.recv(4096)
        child.signal(15)
        assert idle.recv(4096) == b""
        answer = busy.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
    assert child.wait(5) == 0
    assert "served 1, failed 0" in child.tail()


def test_what_is_over_the_limit_is_answered_with_429(start_shop: StartShop) -> None:
    _, port = start_shop(Behaviour(limit_per_second=5))
    found = [ask(port, "/")[0] for _ in range(30)]
    assert found[:5] == [200] * 5, "the bucket is full at first"
    assert set(found) == {200, 429}
    assert found.count(200) < 30
