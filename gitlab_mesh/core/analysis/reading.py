"""What a reader of manifests hands over, and the codes that it gives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from gitlab_mesh.core.analysis.model import Document, Level, Problem
from gitlab_mesh.core.analysis.registry import describe

__all__ = ["Comment", "ManifestSet", "Manifests"]


@dataclass(frozen=True, slots=True)
class ManifestSet:
    """Everything that was read.

    Attributes:
        documents: Objects that rules are about.
        problems: What is wrong with the YAML itself.
        files: Number of files.
        objects: Number of Kubernetes objects, unknown kinds included.
        skipped: Number of objects by kind that no rule is about (CustomResourceDefinitions of others and the like).
    """

    documents: Sequence[Document]
    problems: Sequence[Problem]
    files: int
    objects: int
    skipped: dict[str, int]


@dataclass(frozen=True, slots=True)
class Comment:
    """A ``# gitlab-mesh: …`` comment: its line (from 1), its text behind the colon, whether it stands alone."""

    line: int
    text: str
    alone: bool


class Manifests(Protocol):
    """Files with Kubernetes objects."""

    def read(
        self, paths: Sequence[str], *, assumed: bool = False, defined: Collection[tuple[str, str]] = ()
    ) -> ManifestSet:
        """Read files, directories, globs, ``-``; UsageError where a path does not exist.

        Args:
            paths: What to read.
            assumed: The objects exist elsewhere.
            defined: Group and kind of objects that are wanted although no rule is about them.
        """

    def parse(self, name: str, data: bytes, *, defined: Collection[tuple[str, str]] = ()) -> ManifestSet:
        """Read content that is not the file's present one; places in it cannot be asked for."""

    def name(self, file: str) -> str:
        """Return a file's path from the working directory: one file has one name, however it was given."""

    def covers(self, paths: Sequence[str], name: str) -> bool:
        """Say whether ``read`` of these paths would find a file of this name, if it were there."""

    def locate(self, problem: Problem) -> tuple[int, int]:
        """Return line and column, from 1, of the longest part of the problem's path that exists."""

    def comments(self, file: str) -> list[Comment]:
        """Return the comments of a file that are meant for us."""

    def lines(self, file: str, first: int, last: int) -> list[str]:
        """Return source lines from ``first`` to ``last``, both included, from 1."""


describe(
    "GM0002",
    "not YAML",
    Level.ERROR,
    why="kubectl and every GitOps tool stop at this file; other documents of it were still read",
    mend="correct the syntax at this line",
)
describe(
    "GM0003",
    "duplicate key",
    Level.ERROR,
    why="Kubernetes' strict decoding refuses it; elsewhere the last one silently wins",
    mend="remove one of the two",
    bad="apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec:\n  ports: []\n  ports: [{port: 80}]\n",
    good="apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec:\n  ports: [{port: 80, name: http}]\n",
)
describe(
    "GM0004",
    "a template, not an object",
    Level.WARNING,
    why="rules need the objects that the template makes",
    mend="render it first: helm template . | gitlab-mesh job validate -",
)
describe(
    "GM0005",
    "YAML that hurts its reader",
    Level.ERROR,
    why="aliases or nesting expand to more than any object has; Kubernetes refuses such files too",
    mend="write the values out",
)
describe(
    "GM0006",
    "not a text file in UTF-8",
    Level.ERROR,
    why="Kubernetes reads UTF-8 only",
    mend="save the file as UTF-8",
)
