"""The settings in force, each with who said it, as text for people or as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from enum import Enum
from typing import Any

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.config.origins import LoadedConfig, Origin
from gitlab_mesh.config.scalars import render_one, render_value
from gitlab_mesh.config.shape import Many, Shape, fields_of, service_fields

__all__ = ["Row", "list_rows", "render_json", "render_rows"]

WIDTH = 80
HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class Row:
    """One setting of one service: ``path`` below the service, the value in base units, and its text."""

    path: str
    value: Any
    text: str
    origin: Origin


def list_rows(loaded: LoadedConfig, service: ServiceConfig) -> list[Row]:
    """Return every setting of a service in the order of the reference."""
    return list(_rows(loaded, service.name, service_fields(), service, ""))


def _rows(loaded: LoadedConfig, name: str, shapes: Mapping[str, Shape], holder: Any, path: str) -> Iterator[Row]:
    for key, shape in shapes.items():
        value = getattr(holder, shape.attribute)
        inner = f"{path}.{key}" if path else key
        if shape.is_section and shape.model is not None and value is not None:
            yield from _rows(loaded, name, fields_of(shape.model), value, inner)
        else:
            origin = loaded.origins[f"services.{name}.{inner}"]
            yield Row(inner, _plain(shape, value), render_value(shape, value), origin)


def render_rows(rows: list[Row]) -> str:
    """Render aligned columns that fit 80 characters; a long value moves below its name."""
    names = max(len(row.path) for row in rows)
    origins = max((len(str(row.origin)) for row in rows if row.origin.kind in ("file", "default")), default=0)
    room = WIDTH - names - min(origins, 24) - 6
    lines = []
    for row in rows:
        start = f"  {row.path:<{names}}  "
        for line in (f"{start}{row.text:<{room}}  {row.origin}", f"{start}{row.text}  {row.origin}"):
            if len(line) <= WIDTH:
                lines.append(line)
                break
        else:
            alone = f"{start}{'':<{room}}  {row.origin}"
            lines += [alone] if len(alone) <= WIDTH else [start.rstrip(), f"    {row.origin}"]
            lines += textwrap.wrap(row.text, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def render_json(rows: list[Row]) -> dict[str, Any]:
    """Return ``{path: {value, origin}}``; durations in seconds, ratios from 0 to 1."""
    return {row.path: {"value": row.value, "origin": str(row.origin)} for row in rows}


def _plain(shape: Shape, value: Any) -> Any:
    """Return a value as JSON has it, secrets hidden."""
    if value is None:
        return None
    if shape.about.secret:
        return HIDDEN
    if shape.many is Many.LIST:
        return [_plain_one(shape, item) for item in value]
    if shape.many is Many.MAP:
        return {key: _plain_one(shape, item) for key, item in value.items()}
    return _plain_one(shape, value)


def _plain_one(shape: Shape, value: Any) -> Any:
    if shape.model is not None and is_dataclass(value):
        inner = fields_of(shape.model)
        return {key: _plain(field, getattr(value, field.attribute)) for key, field in inner.items()}
    if isinstance(value, Enum):
        return value.value
    # As text, so that a password in an address is hidden here, too.
    return render_one(shape, value) if isinstance(value, str) and "://" in value else value
