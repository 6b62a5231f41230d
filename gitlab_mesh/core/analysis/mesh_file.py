"""What the rules' engine reads of ``mesh.yaml``: its mistakes, its services, what exists elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from gitlab_mesh.core.analysis.model import Document, Level, Problem
from gitlab_mesh.core.analysis.registry import describe

__all__ = ["RELEASED", "MeshFile"]

RELEASED = "ReleasedService"
"""The engine's word for a service of ``mesh.yaml``.

Its ``spec``: ``host``, ``workload``, ``subsets`` (``stable``, ``canary``), ``route`` (``kind``, ``names``, ``http``).
"""


@dataclass(frozen=True, slots=True)
class MeshFile:
    """One ``mesh.yaml``.

    Attributes:
        documents: Its services, of kind ``ReleasedService``.
        problems: Its mistakes.
        inventory: Files with objects that exist elsewhere.
        assume: Hosts that exist elsewhere.
    """

    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()
    inventory: tuple[str, ...] = ()
    assume: tuple[str, ...] = ()


describe(
    "GM0030",
    "mistake in mesh.yaml",
    Level.ERROR,
    why="every job that reads it stops with exit code 2 before it does anything",
    mend="correct it; gitlab-mesh config reference shows all keys",
)
