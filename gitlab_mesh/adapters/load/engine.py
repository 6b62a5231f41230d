"""The engine: a schedule that does not wait for answers, connections that are reused, and hard bounds.

Latency counts from the intended send, so a target that stalls cannot hide the requests that it kept from being sent
("coordinated omission").
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

from gitlab_mesh.adapters.load.plan import LoadPlan
from gitlab_mesh.adapters.load.protocol import Connection
from gitlab_mesh.adapters.load.result import Answers, LoadResult

__all__ = ["LoadEngine", "run_load"]

LATE_SECONDS = 0.020
"""A send later than this is late by the generator's own fault: timers of the system are exact to 1 ms."""

_MAX_ORIGINS = 32
_BATCH = 256
_SWEEP_SECONDS = 0.05
_STOP_SECONDS = 1.0


def run_load(plan: LoadPlan) -> LoadResult:
    """Run a plan to its end and return what was measured."""
    return asyncio.run(LoadEngine(plan).run())


class LoadEngine:
    """One run.

    Args:
        plan: What to send.
        on_progress: Called about every ``progress_seconds`` with the result so far.
        progress_seconds: See above.
    """

    def __init__(
        self,
        plan: LoadPlan,
        on_progress: Callable[[LoadResult], None] | None = None,
        progress_seconds: float = 1.0,
    ) -> None:
        self.result = LoadResult(planned_rate=plan.rate)
        self._plan = plan
        self._packet = plan.packet
        self._on_progress = on_progress
        self._progress_seconds = progress_seconds
        self._luck = random.Random(plan.seed)  # noqa: S311 - arrival times are no secret
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[float] = deque()
        self._scheduled = 0
        self._sending = True
        self._done = asyncio.Event()

    async def run(self) -> LoadResult:
        """Send, wait for the last answers, and return the result."""
        self._loop = asyncio.get_running_loop()
        self._first = self._next = self._loop.time() + 0.01
        self._last = self._first + self._plan.duration_seconds
        timers = [self._loop.create_task(self._sweep())]
        if self._on_progress:
            timers.append(self._loop.create_task(self._report(self._on_progress)))
        self._tick()
        await self._done.wait()
        for task in [*timers, *self._opening]:
            task.cancel()
        await asyncio.gather(*timers, *self._opening, return_exceptions=True)
        for connection in tuple(self._open):
            connection.abort()
        self._conclude()
        return self.result

    def stop(self) -> None:
        """Stop sending; requests in work get a second to end, then they count as unanswered."""
        self._stop_sending()
        if not self._done.is_set():
            self._loop.call_later(_STOP_SECONDS, self._done.set)

    def _tick(self) -> None:
        """Send what is due; then sleep until the next intended send."""
        plan = self._plan
        for _ in range(_BATCH):
            if not self._sending:
                return
            if self._next >= self._last or (plan.max_requests is not None and self._scheduled >= plan.max_requests):
                self._stop_sending()
                return
            if self._next > self._loop.time():
                self._loop.call_at(self._next, self._tick)
                return
            self._dispatch(self._next)
            self._scheduled += 1
            if plan.arrivals == "constant":
                self._next = self._first + self._scheduled / plan.rate
            else:
                self._next += self._luck.expovariate(plan.rate)
        self._loop.call_soon(self._tick)  # far behind: let answers be read before going on

    def _stop_sending(self) -> None:
        if self._sending:
            self._sending = False
            self.result.sending_seconds = max(self._loop.time() - self._first, 1e-9)
        self._check_done()

    def _dispatch(self, intended: float) -> None:
        if self._idle:
            lag = self._loop.time() - intended
            self.result.lag.record(lag)
            self.result.late_sends += lag > LATE_SECONDS
            self._send(self._idle.pop(), intended)
            return
        self._waiting.append(intended)
        self.result.queued_sends += not self._open_another()

    def _send(self, connection: Connection, intended: float) -> None:
        self.result.sent += 1
        connection.send(self._packet, intended)

    def _open_another(self) -> bool:
        """Start to open a connection; False if there are as many as the plan allows."""
        if len(self._open) + len(self._opening) >= self._plan.connections:
            return False
        task = self._loop.create_task(self._connect())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    async def _connect(self) -> None:
        """Open one connection for the request that waits longest."""
        parts = urlsplit(self._plan.url)
        secure = parts.scheme == "https"
        origin = self._plan.origin_header.lower().encode()
        try:
            async with asyncio.timeout(self._plan.timeout_seconds):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._on_answer, self._on_failure, self._forget, origin),
                    parts.hostname or "",
                    parts.port or (443 if secure else 80),
                    ssl=secure or None,
                )
        except (OSError, TimeoutError):
            if self._waiting:
                self._waiting.popleft()
                self._count_error("connect")
            return
        self._open.add(connection)
        self._release(connection)

    def _release(self, connection: Connection) -> None:
        """Give a free connection the request that waits longest, or keep it."""
        if not connection.reusable:
            self._forget(connection)
        elif self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting:
            self._open_another()

    def _on_answer(self, connection: Connection, status: int, origin: str) -> None:
        result = self.result
        result.latency.record(self._loop.time() - connection.intended)
        result.requests += 1
        if origin not in result.answers and len(result.answers) >= _MAX_ORIGINS:
            origin = "(others)"
        answers = result.answers.setdefault(origin, Answers())
        answers.requests += 1
        if status >= 500:
            answers.errors += 1
            kind = "proxy_5xx" if self._plan.origin_header and not origin else "http_5xx"
            result.errors[kind] = result.errors.get(kind, 0) + 1
        self._release(connection)
        self._check_done()

    def _on_failure(self, connection: Connection, kind: str) -> None:
        self._count_error(kind)
        self._forget(connection)

    def _count_error(self, kind: str) -> None:
        self.result.requests += 1
        self.result.errors[kind] = self.result.errors.get(kind, 0) + 1
        self._check_done()

    def _check_done(self) -> None:
        if not self._sending and not self._waiting and not any(connection.busy for connection in self._open):
            self._done.set()

    async def _sweep(self) -> None:
        """Fail what is over its time; a request that nobody answered counts with its whole waiting time."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            oldest = self._loop.time() - self._plan.timeout_seconds
            while self._waiting and self._waiting[0] < oldest:
                self._time_out(self._waiting.popleft())
            for connection in [one for one in self._open if one.busy and one.intended < oldest]:
                connection.abort()
                self._open.discard(connection)
                self._time_out(connection.intended)
            self._check_done()

    def _time_out(self, intended: float) -> None:
        self.result.latency.record(self._loop.time() - intended)
        self._count_error("timeout")

    async def _report(self, on_progress: Callable[[LoadResult], None]) -> None:
        while True:
            await asyncio.sleep(self._progress_seconds)
            self.result.duration_seconds = self._loop.time() - self._first
            if self._sending:
                self.result.sending_seconds = self.result.duration_seconds
            on_progress(self.result)

    def _conclude(self) -> None:
        """Say whether the generator was the limit."""
        result = self.result
        result.duration_seconds = self._loop.time() - self._first
        limits = []
        lag = result.lag.quantile(0.99)
        if lag > LATE_SECONDS:
            limits.append(
                f"the generator sent late: p99 of its own delay is {lag * 1e3:.0f} ms (limit {LATE_SECONDS * 1e3:.0f})"
            )
        if result.sent < 0.95 * self._scheduled:
            limits.append(f"only {result.sent} of {self._scheduled} scheduled requests could be sent")
        if result.queued_sends > 0.01 * self._scheduled:
            waited = f"{result.queued_sends} of {self._scheduled} requests waited for one of"
            limits.append(f"{waited} {self._plan.connections} connections")
        result.limits = tuple(limits)
