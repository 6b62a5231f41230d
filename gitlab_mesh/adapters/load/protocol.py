"""One HTTP/1.1 client connection: sends prepared bytes, reads one answer, and says what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

__all__ = ["Connection"]

_MAX_HEADER_BYTES = 65536
_MAX_LINE_BYTES = 1024


class Connection(asyncio.Protocol):
    """Keep-alive connection, one request at a time, no pipelining.

    Args:
        on_answer: Called with the connection, the status and the origin header's value when the answer is whole.
        on_failure: Called with the connection and ``reset`` or ``protocol`` when the answer cannot become whole.
        on_idle_close: Called when the server closes an idle connection (no request is lost by that).
        origin_header: Lower-case name of the header whose value goes to ``on_answer``.
    """

    def __init__(
        self,
        on_answer: Callable[[Connection, int, str], None],
        on_failure: Callable[[Connection, str], None],
        on_idle_close: Callable[[Connection], None],
        origin_header: bytes,
    ) -> None:
        self._on_answer = on_answer
        self._on_failure = on_failure
        self._on_idle_close = on_idle_close
        self._origin_header = origin_header
        self._transport: asyncio.Transport | None = None
        self.intended = 0.0  # of the request in work
        self.busy = False
        self.reusable = True
        self._reset()

    def _reset(self) -> None:
        self._buffer = b""
        self._status = 0  # 0: the header is not whole yet
        self._origin = ""
        self._left = 0  # bytes of the body (or of the chunk) that are missing; -1: until the end of the connection
        self._chunked = False

    def send(self, packet: bytes, intended: float) -> None:
        """Send a request; ``intended`` is the loop time at which it should have left."""
        self.busy = True
        self.intended = intended
        cast(asyncio.Transport, self._transport).write(packet)

    def abort(self) -> None:
        """Close at once, without a call back."""
        self.busy = False
        self.reusable = False
        self._on_idle_close = lambda connection: None
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Find out whether the end of the connection ended an answer, broke one, or hit none."""
        self.reusable = False
        if not self.busy:
            self._on_idle_close(self)
        elif self._status and self._left < 0 and exc is None:
            self._finish()
        else:
            self._fail("reset")

    def data_received(self, data: bytes) -> None:
        """Read on in the answer."""
        if not self.busy:  # an answer that nobody asked for
            self.abort()
            return
        self._buffer = self._buffer + data if self._buffer else data
        if not self._status and not self._read_header():
            return
        if self._chunked:
            self._read_chunks()
        elif self._left >= 0:
            self._left -= len(self._buffer)
            self._buffer = b""
            if self._left < 0:
                self._fail("protocol")
            elif self._left == 0:
                self._finish()
        else:
            self._buffer = b""

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
        bodiless = status in {b"204", b"304"}
        if length and not length.isdigit():
            self._fail("protocol")
            return False
        self._chunked = not bodiless and b"chunked" in _value(head, lower, b"transfer-encoding")
        self._left = 0 if bodiless or self._chunked else int(length) if length else -1
        if self._left < 0 or head.startswith(b"HTTP/1.0") or b"close" in _value(head, lower, b"connection"):
            self.reusable = False
        if self._origin_header:
            self._origin = _value(head, lower, self._origin_header).decode("latin-1")
        self._status = int(status)
        self._buffer = self._buffer[end + 4 :]
        return True

    def _read_chunks(self) -> None:
        """Skip chunks (RFC 9112 §7.1) until the last one; ``_left`` counts the open chunk with its line end."""
        while True:
            if self._left:
                taken = min(self._left, len(self._buffer))
                self._left -= taken
                self._buffer = self._buffer[taken:]
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
        status, origin = self._status, self._origin
        self._reset()
        self.busy = False
        if not self.reusable and self._transport:
            self._transport.close()
        self._on_answer(self, status, origin)

    def _fail(self, kind: str) -> None:
        self._reset()
        self.abort()
        self._on_failure(self, kind)


def _value(head: bytes, lower: bytes, name: bytes) -> bytes:
    """Return a header's value, empty if it is missing; ``lower`` is ``head`` in lower case, as ``name`` is."""
    start = lower.find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else None].strip()
