"""``mesh.yaml`` as JSON Schema (draft 2020-12), rendered from the settings' fields.

Editors complete and check with it. It says everything that can be said about one value; what holds between values
(steps that rise, names that differ) only the loader knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING
from enum import Enum
from pathlib import Path
from typing import Any

from gitlab_mesh.config.scalars import (
    DURATION_PATTERN,
    LABEL_PATTERN,
    NAME_PATTERN,
    PERCENT_PATTERN,
    render_number,
)
from gitlab_mesh.config.shape import Many, Shape, ValueKind, fields_of, service_fields, shorthand_of

__all__ = ["SCHEMA_FILE", "render_schema", "render_schema_text"]

SCHEMA_FILE = Path(__file__).with_name("mesh.schema.json")
"""The rendered schema, shipped with the package."""

_TEXTS = {"type": ["string", "array"], "minLength": 1, "items": {"type": "string", "minLength": 1}}
_PATTERNS = {"name": NAME_PATTERN, "label": LABEL_PATTERN}
_TEXT_FORMS = {
    "duration": (DURATION_PATTERN, ["90s", "5m", "1h30m"]),
    "ratio": (PERCENT_PATTERN, ["5%"]),
    "percent": (PERCENT_PATTERN, ["5%"]),
}


def render_schema() -> dict[str, Any]:
    """Return the schema."""
    services = {
        "type": "object",
        "description": "The services of the mesh, each under the name of its Kubernetes Service.",
        "propertyNames": {"pattern": LABEL_PATTERN},
        "additionalProperties": {"$ref": "#/$defs/service"},
    }
    overlay = {
        "type": ["object", "null"],
        "description": "What is different in this environment; laid over the rest of the file key by key.",
        "properties": {
            "services": {**services, "type": ["object", "null"]},
            "defaults": {"$ref": "#/$defs/service"},
        },
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gitlab-mesh: mesh.yaml",
        "description": "Which services are released progressively, and how.",
        "type": "object",
        "required": ["version", "services"],
        "properties": {
            "version": {"const": 1, "type": "integer", "description": "Version of this format."},
            "services": {**services, "minProperties": 1},
            "defaults": {
                "$ref": "#/$defs/service",
                "description": "Settings of every service that does not say them itself.",
            },
            "environments": {
                "type": "object",
                "description": "Overrides by the name of the GitLab environment; review/* matches like a scope.",
                "additionalProperties": overlay,
            },
            "inventory": {
                **_TEXTS,
                "description": "Files with objects that exist elsewhere (gitlab-mesh inventory export): read by "
                "validate and security-scan, never reported.",
            },
            "assume": {
                **_TEXTS,
                "description": "Hosts that exist elsewhere, for validate and security-scan; *.example.com covers "
                "what ends so.",
            },
        },
        "additionalProperties": False,
        "allOf": [_required_somewhere(key) for key, shape in service_fields().items() if shape.required],
        "$defs": {"service": _object(service_fields(), "One service.", complete=False)},
    }


def render_schema_text() -> str:
    """Return the schema as the text of the shipped file."""
    return json.dumps(render_schema(), indent=2, ensure_ascii=False) + "\n"


def _required_somewhere(key: str) -> dict[str, Any]:
    """Require a key of every service, unless ``defaults`` has it or an environment may add it."""
    elsewhere = [
        {"required": ["environments"]},
        {"required": ["defaults"], "properties": {"defaults": {"type": "object", "required": [key]}}},
    ]
    in_each = {"properties": {"services": {"additionalProperties": {"type": "object", "required": [key]}}}}
    return {"if": {"not": {"anyOf": elsewhere}}, "then": in_each}


def _object(shapes: Mapping[str, Shape], description: str, *, complete: bool = True) -> dict[str, Any]:
    """Render an object; where it may be completed from elsewhere, nothing in it is required."""
    wanted = [key for key, shape in shapes.items() if shape.required and complete]
    return {
        "type": ["object", "null"] if not wanted else "object",
        "description": description,
        "properties": {key: _field(shape) for key, shape in shapes.items()},
        **({"required": wanted} if wanted else {}),
        "additionalProperties": False,
    }


def _field(shape: Shape) -> dict[str, Any]:
    """Render one field: its value or values, with description, default and examples."""
    one = _value(shape)
    if shape.many is Many.LIST:
        one = {"type": "array", "items": one}
    elif shape.many is Many.MAP:
        one = {"type": "object", "additionalProperties": one}
    if shape.optional:
        one = _or_null(one)
    described = {key: value for key, value in one.items() if key != "description"}
    described["description"] = _describe(shape)
    if shape.default is not MISSING and shape.default is not None and not shape.is_section:
        default = _plain(shape, shape.default)
        if default not in ([], {}):
            described["default"] = default
    return described


def _describe(shape: Shape) -> str:
    text = shape.about.help
    if shape.about.why:
        text += f" Why: {shape.about.why}."
    return text


def _value(shape: Shape) -> dict[str, Any]:
    """Render what one value may be."""
    if shape.model is not None:
        found = _object(fields_of(shape.model), shape.about.help)
        short = shorthand_of(shape.model)
        return {"anyOf": [_value(short), found]} if short is not None else found
    if shape.about.choices:
        return {"enum": [str(choice) for choice in shape.about.choices]}
    if shape.kind is ValueKind.BOOLEAN:
        return {"type": "boolean"}
    if shape.kind is ValueKind.TEXT:
        pattern = _PATTERNS.get(shape.about.unit)
        return {"type": "string", **({"pattern": pattern} if pattern else {})}
    number: dict[str, Any] = {"type": "integer" if shape.kind is ValueKind.INTEGER else "number"}
    low = 0 if shape.about.minimum is None and shape.about.unit == "duration" else shape.about.minimum
    if low is not None:
        number["minimum"] = low
    if shape.about.maximum is not None:
        number["maximum"] = shape.about.maximum
    form = _TEXT_FORMS.get(shape.about.unit)
    if form is None:
        return number
    return {"anyOf": [number, {"type": "string", "pattern": form[0], "examples": form[1]}]}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        return {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "enum" in schema:
        return {"enum": [*schema["enum"], None]}
    kind = schema["type"]
    return schema if isinstance(kind, list) else {**schema, "type": [kind, "null"]}


def _plain(shape: Shape, value: Any) -> Any:
    """Return a default as it would stand in YAML: durations as text, steps as numbers."""
    if shape.many is Many.LIST:
        return [_plain_one(shape, item) for item in value]
    if shape.many is Many.MAP:
        return {key: _plain_one(shape, item) for key, item in value.items()}
    return _plain_one(shape, value)


def _plain_one(shape: Shape, value: Any) -> Any:
    if shape.model is not None:
        said = {
            key: _plain(inner, getattr(value, inner.attribute))
            for key, inner in fields_of(shape.model).items()
            if inner.required or getattr(value, inner.attribute) != inner.default
        }
        short = shorthand_of(shape.model)
        return said[short.key] if short is not None and set(said) == {short.key} else said
    if isinstance(value, Enum):
        return str(value.value)
    if shape.about.unit == "duration" and isinstance(value, (int, float)):
        return render_number(value, "duration")
    return value
