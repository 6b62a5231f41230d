"""What environment variables and options say about a service, as blocks like those of the file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from gitlab_mesh.config.nodes import Entry, Node, Problems
from gitlab_mesh.config.parse import Section, nearest, parse_value
from gitlab_mesh.config.shape import Many, Shape, ValueKind, leaves_of, service_fields
from gitlab_mesh.config.yaml_source import compose

__all__ = ["PREFIX", "parse_environment_variables", "parse_options", "variable_name"]

PREFIX = "GITLAB_MESH_"

Leaf = tuple[tuple[str, ...], Shape]


def variable_name(path: tuple[str, ...]) -> str:
    """Return the variable of a setting: ``route.virtualService`` → ``GITLAB_MESH_ROUTE_VIRTUAL_SERVICE``."""
    return PREFIX + "_".join(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).upper() for key in path)


@cache
def _variables() -> dict[str, Leaf]:
    return {variable_name(path): (path, shape) for path, shape in leaves_of(service_fields())}


def parse_environment_variables(env: Mapping[str, str], problems: Problems) -> Section:
    """Return what ``GITLAB_MESH_<SECTION>_<KEY>`` say; an empty variable says nothing.

    A variable of one of our sections that is no setting is a mistake (a typing error would silently do nothing);
    other ``GITLAB_MESH_*`` belong to other parts of the tool.
    """
    known = _variables()
    sections = tuple({f"{variable_name(path[:1])}_" for path, _ in known.values() if len(path) > 1})
    section = Section()
    for name in sorted(env):
        if not name.startswith(PREFIX) or not env[name]:
            continue
        source = f"environment {name}"
        if name in known:
            path, shape = known[name]
            _put(section, path, shape, _read(shape, env[name], source, problems), problems)
        elif name.startswith(sections):
            near = nearest(name, known)
            said = f"no setting has this variable{f'; did you mean {near}?' if near else ''}"
            problems.add(Node(None, source), "", said)
    return section


def parse_options(overrides: Mapping[str, Any], problems: Problems) -> Section:
    """Return what options say; keys are paths below the service, None says nothing."""
    known = {".".join(path): (path, shape) for path, shape in leaves_of(service_fields())}
    section = Section()
    for key, value in overrides.items():
        if value is None:
            continue
        source = f"option {key}"
        if key not in known:
            near = nearest(key, known)
            problems.add(Node(None, source), "", f"no such setting{f'; did you mean {near}?' if near else ''}")
            continue
        path, shape = known[key]
        node = _read(shape, value, source, problems) if isinstance(value, str) else _node(value, source)
        _put(section, path, shape, node, problems)
    return section


def _put(section: Section, path: tuple[str, ...], shape: Shape, node: Node | None, problems: Problems) -> None:
    if node is None:
        return
    for key in path[:-1]:
        inner = section.entries.setdefault(key, Section())
        if not isinstance(inner, Section):  # cannot be: only leaves are values
            raise TypeError(f"{'.'.join(path)} is below a value")
        section = inner
    section.entries[path[-1]] = parse_value(shape, node, ".".join(path), problems)


def _read(shape: Shape, text: str, source: str, problems: Problems) -> Node | None:
    """Read the text of a variable as the setting wants it: ``5,10,25`` is a list, ``5`` is text where text is meant."""
    if shape.many is Many.MAP or (shape.many is Many.LIST and text.lstrip().startswith("[")):
        before = len(problems)
        node = compose(text, source, problems)
        return None if len(problems) > before or node is None else _moved(node, source)
    if shape.many is Many.LIST:
        return Node([_scalar(shape, part.strip(), source) for part in text.split(",")], source)
    return _scalar(shape, text, source)


def _scalar(shape: Shape, text: str, source: str) -> Node:
    if shape.many is Many.ONE and (shape.kind is ValueKind.TEXT or shape.about.choices):
        return Node(text, source)
    if shape.kind is ValueKind.BOOLEAN:
        return Node({"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text), source)
    if shape.kind is ValueKind.TEXT:
        return Node(text, source)
    try:
        number = json.loads(text)
    except ValueError:
        return Node(text, source)
    return Node(number if isinstance(number, (int, float)) else text, source)


def _node(value: Any, source: str) -> Node:
    """Return a Python value of an option as a node."""
    if isinstance(value, (list, tuple)):
        return Node([_node(item, source) for item in value], source)
    if isinstance(value, Mapping):
        return Node({key: Entry(Node(key, source), _node(item, source)) for key, item in value.items()}, source)
    return Node(value, source)


def _moved(node: Node, source: str) -> Node:
    """Return the tree without lines: those of a variable's text would mislead."""
    return _node(node.plain(), source)
