"""YAML text as a tree in which every value knows its line and column.

Scalars follow the YAML 1.2 core schema, as editors and the JSON Schema see them (PyYAML alone would read ``1:30`` as
the number 90, ``on`` as true and ``0777`` as 511). The tree is built from parser events without recursion, so neither
deep nesting nor a bomb of aliases can hurt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from gitlab_mesh.config.nodes import Entry, Node, Problems

__all__ = ["compose"]

MAX_DEPTH = 40
MAX_VALUES = 100_000
_CORE = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(slots=True)
class _Frame:
    """A list or mapping that is being read."""

    node: Node
    anchor: str | None
    key: Node | None = None
    merges: list[Node] | None = None


class _Composer:
    def __init__(self, source: str, problems: Problems) -> None:
        self.source = source
        self.problems = problems
        self.stack: list[_Frame] = []
        self.anchors: dict[str, Node | None] = {}
        self.root: Node | None = None
        self.documents = 0

    def node(self, event: Any, value: Any) -> Node:
        return Node(value, self.source, event.start_mark.line + 1, event.start_mark.column + 1)

    def feed(self, event: Any) -> bool:
        """Take one event; False ends the reading."""
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self.problems.add(self.node(event, None), "", "a second document begins here; one file, one document")
                return False
        elif isinstance(event, yaml.ScalarEvent):
            self.place(self.scalar(event), event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            return self.begin(event)
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            return self.end()
        return True

    def begin(self, event: Any) -> bool:
        is_list = isinstance(event, yaml.SequenceStartEvent)
        node = self.node(event, [] if is_list else {})
        if event.tag not in (None, f"{_CORE}seq", f"{_CORE}map"):
            self.problems.add(node, "", f"the tag {event.tag} is not known here")
        if len(self.stack) >= MAX_DEPTH:
            self.problems.add(node, "", f"nested deeper than {MAX_DEPTH} levels")
            return False
        if event.anchor:
            self.anchors[event.anchor] = None  # not to be used inside itself
        self.stack.append(_Frame(node, event.anchor))
        return True

    def end(self) -> bool:
        frame = self.stack.pop()
        for merged in frame.merges or ():
            self.merge(frame.node, merged)
        if frame.node.size > MAX_VALUES:
            self.problems.add(frame.node, "", f"aliases expand this to more than {MAX_VALUES} values")
            return False
        self.place(frame.node, frame.anchor)
        return True

    def alias(self, event: Any) -> bool:
        found = self.anchors.get(event.anchor)
        if found is None:
            why = "contains itself" if event.anchor in self.anchors else "has no anchor before it"
            self.problems.add(self.node(event, None), "", f"the alias *{event.anchor} {why}")
            return False
        self.place(found, None)
        return True

    def place(self, node: Node, anchor: str | None) -> None:
        """Put a finished node where it belongs."""
        if anchor:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = self.root or node
            return
        frame = self.stack[-1]
        if isinstance(frame.node.value, list):
            frame.node.value.append(node)
        elif frame.key is None:
            frame.key = node
            return
        else:
            self.entry(frame, frame.key, node)
            frame.key = None
        frame.node.size += node.size

    def entry(self, frame: _Frame, key: Node, node: Node) -> None:
        if isinstance(key.value, (list, dict)):
            self.problems.add(key, "", "a key must be a word")
            return
        name = "" if key.value is None else str(key.value)
        if name == "<<" and isinstance(node.value, (list, dict)):
            frame.merges = (frame.merges or []) + (node.value if isinstance(node.value, list) else [node])
        elif name in frame.node.value:
            first = frame.node.value[name].key.line
            self.problems.add(key, "", f'the key "{name}" stands here twice, first in line {first}')
        else:
            frame.node.value[name] = Entry(key, node)

    def merge(self, node: Node, merged: Node) -> None:
        """``<<: *base``: what the mapping does not say itself is taken from the other one."""
        if isinstance(merged.value, dict):
            node.value = {**merged.value, **node.value}
        else:
            self.problems.add(merged, "", "<< takes a mapping, or a list of mappings")

    def scalar(self, event: Any) -> Node:
        text: str = event.value
        tag = event.tag
        if tag is None:
            value = _resolve(text) if event.implicit[0] else text
        elif tag in ("!", f"{_CORE}str"):
            value = text
        elif tag in {f"{_CORE}{kind}" for kind in ("int", "float", "bool", "null")}:
            value = _resolve(text)
        else:
            value = text
            self.problems.add(self.node(event, None), "", f"the tag {tag} is not known here")
        return self.node(event, value)


def compose(text: str, source: str, problems: Problems) -> Node | None:
    """Read one YAML document; None where it is empty or cannot be read (``problems`` says why).

    Args:
        text: The document.
        source: Its name in messages.
        problems: Gets every mistake of the YAML itself: syntax, tabs, duplicate keys, aliases, tags.
    """
    composer = _Composer(source, problems)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            if not composer.feed(event):
                return None
    except yaml.MarkedYAMLError as error:
        _explain(error, text, source, problems)
        return None
    except yaml.YAMLError as error:  # a character that YAML forbids; the reader knows its position only
        position = int(getattr(error, "position", 0))
        before = text[:position]
        place = Node(None, source, before.count("\n") + 1, position - before.rfind("\n"))
        problems.add(place, "", "a character that YAML does not allow; is this a text file in UTF-8?")
        return None
    return composer.root


def _explain(error: yaml.MarkedYAMLError, text: str, source: str, problems: Problems) -> None:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines()
    here = lines[line] if line < len(lines) else ""
    message = str(error.problem or "not YAML")
    if "\t" in here[: column + 1] or here.lstrip(" ").startswith("\t"):
        message = "a tab; YAML is indented with spaces"
        column = here.index("\t")
    elif error.context:
        message = f"{message} ({error.context})"
    problems.add(Node(None, source, line + 1, column + 1), "", message)


def _resolve(text: str) -> bool | int | float | str | None:
    """Return what a plain scalar means in the YAML 1.2 core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > 64:  # no number that anybody writes; int() of thousands of digits is slow
        return text
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
