"""Refusals in the form of a real API server: ``Status`` objects with its reasons and its words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gitlab_mesh.core.kube_status import JSON_PATCH_REFUSED
from gitlab_mesh.sandbox.apiserver.resources import Resource

__all__ = [
    "StatusError",
    "already_exists",
    "bad_request",
    "conflict",
    "expired",
    "forbidden",
    "internal_error",
    "invalid",
    "invalid_options",
    "invalid_patch",
    "json_patch_refused",
    "method_not_allowed",
    "missing",
    "no_route",
    "service_unavailable",
    "too_large",
    "unauthorized",
    "unsupported_media_type",
]


class StatusError(Exception):
    """A request that ends in a ``Status`` of kind Failure.

    Args:
        code: HTTP status.
        reason: Kubernetes' machine-readable reason ("NotFound", "Conflict", …); some answers have none.
        message: The server's text.
        details: ``Status.details``.
        headers: Further HTTP headers (``Retry-After``).
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details) if details is not None else None
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the ``Status`` object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        return status


def _details(resource: Resource, name: str, *, by_kind: bool = False) -> dict[str, Any]:
    details: dict[str, Any] = {"kind": resource.kind if by_kind else resource.plural}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    return details


def missing(resource: Resource, name: str) -> StatusError:
    """404: no such object."""
    text = f'{resource.qualified} "{name}" not found'
    return StatusError(404, "NotFound", text, details=_details(resource, name))


def no_route() -> StatusError:
    """404: the server serves nothing at this path."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(resource: Resource, name: str, *, is_going: bool = False) -> StatusError:
    """409: create of an object that exists, perhaps only until its finalizers are gone."""
    text = f'{"object is being deleted: " if is_going else ""}{resource.qualified} "{name}" already exists'
    return StatusError(409, "AlreadyExists", text, details=_details(resource, name))


def conflict(resource: Resource, name: str, why: str = "", *, by_kind: bool = False) -> StatusError:
    """409: the precondition of a write does not hold (any more)."""
    why = why or ("the object has been modified; please apply your changes to the latest version and try again")
    qualified = resource.kind if by_kind else resource.qualified
    text = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    details = {"kind": resource.kind, "name": name} if by_kind else _details(resource, name)
    return StatusError(409, "Conflict", text, details=details)


def invalid(resource: Resource, name: str, problems: Sequence[tuple[str, str]], *, by_kind: bool = True) -> StatusError:
    """422: validation; ``problems`` are pairs of field path and text.

    ``by_kind`` False: the server names the resource instead of the kind (preconditions of an update).
    """
    qualified = resource.qualified
    if by_kind:
        qualified = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return _invalid(qualified, name, problems, _details(resource, name, by_kind=by_kind))


def invalid_options(kind: str, field: str, text: str) -> StatusError:
    """422: a query parameter, in the name of ``CreateOptions``, ``PatchOptions``, ``DeleteOptions``."""
    return _invalid(f"{kind}.meta.k8s.io", "", [(field, text)], {"group": "meta.k8s.io", "kind": kind})


def invalid_patch(result: Any, why: str) -> StatusError:
    """422: a patch whose result does not decode; the server quotes the whole result and names no object."""
    shown = json.dumps(json.dumps(result, separators=(",", ":")))
    return _invalid("", "", [("patch", f"Invalid value: {shown}: {why}")], {})


def _invalid(qualified: str, name: str, problems: Sequence[tuple[str, str]], details: Mapping[str, Any]) -> StatusError:
    said = [f"{field}: {text}" for field, text in problems]
    joined = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    causes = [{"reason": _cause_reason(text), "message": text, "field": field} for field, text in problems]
    text = f'{qualified} "{name}" is invalid: {joined}'
    return StatusError(422, "Invalid", text, details={**details, "causes": causes})


def _cause_reason(text: str) -> str:
    known = {
        "Required value": "FieldValueRequired",
        "Forbidden": "FieldValueForbidden",
        "Unsupported value": "FieldValueNotSupported",
        "Duplicate value": "FieldValueDuplicate",
        "Too long": "FieldValueTooLong",
    }
    if " in body must be of type " in text:
        return "FieldValueTypeInvalid"
    return next((reason for start, reason in known.items() if text.startswith(start)), "FieldValueInvalid")


def json_patch_refused() -> StatusError:
    """422: a JSON Patch that does not apply; the server says neither which operation nor why."""
    return StatusError(422, "Invalid", JSON_PATCH_REFUSED, details={})


def bad_request(text: str) -> StatusError:
    """400."""
    return StatusError(400, "BadRequest", text)


def unauthorized() -> StatusError:
    """401: no token, or one that nobody has."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource, name: str, text: str) -> StatusError:
    """403: the user is known and may not do it."""
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {text}", details=_details(resource, name))


def expired(text: str) -> StatusError:
    """410: a resourceVersion or a continue token that is too old."""
    return StatusError(410, "Expired", text)


def method_not_allowed() -> StatusError:
    """405."""
    text = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", text, details={})


def unsupported_media_type(accepted: Sequence[str] = ()) -> StatusError:
    """415: a body, or a kind of patch, that the resource does not take (strategic merge of a custom resource)."""
    if not accepted:
        return StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
    text = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return StatusError(415, "UnsupportedMediaType", text)


def too_large(limit_bytes: int) -> StatusError:
    """413: the body of a write."""
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit_bytes}")


def internal_error(text: str) -> StatusError:
    """500, without a reason: what a real server did not foresee (a resourceVersion that is no number)."""
    return StatusError(500, "", text)


def service_unavailable(text: str) -> StatusError:
    """503."""
    return StatusError(503, "ServiceUnavailable", text)
