"""GitLab's own OpenAPI description as the judge of every request, and of our answers' shape.

The description is not part of the project: its licence is CC BY-SA 4.0. Whoever has it beside the checkout (the tests,
CI) gives its path; then each request that the emulated GitLab sees is checked by openapi-core, which comes with the
development tools.

What the description says wrongly is put right before it is used (GitLab's generator, ``doc/api/openapi``): ``oneOf`` of
types that overlap (every numeric project id is also a string), answers without ``nullable`` although GitLab sends
nulls, objects whose fields it does not name, and ``security`` without the token headers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from gitlab_mesh.errors import UsageError
from gitlab_mesh.sandbox.gitlab.messages import Answer

if TYPE_CHECKING:
    from openapi_core import OpenAPI

__all__ = ["Contract"]

_HOST = "https://gitlab.com"  # the description's default server; only paths matter
# Documented endpoints that the generated description lacks (docs "Users API", "Personal access tokens
# API", "Jobs API", "Commits API", "Pipelines
# API", "Projects API"): they are answered, and not checked.
_UNDESCRIBED = (
    ("user",),
    ("personal_access_tokens", "self"),
    ("projects",),
    ("projects", "*", "jobs"),
    ("projects", "*", "jobs", "*", "trace"),
    ("projects", "*", "pipelines"),
    ("projects", "*", "repository", "commits", "*"),
)


class Contract:
    """Checks requests and answers; what is wrong is kept in ``violations``, one line each.

    Args:
        openapi: The description, put right.

    Attributes:
        violations: What was wrong so far, each with method and path.
        checked: How many requests were held against the description.
    """

    def __init__(self, openapi: OpenAPI) -> None:
        self._openapi = openapi
        self._lock = threading.Lock()
        self.violations: list[str] = []
        self.checked = 0

    @classmethod
    def load(cls, path: Path) -> Contract:
        """Read the description (YAML; OpenAPI 3.0; 250 KB take half a second).

        Raises:
            UsageError: It cannot be read, or openapi-core is not installed.
        """
        import yaml

        try:
            from openapi_core import Config, OpenAPI
        except ImportError as error:
            raise UsageError("openapi-core is not installed", hint="it comes with gitlab-mesh[dev]") from error
        try:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            description = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe loader
        except (OSError, yaml.YAMLError) as error:
            raise UsageError(f"{path} cannot be read as an OpenAPI description", why=str(error)) from error
        config = Config(spec_validator_cls=None, additional_properties_default_policy="forbid")
        return cls(OpenAPI.from_dict(_put_right(description), config=config))

    def check(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, answer: Answer
    ) -> None:
        """Hold one exchange against the description.

        Args:
            method: HTTP method.
            path: From ``/api/v4`` on, percent-encoded as sent.
            query: Query text, as sent.
            headers: Names in any case.
            body: Raw body.
            answer: What was answered; only a success has a shape to hold it against.
        """
        segments = path.removeprefix("/api/v4/").strip("/").split("/")
        if any(_matches(pattern, segments) for pattern in _UNDESCRIBED):
            return
        with self._lock:  # the validators cache without a lock of their own
            self.checked += 1
            problems = list(self._problems(method.lower(), path, query, headers, body, answer))
        self.violations += [f"{method} {path}: {problem}" for problem in problems]

    def _problems(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, answer: Answer
    ) -> Iterator[str]:
        from openapi_core.templating.paths.exceptions import PathError
        from openapi_core.templating.paths.finders import APICallPathFinder

        try:
            operation = APICallPathFinder(self._openapi.spec).find(method, f"{_HOST}{path}").operation
        except PathError as error:
            yield f"GitLab has no such operation ({error})"
            return
        parameters = (operation / "parameters").read_value() if "parameters" in operation else []
        known = {item["name"] for item in parameters if item["in"] == "query"}
        pairs = parse_qsl(query, keep_blank_values=True)
        yield from (f"no query parameter {name}" for name, _ in pairs if name.removesuffix("[]") not in known)
        request = _SentRequest(method, path, pairs, headers, body)
        for problem in self._openapi.iter_request_errors(request):
            yield from _explain(problem)
        described = operation / "responses"
        # Grape answers a POST with 201; the description often says 200 for it. Any other answer that it does not know
        # (202 for a note of quick actions only) has no shape to be held against.
        status = 200 if answer.status == 201 and "201" not in described else answer.status
        if 200 <= status < 300 and str(status) in described and answer.body:
            for problem in self._openapi.iter_response_errors(request, _SentAnswer(answer, status)):
                yield from (f"answer {answer.status}: {line}" for line in _explain(problem))


def _matches(pattern: tuple[str, ...], segments: list[str]) -> bool:
    return len(pattern) == len(segments) and all(
        part in ("*", segment) for part, segment in zip(pattern, segments, strict=True)
    )


class _SentRequest:
    """A request in the form that openapi-core asks for (its protocol ``Request``)."""

    def __init__(
        self, method: str, path: str, pairs: list[tuple[str, str]], headers: Mapping[str, str], body: bytes
    ) -> None:
        from openapi_core.datatypes import RequestParameters
        from werkzeug.datastructures import Headers, ImmutableMultiDict

        lowered = {name.lower(): value for name, value in headers.items()}
        self.method, self.path, self.host_url = method, path, _HOST
        self.body = body or None
        self.content_type = lowered.get("content-type", "application/json")
        self.parameters = RequestParameters(query=ImmutableMultiDict(pairs), header=Headers(lowered))


class _SentAnswer:
    """An answer in the form that openapi-core asks for (its protocol ``Response``)."""

    def __init__(self, answer: Answer, status: int) -> None:
        from werkzeug.datastructures import Headers

        self.status_code, self.data = status, answer.body
        self.headers = Headers(dict(answer.headers))
        self.content_type = answer.headers.get("Content-Type", "application/json")


def _explain(error: BaseException) -> list[str]:
    """Return the schema's own words for what is wrong, or the error's."""
    cause: BaseException | None = error
    while cause is not None:
        found = getattr(cause, "schema_errors", None)
        if found:
            return [
                f"{'.'.join(str(part) for part in item.absolute_path) or 'body'}: {item.message[:300]}"
                for item in found
            ]
        cause = cause.__cause__
    return [str(error)[:300]]


def _put_right(description: dict[str, Any]) -> dict[str, Any]:
    _loosen(description)
    description["security"] = []
    description["servers"] = [{"url": _HOST}]
    for name, schema in description["components"]["schemas"].items():
        if not name.startswith("RequestBody"):
            _allow_null(schema)
    return description


def _loosen(node: Any) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("oneOf"), list):
            node["anyOf"] = node.pop("oneOf")
        if isinstance(node.get("security"), list):
            del node["security"]
        if node.get("type") == "object" and "properties" not in node:
            node.setdefault("additionalProperties", True)
        for value in node.values():
            _loosen(value)
    elif isinstance(node, list):
        for value in node:
            _loosen(value)


def _allow_null(schema: dict[str, Any]) -> None:
    schema["nullable"] = True
    for value in schema.get("properties", {}).values():
        if "$ref" not in value:
            _allow_null(value)
    if isinstance(schema.get("items"), dict) and "$ref" not in schema["items"]:
        _allow_null(schema["items"])
