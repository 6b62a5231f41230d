"""``report.json``: the whole report as JSON, its schema, and the way back; all three follow the model's types.

``report.schema.json`` beside this module is ``render_schema()`` written down, for people and other programs.
Numbers that JSON cannot hold are the words ``"NaN"``, ``"Infinity"``, ``"-Infinity"``.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from math import isfinite, isnan
from typing import Any

from gitlab_mesh.core.report.model import (
    LinksSection,
    Report,
    SeriesSection,
    TableSection,
    TextSection,
    VerdictSection,
)
from gitlab_mesh.errors import UsageError

__all__ = ["SCHEMA", "parse_report_json", "render_json", "render_schema"]

SCHEMA = 1
"""Raised when a reader of the former document would misread the new one; new fields alone do not raise it."""

_KINDS: dict[str, type[Any]] = {
    "verdicts": VerdictSection,
    "table": TableSection,
    "series": SeriesSection,
    "links": LinksSection,
    "text": TextSection,
}
_WORDS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def render_json(report: Report) -> str:
    """Render the document: UTF-8 text, stable order, ends with a newline."""
    document = {"schema": SCHEMA, **_encode(report)}
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates, from bytes that were no UTF-8: escaped, they survive
        text = json.dumps(document, indent=2, allow_nan=False)
    return text + "\n"


def parse_report_json(text: str) -> Report:
    """Parse what ``render_json`` wrote; fields that this version does not know are ignored.

    Raises:
        UsageError: It is not such a document, or one of a newer schema.
    """
    try:
        document = json.loads(text)
        schema = document["schema"]
        if schema != SCHEMA:
            raise UsageError(f"the report has schema {schema}; this gitlab-mesh reads {SCHEMA}")
        report = _decode(Report, document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError("this is not a report of gitlab-mesh", why=f"{type(error).__name__}: {error}") from error
    if not isinstance(report, Report):
        raise UsageError("this is not a report of gitlab-mesh")
    return report


def render_schema() -> str:
    """Render the JSON Schema (2020-12) of the document."""
    definitions: dict[str, Any] = {}
    report = _describe(Report, definitions)
    document = definitions.pop(Report.__name__)
    document["properties"] = {"schema": {"const": SCHEMA}, **document["properties"]}
    document["required"] = ["schema", *document["required"]]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gitlab-mesh report",
        **document,
        "$defs": dict(sorted(definitions.items())),
    }
    if report != {"$ref": "#/$defs/Report"}:
        raise AssertionError(report)
    return json.dumps(schema, indent=2) + "\n"


def _field_types(kind: type[Any]) -> dict[str, tuple[Field[Any], Any]]:
    hints = typing.get_type_hints(kind)
    return {field.name: (field, hints[field.name]) for field in fields(kind)}


def _encode(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        body = {field.name: _encode(getattr(value, field.name)) for field in fields(value)}
        kind = next((word for word, section in _KINDS.items() if isinstance(value, section)), None)
        return {"kind": kind, **body} if kind else body
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return value


def _decode(expected: Any, raw: Any) -> Any:
    if is_dataclass(expected) and isinstance(expected, type):
        known = _field_types(expected)
        return expected(**{name: _decode(hint, raw[name]) for name, (_, hint) in known.items() if name in raw})
    if isinstance(expected, type) and issubclass(expected, Enum):
        return expected(raw)
    if expected is float:
        return _WORDS[raw] if isinstance(raw, str) else float(raw)
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is types.UnionType:
        return _decode_union(arguments, raw)
    if origin is tuple:
        items = [arguments[0]] * len(raw) if arguments[-1] is Ellipsis else arguments
        return tuple(_decode(item, entry) for item, entry in zip(items, raw, strict=True))
    if origin is Mapping:
        return {key: _decode(arguments[1], entry) for key, entry in raw.items()}
    if not isinstance(raw, expected):
        raise TypeError(f"expected {expected.__name__}, got {raw!r:.60}")
    return raw


def _decode_union(arguments: tuple[Any, ...], raw: Any) -> Any:
    if raw is None and type(None) in arguments:
        return None
    if isinstance(raw, dict) and "kind" in raw:
        return _decode(_KINDS[raw["kind"]], raw)
    (expected,) = (argument for argument in arguments if argument is not type(None))
    return _decode(expected, raw)


def _describe(expected: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a type; dataclasses and enumerations become definitions."""
    simple = {str: "string", int: "integer", bool: "boolean"}
    if expected in simple:
        return {"type": simple[expected]}
    if expected is float:
        return {"anyOf": [{"type": "number"}, {"enum": list(_WORDS)}]}
    if isinstance(expected, type) and (issubclass(expected, Enum) or is_dataclass(expected)):
        if expected.__name__ not in definitions:
            definitions[expected.__name__] = {}  # stands for itself while it is described
            definitions[expected.__name__] = _describe_class(expected, definitions)
        return {"$ref": f"#/$defs/{expected.__name__}"}
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is types.UnionType:
        return {
            "anyOf": [{"type": "null"} if part is type(None) else _describe(part, definitions) for part in arguments]
        }
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": _describe(arguments[0], definitions)}
    if origin is tuple:
        parts = [_describe(part, definitions) for part in arguments]
        return {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _describe(arguments[1], definitions)}
    raise AssertionError(f"no schema for {expected}")


def _describe_class(expected: type[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if issubclass(expected, Enum):
        return {"enum": [member.value for member in expected]}
    known = _field_types(expected)
    properties = {name: _describe(hint, definitions) for name, (_, hint) in known.items()}
    required = [
        name for name, (field, _) in known.items() if field.default is MISSING and field.default_factory is MISSING
    ]
    kind = next((word for word, section in _KINDS.items() if section is expected), None)
    if kind:
        properties = {"kind": {"const": kind}, **properties}
        required = ["kind", *required]
    summary = (expected.__doc__ or "").strip().split("\n")[0]
    return {"description": summary, "type": "object", "properties": properties, "required": required}
