"""The API server on a loopback port, with what tests need: faults, stop, and start on the same port."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from gitlab_mesh.sandbox.apiserver.certificate import Certificate
from gitlab_mesh.sandbox.apiserver.kubeconfig import render_kubeconfig
from gitlab_mesh.sandbox.apiserver.messages import Request
from gitlab_mesh.sandbox.apiserver.server import ApiServer
from gitlab_mesh.sandbox.apiserver.transport import Fault, Transport

__all__ = ["Fault", "HttpServer"]

_LAST_CHUNK_SECONDS = 1.0
"""How long a stop waits for clients that do not read the end of their watch."""


class HttpServer:
    """Serves an ``ApiServer`` on a port of the system's choice; can be stopped and started on the same port.

    Args:
        api: Answers.
        certificate: Makes it HTTPS, which kubectl needs to send a token; None: plain HTTP.
        host: Loopback.
        port: 0: chosen by the system at the first start, kept from then on.

    Attributes:
        fault: Asked for each request; the answer is done to it. None: no faults.
    """

    def __init__(
        self, api: ApiServer, *, certificate: Certificate | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.api = api
        self.certificate = certificate
        self.fault: Callable[[Request], Fault | None] | None = None
        self._address = (host, port)
        self._server: Transport | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """``https://127.0.0.1:PORT``; the port is known from the first start on."""
        return f"{'https' if self.certificate else 'http'}://{self._address[0]}:{self._address[1]}"

    def render_kubeconfig(self, token: str, *, namespace: str = "default") -> str:
        """Return a kubeconfig for the holder of this token; only once the port is known."""
        authority = self.certificate.certificate_pem if self.certificate else ""
        return render_kubeconfig(self.url, token, authority_pem=authority, namespace=namespace)

    def start(self) -> HttpServer:
        """Begin to serve. Raises OSError if the port is taken."""
        with self._lock:
            if self._server is None:
                self.api.allow_watches()
                self._server = Transport(self._address, self.api.handle, self._find_fault, self.certificate)
                self._address = (self._address[0], self._server.server_address[1])
                self._thread = threading.Thread(
                    target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="apiserver", daemon=True
                )
                self._thread.start()
        return self

    def stop(self) -> None:
        """End all watches and connections and give the port back; the state stays in the API server."""
        with self._lock:
            if self._server is None or self._thread is None:
                return
            self._server.stopping.set()
            self.api.end_watches()
            self._server.shutdown()
            self._thread.join()
            self._server.wait_for_streams(_LAST_CHUNK_SECONDS)
            self._server.close_connections()
            self._server.server_close()
            self._server = None

    def _find_fault(self, request: Request) -> Fault | None:
        return self.fault(request) if self.fault else None

    def __enter__(self) -> HttpServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
