"""Where a value stands in a YAML document: asked only for documents with findings, so the slow way is good enough."""

from __future__ import annotations

import re
from typing import Any

import yaml

from gitlab_mesh.adapters.yaml_documents import LOADER, OPEN_IPV6

__all__ = ["locate_embedded", "locate_path"]

_BLOCK = re.compile(r":\s+[|>][-+0-9]*\s*(#.*)?$")


def locate_path(text: str, path: tuple[str | int, ...], *, at_key: bool) -> tuple[int, int]:
    """Return line and column, from 0, of the longest part of a path that the document has.

    Args:
        text: The document alone.
        path: Keys and indexes.
        at_key: Point to the last key instead of its value.
    """
    try:
        node = yaml.compose(text, Loader=LOADER)
    except (yaml.YAMLError, RecursionError):
        mended = OPEN_IPV6.sub(r'\1"\2"', text)
        try:
            node = yaml.compose(mended, Loader=LOADER)
        except (yaml.YAMLError, RecursionError):
            return 0, 0
    mark = node.start_mark if node is not None else None
    for depth, step in enumerate(path):
        found = _step(node, step)
        if found is None:
            break
        key_node, node = found
        complete = depth == len(path) - 1
        short = node.end_mark.line == node.start_mark.line
        mark = (
            node.start_mark
            if complete and not at_key and (key_node is None or short)
            else (key_node or node).start_mark
        )
    return (mark.line, mark.column) if mark else (0, 0)


def locate_embedded(
    text: str, outer: tuple[str | int, ...], inner: tuple[str | int, ...], *, at_key: bool
) -> tuple[int, int]:
    """Return line and column, from 0, of a path inside of a document that is a text of another one.

    Args:
        text: The outer document alone.
        outer: Path of the text.
        inner: Path inside of it.
        at_key: Point to the last key instead of its value.
    """
    line, column = locate_path(text, outer, at_key=False)
    lines = text.splitlines()
    if line >= len(lines) or not _BLOCK.search(lines[line]):
        return line, column  # not a block: its lines are not the document's
    block = lines[line + 1 :]
    indent = next((len(item) - len(item.lstrip(" ")) for item in block if item.strip()), 0)
    found = locate_path("\n".join(item[indent:] for item in block) + "\n", inner, at_key=at_key)
    return line + 1 + found[0], indent + found[1]


def _step(node: Any, step: str | int) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.SequenceNode):
        if isinstance(step, int) and 0 <= step < len(node.value):
            return None, node.value[step]
        return None
    if not isinstance(node, yaml.MappingNode):
        return None
    merged = None
    found = None
    for key, value in node.value:
        if key.value == str(step):
            found = (key, value)
        elif key.value == "<<":
            merged = value
    if found is None and merged is not None:
        for source in merged.value if isinstance(merged, yaml.SequenceNode) else [merged]:
            inner = _step(source, step)
            if inner:
                return inner
    return found
