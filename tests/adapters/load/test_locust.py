"""Locust as an engine, for real: a locustfile against a server of ours; what it counts must be what was served."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from gitlab_mesh.adapters.load.locust import LocustLoad, classify_failure, locust_command
from gitlab_mesh.core.load.plan import LoadPlan
from gitlab_mesh.core.load.request import RequestPlan
from gitlab_mesh.core.load.result import LoadResult
from gitlab_mesh.errors import ConfigError, TransientError, UsageError

pytestmark = [pytest.mark.timeout(90), pytest.mark.xdist_group("load")]

LOCUSTFILE = """
from locust import FastHttpUser, constant_throughput, task

class Shopper(FastHttpUser):
    wait_time = constant_throughput(10)
    @task(3)
    def front(self): self.client.get("/", name="front")
    @task(1)
    def buy(self): self.client.get("/fails", name="buy")
"""


class Served:
    """What the server answered, by path."""

    def __init__(self) -> None:
        self.count = {"/": 0, "/fails": 0}
        self.url = ""


@contextmanager
def serving(*, delay: float = 0.02) -> Iterator[Served]:
    served, ready, loop = Served(), threading.Event(), asyncio.new_event_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split()[1].decode()
                served.count[path] += 1
                await asyncio.sleep(delay)
                status = "500 Broken" if path == "/fails" else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        async with server:
            await ended.wait()

    ended = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    ready.wait(10)
    try:
        yield served
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()


def plan_for(url: str, folder: Path, seconds: float = 3, *, max_rate: float = 50_000, **options: str) -> LoadPlan:
    file = folder / "shop_locust.py"
    file.write_text(LOCUSTFILE)
    return LoadPlan(url, 10, seconds, max_rate=max_rate, options={"file": str(file), "users": "10", **options})


def run(plan: LoadPlan, *, stop_after: int = 0) -> tuple[LoadResult, list[LoadResult]]:
    import os

    seen: list[LoadResult] = []
    result = LocustLoad(os.environ).run(
        plan, progress=seen.append, interrupted=lambda: 15 if stop_after and len(seen) >= stop_after else 0
    )
    return result, seen


@pytest.mark.parametrize("processes", ["0", "2"])
def test_it_counts_what_was_served(tmp_path: Path, processes: str) -> None:
    with serving() as served:
        result, seen = run(plan_for(served.url, tmp_path, processes=processes))
    assert result.target == served.url
    assert set(result.kinds) == {"front", "buy"}
    # Requests in work when the test ends are served, yet not always reported.
    for name, path in (("front", "/"), ("buy", "/fails")):
        assert served.count[path] - 10 <= result.kinds[name].requests <= served.count[path]
    assert result.kinds["buy"].errors == {"http_5xx": result.kinds["buy"].requests}
    assert not result.kinds["front"].errors
    assert 0.02 <= result.kinds["front"].latency.quantile(0.5) < 0.2
    assert result.latency.count == result.requests == sum(one.requests for _, one in result.slices.entries())
    assert result.sending_seconds == pytest.approx(3, abs=1.5)
    assert 50 < result.achieved_rate <= 110
    assert seen
    assert not result.limits
    assert not result.interrupted


def test_a_signal_ends_it_with_what_was_measured(tmp_path: Path) -> None:
    with serving() as served:
        result, _ = run(plan_for(served.url, tmp_path, seconds=60), stop_after=2)
    assert result.interrupted
    assert 0 < result.requests <= sum(served.count.values())
    assert result.sending_seconds < 20


def test_a_refused_connection_is_no_latency(tmp_path: Path) -> None:
    with serving() as served:
        url = served.url
    result, _ = run(plan_for(url, tmp_path, seconds=2))
    assert result.requests > 0
    assert result.errors == {"connect": result.requests}
    assert result.latency.count == 0


def test_the_leash_stops_it(tmp_path: Path) -> None:
    with serving(delay=0.0) as served:
        plan = plan_for(served.url, tmp_path, seconds=30, max_rate=20)
        with pytest.raises(UsageError, match="more than the 20 allowed"):
            run(plan)


def test_a_broken_locustfile_is_named(tmp_path: Path) -> None:
    plan = plan_for("http://127.0.0.1:1", tmp_path)
    (tmp_path / "shop_locust.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(TransientError, match="without a result") as caught:
        run(plan)
    assert "nothing_of_this_name" in caught.value.why


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"user": "5"}, "has no 'user'"),
        ({"users": "many"}, "users must be a whole number"),
        ({"processes": "2", "expect_workers": "2"}, "exclude each other"),
    ],
)
def test_options_that_cannot_be(options: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        locust_command(LoadPlan("http://127.0.0.1:1/", 10, 5, options=options))


def test_what_only_a_locustfile_can_say_is_refused(tmp_path: Path) -> None:
    plan = LoadPlan("http://127.0.0.1:1/", 10, 5, requests=(RequestPlan("buy", path="/buy"),))
    with pytest.raises(UsageError, match="locustfile"):
        run(plan)


@pytest.mark.parametrize(
    ("status", "exception", "error"),
    [
        (200, None, ""),
        (503, Exception("503"), "http_5xx"),
        (404, Exception("404"), "status"),
        (200, Exception("wrong text"), "check"),
        (0, TimeoutError("timed out"), "timeout"),
        (0, ConnectionResetError("Connection reset by peer"), "reset"),
        (0, ConnectionRefusedError("refused"), "connect"),
    ],
)
def test_each_failure_has_the_class_that_the_own_engine_gives_it(
    status: int, exception: Exception | None, error: str
) -> None:
    assert classify_failure(SimpleNamespace(status_code=status), exception) == error
