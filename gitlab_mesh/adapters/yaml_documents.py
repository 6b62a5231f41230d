"""Multi-document YAML as Kubernetes reads it, fast: values first, places only when somebody asks for one.

Kubernetes decodes with Go's YAML 1.1 rules (sigs.k8s.io/yaml): ``yes`` and ``on`` are booleans, ``0777`` is octal,
``12:30`` and dates are texts, a key that stands twice is an error, ``<<`` merges. PyYAML's own resolver differs in
all of these, so its C parser gives events and the scalars are resolved here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import yaml

from gitlab_mesh.adapters.yaml_faults import Fault, explain_error
from gitlab_mesh.adapters.yaml_scalars import resolve

__all__ = ["LOADER", "OPEN_IPV6", "Fault", "RawDocument", "read_documents"]

MAX_DEPTH = 100
MAX_VALUES = 500_000
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
OPEN_IPV6 = re.compile(r"([\[,]\s*)([0-9A-Fa-f:.]*::)(?=\s*[,\]])")
_MISS: Any = object()


@dataclass(slots=True)
class RawDocument:
    """One document: its value, its lines (from 1, the last one not included), what is wrong with it."""

    value: Any
    first_line: int
    last_line: int
    faults: list[Fault] = field(default_factory=list)


class _BombError(Exception):
    """The document expands to too much."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def read_documents(text: str) -> list[RawDocument]:
    """Read every document of a file; one that is broken has faults and no value, the others are read still."""
    try:
        documents = list(_parse(text))
    except (yaml.YAMLError, _BombError, RecursionError):
        return list(_read_apart(text))
    total = text.count("\n") + 2
    for document, following in pairwise(documents):
        document.last_line = following.first_line
    if documents:
        documents[-1].last_line = total
    return documents


def _read_apart(text: str) -> Iterator[RawDocument]:
    starts = [0, *(match.start() for match in _SEPARATOR.finditer(text) if match.start())]
    line = 1
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        chunk = text[start:end]
        count = chunk.count("\n")
        for document in _read_one(chunk):
            document.first_line, document.last_line = line, line + count + (0 if chunk.endswith("\n") else 1)
            document.faults = [
                Fault(fault.code, fault.line + line - 1, fault.column, fault.message) for fault in document.faults
            ]
            yield document
        line += count


def _read_one(chunk: str) -> list[RawDocument]:
    try:
        return list(_parse(chunk))
    except _BombError as error:
        return [RawDocument(None, 1, 1, [Fault("GM0005", error.line, 1, str(error))])]
    except yaml.YAMLError as error:
        mended = OPEN_IPV6.sub(r'\1"\2"', chunk)
        if mended != chunk:  # Go reads an unquoted address that ends in "::" in a flow list, libyaml does not
            try:
                return list(_parse(mended))
            except (yaml.YAMLError, _BombError):
                pass
        return [RawDocument(None, 1, 1, [explain_error(error, chunk)])]
    except RecursionError:
        return [RawDocument(None, 1, 1, [Fault("GM0005", 1, 1, "nested too deeply")])]


def _parse(text: str) -> Iterator[RawDocument]:
    """Build values from the events of a stream; yields each document when it ends.

    Raises:
        yaml.YAMLError: The text is not YAML.
        _BombError: A document expands to too much.
    """
    loader = LOADER(text)
    get = loader.get_event
    scalar, alias = yaml.ScalarEvent, yaml.AliasEvent
    mapping_start, sequence_start = yaml.MappingStartEvent, yaml.SequenceStartEvent
    mapping_end, sequence_end = yaml.MappingEndEvent, yaml.SequenceEndEvent
    document_start, document_end, stream_end = yaml.DocumentStartEvent, yaml.DocumentEndEvent, yaml.StreamEndEvent
    cache: dict[str, Any] = {}
    cached = cache.get
    stack: list[tuple[Any, Any]] = []
    container: Any = None  # list or dict that is being filled
    key: Any = None  # of a dict: the key whose value comes next; None: a key comes next
    anchors: dict[str, Any] = {}
    pending: dict[int, str] = {}
    root: Any = None
    first = 1
    faults: list[Fault] = []
    aliases = False
    try:
        while True:
            event = get()
            kind = event.__class__
            if kind is scalar:
                value = event.value
                if event.implicit[0] and event.tag is None:
                    found = cached(value, _MISS)
                    if found is _MISS:
                        found = cache[value] = resolve(value)
                    if container.__class__ is dict and key is None:
                        if value in container:
                            faults.append(_duplicate(event))
                        key = value if found.__class__ is not bool else str(found).lower()
                        if event.anchor:
                            anchors[event.anchor] = found
                        continue
                    value = found
                elif container.__class__ is dict and key is None:
                    if value in container:
                        faults.append(_duplicate(event))
                    key = value
                    continue
                elif event.tag is not None:
                    value = _tagged(event)
                if event.anchor:
                    anchors[event.anchor] = value
            elif kind is mapping_start or kind is sequence_start:
                value = {} if kind is mapping_start else []
                if len(stack) >= MAX_DEPTH:
                    raise _BombError(f"nested deeper than {MAX_DEPTH} levels", event.start_mark.line + 1)
                if event.anchor:
                    anchors[event.anchor] = _MISS
                    pending[id(value)] = event.anchor
                stack.append((container, key))
                container, key = value, None
                continue
            elif kind is mapping_end or kind is sequence_end:
                value = container
                if kind is mapping_end and "<<" in value:
                    _merge(value)
                if pending and id(value) in pending:
                    anchors[pending.pop(id(value))] = value
                container, key = stack.pop()
            elif kind is alias:
                aliases = True
                value = anchors.get(event.anchor, _MISS)
                if value is _MISS:
                    why = "contains itself" if event.anchor in anchors else "has no anchor before it"
                    raise yaml.MarkedYAMLError(problem=f"*{event.anchor} {why}", problem_mark=event.start_mark)
            elif kind is document_start:
                first = event.start_mark.line + 1
                root, faults, aliases = None, [], False
                anchors.clear()
                container, key = None, None
                continue
            elif kind is document_end:
                if aliases and _expanded(root) > MAX_VALUES:
                    raise _BombError(f"its aliases expand to more than {MAX_VALUES:,} values", first)
                yield RawDocument(root, first, first, faults)
                continue
            elif kind is stream_end:
                return
            else:
                continue
            if container is None:
                root = value
            elif container.__class__ is list:
                container.append(value)
            elif key is None:
                if not isinstance(value, str):
                    raise yaml.MarkedYAMLError(problem="a key must be a word", problem_mark=event.start_mark)
                key = value
            else:
                container[key] = value
                key = None
    finally:
        loader.dispose()


def _duplicate(event: Any) -> Fault:
    mark = event.start_mark
    return Fault("GM0003", mark.line + 1, mark.column + 1, f"the key {event.value} stands here twice")


def _tagged(event: Any) -> Any:
    return event.value if event.tag in ("!", "tag:yaml.org,2002:str") else resolve(event.value)


def _merge(value: dict[str, Any]) -> None:
    merged = value.pop("<<")
    for source in merged if isinstance(merged, list) else [merged]:
        if isinstance(source, dict):
            for key, item in source.items():
                value.setdefault(key, item)


def _expanded(root: Any) -> int:
    """Count the values of a document with its aliases written out; shared parts are counted once and multiplied."""
    sizes: dict[int, int] = {}
    stack: list[tuple[Any, bool]] = [(root, False)]
    while stack:
        node, done = stack.pop()
        if not isinstance(node, (dict, list)):
            continue
        if id(node) in sizes and not done:
            continue
        children = list(node.values()) if isinstance(node, dict) else node
        if done:
            sizes[id(node)] = 1 + sum(sizes.get(id(child), 1) for child in children)
        else:
            stack.append((node, True))
            stack += [(child, False) for child in children if isinstance(child, (dict, list))]
    return sizes.get(id(root), 1)
