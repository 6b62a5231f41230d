"""What the query and the body of a write say, apart from the object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.sandbox.apiserver.messages import Request
from gitlab_mesh.sandbox.apiserver.patches import APPLY
from gitlab_mesh.sandbox.apiserver.protobuf import MEDIA_TYPE, decode_protobuf
from gitlab_mesh.sandbox.apiserver.status import bad_request, invalid_options, too_large, unsupported_media_type

__all__ = ["WriteOptions", "read_body", "read_write_options"]

_OPTIONS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}
_BODIES = ("application/json", "application/yaml")
_BODY_BYTES = 3 * 1024 * 1024
_MANAGER_BYTES = 128


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How to write.

    Attributes:
        manager: Field manager.
        dry_run: Only look.
        force: An apply takes over fields that others own.
        strict: Unknown fields are refused instead of dropped.
        warnings: Takes a text for each unknown field that was dropped; None: nobody wants to know.
    """

    manager: str
    dry_run: bool = False
    force: bool = False
    strict: bool = False
    warnings: list[str] | None = None


def read_write_options(request: Request) -> WriteOptions:
    """Return how to write.

    Without ``fieldManager`` the manager is the User-Agent up to its first slash, as on a real server.

    Raises:
        StatusError: 422 for values that do not exist.
    """
    query = request.query
    kind = _OPTIONS.get(request.method, "CreateOptions")
    dry_run = query.get("dryRun", "")
    if dry_run not in ("", "All"):
        text = f'Unsupported value: [{json.dumps(dry_run)}]: supported values: "All"'
        raise invalid_options(kind, "dryRun", text)
    validation = query.get("fieldValidation", "")
    if validation not in ("", "Ignore", "Warn", "Strict"):
        text = f'Unsupported value: {json.dumps(validation)}: supported values: "", "Ignore", "Strict", "Warn"'
        raise invalid_options(kind, "fieldValidation", text)
    manager = query.get("fieldManager", "")
    if len(manager.encode()) > _MANAGER_BYTES:
        raise invalid_options(kind, "fieldManager", f"Too long: may not be more than {_MANAGER_BYTES} bytes")
    if not manager and request.content_type == APPLY:
        raise invalid_options(kind, "fieldManager", "Required value: is required for apply patch")
    force = query.get("force", "").lower() == "true"
    if force and request.method == "PATCH" and request.content_type != APPLY:
        raise invalid_options(kind, "force", "Forbidden: may not be specified for non-apply patch")
    agent = request.headers.get("user-agent", "").partition("/")[0].partition(" ")[0][:_MANAGER_BYTES]
    return WriteOptions(
        manager or agent or "unknown",
        dry_run=bool(dry_run),
        force=force,
        strict=validation == "Strict",
        warnings=None if validation in ("Strict", "Ignore") else [],
    )


def read_body(request: Request) -> Any:
    """Return the body: JSON, YAML or kubectl's protobuf. Raises StatusError 400, 413, 415."""
    if len(request.body) > _BODY_BYTES:
        raise too_large(_BODY_BYTES)
    if request.content_type == MEDIA_TYPE:
        return decode_protobuf(request.body)
    if request.method != "PATCH" and request.content_type not in ("", *_BODIES):
        raise unsupported_media_type((*_BODIES, "application/vnd.kubernetes.protobuf"))
    try:
        return json.loads(request.body)
    except ValueError as error:
        if request.content_type in (APPLY, "application/yaml"):
            return _read_yaml(request.body)
        raise bad_request(f"the body of the request is no JSON: {error}") from error


def _read_yaml(content: bytes) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML as Kubernetes reads it: by way of JSON, which has no times."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(content, Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise bad_request(f"the body of the request is no YAML: {error}") from error
