"""Envoy's admin interface: statistics, readiness (https://www.envoyproxy.io/docs/envoy/latest/operations/admin)."""

from __future__ import annotations

import http.client
import json
import threading
from urllib.parse import quote

from gitlab_mesh.errors import TransientError

__all__ = ["EnvoyAdmin"]

_TIMEOUT_SECONDS = 5.0


class EnvoyAdmin:
    """One kept-alive connection to the admin port; safe for use by several threads.

    Args:
        port: Admin port on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> str:
        """GET a path.

        Raises:
            TransientError: Envoy is not running, or did not answer with 200.
        """
        with self._lock:
            try:
                return self._get(path)
            except (OSError, http.client.HTTPException):
                # The kept connection may belong to an Envoy that was restarted since; a new one decides.
                self._drop()
            try:
                return self._get(path)
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                raise TransientError("Envoy's admin interface does not answer", why=str(error)) from error

    def _get(self, path: str) -> str:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_SECONDS)
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        body = answer.read().decode()
        if answer.status != http.HTTPStatus.OK:
            raise TransientError(f"Envoy's admin interface answers {answer.status} to {path}", why=body.strip())
        return body

    def _drop(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def is_live(self) -> bool:
        """Whether Envoy has loaded its first configuration and serves it."""
        try:
            return self.get("/ready").strip() == "LIVE"
        except TransientError:
            return False

    def stats(self, pattern: str) -> dict[str, int | str]:
        """Return counters, gauges and texts whose full name matches the regular expression (RE2)."""
        found = json.loads(self.get(f"/stats?format=json&filter={quote(pattern, safe='')}"))
        return {one["name"]: one["value"] for one in found["stats"] if "name" in one}

    def prometheus(self, pattern: str) -> str:
        """Return the Prometheus exposition of statistics whose full name matches."""
        return self.get(f"/stats/prometheus?filter={quote(pattern, safe='')}")

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()
