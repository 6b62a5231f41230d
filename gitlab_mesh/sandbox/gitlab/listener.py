"""Thin HTTP around ``GitlabServer.handle``: loopback only, a port chosen by the system."""

from __future__ import annotations

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from gitlab_mesh.sandbox.gitlab.messages import Answer
from gitlab_mesh.sandbox.gitlab.server import GitlabServer

__all__ = ["GitlabListener"]


class GitlabListener:
    """Serves one ``GitlabServer`` until closed; a context manager. Sets the server's ``base_url``."""

    def __init__(self, server: GitlabServer) -> None:
        self.server = server
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._http = _Http(("127.0.0.1", 0), _handler_for(server, self._closing, self._open))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}{server.root}"
        server.base_url = self.url
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, name="sandbox-gitlab", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving; open connections are closed, waiting answers are cut short."""
        self._closing.set()
        self._http.shutdown()
        self._thread.join()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._http.server_close()

    def __enter__(self) -> GitlabListener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle are normal here."""


def _handler_for(
    server: GitlabServer, closing: threading.Event, open_connections: set[socket.socket]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "gitlab-mesh-sandbox"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            open_connections.add(self.connection)

        def finish(self) -> None:
            open_connections.discard(self.connection)
            super().finish()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
            """The sandbox keeps its own request log."""

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else b""
            answer = server.handle(self.command, self.path, dict(self.headers.items()), body)
            closing.wait(answer.delay_seconds)
            if answer.drop:
                self.close_connection = True
                return
            self._send(answer)

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if not answer.drip_seconds:
                self.wfile.write(answer.body)
                return
            for position in range(len(answer.body)):
                if closing.wait(answer.drip_seconds):
                    return
                self.wfile.write(answer.body[position : position + 1])

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815 - names of http.server

    return Handler
