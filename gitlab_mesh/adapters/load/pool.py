"""The connections of a run: opened on demand up to a bound, reused, and never more files than the system allows."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import ssl
from collections import deque
from collections.abc import Callable

from gitlab_mesh.adapters.load.protocol import Connection, Due, Events
from gitlab_mesh.core.load.plan import LoadPlan, TlsPlan
from gitlab_mesh.errors import TransientError, UsageError

__all__ = ["ConnectionPool"]

_OWN_FAULTS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}
"""What this machine lacks, not the target: files, ports, memory."""

_OTHER_FILES = 256

_CALM_CONNECTIONS = 64
_STALL_SECONDS = 0.1
"""A target that was answering and has not for so long stands still: more than 64 connections then wait until it goes
on. A new connection for each request would only overflow its accept queue (usually 100 or 128), whose repetitions
(1 s, 3 s) would then be measured instead of the target."""


class ConnectionPool:
    """Connections to one target.

    Args:
        plan: Of the run.
        events: What happens on a connection.
        ready: Called with a connection that is free for the request that waits longest.
        failed: Called with the class of error when no connection could be opened for a waiting request.
    """

    def __init__(
        self, plan: LoadPlan, events: Events, ready: Callable[[Connection], None], failed: Callable[[Due, str], None]
    ) -> None:
        self._plan = plan
        self._events = events
        self._ready = ready
        self._failed = failed
        self._origin = plan.origin_header.lower().encode()
        self._opening: set[asyncio.Task[None]] = set()
        self._addresses: list[str] = []
        self._tls: ssl.SSLContext | None = None
        self.open: set[Connection] = set()
        self.idle: list[Connection] = []
        self.waiting: deque[Due] = deque()
        self.own_faults = 0
        self.last_answer: float | None = None

    async def prepare(self) -> None:
        """Read certificates, raise the limit of open files, and find the target's addresses, once.

        Raises:
            UsageError: A certificate cannot be read.
            TransientError: The host has no address.
        """
        parts = self._plan.parts
        if parts.scheme == "https":
            self._tls = _build_tls(self._plan.tls)
        _allow_files(self._plan.connections + _OTHER_FILES)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._plan.timeout_seconds):
                found = await loop.getaddrinfo(parts.hostname or "", None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise TransientError(
                f"load: {parts.hostname} has no address", why=str(error) or "the name servers did not answer in time",
                hint="check the host's name, and the name servers where this job runs",
            ) from error  # fmt: skip
        self._addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))

    @property
    def full(self) -> bool:
        """Whether there are as many connections as the plan allows."""
        return len(self.open) + len(self._opening) >= self._plan.connections

    def open_another(self) -> bool:
        """Start to open a connection, unless the target stands still; False if there are as many as the plan allows."""
        if self.full:
            return False
        loop = asyncio.get_running_loop()
        if (
            len(self.open) + len(self._opening) >= _CALM_CONNECTIONS
            and self.last_answer is not None
            and loop.time() - self.last_answer > _STALL_SECONDS
        ):
            return True
        task = loop.create_task(self._connect())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    def forget(self, connection: Connection) -> None:
        """Drop a connection that is over; another one is opened if somebody waits."""
        self.open.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        if self.waiting:
            self.open_another()

    async def close(self) -> None:
        """Close everything at once."""
        tasks = tuple(self._opening)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in tuple(self.open):
            connection.abort()
        self.open.clear()
        self.idle.clear()
        await asyncio.sleep(0)  # the transports close their sockets in the loop's next turn

    async def _connect(self) -> None:
        """Open one connection for the request that waits longest."""
        try:
            async with asyncio.timeout(self._plan.timeout_seconds):
                connection = await self._try_addresses()
        except OSError as error:  # a timeout is one
            self.own_faults += error.errno in _OWN_FAULTS
            if self.waiting:
                self._failed(self.waiting.popleft(), "tls" if isinstance(error, ssl.SSLError) else "connect")
            if len(self.waiting) >= len(self._opening):  # this task is still one of them
                asyncio.get_running_loop().call_soon(self._open_for_waiting)
            return
        self.open.add(connection)
        self._ready(connection)

    def _open_for_waiting(self) -> None:
        if len(self.waiting) > len(self._opening):
            self.open_another()

    async def _try_addresses(self) -> Connection:
        parts = self._plan.parts
        port = parts.port or (443 if self._tls else 80)
        name = (self._plan.tls.server_name or parts.hostname) if self._tls else None
        loop = asyncio.get_running_loop()
        for address in self._addresses[:-1]:
            try:
                return (await loop.create_connection(self._make, address, port, ssl=self._tls, server_hostname=name))[1]
            except ssl.SSLError:
                raise
            except OSError:
                self._addresses.remove(address)  # the next ones try the others first
                self._addresses.append(address)
        last = self._addresses[-1]
        return (await loop.create_connection(self._make, last, port, ssl=self._tls, server_hostname=name))[1]

    def _make(self) -> Connection:
        return Connection(self._events, self._origin, self._plan.max_body_bytes)


def _build_tls(plan: TlsPlan) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=plan.ca or None)
        if plan.certificate:
            context.load_cert_chain(plan.certificate, plan.key or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"load: TLS files cannot be used: {error}",
            why=", ".join(name for name in (plan.ca, plan.certificate, plan.key) if name),
            hint="PEM files are expected: load.tls: {ca, certificate, key}",
        ) from error
    return context


def _allow_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, soft), hard))
