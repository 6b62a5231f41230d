"""The engine: a schedule that does not wait for answers, connections that are reused, and hard bounds.

Latency counts from the intended send, so a target that stalls cannot hide the requests that it kept from being sent
("coordinated omission").
"""

from __future__ import annotations

import asyncio
import random
import time
from bisect import bisect
from collections.abc import Callable
from itertools import accumulate, cycle

from gitlab_mesh.adapters.load.arrival import run_stamped
from gitlab_mesh.adapters.load.pool import ConnectionPool
from gitlab_mesh.adapters.load.protocol import Connection, Due, Events
from gitlab_mesh.core.load.plan import LoadPlan
from gitlab_mesh.core.load.result import Answers, KindResult, LoadResult

__all__ = ["BuiltinLoad", "LoadEngine", "run_load"]

LATE_SECONDS = 0.020
"""A send later than this is late by the generator's own fault: timers of the system are exact to 1 ms."""

MAX_CPU_RATIO = 0.95
"""Of one core: beyond it answers wait for us."""

_MAX_ORIGINS = 32
_BATCH = 256
_SWEEP_SECONDS = 0.05
_STOP_SECONDS = 1.0


def run_load(plan: LoadPlan) -> LoadResult:
    """Run a plan to its end and return what was measured."""
    return run_stamped(lambda arrived: LoadEngine(plan, arrived=arrived).run())


class BuiltinLoad:
    """Port ``LoadGenerator`` on the engine."""

    def run(
        self, plan: LoadPlan, *, progress: Callable[[LoadResult], None], interrupted: Callable[[], int]
    ) -> LoadResult:
        """Run a plan; ``progress`` is called every second, a signal ends the sending."""
        return run_stamped(lambda arrived: LoadEngine(plan, progress, interrupted=interrupted, arrived=arrived).run())


class LoadEngine:
    """One run.

    Args:
        plan: What to send.
        on_progress: Called about every ``progress_seconds`` with the result so far.
        progress_seconds: See above.
        interrupted: Not 0: somebody wants us to end.
        arrived: Tells when the answer that is being read had arrived; the clock of the event loop.
    """

    def __init__(
        self,
        plan: LoadPlan,
        on_progress: Callable[[LoadResult], None] | None = None,
        progress_seconds: float = 1.0,
        *,
        interrupted: Callable[[], int] = lambda: 0,
        arrived: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._profile = plan.profile
        self._on_progress = on_progress
        self._progress_seconds = progress_seconds
        self._interrupted = interrupted
        self._arrived = arrived
        self._luck = random.Random(plan.seed)  # noqa: S311 - arrival times are no secret
        kinds = plan.kinds
        self._packets = [cycle(packets) for packets in plan.packets()]
        self._bounds = list(accumulate(kind.weight for kind in kinds))
        self._checks = [kind.checks for kind in kinds]
        self._kinds = [KindResult(kind.name, checks={name: [0, 0] for name in kind.checks.names}) for kind in kinds]
        self.result = LoadResult(
            self._profile.mean_rate, {kind.name: kind for kind in self._kinds}, target=_without_user(plan.url)
        )
        self._pool = ConnectionPool(
            plan, Events(self._on_answer, self._on_failure, self._on_close), self._release, self._on_no_connection
        )
        self._scheduled = 0
        self._arrivals = 0.0
        self._sending = True
        self._done = asyncio.Event()

    async def run(self) -> LoadResult:
        """Send, wait for the last answers, and return the result.

        Raises:
            UsageError: A certificate cannot be read.
            TransientError: The host has no address.
        """
        self._loop = asyncio.get_running_loop()
        await self._pool.prepare()
        self._cpu = time.process_time()
        self._first = self._loop.time() + 0.01
        self._next = self._first + self._advance()
        timers = [self._loop.create_task(self._sweep())]
        if self._on_progress:
            timers.append(self._loop.create_task(self._report(self._on_progress)))
        try:
            self._tick()
            await self._done.wait()
        finally:
            for task in timers:
                task.cancel()
            await asyncio.gather(*timers, return_exceptions=True)
            await self._pool.close()
        self._conclude()
        return self.result

    def stop(self) -> None:
        """Stop sending; requests in work get a second to end, then they count as unanswered."""
        self.result.interrupted = self.result.interrupted or self._sending
        self._stop_sending(self._loop.time() - self._first)
        if not self._done.is_set():
            self._loop.call_later(_STOP_SECONDS, self._done.set)

    def _advance(self) -> float:
        """Return the next intended second of the run; infinity at the end."""
        if self._plan.max_requests is not None and self._scheduled >= self._plan.max_requests:
            return float("inf")
        if self._plan.arrivals == "constant":
            return self._profile.moment(self._scheduled)
        self._arrivals += self._luck.expovariate(1.0)
        return self._profile.moment(self._arrivals)

    def _tick(self) -> None:
        """Send what is due; then sleep until the next intended send."""
        for _ in range(_BATCH):
            if not self._sending:
                return
            now = self._loop.time()
            if self._next > now:
                if self._next == float("inf"):
                    self._end_schedule(now)
                else:
                    self._loop.call_at(self._next, self._tick)
                return
            self._dispatch(self._next, now)
            self._scheduled += 1
            self._next = self._first + self._advance()
        self._loop.call_soon(self._tick)  # far behind: let answers be read before going on

    def _end_schedule(self, now: float) -> None:
        """All is sent; the run lasts as long as planned, so that its rate is what was planned."""
        cut = self._plan.max_requests is not None and self._scheduled >= self._plan.max_requests
        elapsed = now - self._first
        self._stop_sending(elapsed if cut else max(elapsed, self._profile.seconds))

    def _stop_sending(self, seconds: float) -> None:
        if self._sending:
            self._sending = False
            self.result.sending_seconds = max(seconds, 1e-9)
        self._check_done()

    def _dispatch(self, intended: float, now: float) -> None:
        kind = bisect(self._bounds, self._luck.random() * self._bounds[-1]) if len(self._bounds) > 1 else 0
        due = Due(intended, kind, next(self._packets[kind]))
        pool = self._pool
        if pool.idle:
            lag = now - intended
            self.result.lag.record(lag)
            self.result.late_sends += lag > LATE_SECONDS
            self._send(pool.idle.pop(), due)
            return
        pool.waiting.append(due)
        self.result.queued_sends += not pool.open_another()

    def _send(self, connection: Connection, due: Due) -> None:
        self.result.sent += 1
        checks = self._checks[due.kind]
        connection.send(due, keep_head=checks.read_head, keep_body=checks.read_body)

    def _release(self, connection: Connection) -> None:
        """Give a free connection the request that waits longest, or keep it."""
        pool = self._pool
        if not connection.reusable:
            pool.forget(connection)
        elif pool.waiting:
            self._send(connection, pool.waiting.popleft())
        else:
            pool.idle.append(connection)

    def _on_answer(self, connection: Connection, status: int) -> None:
        due = connection.due
        kind = self._kinds[due.kind]
        arrived = self._pool.last_answer = self._arrived()
        bucket = kind.latency.record(arrived - due.intended)
        kind.requests += 1
        error = self._classify(connection, status, kind)
        if error:
            kind.errors[error] = kind.errors.get(error, 0) + 1
        self.result.slices.count(due.intended - self._first, bucket, error=bool(error))
        if self._plan.origin_header:
            self._count_origin(connection.origin, bad=status >= 500)
        self._release(connection)
        self._check_done()

    def _classify(self, connection: Connection, status: int, kind: KindResult) -> str:
        """Return the class of error of an answer, or ""; count its checks."""
        checks = self._checks[connection.due.kind]
        failed: list[str] = []
        if kind.checks:
            failed = checks.failed(status, connection.head, connection.body, connection.size)
            for name, counts in kind.checks.items():
                counts[name in failed] += 1
        if status >= 500 and not (checks.status and "status" not in failed):
            return "proxy_5xx" if self._plan.origin_header and not connection.origin else "http_5xx"
        if failed:
            return "status" if "status" in failed else "check"
        return ""

    def _count_origin(self, origin: str, *, bad: bool) -> None:
        answers = self.result.answers
        if origin not in answers and len(answers) >= _MAX_ORIGINS:
            origin = "(others)"
        one = answers.setdefault(origin, Answers())
        one.requests += 1
        one.errors += bad

    def _on_failure(self, connection: Connection, kind: str) -> None:
        self._count_error(connection.due, kind)
        self._pool.forget(connection)

    def _on_close(self, connection: Connection) -> None:
        self._pool.forget(connection)

    def _on_no_connection(self, due: Due, kind: str) -> None:
        self._count_error(due, kind)

    def _count_error(self, due: Due, error: str, bucket: int | None = None) -> None:
        kind = self._kinds[due.kind]
        kind.requests += 1
        kind.errors[error] = kind.errors.get(error, 0) + 1
        self.result.slices.count(due.intended - self._first, bucket, error=True)
        self._check_done()

    def _check_done(self) -> None:
        if not self._sending and not self._pool.waiting and not any(one.busy for one in self._pool.open):
            self._done.set()

    async def _sweep(self) -> None:
        """Fail what is over its time; a request that nobody answered counts with its whole waiting time."""
        pool = self._pool
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            if self._sending and self._interrupted():
                self.stop()
            oldest = self._loop.time() - self._plan.timeout_seconds
            while pool.waiting and pool.waiting[0].intended < oldest:
                self._time_out(pool.waiting.popleft(), "unsent" if pool.full else "timeout")
            for connection in [one for one in pool.open if one.busy and one.due.intended < oldest]:
                connection.abort()
                pool.forget(connection)
                self._time_out(connection.due, "timeout")
            self._check_done()

    def _time_out(self, due: Due, error: str) -> None:
        bucket = self._kinds[due.kind].latency.record(self._loop.time() - due.intended)
        self._count_error(due, error, bucket)

    async def _report(self, on_progress: Callable[[LoadResult], None]) -> None:
        while True:
            await asyncio.sleep(self._progress_seconds)
            self._take_stock()
            on_progress(self.result)

    def _take_stock(self) -> None:
        result = self.result
        result.duration_seconds = self._loop.time() - self._first
        if self._sending:
            result.sending_seconds = result.duration_seconds
        result.planned_requests = self._scheduled
        result.cpu_ratio = (time.process_time() - self._cpu) / max(result.duration_seconds, 1e-9)

    def _conclude(self) -> None:
        """Say whether the generator was the limit."""
        self._take_stock()
        result = self.result
        limits = []
        lag = result.lag.quantile(0.99)
        if lag > LATE_SECONDS:
            limits.append(
                f"the generator sent late: p99 of its own delay is {lag * 1e3:.0f} ms (limit {LATE_SECONDS * 1e3:.0f})"
            )
        if result.cpu_ratio > MAX_CPU_RATIO:
            limits.append(f"the generator used {result.cpu_ratio:.0%} of a processor core: answers waited for it")
        if self._pool.own_faults:
            limits.append(f"{self._pool.own_faults} connections failed here for want of files, ports or memory")
        if result.queued_sends > 0.01 * self._scheduled:
            waited = f"{result.queued_sends} of {self._scheduled} requests waited for one of"
            limits.append(f"{waited} {self._plan.connections} connections")
        result.limits = tuple(limits)


def _without_user(url: str) -> str:
    head, sign, rest = url.partition("://")
    return f"{head}{sign}{rest.rpartition('@')[2]}" if "@" in rest.partition("/")[0] else url
