"""The application of the routing tests: says what reached it, and counts it. ``python echo.py --version v1 --port 0``.

Paths: ``/status/N`` answers N; ``/fail/N`` fails with 503 N times for each ``x-test``, then works; ``/slow`` takes
half a second; ``/hits/ID`` says how many requests came with ``x-test: ID`` (and is not counted itself).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

SLOW_SECONDS = 0.5


class Echo(ThreadingHTTPServer):
    """The server; ``hits`` counts by ``x-test``."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], version: str) -> None:
        super().__init__(address, Handler)
        self.version = version
        self.hits: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        echo = cast(Echo, self.server)
        self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[0] == "hits":
            self._send(200, {"hits": echo.hits[parts[1]]})
            return
        test = self.headers.get("x-test", "")
        echo.hits[test] += 1
        status = 200
        if parts[0] == "slow":
            time.sleep(SLOW_SECONDS)
        elif parts[0] == "status":
            status = int(parts[1])
        elif parts[0] == "fail" and echo.hits[test] <= int(parts[1]):
            status = 503
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._send(status, {"method": self.command, "path": self.path, "headers": headers})

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815 - names of the base class

    def _send(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("x-version", cast(Echo, self.server).version)
        self.send_header("x-app", "1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base class
        """Say nothing."""


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with Echo((options.host, options.port), options.version) as server:
        sys.stdout.write(json.dumps({"port": server.server_address[1]}) + "\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
