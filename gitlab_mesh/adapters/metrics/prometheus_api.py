"""Prometheus' HTTP API, as much of it as reading needs: ``POST /api/v1/query``, bounded in time and size.

Protocol: https://prometheus.io/docs/prometheus/latest/querying/api/. Thanos, Mimir and VictoriaMetrics speak it too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from gitlab_mesh.errors import AccessDeniedError, ConfigError, TransientError

__all__ = ["CA_VARIABLE", "MAX_BODY_BYTES", "TOKEN_VARIABLE", "PrometheusApi", "QueryAnswer", "QueryError"]

TOKEN_VARIABLE = "GITLAB_MESH_PROMETHEUS_TOKEN"  # noqa: S105 - the variable's name, not a secret
CA_VARIABLE = "GITLAB_MESH_PROMETHEUS_CA"
MAX_BODY_BYTES = 64 * 1024 * 1024
_CHUNK = 64 * 1024


class QueryError(TransientError):
    """Prometheus answered, and refused or failed this query; ``kind`` is its ``errorType`` ("bad_data", …)."""

    def __init__(self, what: str, *, kind: str, why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """``data`` of an answer: the type ("scalar", "vector", "matrix"), the result as JSON, and the warnings."""

    result_type: str
    result: Any
    warnings: tuple[str, ...] = ()


class _Bearer(AuthBase):
    """A token as header. As ``auth`` (not as plain header) so that a ``.netrc`` cannot replace it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class PrometheusApi:
    """One Prometheus server.

    Args:
        address: Its URL without ``/api``; a path prefix is kept.
        env: ``GITLAB_MESH_PROMETHEUS_TOKEN`` is a bearer token, or ``user:password`` for basic authentication;
            ``GITLAB_MESH_PROMETHEUS_CA`` is a file with the CA of an own PKI.

    Raises:
        ConfigError: The address is none.
    """

    def __init__(self, address: str | None, env: Mapping[str, str]) -> None:
        if not address:
            raise ConfigError(
                "metrics.source: prometheus needs metrics.address",
                hint="add metrics.address: https://prometheus.example.com (without /api)",
            )
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"metrics.address {_hide_login(address)!r} is no http(s) URL",
                hint="it looks like https://prometheus.example.com:9090",
            )
        self.shown = _hide_login(address).rstrip("/")
        self._url = address.rstrip("/") + "/api/v1/query"
        self._session = requests.Session()
        self._session.headers["Accept"] = "application/json"
        self._session.headers["Accept-Encoding"] = "identity"  # so that a body's size is known while it comes
        token = env.get(TOKEN_VARIABLE, "").strip()
        if token:
            user, colon, password = token.partition(":")
            self._session.auth = HTTPBasicAuth(user, password) if colon else _Bearer(token)
        self._verify: bool | str = env.get(CA_VARIABLE) or True

    def query(
        self, promql: str, *, deadline: float, at: float | None = None, parameters: Mapping[str, str] | None = None
    ) -> QueryAnswer:
        """Evaluate an instant query.

        Args:
            promql: The query.
            deadline: Of the whole answer, by ``time.monotonic()``.
            at: Evaluation time, Unix seconds by the server's clock; None: its now.
            parameters: Further ones; servers ignore those that they do not know.

        Raises:
            QueryError: The server refused or failed this query.
            AccessDeniedError: 401, 403.
            TransientError: Everything else that is not an answer.
        """
        form = {"query": promql, **({} if at is None else {"time": repr(at)}), **(parameters or {})}
        status, content_type, body = self._post(form, deadline)
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if status in (401, 403):
            raise AccessDeniedError(
                f"Prometheus {self.shown} answered {status}",
                why=_read_error(answer),
                hint=f"set {TOKEN_VARIABLE} (masked CI/CD variable) to a token, or user:password, that may query",
            )
        if not isinstance(answer, dict) or answer.get("status") not in ("success", "error"):
            raise TransientError(
                f"Prometheus {self.shown} answered {status} ({content_type or 'no content type'}), not its JSON",
                hint="see that metrics.address is Prometheus itself, without /api and without a login page before it",
            )
        if answer["status"] == "error" or status != 200:
            raise QueryError(
                f"Prometheus {self.shown} answered {status}: {_read_error(answer)}",
                kind=str(answer.get("errorType", "")),
                why=f"the query: {promql}",
            )
        data = answer.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("resultType"), str) or "result" not in data:
            raise TransientError(f"Prometheus {self.shown} answered success without data")
        warnings = answer.get("warnings") or []
        return QueryAnswer(data["resultType"], data["result"], tuple(str(warning) for warning in warnings))

    def _post(self, form: Mapping[str, str], deadline: float) -> tuple[int, str, bytes]:
        try:
            # verify goes with the call: REQUESTS_CA_BUNDLE outranks the session's own setting.
            with self._session.post(
                self._url,
                data=form,
                timeout=_left(deadline),
                stream=True,
                allow_redirects=False,
                verify=self._verify,
            ) as response:
                return response.status_code, response.headers.get("Content-Type", ""), _read_body(response, deadline)
        except requests.exceptions.SSLError as error:
            raise TransientError(
                f"Prometheus {self.shown}: its certificate is not trusted",
                why=str(error),
                hint=f"set {CA_VARIABLE} to a file with the CA's certificate",
            ) from error
        except (requests.exceptions.Timeout, TimeoutError) as error:
            raise TransientError(
                f"Prometheus {self.shown} did not answer in time", hint="raise metrics.timeout if it is that slow"
            ) from error
        except (requests.exceptions.RequestException, OSError, ValueError) as error:
            raise TransientError(
                f"Prometheus {self.shown} cannot be reached", why=_hide_login(str(error)), hint="see metrics.address"
            ) from error


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _read_body(response: requests.Response, deadline: float) -> bytes:
    """Read what comes, in the pieces in which it comes: a body of one byte a second must not outlive the deadline."""
    from urllib3.exceptions import HTTPError

    chunks = []
    size = 0
    expected = response.headers.get("Content-Length")
    try:
        while chunk := response.raw.read1(_CHUNK):
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise TransientError(
                    f"Prometheus' answer is larger than {MAX_BODY_BYTES >> 20} MiB",
                    hint="too many series for one service: lower metrics.max_age, or drop labels when scraping",
                )
            chunks.append(chunk)
            _left(deadline)
    except HTTPError as error:
        if "timed out" in str(error):
            raise TimeoutError from error
        raise OSError(str(error)) from error
    if expected is not None and expected.isdigit() and size < int(expected):
        raise OSError(f"the answer ended after {size} of {expected} bytes")
    return b"".join(chunks)


def _read_error(answer: Any) -> str:
    if isinstance(answer, dict) and answer.get("error"):
        return f"{answer.get('errorType', 'error')}: {answer['error']}"
    return ""


def _hide_login(text: str) -> str:
    parts = urlsplit(text)
    if "@" not in parts.netloc:
        return text
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
