"""The one HTTP door to the Kubernetes API: credentials, time limits, retries, faults as errors of ours.

Only the official client's loader of credentials and its connection pool are used (``rest_client.pool_manager``,
the same in kubernetes 31 to 37): no model classes, no discovery. Its ``request`` is left aside because urllib3's
own retries behind it would send a PUT or DELETE a second time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from gitlab_mesh import __version__
from gitlab_mesh.adapters.kubernetes.faults import NotSentError, map_fault
from gitlab_mesh.adapters.kubernetes.kubeconfig import Target, load_configuration
from gitlab_mesh.errors import AccessDeniedError, TransientError

__all__ = ["JSON", "JSON_PATCH", "TIMEOUT_SECONDS", "Answer", "Connection"]

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
TIMEOUT_SECONDS = 10.0
CONNECT_SECONDS = 5.0
BACKOFF_SECONDS = (0.2, 0.8)
"""Waits before the second and third try: a hiccup is bridged, a driver with a 30 s lease is not blocked."""
RETRY_AFTER_LIMIT_SECONDS = 5.0
BODY_LIMIT_BYTES = 64 * 1024 * 1024
"""Far above any list or telemetry page; a body without end must not fill the job's memory."""
_TRANSIENT = frozenset({500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> dict[str, Any] | None:
        """Return the body as a JSON object, or None where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    @property
    def is_kubernetes_status(self) -> bool:
        """True for an answer of the API server itself, as opposed to one that it relays from a pod."""
        if not self.headers.get("content-type", "").startswith(JSON):
            return False
        document = self.document() or {}
        return document.get("kind") == "Status" and document.get("apiVersion") == "v1"


class Connection:
    """Requests to one cluster; safe to use from several threads.

    Args:
        target: Which cluster, and who we are.
        timeout_seconds: Longest wait for one answer, unless a request says its own.
        sleep: Waits between tries (``Clock.sleep``, so that a signal ends the wait).
    """

    def __init__(
        self,
        target: Target,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.target = target
        self._timeout = timeout_seconds
        self._sleep = sleep
        self._lock = threading.Lock()
        self._client = self._build()

    @property
    def server(self) -> str:
        """Address of the API server, for people."""
        return str(self._client.configuration.host)

    def close(self) -> None:
        """Close all connections."""
        self._client.rest_client.pool_manager.clear()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        timeout_seconds: float | None = None,
        relayed: bool = False,
    ) -> Answer:
        """Send one request and return the answer, whatever its status.

        Tried again: any verb when no connection came about or on 429 (the server did not start the work), GET also on
        a broken connection, a timeout, and 500, 502, 503, 504. A 401 reloads the credentials once (rotated token).

        Args:
            method: GET, POST, PUT, PATCH, DELETE.
            path: Path below the server's address.
            query: Query parameters; empty values are left out.
            body: Sent as JSON.
            content_type: Of the body.
            timeout_seconds: Longest wait for the answer.
            relayed: The answer may be a pod's own: nothing is tried again, its status is not the API server's.

        Raises:
            TransientError: Network, timeout, an answer without end.
            AccessDeniedError: Credentials cannot be renewed.
            UsageError: The server's certificate is not trusted.
        """
        wanted = urlencode({name: value for name, value in (query or {}).items() if value})
        url = f"{path}?{wanted}" if wanted else path
        payload = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "*/*" if relayed else JSON, "User-Agent": f"gitlab-mesh/{__version__}"}
        headers |= {"Content-Type": content_type} if payload is not None else {}
        backoff = iter(() if relayed else BACKOFF_SECONDS)
        renewed = False
        while True:
            client = self._client
            try:
                answer = self._send(client, method, url, headers, payload, timeout_seconds or self._timeout)
            except TransientError as error:
                may_repeat = isinstance(error, NotSentError) or method == "GET"
                delay = next(backoff, None) if may_repeat else None
                if delay is None:
                    raise
            else:
                if answer.status == 401 and not renewed and (not relayed or answer.is_kubernetes_status):
                    renewed = True
                    self._renew(client)
                    continue
                delay = None if relayed else self._wait_for(method, answer, backoff)
                if delay is None:
                    return answer
            self._sleep(delay)

    def _wait_for(self, method: str, answer: Answer, backoff: Iterator[float]) -> float | None:
        """Return how long to wait before the next try, or None where the answer stands."""
        if answer.status != 429 and not (method == "GET" and answer.status in _TRANSIENT):
            return None
        delay = next(backoff, None)
        if delay is None:
            return None
        try:
            asked = float(answer.headers.get("retry-after", "0"))
        except ValueError:  # a date: the wall clocks are not compared
            asked = 0.0
        return max(delay, min(asked, RETRY_AFTER_LIMIT_SECONDS)) if asked >= 0 else delay

    def _build(self) -> Any:
        from kubernetes.client import ApiClient

        return ApiClient(load_configuration(self.target))

    def _renew(self, used: Any) -> None:
        with self._lock:
            if self._client is used:  # else another thread has done it
                self._client = self._build()

    def _authorization(self, client: Any) -> str | None:
        """Return the header's value; the client's hook runs credential plug-ins and reads rotated files here."""
        try:
            if client.configuration.refresh_api_key_hook is not None:
                client.configuration.refresh_api_key_hook(client.configuration)
        except Exception as error:  # plug-ins of the official client raise anything
            raise AccessDeniedError(
                f"context {self.target.context}: the credentials cannot be renewed",
                why=f"{type(error).__name__} in the credential plug-in of the kubeconfig",
                hint=f"check it with: kubectl --context {self.target.context} auth can-i get pods",
            ) from error
        keys = client.configuration.api_key
        value = keys.get("BearerToken") or keys.get("authorization")  # the second is the name before kubernetes 37
        return None if value is None else str(value).strip()

    def _send(
        self, client: Any, method: str, url: str, headers: Mapping[str, str], payload: bytes | None, timeout: float
    ) -> Answer:
        import urllib3

        authorization = self._authorization(client)
        sent = {**headers, **({"Authorization": authorization} if authorization else {})}
        deadline = time.monotonic() + timeout
        try:
            response = client.rest_client.pool_manager.request(
                method,
                str(client.configuration.host) + url,
                body=payload,
                headers=sent,
                timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, timeout), read=timeout),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                body = self._read_body(response, deadline, timeout)
            except BaseException:
                response.close()
                raise
            response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            what = f"{method} {url.partition('?')[0]}"
            raise map_fault(error, self.server, self.target.context, what, timeout) from error
        return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, body)

    def _read_body(self, response: Any, deadline: float, timeout: float) -> bytes:
        """Read all of it within the time; urllib3's own limit counts from byte to byte only."""
        chunks: list[bytes] = []
        size = 0
        while chunk := response.read1(65536):
            chunks.append(chunk)
            size += len(chunk)
            if size > BODY_LIMIT_BYTES:
                raise TransientError(
                    f"{self.server}: an answer has more than {BODY_LIMIT_BYTES >> 20} MiB",
                    hint="narrow the request, or look at what answers at this address",
                )
            if time.monotonic() > deadline:
                raise TransientError(
                    f"{self.server}: the answer was not complete after {timeout:g} s",
                    hint="try again; if it stays, look at the way to the API server",
                )
        return b"".join(chunks)
