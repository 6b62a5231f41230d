"""Adding one include to a pipeline that a project has already, its comments and its order kept."""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

__all__ = ["include_into"]

NEEDED_STAGES = ("test", "deploy")
"""Stages of the template's jobs; GitLab refuses a pipeline whose job names a stage that is not listed."""


def include_into(text: str, file: str) -> str | None:
    """Return the pipeline with ``include: local: <file>`` and the stages that the template's jobs name.

    Args:
        text: The whole ``.gitlab-ci.yml``.
        file: Path of the file to include.

    Returns:
        The new text; the same where it includes the file already; None where only a person can edit it (several
        documents, anchors in the way, no YAML).
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    if root is not None and not isinstance(root, yaml.MappingNode):
        return None
    top = {} if root is None else {key.value: node for key, node in root.value}
    if re.search(rf"(?m)^[^#\n]*{re.escape(file)}", text):
        return text
    item = f"local: {file}"
    # From the end to the beginning, so that the places of what is edited later stay true.
    edits = [_into_list(text, top.get("include"), item, first=True), _stages(text, top.get("stages"))]
    if None in edits:
        return None
    for place, end, new in sorted((edit for edit in edits if edit), reverse=True):
        text = text[:place] + new + text[end:]
    if "include" not in top:
        text = f"{text.rstrip()}\n\ninclude:\n  - {item}\n" if text.strip() else f"include:\n  - {item}\n"
    return text


Edit = tuple[int, int, str]


def _stages(text: str, node: yaml.Node | None) -> Edit | tuple[()] | None:
    if node is None:
        return ()
    if not isinstance(node, yaml.SequenceNode):
        return None
    missing = [stage for stage in NEEDED_STAGES if stage not in [item.value for item in node.value]]
    return _into_list(text, node, *missing) if missing else ()


def _into_list(text: str, node: yaml.Node | None, *items: str, first: bool = False) -> Edit | tuple[()] | None:
    """Return the edit that puts items into a list: in front of the first one, or behind the last."""
    if node is None:
        return ()
    if isinstance(node, yaml.ScalarNode) and first:
        old = text[node.start_mark.index : node.end_mark.index]
        return node.start_mark.index, node.end_mark.index, "".join(f"\n  - {line}" for line in (*items, old))
    if not isinstance(node, yaml.SequenceNode):
        return None
    if node.flow_style:
        braced = [f"{{{item}}}" if ": " in item else item for item in items]
        if first:
            place = node.start_mark.index + 1
            return place, place, ", ".join(braced) + (", " if node.value else "")
        place = node.end_mark.index - 1
        return place, place, ("" if not node.value else ", ") + ", ".join(braced)
    indent = " " * node.start_mark.column
    if first:
        place = node.start_mark.index - node.start_mark.column
        return place, place, _lines(indent, items)
    place = text.find("\n", node.value[-1].end_mark.index - (1 if _is_block(node.value[-1]) else 0))
    return (
        (len(text), len(text), "\n" + _lines(indent, items))
        if place < 0
        else (place + 1, place + 1, _lines(indent, items))
    )


def _is_block(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and not node.flow_style


def _lines(indent: str, items: Sequence[str]) -> str:
    return "".join(f"{indent}- {item}\n" for item in items)
