"""The OpenAPI v2 document, which kubectl before 1.27 reads in protobuf only.

It has no schemas, which makes such a kubectl skip its own validation, and the parameters of every PATCH, by which it
finds out whether the server can do ``--dry-run=server``. Field numbers: gnostic's ``OpenAPIv2.proto``.
"""

from __future__ import annotations

import json
from functools import cache

from gitlab_mesh.sandbox.apiserver.discovery import VERSION, served_resources

__all__ = ["CONTENT_TYPE", "render_openapi_v2"]

CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


@cache
def render_openapi_v2() -> bytes:
    """Return ``openapi.v2.Document{swagger: 1, info: 2, paths: 8}``."""
    info = _field(1, b"gitlab-mesh sandbox") + _field(2, str(VERSION["gitVersion"]).encode())
    paths = b"".join(
        _path_item(group, version, resource.kind, resource.plural)
        for group, versions in served_resources().items()
        for version, resources in versions.items()
        for resource in resources
    )
    return _field(1, b"2.0") + _field(2, info) + _field(8, paths)


def _path_item(group: str, version: str, kind: str, plural: str) -> bytes:
    """Return ``Paths.path{name: 1, value: 2 PathItem{patch: 8 Operation{parameters: 8, vendor_extension: 13}}}``."""
    parameters = b"".join(_field(8, _query_parameter(name)) for name in ("dryRun", "fieldManager", "force"))
    about = json.dumps({"group": group, "version": version, "kind": kind})
    extension = _field(1, b"x-kubernetes-group-version-kind") + _field(2, _field(2, about.encode()))
    operation = parameters + _field(13, extension)
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    return _field(2, _field(1, f"{root}/{plural}/{{name}}".encode()) + _field(2, _field(8, operation)))


def _query_parameter(name: str) -> bytes:
    """Return ``ParametersItem.parameter: 1``, its ``non_body_parameter: 2``, its ``query_…: 3 {in: 2, name: 4}``."""
    schema = _field(2, b"query") + _field(4, name.encode())
    return _field(1, _field(2, _field(3, schema)))


def _field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
