"""Which files belong to the paths of a command line: files, directories, globs, ``-``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path

from gitlab_mesh.errors import UsageError

__all__ = ["belongs", "find_files"]

_SUFFIXES = (".yaml", ".yml", ".json")
_IGNORED = {"node_modules", "vendor", "__pycache__"}


def find_files(paths: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield each file and whether it was named, not found in a directory.

    Raises:
        UsageError: A path does not exist.
    """
    for path in paths:
        if path == "-":
            yield path, True
        elif Path(path).is_dir():
            yield from ((name, False) for name in sorted(_walk(Path(path))))
        elif Path(path).exists():
            yield path, True
        else:
            matched = glob(path, recursive=True)  # noqa: PTH207 - a pattern may be absolute
            found = sorted(item for item in matched if Path(item).is_file())
            if not found:
                raise UsageError(
                    f"{path} does not exist", hint="name files, directories, globs, or - for standard input"
                )
            yield from ((name, True) for name in found)


def _walk(directory: Path) -> Iterator[str]:
    for item in directory.iterdir():
        if _is_ignored(item.name):
            continue
        if item.is_dir() and not item.is_symlink():
            yield from _walk(item)
        elif item.suffix in _SUFFIXES and item.is_file():
            yield str(item)


def _is_ignored(part: str) -> bool:
    return part.startswith(".") or part in _IGNORED


def belongs(paths: Sequence[str], name: str) -> bool:
    """Say whether ``find_files`` would yield a file of this name, if it existed."""
    whole = Path(name).resolve()
    for path in paths:
        root = Path(path).resolve()
        if whole == root:
            return True
        if root in whole.parents and root.is_dir():
            return whole.suffix in _SUFFIXES and not any(map(_is_ignored, whole.relative_to(root).parts))
        if has_magic(path) and _fits(root.parts, whole.parts):
            return True
    return False


def _fits(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(pattern[1:], parts[i:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(pattern[1:], parts[1:])
