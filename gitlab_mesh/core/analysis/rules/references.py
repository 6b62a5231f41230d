"""Wrong and missing references: how a rule says that something it looks for is not there."""

from __future__ import annotations

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem
from gitlab_mesh.core.analysis.registry import describe

__all__ = ["NOT_READ", "missing"]

NOT_READ = "GM0100"

describe(
    NOT_READ,
    "reference to something that was not read",
    Level.INFO,
    why="if it exists elsewhere, all is well; if it does not, requests fail",
    mend="give the missing objects with --inventory, name them with --assume, or say --complete if this is everything",
)


def missing(mesh: Mesh, document: Document, path: Path, message: str, *, surely: bool, hint: str = "") -> Problem:
    """Return the problem of a reference that leads nowhere.

    Args:
        mesh: For whether everything was read.
        document: Whose reference it is.
        path: Where.
        message: What is missing.
        surely: The files hold objects of that kind and scope, so this one is most likely wrong.
        hint: How to mend it.
    """
    if surely or mesh.options.complete:
        return Problem(document, path, message, hint)
    return Problem(document, path, f"{message} in what was read", code=NOT_READ)
