"""The shop's web server: HTTP/1.1 with keep-alive on asyncio, one packet per answer.

Paths: ``/`` (the shop), ``/version``, ``/healthz`` (readiness). Errors and service times apply to ``/`` alone, so
that a probe is not a lottery. Every answer carries ``x-version``: an answer without it was made by a proxy.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import cast

from gitlab_mesh.sandbox.app.behaviour import Behaviour

__all__ = ["Shop", "serve"]

_MAX_HEADER_BYTES = 65536
_REASONS = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 411: "Length Required", 429: "Too Many Requests",
    500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip


@dataclass(slots=True)
class Shop:
    """State of one process: its behaviour, its age, what it has served.

    Attributes:
        version: Sent as ``x-version``; the image's tag.
        behaviour: What it does.
        luck: Source of randomness.
        served: Requests to ``/`` so far.
        failed: Those answered with 500.
        active: Requests in work now.
    """

    version: str
    behaviour: Behaviour
    luck: random.Random
    started: float = field(default_factory=time.monotonic)
    served: int = 0
    failed: int = 0
    active: int = 0
    draining: bool = False
    connections: set[_Connection] = field(default_factory=set)
    _tokens: tuple[float, float] = (0.0, -math.inf)  # left at an age; the bucket is full at first
    _ready_answers: dict[tuple[int, str], bytes] = field(default_factory=dict)

    def answer(self, path: str) -> tuple[int, str, float]:
        """Return status, body and service time (seconds) for a path."""
        if path == "/healthz":
            return (200, "ok", 0.0) if self.behaviour.ready and not self.draining else (503, "not ready", 0.0)
        if path == "/version":
            return 200, self.version, 0.0
        if path != "/":
            return 404, "no such page", 0.0
        age = time.monotonic() - self.started
        self.served += 1
        if self.behaviour.dies_after_requests is not None and self.served > self.behaviour.dies_after_requests:
            self.die(f"died after {self.behaviour.dies_after_requests} requests")
        if self._is_over_limit(age):
            return 429, "too many requests", 0.0
        seconds = self.behaviour.service_seconds(self.luck, age)
        if self.behaviour.is_error(self.luck, age):
            self.failed += 1
            return 500, "the shop failed", seconds
        return 200, json.dumps({"service": "shop", "version": self.version}), seconds

    def _is_over_limit(self, age: float) -> bool:
        """Take a token of the bucket, which holds one second's worth; True: there was none."""
        limit = self.behaviour.limit_per_second
        if limit is None:
            return False
        left, before = self._tokens
        tokens = min(left + (age - before) * limit, max(1.0, limit))
        over = tokens < 1.0
        self._tokens = (tokens if over else tokens - 1.0, age)
        return over

    def packet(self, status: int, body: str, *, close: bool, head: bool) -> bytes:
        """Return the whole answer; kept for reuse, as only few different ones exist."""
        key = (status, f"{close}{head}{body}")
        found = self._ready_answers.get(key)
        if found is None:
            kind = "application/json" if body.startswith("{") else "text/plain"
            lines = [
                f"HTTP/1.1 {status} {_REASONS[status]}",
                f"content-type: {kind}",
                f"content-length: {len(body.encode())}",
                f"x-version: {self.version}",
                *(["connection: close"] if close else []),
            ]
            found = ("\r\n".join(lines) + "\r\n\r\n" + ("" if head else body)).encode()
            self._ready_answers[key] = found
        return found

    def die(self, reason: str) -> None:
        """End at once, as a process that was killed does: requests in flight get no answer."""
        sys.stderr.write(f"shop {self.version}: {reason}; served {self.served}, failed {self.failed}\n")
        sys.stderr.flush()
        os._exit(1)


class _Connection(asyncio.Protocol):
    """One connection: requests are answered one after the other, in order."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._buffer = b""
        self._busy = False
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._shop.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._shop.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        self._next()

    def drain(self) -> None:
        """Close now if idle; otherwise the answer in work says ``connection: close``."""
        if not self._busy:
            self._transport.close()

    def _next(self) -> None:
        """Take one whole request from the buffer, if there is one and none is in work."""
        if self._busy or self._transport.is_closing():
            return
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEADER_BYTES:
                self._send(400, "header too long", close=True, head=False)
            return
        head = self._buffer[:end].decode("latin-1")
        request, *lines = head.split("\r\n")
        method, _, rest = request.partition(" ")
        target, _, protocol = rest.rpartition(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        close = headers.get("connection", "").lower() == "close" or protocol != "HTTP/1.1"
        length = headers.get("content-length", "0")
        if not target or not length.isdigit():
            self._send(400, "not a request", close=True, head=False)
            return
        if "transfer-encoding" in headers:
            self._send(411, "send a content-length", close=True, head=False)
            return
        whole = end + 4 + int(length)
        if len(self._buffer) < whole:
            return
        self._buffer = self._buffer[whole:]
        self._busy = True
        self._shop.active += 1
        status, body, seconds = self._shop.answer(target.partition("?")[0])
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._finish, status, body, close, method == "HEAD")
        else:
            self._finish(status, body, close, method == "HEAD")

    def _finish(self, status: int, body: str, close: bool, head: bool) -> None:
        self._shop.active -= 1
        self._busy = False
        self._send(status, body, close=close or self._shop.draining, head=head)
        if self._buffer:  # not at once: many pipelined requests would recurse
            asyncio.get_running_loop().call_soon(self._next)

    def _send(self, status: int, body: str, *, close: bool, head: bool) -> None:
        self._transport.write(self._shop.packet(status, body, close=close, head=head))
        if close:
            self._transport.close()


async def serve(shop: Shop, host: str, port: int, *, drain_seconds: float = 10.0) -> None:
    """Serve until SIGTERM, then finish the requests in work.

    Prints one line of JSON with the port when it listens.

    Args:
        shop: The application.
        host: Address to listen on.
        port: Port; 0 lets the system choose.
        drain_seconds: Longest wait for requests in work at the end.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(lambda: _Connection(shop), host, port, backlog=1024)
    if shop.behaviour.dies_after_seconds is not None:
        seconds = shop.behaviour.dies_after_seconds
        loop.call_later(seconds, shop.die, f"died after {seconds:g} s")
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await ended.wait()
    shop.draining = True
    server.close()
    for connection in tuple(shop.connections):
        connection.drain()
    deadline = loop.time() + drain_seconds
    while shop.connections and loop.time() < deadline:
        await asyncio.sleep(0.005)
    sys.stderr.write(f"shop {shop.version}: ended; served {shop.served}, failed {shop.failed}\n")
