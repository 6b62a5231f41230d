"""HTTP/1.1 for the API server: keep-alive, TLS, watches as chunks, and faults done to single requests."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import ssl
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from gitlab_mesh.sandbox.apiserver.certificate import Certificate
from gitlab_mesh.sandbox.apiserver.messages import Request, Response, status_response
from gitlab_mesh.sandbox.apiserver.status import StatusError

__all__ = ["Fault", "Transport"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request. Nothing set: nothing.

    Attributes:
        delay_seconds: Wait before anything else.
        status: Answer this instead of asking the API server.
        retry_after_seconds: Header of that answer.
        hang: Never answer (until the server stops).
        reset: Reset the connection before the request is done.
        lose_answer: Do the request, then reset the connection.
    """

    delay_seconds: float = 0.0
    status: int = 0
    retry_after_seconds: int | None = None
    hang: bool = False
    reset: bool = False
    lose_answer: bool = False


class Transport(ThreadingHTTPServer):
    """Listens, speaks TLS if it has a certificate, and knows its connections.

    Args:
        address: Host and port; port 0 is chosen by the system.
        answer: Answers a request.
        find_fault: Says what goes wrong with a request.
        certificate: Makes it HTTPS.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        answer: Callable[[Request], Response],
        find_fault: Callable[[Request], Fault | None],
        certificate: Certificate | None,
    ) -> None:
        self.answer = answer
        self.find_fault = find_fault
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Condition()
        self._streams = 0
        self._tls = _tls_context(certificate) if certificate else None
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind without asking the resolver for a name, which can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take a connection; its TLS handshake comes with the first read, in the connection's own thread."""
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def add(self, connection: socket.socket) -> None:
        """Remember an open connection."""
        with self._lock:
            self._connections.add(connection)

    def discard(self, connection: socket.socket) -> None:
        """Forget a closed connection."""
        with self._lock:
            self._connections.discard(connection)

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Count a running watch."""
        with self._lock:
            self._streams += 1
        try:
            yield
        finally:
            with self._lock:
                self._streams -= 1
                self._lock.notify_all()

    def wait_for_streams(self, seconds: float) -> None:
        """Wait until all watches have sent their orderly end, at most so long."""
        with self._lock:
            self._lock.wait_for(lambda: not self._streams, seconds)

    def close_connections(self) -> None:
        """Shut all open connections down."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no event; anything else is a bug and is shown by the base class."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection, in a thread of its own."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # head and body leave in one packet; the base class flushes after each request
    server: Transport

    def setup(self) -> None:
        """Begin."""
        super().setup()
        self.server.add(self.connection)

    def finish(self) -> None:
        """End."""
        self.server.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Keep the standard error clean."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            method=self.command,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length) if length else b"",
            raw_query=parts.query,
        )
        fault = self.server.find_fault(request)
        if fault and self._spoil(fault):
            return
        response = self.server.answer(request)
        if fault and fault.lose_answer:
            self._reset()
        elif response.stream is not None:
            with self.server.stream():
                self._send_stream(response)
        else:
            self._send(response)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - names of http.server

    def _spoil(self, fault: Fault) -> bool:
        """Do the fault; return whether nothing else is to be done."""
        if fault.delay_seconds:
            self.server.stopping.wait(fault.delay_seconds)
        if fault.hang:
            self.server.stopping.wait()
            self._reset()
            return True
        if fault.reset:
            self._reset()
            return True
        if fault.status:
            reasons = {429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}
            error = StatusError(fault.status, reasons.get(fault.status, ""), "a fault was asked for by the test")
            if fault.retry_after_seconds is not None:
                error.headers["Retry-After"] = str(fault.retry_after_seconds)
                error.details = {"retryAfterSeconds": fault.retry_after_seconds}
            self._send(status_response(error))
            return True
        return False

    def _reset(self) -> None:
        """Close with a TCP reset instead of an orderly end."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # close() would wait for the handler's own files on it

    def _send(self, response: Response) -> None:
        headers = dict(response.headers)
        if response.raw is None:
            content = json.dumps(response.body, separators=(",", ":")).encode()
            headers.setdefault("Content-Type", "application/json")
        else:
            content = response.raw
        for name in list(headers):
            if name.lower() in ("content-length", "connection", "transfer-encoding", "date", "server"):
                del headers[name]
        self.send_response(response.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_stream(self, response: Response) -> None:
        assert response.stream is not None  # noqa: S101 - for the type checker; the caller looked
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for event in response.stream:
            if event is None:
                if self._is_gone():
                    self.close_connection = True
                    return
                continue
            line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _is_gone(self) -> bool:
        """Tell whether the client has closed the connection: it has nothing else to say during a watch."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable)


def _tls_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # no resumption on loopback, and no data on the wire that nobody asked for
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # the ssl module reads files only
        file.write(certificate.certificate_pem + certificate.key_pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context
