"""From the tree to settings: one block of the file at a time, then merged, then built into the dataclasses.

Every block (``defaults``, each service, each environment) is checked by itself, so that a mistake is reported where it
stands, also in an environment that is not used now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field
from difflib import get_close_matches
from typing import Any

from gitlab_mesh.config.nodes import Node, Problems
from gitlab_mesh.config.origins import DEFAULT, Origin
from gitlab_mesh.config.scalars import parse_scalar
from gitlab_mesh.config.shape import Many, Shape, fields_of, leaves_of, shorthand_of

__all__ = [
    "INVALID",
    "Section",
    "Value",
    "build",
    "merge",
    "nearest",
    "parse_section",
    "parse_value",
    "unknown_key",
    "without_invalid",
]

INVALID = object()
"""Stands for a value whose mistake is already reported."""


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value in base units, and who said it."""

    value: Any
    origin: Origin


@dataclass(slots=True)
class Section:
    """An object of settings, as far as somebody said some of them."""

    entries: dict[str, Value | Section] = field(default_factory=dict)


def parse_section(shapes: Mapping[str, Shape], node: Node, path: str, problems: Problems) -> Section:
    """Check one block against its fields; every mistake goes to ``problems``.

    Args:
        shapes: The fields that may stand here, by key.
        node: The block; nothing at all (``rollout:``) is an empty one.
        path: Dotted path of the block, for messages.
        problems: Gets the mistakes.
    """
    section = Section()
    if node.value is None:
        return section
    if not isinstance(node.value, dict):
        problems.add(node, path, f"expected a mapping with some of {', '.join(shapes)}")
        return section
    for key, entry in node.value.items():
        shape = shapes.get(key)
        if shape is None:
            problems.add(entry.key, f"{path}.{key}" if path else key, unknown_key(key, shapes))
        else:
            section.entries[key] = parse_value(shape, entry.node, f"{path}.{key}" if path else key, problems)
    return section


def parse_value(shape: Shape, node: Node, path: str, problems: Problems) -> Value | Section:
    """Check one setting: a scalar, a list, a map, or a section of settings."""
    if node.value is None and not (shape.is_section and not shape.optional):
        if shape.optional:
            return Value(None, node.origin)
        problems.add(node, path, "nothing stands here; remove the key to get the default")
        return Value(INVALID, node.origin)
    if shape.many is Many.LIST:
        return _parse_list(shape, node, path, problems)
    if shape.many is Many.MAP:
        return _parse_map(shape, node, path, problems)
    if shape.model is not None:
        return parse_section(fields_of(shape.model), node, path, problems)
    return _parse_one(shape, node, path, problems)


def _parse_list(shape: Shape, node: Node, path: str, problems: Problems) -> Value:
    if not isinstance(node.value, list):
        problems.add(node, path, "expected a list: [a, b], or one item a line, each after a dash")
        return Value(INVALID, node.origin)
    items = [_parse_one(shape, item, f"{path}[{index}]", problems) for index, item in enumerate(node.value)]
    if any(item.value is INVALID for item in items):
        return Value(INVALID, node.origin)
    return Value(tuple(item.value for item in items), node.origin)


def _parse_map(shape: Shape, node: Node, path: str, problems: Problems) -> Value | Section:
    if not isinstance(node.value, dict):
        problems.add(node, path, "expected a mapping: one key: value a line")
        return Value(INVALID, node.origin)
    section = Section()
    for key, entry in node.value.items():
        section.entries[key] = _parse_one(shape, entry.node, f"{path}.{key}", problems)
    return section


def _parse_one(shape: Shape, node: Node, path: str, problems: Problems) -> Value:
    """Check one value: a scalar, or one object of a list (or the bare value that is short for it)."""
    before = len(problems)
    if shape.model is not None:
        short = shorthand_of(shape.model)
        if short is None or isinstance(node.value, dict):
            section = parse_section(fields_of(shape.model), node, path, problems)
            _check_required(fields_of(shape.model), section, node, path, problems)
            return Value(INVALID if len(problems) > before else build(shape.model, section, path, {}), node.origin)
        inner = _parse_one(short, node, path, problems)
        value = INVALID if inner.value is INVALID else shape.model(**{short.attribute: inner.value})
        return Value(value, node.origin)
    try:
        return Value(parse_scalar(shape, node.value), node.origin)
    except ValueError as error:
        problems.add(node, path, str(error))
        return Value(INVALID, node.origin)


def _check_required(shapes: Mapping[str, Shape], section: Section, node: Node, path: str, problems: Problems) -> None:
    for key, shape in shapes.items():
        if shape.required and key not in section.entries:
            problems.add(node, f"{path}.{key}", f"is missing: {shape.about.help}")


def merge(high: Section, low: Section) -> Section:
    """Return both; where both say something, ``high`` wins, section by section."""
    entries: dict[str, Value | Section] = dict(low.entries)
    for key, mine in high.entries.items():
        theirs = entries.get(key)
        if isinstance(mine, Section):
            entries[key] = merge(mine, theirs if isinstance(theirs, Section) else Section())
        else:
            entries[key] = mine
    return Section(entries)


def without_invalid(section: Section) -> tuple[Section, bool]:
    """Return the section without the values whose mistakes are reported, and whether there were any."""
    kept: dict[str, Value | Section] = {}
    found = False
    for key, said in section.entries.items():
        if isinstance(said, Section):
            kept[key], inner = without_invalid(said)
            found = found or inner
        elif said.value is INVALID:
            found = True
        else:
            kept[key] = said
    return Section(kept), found


def build(
    model: type[Any],
    section: Section,
    path: str,
    origins: dict[str, Origin],
    *,
    default: Any = MISSING,
    given: Mapping[str, Any] | None = None,
) -> Any:
    """Build a dataclass from what was said, and note the origin of every setting, defaults included.

    Args:
        model: The dataclass.
        section: What was said; without mistakes, and complete.
        path: Dotted path, for ``origins``.
        origins: Gets one entry for each setting.
        default: An instance whose values stand where nothing was said; MISSING: the fields' own defaults.
        given: Attributes that do not come from the file.
    """
    values: dict[str, Any] = dict(given or {})
    for key, shape in fields_of(model).items():
        if shape.attribute in values:
            continue
        fallback = shape.default if default is MISSING else getattr(default, shape.attribute)
        values[shape.attribute] = _build_one(shape, section.entries.get(key), fallback, f"{path}.{key}", origins)
    return model(**values)


def _build_one(shape: Shape, said: Value | Section | None, fallback: Any, path: str, origins: dict[str, Origin]) -> Any:
    if isinstance(said, Value):
        origins[path] = said.origin
        return said.value
    if shape.is_section and shape.model is not None:
        if said is None and fallback is None:
            origins[path] = DEFAULT
            return None
        inner = MISSING if fallback is None or fallback is MISSING else fallback
        return build(shape.model, said or Section(), path, origins, default=inner)
    if said is not None:  # a map
        entries = {key: value for key, value in said.entries.items() if isinstance(value, Value)}
        origins[path] = next((value.origin for value in entries.values()), DEFAULT)
        return {key: value.value for key, value in entries.items()}
    origins[path] = DEFAULT
    return fallback


def unknown_key(key: str, shapes: Mapping[str, Shape]) -> str:
    """Return the message for a key that may not stand here, with the nearest one that may."""
    near = nearest(key, shapes)
    if near:
        return f"unknown key; did you mean {near}?"
    inside = [".".join(path) for path, _ in leaves_of(shapes) if _plain(path[-1]) == _plain(key)]
    if inside:
        return f"unknown key here; did you mean {inside[0]}?"
    return f"unknown key; known here: {', '.join(shapes)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is most like this one ("" if none is); case, - and _ do not count."""
    words = {_plain(name): name for name in known}
    near = get_close_matches(_plain(word), words, n=1, cutoff=0.7)
    return words[near[0]] if near else ""


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
