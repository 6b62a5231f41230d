"""RFC 6902 JSON Patch as an API server does it, which is not always what the RFC says.

Its library is evanphx/json-patch v4 (``patch.go``). Where it departs from the RFC, so do we: ``replace`` of a member
that a map does not have adds it; ``test`` for null (or without a value) holds where the member is missing; ``add``
without a value adds null; numbers are compared as written (1 is not 1.0); a negative index counts from the end.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["PatchRefused", "apply_json_patch"]


class PatchRefused(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """A ``test`` does not hold, or a path is not there; nothing may be stored."""


def apply_json_patch(document: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """Apply the operations to ``document`` (ours to change) and return the result.

    Raises:
        PatchRefused: One of them does not apply; ``document`` is then half changed and to be thrown away.
    """
    for operation in operations:
        document = _apply(document, operation)
    return document


def _apply(document: Any, operation: Mapping[str, Any]) -> Any:
    sort, path, value = operation.get("op"), operation.get("path"), operation.get("value")
    if not isinstance(path, str):
        raise PatchRefused("path")
    if path == "" and sort in ("test", "replace"):
        return _whole(document, str(sort), value)
    if sort in ("move", "copy"):
        parent, last = _find(document, str(operation.get("from")))
        value = copy.deepcopy(_get(parent, last))
        if sort == "move":
            _remove(parent, last)
    parent, last = _find(document, path)
    if sort == "test":
        if not _same(_get(parent, last), value):
            raise PatchRefused(path)
    elif sort == "replace":
        _get(parent, last)
        parent[last if isinstance(parent, dict) else _index(parent, last)] = value
    elif sort == "remove":
        _remove(parent, last)
    elif sort in ("add", "move", "copy"):
        _add(parent, last, value)
    else:
        raise PatchRefused(str(sort))
    return document


def _whole(document: Any, sort: str, value: Any) -> Any:
    if sort == "test" and not _same(document, value):
        raise PatchRefused("")
    if sort == "replace" and not isinstance(value, dict | list):
        raise PatchRefused("")
    return document if sort == "test" else value


def _find(document: Any, path: str) -> tuple[Any, str]:
    """Return the container that the path leads into, and the last part."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]
    if len(parts) < 2:
        raise PatchRefused(path)
    parent = document
    for part in parts[1:-1]:
        parent = _get(parent, part)
    if not isinstance(parent, dict | list):
        raise PatchRefused(path)
    return parent, parts[-1]


def _get(parent: Any, part: str) -> Any:
    """Return a member: None where a map does not have it."""
    if isinstance(parent, dict):
        return parent.get(part)
    if isinstance(parent, list):
        return parent[_index(parent, part)]
    raise PatchRefused(part)


def _index(parent: Sequence[Any], part: str, *, length: int | None = None) -> int:
    length = len(parent) if length is None else length
    if not part.removeprefix("-").isdecimal() or not -length <= int(part) < length:
        raise PatchRefused(part)
    return int(part) % length


def _add(parent: Any, last: str, value: Any) -> None:
    if isinstance(parent, dict):
        parent[last] = value
    else:
        parent.insert(len(parent) if last == "-" else _index(parent, last, length=len(parent) + 1), value)


def _remove(parent: Any, last: str) -> None:
    if isinstance(parent, list):
        del parent[_index(parent, last)]
    elif last in parent:
        del parent[last]
    else:
        raise PatchRefused(last)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return (
            isinstance(other, dict) and one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)
