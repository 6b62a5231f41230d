"""The reference of ``mesh.yaml`` for the docs, rendered from the settings' fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING

from gitlab_mesh.config.scalars import render_number, render_value
from gitlab_mesh.config.shape import Many, Shape, ValueKind, fields_of, service_fields

__all__ = ["BEGIN", "END", "insert_reference", "render_reference"]

BEGIN = "<!-- generated: gitlab-mesh config reference --update docs/mesh-yaml.md -->"
END = "<!-- end of the generated part -->"


def render_reference() -> str:
    """Return one table a section, in the order of the file."""
    return "\n\n".join(_tables("", service_fields())) + "\n"


def insert_reference(page: str) -> str:
    """Return the page with its generated part rendered anew.

    Raises:
        ValueError: The page has no such part.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no part between {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{render_reference()}\n{END}{tail}"


def _tables(path: str, shapes: Mapping[str, Shape], about: tuple[str, ...] = ()) -> Iterator[str]:
    rows = [_row(key, shape) for key, shape in shapes.items() if not _is_own_table(shape)]
    if rows:
        head = ["| Key | Value | Default | What it does |", "|---|---|---|---|"]
        yield "\n".join([f"### {f'`{path}`' if path else 'A service'}", "", *about, *head, *rows])
    for key, shape in shapes.items():
        if _is_own_table(shape) and shape.model is not None:
            inner = f"{path}.{key}" if path else key
            said = shape.about.help + (" Left out by default." if shape.optional or shape.many is Many.LIST else "")
            yield from _tables(f"{inner}[]" if shape.many is Many.LIST else inner, fields_of(shape.model), (said, ""))


def _is_own_table(shape: Shape) -> bool:
    return shape.kind is ValueKind.OBJECT and not (shape.many is Many.LIST and shape.default not in ((), MISSING))


def _row(key: str, shape: Shape) -> str:
    text = shape.about.help
    if shape.about.why:
        text += f" *Why: {shape.about.why}.*"
    cells = [f"`{key}`", _kind(shape), _default(shape), text]
    return "| " + " | ".join(_escape(cell) for cell in cells) + " |"


def _escape(cell: str) -> str:
    """Escape what Markdown would take as a column or as HTML, except in code."""
    parts = cell.replace("|", "\\|").split("`")
    return "`".join(part.replace("<", "&lt;") if index % 2 == 0 else part for index, part in enumerate(parts))


def _default(shape: Shape) -> str:
    if shape.required:
        return "required"
    shown = render_value(shape, shape.default)
    return "–" if shown in ("-", "(none)") else f"`{shown}`"


def _kind(shape: Shape) -> str:
    """Say what a value may be, limits included."""
    about = shape.about
    if about.choices:
        kind = " / ".join(f"`{choice}`" for choice in about.choices)
    elif shape.kind is ValueKind.OBJECT:
        kind = "number or object"
    else:
        units = {"duration": "duration", "ratio": "ratio", "percent": "percent", "name": "name", "label": "name"}
        kind = units.get(about.unit) or {"integer": "whole number", "boolean": "true / false"}.get(
            shape.kind.value, shape.kind.value
        )
    low = None if about.minimum is None else render_number(about.minimum, about.unit)
    high = None if about.maximum is None else render_number(about.maximum, about.unit)
    if low is not None and high is not None:
        kind += f", {low} – {high}"
    elif low is not None:
        kind += f", from {low}"
    elif high is not None:
        kind += f", to {high}"
    prefix = {Many.LIST: "list of ", Many.MAP: "map of "}.get(shape.many, "")
    return prefix + kind
