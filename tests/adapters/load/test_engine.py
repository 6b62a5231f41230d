"""The load engine against servers that behave and misbehave: right counts, right times, no hang."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from gitlab_mesh.adapters.load import LoadEngine, LoadPlan, LoadResult, run_load
from gitlab_mesh.adapters.load.__main__ import main
from gitlab_mesh.errors import UsageError

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Version: 1.0\r\n\r\nok"
Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


def drive(answer: Answer, **plan: object) -> tuple[LoadResult, int]:
    """Run a plan against a server whose n-th request (from 0) is handled by ``answer``; also count connections."""

    async def run() -> tuple[LoadResult, int]:
        numbers, connections = itertools.count(), itertools.count()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            next(connections)
            try:
                while await reader.readuntil(b"\r\n\r\n"):
                    await answer(next(numbers), writer)
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        values: dict[str, object] = {"rate": 200, "duration_seconds": 0.3, "timeout_seconds": 2.0}
        result = await LoadEngine(LoadPlan(url=url, **values | plan)).run()
        server.close()
        await server.wait_closed()
        return result, next(connections)

    return asyncio.run(run())


async def good(number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


def test_the_rate_is_held_and_connections_are_reused() -> None:
    result, connections = drive(good, rate=500, duration_seconds=0.5, origin_header="x-version")
    assert result.sent == result.requests == 250
    assert result.failed == 0
    assert result.achieved_rate == pytest.approx(500, rel=0.1)
    assert connections < 125
    assert result.answers["1.0"].requests == 250
    assert result.latency.count == 250


def test_poisson_arrivals_repeat_with_their_seed_and_are_not_even() -> None:
    counts = {drive(good, rate=400, arrivals="poisson", seed=seed)[0].sent for seed in (1, 2, 3)}
    assert len(counts) > 1
    assert drive(good, arrivals="poisson", seed=7)[0].sent == drive(good, arrivals="poisson", seed=7)[0].sent


def test_a_stall_shows_in_the_quantiles() -> None:
    """A server that stands still for 0.4 of 0.8 s: a generator that waits for answers would see one slow request."""

    async def stall(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 20:
            loop = asyncio.get_running_loop()
            stalled.append(loop.time() + 0.4)
        if stalled:
            await asyncio.sleep(max(0.0, stalled[0] - asyncio.get_running_loop().time()))
        writer.write(OK)

    stalled: list[float] = []
    result, _ = drive(stall, rate=100, duration_seconds=0.8)
    assert result.requests == 80
    assert result.latency.quantile(0.75) == pytest.approx(0.2, abs=0.08)  # half of the requests waited 0–0.4 s
    assert result.latency.quantile(0.99) == pytest.approx(0.4, abs=0.06)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nx-version: 1\r\n\r\n", "http_5xx"),
        (b"HTTP/1.1 503 Oops\r\ncontent-length: 0\r\nserver: envoy\r\n\r\n", "proxy_5xx"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\ntoo long", "protocol"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf" + b"CLOSE", "reset"),
        (b"CLOSE", "reset"),
        (b"HTTP/1.1 200 OK\r\ncontent-len", "timeout"),
        (b"", "timeout"),
    ],
)
def test_each_misbehaviour_has_its_class(answer: bytes, error: str) -> None:
    async def misbehave(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(answer.removesuffix(b"CLOSE"))
        if answer.endswith(b"CLOSE"):
            await writer.drain()
            raise ConnectionError

    result, _ = drive(misbehave, rate=50, duration_seconds=0.2, timeout_seconds=0.2, origin_header="x-version")
    assert result.errors == {error: 10}
    assert result.requests == 10


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK,
    ],
)
def test_every_framing_is_read_in_any_pieces_on_one_connection(answer: bytes) -> None:
    async def dribble(number: int, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(answer), 7):
            writer.write(answer[start : start + 7])
            await writer.drain()
            await asyncio.sleep(0)

    result, connections = drive(dribble, rate=50, duration_seconds=0.2, connections=1)
    assert (result.failed, result.requests, connections) == (0, 10, 1)


def test_answers_that_end_with_the_connection() -> None:
    async def close(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    result, connections = drive(close, rate=50, duration_seconds=0.2)
    assert (result.failed, result.requests, connections) == (0, 10, 10)


def test_a_refused_connection_is_an_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = run_load(LoadPlan(url=f"http://127.0.0.1:{port}/", rate=50, duration_seconds=0.2))
    assert result.errors == {"connect": 10}


def test_too_few_connections_are_named_as_the_limit() -> None:
    async def slow(number: int, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(OK)

    result, connections = drive(slow, rate=100, duration_seconds=0.3, connections=1)
    assert connections == 1
    assert result.requests == 30
    assert result.generator_limited
    assert "1 connections" in result.limits[0]


def test_count_is_a_bound() -> None:
    assert drive(good, rate=1000, duration_seconds=60, max_requests=25)[0].requests == 25


def test_a_busy_generator_says_that_it_was_late() -> None:
    async def hog(number: int, writer: asyncio.StreamWriter) -> None:
        import time

        time.sleep(0.03)  # same process: keeps the generator's own loop busy
        writer.write(OK)

    result, _ = drive(hog, rate=100, duration_seconds=0.5)
    assert result.late_sends > 0
    assert any("sent late" in limit for limit in result.limits)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"url": "http://shop.example/"}, "may not be loaded"),
        ({"url": "http://10.0.0.1/"}, "may not be loaded"),
        ({"url": "http://localhost.example/"}, "may not be loaded"),
        ({"url": "ftp://127.0.0.1/"}, "not an http"),
        ({"rate": 0}, "rate must be above 0"),
        ({"rate": 1e9}, "at most 50000"),
        ({"duration_seconds": 1e9}, "duration_seconds"),
        ({"connections": 0}, "connections"),
        ({"timeout_seconds": -1}, "timeout_seconds"),
        ({"arrivals": "bursty"}, "constant or poisson"),
    ],
)
def test_a_plan_without_bounds_does_not_exist(change: dict[str, object], text: str) -> None:
    values: dict[str, object] = {"url": "http://127.0.0.1/", "rate": 1, "duration_seconds": 1}
    with pytest.raises(UsageError, match=text):
        LoadPlan(**values | change)


def test_a_listed_host_may_be_loaded_and_the_request_is_exact() -> None:
    plan = LoadPlan(
        url="http://shop.example:8080/a?b=c", rate=1, duration_seconds=1, allowed_hosts=("shop.example",),
        method="POST", headers={"X-Trial": "1"}, body=b"hi",
    )  # fmt: skip
    assert plan.packets()[0][0] == (
        b"POST /a?b=c HTTP/1.1\r\nhost: shop.example:8080\r\nX-Trial: 1\r\ncontent-length: 2\r\n\r\nhi"
    )


def test_the_process_reports_progress_and_a_final_line_after_sigterm() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, never answers
        port = silent.getsockname()[1]
        with subprocess.Popen(
            [sys.executable, "-m", "gitlab_mesh.adapters.load", "--url", f"http://127.0.0.1:{port}/",
             "--rate", "20", "--duration", "600", "--timeout", "0.2", "--interval", "0.2"],
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout
            assert json.loads(process.stdout.readline())["event"] == "progress"
            process.send_signal(signal.SIGTERM)
            *_, last = process.stdout
            final = json.loads(last)
    assert process.returncode == 0
    assert final["event"] == "final"
    assert final["errors"].get("timeout", 0) > 0
    assert final["requests"] <= final["sent"]


def test_the_process_refuses_a_stranger(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", "http://shop.example/", "--rate", "1", "--duration", "1"]) == 2
    assert "shop.example" in capsys.readouterr().err
