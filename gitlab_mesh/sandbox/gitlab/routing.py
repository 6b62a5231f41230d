"""The table of endpoints: method, path, whether the job token may, and the lowest role."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gitlab_mesh.sandbox.gitlab.access import Caller
from gitlab_mesh.sandbox.gitlab.messages import Answer, ApiError, Request, json_answer, paginate
from gitlab_mesh.sandbox.gitlab.state import GitlabState, MergeRequest, Project, Role

__all__ = ["Call", "Endpoint", "endpoint", "find_endpoint"]


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request to one endpoint."""

    state: GitlabState
    request: Request
    caller: Caller
    path: Mapping[str, str]
    now: datetime
    base_url: str
    maybe_project: Project | None = None

    @property
    def project(self) -> Project:
        """The project of the path."""
        if self.maybe_project is None:
            raise ApiError(404, "404 Project Not Found")
        return self.maybe_project

    def merge_request(self, parameter: str = "iid") -> MergeRequest:
        """Return the merge request of the path, or 404."""
        found = self.project.merge_requests.get(self.integer(parameter))
        if found is None:
            raise ApiError(404, "404 Not found")
        return found

    def integer(self, parameter: str) -> int:
        """Return a whole number of the path; anything else is GitLab's 400."""
        text = self.path[parameter]
        if not (text.isascii() and text.isdigit()):
            raise ApiError(400, f"{parameter} is invalid", key="error")
        return int(text)

    def required(self, name: str) -> Any:
        """Return a parameter of query or body, or 400 as Grape says it."""
        if self.request.fields.get(name) is None:
            raise ApiError(400, f"{name} is missing", key="error")
        return self.request.fields[name]

    def choice(self, name: str, allowed: Sequence[str], default: str | None = None) -> str:
        """Return a parameter that has a fixed set of values."""
        value = self.request.fields.get(name, default)
        if value is None:
            raise ApiError(400, f"{name} is missing", key="error")
        if value not in allowed:
            raise ApiError(400, f"{name} does not have a valid value", key="error")
        return str(value)

    def page(self, items: Sequence[Any], present: Callable[[Any], Any]) -> Answer:
        """Answer with one page of a list."""
        shown, headers = paginate(items, self.request, self.base_url)
        return json_answer([present(item) for item in shown], 200, headers)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the table.

    Attributes:
        pattern: Path below ``/api/v4``, parameters with a colon; ``:id`` is the project.
        job_token: The job token may.
        role: Lowest role in the project.
    """

    method: str
    pattern: tuple[str, ...]
    handler: Callable[[Call], Answer]
    job_token: bool = False
    role: Role = Role.REPORTER


_ENDPOINTS: list[Endpoint] = []


def endpoint(
    method: str, pattern: str, *, job_token: bool = False, role: Role = Role.REPORTER
) -> Callable[[Callable[[Call], Answer]], Callable[[Call], Answer]]:
    """Register a handler for a method and a path."""

    def register(handler: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        _ENDPOINTS.append(Endpoint(method, tuple(pattern.strip("/").split("/")), handler, job_token, role))
        return handler

    return register


def find_endpoint(method: str, segments: Sequence[str]) -> tuple[Endpoint, dict[str, str]]:
    """Return the endpoint and the path's parameters.

    Raises:
        ApiError: 404 for an unknown path, 405 for a known one with another method.
    """
    allowed = []
    for candidate in _ENDPOINTS:
        if len(candidate.pattern) != len(segments):
            continue
        pairs = list(zip(candidate.pattern, segments, strict=True))
        if all(part.startswith(":") or part == segment for part, segment in pairs):
            if candidate.method == method:
                return candidate, {part[1:]: segment for part, segment in pairs if part.startswith(":")}
            allowed.append(candidate.method)
    if allowed:
        raise ApiError(405, "405 Not Allowed", key="error", headers={"Allow": ", ".join(allowed)})
    raise ApiError(404, "404 Not Found", key="error")
