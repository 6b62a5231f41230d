"""What the query and the body of a write say, apart from the object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.sandbox.apiserver.messages import Request
from gitlab_mesh.sandbox.apiserver.patches import APPLY
from gitlab_mesh.sandbox.apiserver.protobuf import MEDIA_TYPE, decode_protobuf
from gitlab_mesh.sandbox.apiserver.status import bad_request, invalid
from gitlab_mesh.sandbox.apiserver.targets import Target

__all__ = ["WriteOptions", "read_body", "read_write_options"]


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How to write.

    Attributes:
        manager: Field manager.
        dry_run: Only look.
        force: An apply takes over fields that others own.
        strict: Unknown fields are refused instead of dropped.
    """

    manager: str
    dry_run: bool = False
    force: bool = False
    strict: bool = False


def read_write_options(target: Target, request: Request) -> WriteOptions:
    """Return how to write.

    Without ``fieldManager`` the manager is the User-Agent up to its first slash, as on a real server.

    Raises:
        StatusError: 400 and 422 for values that do not exist.
    """
    query = request.query
    dry_run = query.get("dryRun", "")
    if dry_run not in ("", "All"):
        raise bad_request(f'dryRun: Unsupported value: "{dry_run}": supported values: "All"')
    validation = query.get("fieldValidation", "")
    if validation not in ("", "Ignore", "Warn", "Strict"):
        raise bad_request(f'fieldValidation: Unsupported value: "{validation}"')
    manager = query.get("fieldManager", "")
    if not manager and request.content_type == APPLY:
        text = "Required value: is required for apply patch"
        raise invalid(target.resource, target.name, [("fieldManager", text)])
    agent = request.headers.get("user-agent", "").partition("/")[0].partition(" ")[0][:128]
    force = query.get("force", "").lower() == "true"
    return WriteOptions(
        manager or agent or "unknown", dry_run=bool(dry_run), force=force, strict=validation == "Strict"
    )


def read_body(request: Request) -> Any:
    """Return the body: JSON, YAML (apply) or kubectl's protobuf. Raises StatusError 400, 415."""
    if request.content_type == MEDIA_TYPE:
        return decode_protobuf(request.body)
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
