"""What the files were before a merge request: read from git at the merge base."""

from __future__ import annotations

import os
import subprocess

from gitlab_mesh.errors import UsageError

__all__ = ["read_base"]

_SUFFIXES = (".yaml", ".yml", ".json")
_REGULAR = ("100644", "100755")


def _git(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], input=stdin, capture_output=True, check=False)  # noqa: S603, S607 - git of the PATH
    except OSError as error:
        raise UsageError("--changed needs git", why=str(error.strerror)) from error


def read_base(reference: str) -> dict[str, bytes | None]:
    """Return the former content of every manifest that differs from the merge base with ``reference``.

    Paths are relative to the working directory (``../`` where they lie outside of it); None: the file did not exist.
    Changes that are not committed, and files that git does not know yet, count too.

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
    top = _text(_git("rev-parse", "--show-toplevel").stdout.rstrip(b"\n"))
    blobs: dict[str, str] = {}
    fields = _git("diff", "--raw", "-z", "--no-renames", "--no-abbrev", found.stdout.decode().strip()).stdout.split(
        b"\0"
    )
    for head, name in zip(fields[::2], fields[1::2], strict=False):  # ":100644 100644 <before> <now> M", name
        mode, _, blob, *_ = head.decode().lstrip(":").split()
        blobs[_text(name)] = blob if mode in _REGULAR else ""
    for name in _git("-C", top, "ls-files", "--others", "--exclude-standard", "-z").stdout.split(b"\0"):
        blobs.setdefault(_text(name), "")
    wanted = {name: blob for name, blob in blobs.items() if name.endswith(_SUFFIXES)}
    contents = _read_blobs(sorted({blob for blob in wanted.values() if blob}))
    return {os.path.relpath(os.path.join(top, name)): contents.get(blob) for name, blob in wanted.items()}  # noqa: PTH118 - names, not files


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _read_blobs(blobs: list[str]) -> dict[str, bytes]:
    """Read blobs by their ids in one call (``git cat-file --batch``: "<id> blob <size>", newline, content, newline)."""
    data = _git("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs).encode()).stdout if blobs else b""
    contents: dict[str, bytes] = {}
    place = 0
    while place < len(data):
        end = data.index(b"\n", place)
        blob, kind, *size = data[place:end].decode().split()
        place = end + 1
        if kind == "blob":
            contents[blob] = data[place : place + int(size[0])]
            place += int(size[0]) + 1
    return contents
