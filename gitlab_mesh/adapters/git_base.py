"""What the files were before a merge request: read from git at the merge base."""

from __future__ import annotations

import subprocess

from gitlab_mesh.errors import UsageError

__all__ = ["read_base"]

_SUFFIXES = (".yaml", ".yml", ".json")


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=False)  # noqa: S603, S607 - git of the PATH
    except OSError as error:
        raise UsageError("--changed needs git", why=str(error.strerror)) from error


def read_base(reference: str) -> dict[str, bytes | None]:
    """Return the former content of every manifest that differs from the merge base with ``reference``.

    Paths are relative to the working directory; None: the file did not exist. Changes that are not committed, and
    files that git does not know yet, count too.

    Raises:
        UsageError: No git, no repository, or no such reference (a shallow clone lacks it).
    """
    found = _git("merge-base", reference, "HEAD")
    if found.returncode:
        raise UsageError(
            f"git finds no merge base with {reference}",
            why=found.stderr.decode("utf-8", "replace").strip().splitlines()[-1] if found.stderr.strip() else "",
            hint="fetch it: set GIT_DEPTH: 0, or git fetch origin " + reference,
        )
    base = found.stdout.decode().strip()
    names = _git("diff", "--name-only", "-z", "--relative", base).stdout.split(b"\0")
    names += _git("ls-files", "--others", "--exclude-standard", "-z").stdout.split(b"\0")
    files: dict[str, bytes | None] = {}
    for raw in names:
        name = raw.decode("utf-8", "surrogateescape")
        if name.endswith(_SUFFIXES):
            shown = _git("show", f"{base}:./{name}")
            files[name] = None if shown.returncode else shown.stdout
    return files
