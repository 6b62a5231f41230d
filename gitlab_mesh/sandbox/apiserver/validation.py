"""What a real server refuses at once: wrong types, missing and immutable fields, bad names.

Three voices, as on a real server: a wrong type in a built-in kind does not decode (400), a wrong type in a custom
resource breaks its schema (422), and Istio's webhook denies what the schema cannot say (400, "admission webhook").
The shapes hold only what our kinds are commonly got wrong by; they are no full schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from gitlab_mesh.sandbox.apiserver.kind_rules import check_as_istio, problems_of_kind
from gitlab_mesh.sandbox.apiserver.resources import Resource
from gitlab_mesh.sandbox.apiserver.shapes import ANY_KIND, CLOSED, METADATA, SHAPES, Shape
from gitlab_mesh.sandbox.apiserver.status import StatusError, bad_request, invalid

__all__ = ["check_fields", "check_metadata", "validate"]

_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_SERVICE_NAME = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_LABEL_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_QUALIFIED_NAME = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name')"
)
_SERVICE_NAME_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name')"
)
_QUALIFIED_NAME_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName')"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of at most 63 alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue')"
)
_NAMES = {
    "Namespace": (_LABEL, 63, _LABEL_TEXT),
    "Service": (_SERVICE_NAME, 63, _SERVICE_NAME_TEXT),
}
"""Kinds whose names are no RFC 1123 subdomain of at most 253 characters."""


def check_metadata(resource: Resource, metadata: Mapping[str, Any]) -> None:
    """Refuse metadata of wrong types. Raises StatusError 400."""
    for path, value, wanted in _mismatches(metadata, METADATA, "metadata"):
        raise _does_not_decode(resource, f"ObjectMeta.{path}", value, wanted)


def check_fields(resource: Resource, body: dict[str, Any], *, strict: bool) -> None:
    """Refuse fields of wrong types, and drop those that the schema of a custom resource does not have.

    Args:
        resource: Kind of the object.
        body: Ours to change.
        strict: Refuse unknown fields instead of dropping them (``fieldValidation=Strict``, kubectl's default).

    Raises:
        StatusError: 400 for a built-in kind and for an unknown field, 422 for a custom resource.
    """
    shape = SHAPES.get(resource.kind, ANY_KIND)
    wrong = next(chain(_mismatches(body, shape, ""), _mismatches(body, ANY_KIND, "")), None)
    if wrong:
        path, value, wanted = wrong
        if not resource.custom:
            raise _does_not_decode(resource, f"{resource.kind}.{path}", value, wanted)
        got = _json_type(value)
        got = {"bool": "boolean", "number": "integer" if isinstance(value, int) else "number"}.get(got, got)
        text = f'Invalid value: "{got}": {path} in body must be of type {wanted}: "{got}"'
        raise invalid(resource, body["metadata"].get("name", ""), [(path, text)])
    unknown = list(_prune(body, shape, ""))
    if unknown and strict:
        listed = ", ".join(f'unknown field "{path}"' for path in unknown)
        raise bad_request(f"{resource.kind} in version {resource.versions[0]}: strict decoding error: {listed}")


def validate(resource: Resource, body: Mapping[str, Any], live: Mapping[str, Any] | None) -> None:
    """Refuse an object, with right types and defaults, that a real server would not store.

    Args:
        resource: Kind of the object.
        body: The object to be stored.
        live: The object that it replaces.

    Raises:
        StatusError: 422, naming the fields; 400 in the name of Istio's webhook.
    """
    problems = [*_metadata_problems(body["metadata"], resource), *problems_of_kind(resource, body, live)]
    if problems:
        raise invalid(resource, body["metadata"].get("name", ""), problems)
    if resource.custom:
        check_as_istio(resource, body)


def _does_not_decode(resource: Resource, field: str, value: Any, wanted: str) -> StatusError:
    version = resource.versions[0]
    return bad_request(
        f'{resource.kind} in version "{version}" cannot be handled as a {resource.kind}: json: cannot unmarshal '
        f"{_json_type(value)} into Go struct field {field} of type {wanted}"
    )


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    for sort, name in ((bool, "bool"), (str, "string"), (int, "number"), (float, "number"), (list, "array")):
        if isinstance(value, sort):
            return name
    return "object"


def _mismatches(value: Any, shape: Shape, path: str) -> Iterator[tuple[str, Any, str]]:
    """Yield path, value and wanted type of everything that has another type than its shape."""
    if isinstance(shape, list):
        if not isinstance(value, list):
            yield path, value, "array"
            return
        for index, item in enumerate(value):
            yield from _mismatches(item, shape[0], f"{path}[{index}]")
    elif isinstance(shape, dict):
        if not isinstance(value, Mapping):
            yield path, value, "object"
            return
        for key, below in value.items():
            known = shape.get(key, shape.get("*"))
            # a field that is null is as good as absent; an item of a list or of a free map is not
            if known is not None and (below is not None or key not in shape):
                yield from _mismatches(below, known, f"{path}.{key}" if path else key)
    elif not _has_type(value, shape):
        yield path, value, shape


def _prune(value: Any, shape: Shape, path: str) -> Iterator[str]:
    """Take fields out of closed maps that their shape does not have; yield their paths."""
    if isinstance(shape, list) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _prune(item, shape[0], f"{path}[{index}]")
    elif isinstance(shape, dict) and isinstance(value, dict):
        for key in list(value):
            known = shape.get(key, shape.get("*"))
            below = f"{path}.{key}" if path else key
            if known is not None:
                yield from _prune(value[key], known, below)
            elif CLOSED in shape:
                del value[key]
                yield below


def _has_type(value: Any, wanted: str) -> bool:
    if wanted == "integer":
        # JSON has one kind of number: 5.0 is the integer 5 for a schema
        return not isinstance(value, bool) and (
            isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        )
    if wanted == "int-or-string":
        return isinstance(value, int | str) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "boolean": bool}[wanted])


def _metadata_problems(metadata: Mapping[str, Any], resource: Resource) -> Iterator[tuple[str, str]]:
    name = metadata.get("name", "")
    if not name:
        yield "metadata.name", "Required value: name or generateName is required"
    else:
        pattern, length, text = _NAMES.get(resource.kind, (_SUBDOMAIN, 253, _SUBDOMAIN_TEXT))
        if len(name) > length or not pattern.match(name):
            yield "metadata.name", f'Invalid value: "{name}": {text}'
    labels = metadata.get("labels") or {}
    for field, keys in (("labels", labels), ("annotations", metadata.get("annotations") or {})):
        for key in keys:
            if not _QUALIFIED_NAME.match(key):
                yield f"metadata.{field}", f'Invalid value: "{key}": {_QUALIFIED_NAME_TEXT}'
    for value in labels.values():
        if len(value) > 63 or not _LABEL_VALUE.match(value):
            yield "metadata.labels", f'Invalid value: "{value}": {_LABEL_VALUE_TEXT}'
