"""Schemas of the user's own: what the rules' engine asks of somebody who knows CustomResourceDefinitions."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from gitlab_mesh.core.analysis.model import Document, Level, Problem
from gitlab_mesh.core.analysis.registry import describe

__all__ = ["CustomSchemas"]


class CustomSchemas(Protocol):
    """CustomResourceDefinitions that hold instead of the schemas that come along."""

    @property
    def kinds(self) -> Collection[tuple[str, str]]:
        """Group and kind of everything that is defined."""

    def check(self, document: Document) -> list[Problem] | None:
        """Return what the API server would refuse about an object; None: its kind is not defined here."""

    def finish(self) -> Iterable[Problem]:
        """Return a remark for each rule that could not be evaluated."""

    def count(self) -> str:
        """Say how many rules were evaluated, and how many could not be."""


describe(
    "GM0022",
    "rule of the CustomResourceDefinition broken",
    Level.ERROR,
    why="the API server evaluates these rules (CEL, x-kubernetes-validations) and refuses the object",
    mend="change the value as the rule's message says",
)
describe(
    "GM0023",
    "rule of a CustomResourceDefinition that was not checked",
    Level.INFO,
    why="the rule uses a function that the library for CEL does not have; the API server may still refuse the object",
    mend="let the API server say it: kubectl apply --dry-run=server",
)
