"""HTTP for a real Prometheus: every pod's exposition, and the list of pods to scrape."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gitlab_mesh.errors import GitlabMeshError, ObjectMissingError
from gitlab_mesh.sandbox.envoy.telemetry import Telemetry

__all__ = ["ScrapeServer"]

_PATH_PARTS = 5


class ScrapeServer:
    """Serves on 127.0.0.1, on a port that the system chooses, until ``close``.

    ``GET /pods/<namespace>/<pod>/stats/prometheus`` is the pod's exposition; ``GET /targets`` is the list of pods
    as Prometheus' HTTP service discovery wants it.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        scraper = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Status line, headers and body in one packet: else Nagle and delayed ACK add 40 ms.
            wbufsize = -1

            def do_GET(self) -> None:
                status, kind, body = scraper._answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing: a scrape a second would fill the log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="scrape", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        text = "text/plain; version=0.0.4; charset=utf-8"
        parts = path.strip("/").split("/")
        if parts == ["targets"]:
            return 200, "application/json", json.dumps(self.targets()).encode()
        if len(parts) != _PATH_PARTS or parts[0] != "pods" or parts[3:] != ["stats", "prometheus"]:
            return 404, text, b"ask for /targets or /pods/<namespace>/<pod>/stats/prometheus\n"
        try:
            return 200, text, self._telemetry.render(parts[1], parts[2]).encode()
        except ObjectMissingError as error:
            return 404, text, f"{error}\n".encode()
        except GitlabMeshError as error:
            return 503, text, f"{error}\n".encode()

    def targets(self) -> list[dict[str, Any]]:
        """Return the pods to scrape, in the format of Prometheus' file and HTTP service discovery."""
        found = []
        for one in self._telemetry.pods():
            namespace, pod = one.split("/")
            labels = {
                "__metrics_path__": f"/pods/{namespace}/{pod}/stats/prometheus",
                "instance": f"{pod}.{namespace}:15020",
                "namespace": namespace,
                "pod": pod,
            }
            found.append({"targets": [f"127.0.0.1:{self.port}"], "labels": labels})
        return found

    def scrape_config(self, *, interval: str = "1s") -> dict[str, Any]:
        """Return one element of ``scrape_configs`` for Prometheus' configuration (JSON is YAML)."""
        return {
            "job_name": "envoy-stats",
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "http_sd_configs": [{"url": f"http://127.0.0.1:{self.port}/targets", "refresh_interval": "1s"}],
        }
