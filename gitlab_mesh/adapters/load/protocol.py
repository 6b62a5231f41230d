"""One HTTP/1.1 client connection: sends prepared bytes, reads one answer, and says what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

__all__ = ["Connection", "Due", "Events"]

_MAX_HEADER_BYTES = 65536
_MAX_LINE_BYTES = 1024
_MAX_KEPT_BYTES = 1 << 20
"""Of a body that a check reads: what is beyond is not kept, so that memory has a bound with many connections."""


class Due(NamedTuple):
    """One request that is to leave."""

    intended: float  # loop time at which it should leave
    kind: int
    packet: bytes


@dataclass(frozen=True, slots=True)
class Events:
    """What a connection tells.

    Attributes:
        answered: The connection and the status, when the answer is whole.
        failed: The connection and ``reset``, ``protocol`` or ``oversize``, when it cannot become whole.
        closed: The server closed an idle connection (no request is lost by that).
    """

    answered: Callable[[Connection, int], None]
    failed: Callable[[Connection, str], None]
    closed: Callable[[Connection], None]


class Connection(asyncio.Protocol):
    """Keep-alive connection, one request at a time, no pipelining.

    Args:
        events: Whom to tell.
        origin_header: Lower-case name of the header whose value is kept as ``origin``; empty: none.
        max_body_bytes: A larger body is not read on.

    Attributes:
        due: The request in work, or the last one.
        busy: A request is in work.
        reusable: Another one may follow.
        origin: Value of the origin header of the last answer.
        head: Its status line and headers, if kept.
        body: Its body, if kept.
        size: Bytes of its body.
    """

    def __init__(self, events: Events, origin_header: bytes, max_body_bytes: int) -> None:
        self._events = events
        self._origin_header = origin_header
        self._max_body_bytes = max_body_bytes
        self._transport: asyncio.Transport | None = None
        self.due = Due(0.0, 0, b"")
        self.busy = False
        self.reusable = True
        self._keep_head = self._keep_body = False
        self._reset()

    def _reset(self) -> None:
        self._buffer = b""
        self._status = 0  # 0: the header is not whole yet
        self._left = 0  # bytes of the body (or of the chunk) that are missing; -1: until the end of the connection
        self._chunked = False
        self.origin = ""
        self.head = b""
        self.body = b""
        self.size = 0

    def send(self, due: Due, *, keep_head: bool = False, keep_body: bool = False) -> None:
        """Send a request; keep what its checks will read."""
        self._reset()
        self.busy = True
        self.due = due
        self._keep_head, self._keep_body = keep_head, keep_body
        cast(asyncio.Transport, self._transport).write(due.packet)

    def abort(self) -> None:
        """Close at once; nobody is told."""
        self.busy = False
        self.reusable = False
        self._events = _SILENT
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Find out whether the end of the connection ended an answer, broke one, or hit none."""
        self.reusable = False
        if not self.busy:
            self._events.closed(self)
        elif self._status and self._left < 0 and exc is None:
            self._finish()
        else:
            self._fail("reset")

    def data_received(self, data: bytes) -> None:
        """Read on in the answer."""
        if not self.busy:  # an answer that nobody asked for
            closed = self._events.closed
            self.abort()
            closed(self)
            return
        self._buffer = self._buffer + data if self._buffer else data
        if not self._status and not self._read_header():
            return
        if self._chunked:
            self._read_chunks()
        elif self._left >= 0:
            self._left -= len(self._buffer)
            self._take(self._buffer)
            self._buffer = b""
            if self._left < 0:
                self._fail("protocol")
            elif self._left == 0:
                self._finish()
        elif self._take(self._buffer):
            self._buffer = b""
        else:
            self._fail("oversize")

    def _take(self, piece: bytes) -> bool:
        """Count (and keep) a piece of the body; False if it is too large by now."""
        self.size += len(piece)
        if self._keep_body and len(self.body) < _MAX_KEPT_BYTES:
            self.body += piece
        return self.size <= self._max_body_bytes

    def _read_header(self) -> bool:
        """Read status and headers; False while they are not whole, or if they are wrong."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEADER_BYTES or not self._buffer.startswith(b"HTTP/1."[: len(self._buffer)]):
                self._fail("protocol")
            return False
        head = self._buffer[:end]
        status = head[9:12]
        if not head.startswith(b"HTTP/1.") or not status.isdigit():
            self._fail("protocol")
            return False
        if status.startswith(b"1"):  # interim answer (100, 103): the real one follows
            self._buffer = self._buffer[end + 4 :]
            return bool(self._buffer) and self._read_header()
        lower = head.lower()
        length = _value(head, lower, b"content-length")
        bodiless = status in {b"204", b"304"} or self.due.packet.startswith(b"HEAD ")
        if length and not length.isdigit():
            self._fail("protocol")
            return False
        self._chunked = not bodiless and b"chunked" in _value(head, lower, b"transfer-encoding")
        self._left = 0 if bodiless or self._chunked else int(length) if length else -1
        if self._left > self._max_body_bytes:
            self._fail("oversize")
            return False
        if self._left < 0 or head.startswith(b"HTTP/1.0") or b"close" in _value(head, lower, b"connection"):
            self.reusable = False
        if self._origin_header:
            self.origin = _value(head, lower, self._origin_header).decode("latin-1")
        if self._keep_head:
            self.head = head
        self._status = int(status)
        self._buffer = self._buffer[end + 4 :]
        return True

    def _read_chunks(self) -> None:
        """Take chunks (RFC 9112 §7.1) until the last one; ``_left`` counts the open chunk with its line end."""
        while True:
            if self._left:
                taken = min(self._left, len(self._buffer))
                body = self._buffer[: min(taken, max(self._left - 2, 0))]
                self._left -= taken
                self._buffer = self._buffer[taken:]
                if not self._take(body):
                    self._fail("oversize")
                    return
                if self._left:
                    return
            line_end = self._buffer.find(b"\r\n")
            if line_end < 0:
                if len(self._buffer) > _MAX_LINE_BYTES:
                    self._fail("protocol")
                return
            try:
                size = int(self._buffer[:line_end].partition(b";")[0], 16)
            except ValueError:
                self._fail("protocol")
                return
            if size == 0:  # trailers are rare and none of ours: the answer ends at the empty line
                if self._buffer.endswith(b"\r\n\r\n"):
                    self._finish()
                return
            self._left = size + 2
            self._buffer = self._buffer[line_end + 2 :]

    def _finish(self) -> None:
        self.busy = False
        if not self.reusable and self._transport:
            self._transport.close()
        self._events.answered(self, self._status)

    def _fail(self, kind: str) -> None:
        failed = self._events.failed
        self.abort()
        failed(self, kind)


_SILENT = Events(lambda connection, status: None, lambda connection, kind: None, lambda connection: None)


def _value(head: bytes, lower: bytes, name: bytes) -> bytes:
    """Return a header's value, empty if it is missing; ``lower`` is ``head`` in lower case, as ``name`` is."""
    start = lower.find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else None].strip()
