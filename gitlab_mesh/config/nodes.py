"""Values that know where they stand, and the mistakes found in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.config.origins import Origin

__all__ = ["Entry", "Node", "Problem", "Problems"]


@dataclass(slots=True)
class Node:
    """One value.

    Attributes:
        value: None, bool, int, float, str, a list of nodes, or a mapping of entries by key.
        source: Name of the file, "environment NAME" or "option NAME".
        line: From 1; 0 where there is no file.
        column: From 1; 0 where there is no file.
        size: Number of values in it, aliases expanded.
    """

    value: Any
    source: str
    line: int = 0
    column: int = 0
    size: int = 1

    @property
    def origin(self) -> Origin:
        """Who said this value."""
        if self.line:
            return Origin("file", f"{self.source}:{self.line}", self.column)
        kind, _, detail = self.source.partition(" ")
        return Origin(kind, detail)

    def plain(self) -> Any:
        """Return it as plain lists, dicts and scalars."""
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        return self.value


@dataclass(slots=True)
class Entry:
    """One ``key: value``; ``key`` is a node, so that a message can point at it."""

    key: Node
    node: Node


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake; sorts by place."""

    line: int
    column: int
    text: str


class Problems:
    """Collects all mistakes, so that a person sees them at once."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, node: Node, path: str, message: str) -> None:
        """Add a mistake at a node; ``path`` is dotted, empty for the whole file."""
        self.add_at(node.origin, path, message, line=node.line)

    def add_at(self, origin: Origin, path: str, message: str, *, line: int = 0) -> None:
        """Add a mistake at an origin."""
        said = f"{path}: {message}" if path else message
        place = line or int(origin.detail.rpartition(":")[2] if origin.kind == "file" else 1 << 30)
        self._found.append(Problem(place, origin.column, f"{origin.where}: {said}"))

    def __iter__(self) -> Iterator[str]:
        """Yield the lines in the order of the file."""
        return (problem.text for problem in sorted(self._found))
