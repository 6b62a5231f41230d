"""python-gitlab with bounded time: every request of every manager passes ``BoundedGitlab.http_request``.

Imported lazily (it imports ``gitlab`` and ``requests``). python-gitlab itself obeys any ``Retry-After``, has no
timeout by default, and with ``retry_transient_errors`` repeats POSTs, which would double notes; so its own retries
are switched off and ours stand here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import gitlab
import gitlab.exceptions
import requests

from gitlab_mesh.errors import (
    AccessDeniedError,
    ConflictError,
    GitlabMeshError,
    ObjectMissingError,
    TransientError,
    UsageError,
)
from gitlab_mesh.gitlab.context import CIContext, Token
from gitlab_mesh.gitlab.deadline import Deadline

__all__ = ["BoundedGitlab", "translate"]

ATTEMPTS = 3
_TRANSIENT = frozenset({500, 502, 503, 504, *range(520, 531)})
_NETWORK_ERRORS = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
# Refused before anything was done, so that even a POST may be repeated.
_NOT_DONE = frozenset({409, 429})


class BoundedGitlab(gitlab.Gitlab):
    """A GitLab client for one token that never outlives its deadline.

    Set ``deadline`` before each use. GET, PUT and DELETE are repeated after 5xx and lost connections, POST only
    where GitLab says that it did nothing (429, 409 "locked"); ``Retry-After`` is respected while the deadline
    allows it, and remembered in ``blocked_until`` (monotonic seconds) where it does not.
    """

    def __init__(self, context: CIContext, token: Token, *, request_seconds: float) -> None:
        session = requests.Session()
        session.hooks["response"].append(self._remember)
        super().__init__(
            context.api_url.removesuffix("/api/v4") or context.server_url,
            private_token=token.value if token.kind != "job" else None,
            job_token=token.value if token.kind == "job" else None,
            ssl_verify=context.ca_file or True,
            # Links of later pages carry GitLab's own idea of its address; behind a proxy it may not be ours,
            # and the token must not travel to another host.
            keep_base_url=True,
            user_agent="gitlab-mesh",
            session=session,
        )
        self.deadline = Deadline(0.0, lambda: 0.0, lambda _: None)
        self.blocked_until = 0.0
        self._request_seconds = request_seconds
        self._retry_after: float | None = None
        self._own_id: int | None = None
        self._own_id_asked = False

    def own_id(self) -> int | None:
        """Return the id of the user that the token speaks for; None where the token may not ask (fine-grained)."""
        if not self._own_id_asked:
            try:
                user = self.http_get("/user")
                if not isinstance(user, dict):
                    raise gitlab.exceptions.GitlabParsingError("no JSON object")
                self._own_id = int(user["id"])
            except gitlab.exceptions.GitlabHttpError as error:
                if error.response_code not in {403, 404}:
                    raise
            self._own_id_asked = True
        return self._own_id

    def http_request(self, verb: str, path: str, *args: Any, **kwargs: Any) -> requests.Response:
        """Make one request, repeated as described above; raises python-gitlab's and requests' errors."""
        kwargs.update(obey_rate_limit=False, retry_transient_errors=False, max_retries=0)
        for attempt in range(1, ATTEMPTS + 1):
            self._wait_until_allowed()
            kwargs["timeout"] = min(self._request_seconds, self.deadline.require())
            try:
                return super().http_request(verb, path, *args, **kwargs)
            except _NETWORK_ERRORS:
                if verb.lower() == "post" or attempt == ATTEMPTS:
                    raise
                self.deadline.sleep(0.2 * attempt)
            except gitlab.exceptions.GitlabHttpError as error:
                code = error.response_code or 0
                repeatable = code in _NOT_DONE or (code in _TRANSIENT and verb.lower() != "post")
                if code == 409 and "lock" not in str(error.error_message).lower():
                    repeatable = False
                if code == 429:
                    wait = self._retry_after if self._retry_after is not None else 1.0
                    self.blocked_until = self.deadline.monotonic() + wait
                if not repeatable or attempt == ATTEMPTS:
                    raise
                if code != 429:
                    self.deadline.sleep(0.2 * attempt)
        raise AssertionError("the last attempt returns or raises")

    def _wait_until_allowed(self) -> None:
        wait = self.blocked_until - self.deadline.monotonic()
        if wait <= 0:
            return
        if wait >= self.deadline.remaining():
            raise TransientError(
                "GitLab's rate limit is reached (429)",
                hint=f"it takes requests again in {wait:.0f} s; nothing was sent",
            )
        self.deadline.sleep(wait)

    def _remember(self, response: requests.Response, *_args: Any, **_kwargs: Any) -> None:
        """Keep ``Retry-After`` (seconds): python-gitlab's errors carry no headers."""
        text = response.headers.get("Retry-After", "")
        self._retry_after = float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None


_BY_STATUS: dict[int, tuple[Callable[..., GitlabMeshError], str]] = {
    401: (AccessDeniedError, "the token is unknown, revoked or expired, or may not do this at all"),
    403: (AccessDeniedError, "the token's scope or role is too low"),
    404: (ObjectMissingError, "it does not exist, or the token may not see it"),
    409: (ConflictError, "somebody else is changing it"),
    429: (TransientError, "GitLab's rate limit is reached"),
}


def translate(error: Exception, token: Token | None) -> GitlabMeshError:
    """Return our error for one of python-gitlab's or requests'; never with a secret or a page of HTML in it."""
    if isinstance(error, GitlabMeshError):
        return error
    name = token.name if token else "no token"
    if isinstance(error, gitlab.exceptions.GitlabParsingError | ValueError | TypeError | LookupError | AttributeError):
        # The attributes of python-gitlab's objects are whatever came: the second group means "not GitLab's form".
        return TransientError(
            "GitLab's answer is not its API's JSON",
            why="a login page or a proxy's error page?",
            hint="check CI_API_V4_URL",
        )
    if isinstance(error, gitlab.exceptions.GitlabError):
        code = error.response_code or 0
        said = _one_line(error.error_message)
        kind, why = _BY_STATUS.get(code, (TransientError if code >= 500 else UsageError, ""))
        answered = f"GitLab answered {code} to {name}" if code else "GitLab's answer was not understood"
        return kind(f"{answered}: {said}" if said else answered, why=why)
    if isinstance(error, requests.exceptions.SSLError):
        return TransientError(
            "GitLab's certificate was not accepted",
            why=_one_line(error),
            hint="set tls-ca-file in the runner's settings",
        )
    if isinstance(error, requests.Timeout):
        return TransientError("GitLab did not answer in time")
    if isinstance(error, requests.RequestException):
        return TransientError("GitLab cannot be reached", why=type(error).__name__)
    return TransientError(f"unexpected {type(error).__name__}", why=_one_line(error))


def _one_line(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if "<html" in text.lower() or "<!doctype" in text.lower():
        return "a page of HTML"
    return " ".join(text.split())[:200]
