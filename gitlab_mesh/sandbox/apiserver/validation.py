"""What a real server refuses at once: wrong types, missing and immutable fields, bad names.

Three voices, as on a real server: a wrong type in a built-in kind does not decode (400), a wrong type in a custom
resource breaks its schema (422), and Istio's webhook denies what the schema cannot say (400, "admission webhook").
The shapes hold only what our kinds are commonly got wrong by; they are no full schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from gitlab_mesh.sandbox.apiserver.istio_rules import check_as_istio, schema_problems
from gitlab_mesh.sandbox.apiserver.kind_rules import check_lease_times, problems_of_kind
from gitlab_mesh.sandbox.apiserver.metadata_rules import finalizer_problems, metadata_problems
from gitlab_mesh.sandbox.apiserver.options import WriteOptions
from gitlab_mesh.sandbox.apiserver.resources import Resource
from gitlab_mesh.sandbox.apiserver.shapes import ANY_KIND, CLOSED, METADATA, ROOTS, SHAPES, Shape
from gitlab_mesh.sandbox.apiserver.status import StatusError, bad_request, invalid

__all__ = ["check_fields", "check_metadata", "validate"]

_GO_TYPES = {"integer": "int32", "boolean": "bool", "object": "map[string]interface {}", "array": "[]interface {}"}
_NOT_CHECKED = (
    "<nil>",
    (
        "Invalid value: null: some validation rules were not checked because the object was invalid; correct the "
        "existing errors to complete validation"
    ),
)


def check_metadata(resource: Resource, metadata: Mapping[str, Any]) -> None:
    """Refuse metadata of wrong types. Raises StatusError 400."""
    for path, value, wanted in _mismatches(metadata, METADATA, "metadata"):
        raise _does_not_decode(resource, f"ObjectMeta.{path}", value, wanted)


def check_fields(resource: Resource, body: dict[str, Any], options: WriteOptions) -> None:
    """Refuse fields of wrong types, and drop those that the kind does not have.

    Args:
        resource: Kind of the object.
        body: Ours to change.
        options: ``strict`` refuses unknown fields (kubectl's default), ``warnings`` takes their names.

    Raises:
        StatusError: 400 for a built-in kind and for an unknown field, 422 for a custom resource.
    """
    shape = SHAPES.get(resource.kind, ANY_KIND)
    wrong = next(chain(_mismatches(body, shape, ""), _mismatches(body, ANY_KIND, "")), None)
    if wrong:
        path, value, wanted = wrong
        if not resource.custom:
            raise _does_not_decode(resource, f"{resource.kind}.{path}", value, wanted)
        got = {"bool": "boolean", "number": "integer" if isinstance(value, int) else "float64"}.get(
            _json_type(value), _json_type(value)
        )
        wanted = "int32" if (wanted, got) == ("integer", "float64") else wanted
        text = f'Invalid value: "{got}": {path} in body must be of type {wanted}: "{got}"'
        raise invalid(resource, body["metadata"].get("name", ""), [(path, text), _NOT_CHECKED])
    if resource.kind == "Lease":
        check_lease_times(body)
    _drop_nulls(body, shape)
    unknown = list(_prune(body, shape, ""))
    for root in [key for key in body if key not in (*ROOTS, *shape)]:
        del body[root]
        unknown.append(root)
    listed = [f'unknown field "{path}"' for path in unknown]
    if unknown and options.strict:
        kind, version = resource.kind, resource.versions[0]
        raise bad_request(
            f'{kind} in version "{version}" cannot be handled as a {kind}: strict decoding error: {", ".join(listed)}'
        )
    if options.warnings is not None:
        options.warnings.extend(text for text in listed if text not in options.warnings)


def validate(resource: Resource, body: Mapping[str, Any], live: Mapping[str, Any] | None) -> None:
    """Refuse an object, with right types and defaults, that a real server would not store.

    Args:
        resource: Kind of the object.
        body: The object to be stored.
        live: The object that it replaces.

    Raises:
        StatusError: 422, naming the fields; 400 in the name of Istio's webhook.
    """
    name = body["metadata"].get("name", "")
    problems = [*metadata_problems(resource, body["metadata"]), *finalizer_problems(body, live)]
    problems += problems_of_kind(resource, body, live)
    if problems:
        raise invalid(resource, name, problems)
    if resource.custom:
        missing = schema_problems(resource, body)
        if missing:
            is_required = any(text == "Required value" for _, text in missing)
            raise invalid(resource, name, [*missing, *([_NOT_CHECKED] if is_required else [])])
        check_as_istio(resource, body)


def _does_not_decode(resource: Resource, field: str, value: Any, wanted: str) -> StatusError:
    version = resource.versions[0]
    return bad_request(
        f'{resource.kind} in version "{version}" cannot be handled as a {resource.kind}: json: cannot unmarshal '
        f"{_json_type(value)} into Go struct field {field} of type {_GO_TYPES.get(wanted, wanted)}"
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
            # a field that is null is as good as absent; an item of a list is not
            if known is not None and below is not None:
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


def _drop_nulls(value: Any, shape: Shape) -> None:
    """Take null fields out: they are as good as absent, but for values of a map of texts, which become empty."""
    if isinstance(shape, list) and isinstance(value, list):
        for item in value:
            _drop_nulls(item, shape[0])
    elif isinstance(shape, dict) and isinstance(value, dict):
        for key in list(value):
            known = shape.get(key, shape.get("*"))
            if known is not None and value[key] is None:
                if key in shape:
                    del value[key]
                elif known == "string":
                    value[key] = ""
            elif known is not None:
                _drop_nulls(value[key], known)


def _has_type(value: Any, wanted: str) -> bool:
    if wanted == "integer":
        # JSON has one kind of number: 5.0 is the integer 5 for a schema
        return not isinstance(value, bool) and (
            isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        )
    if wanted == "any":
        return True
    if wanted == "int-or-string":
        return isinstance(value, int | str) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "boolean": bool}[wanted])
