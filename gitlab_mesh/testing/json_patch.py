"""RFC 6902 JSON Patch on plain JSON, in place and fast: for the lean cluster of the simulation.

The sandbox's API server uses the ``jsonpatch`` library; ``tests/contract`` holds both to the same answers. As in the
server's library (evanphx/json-patch) a ``test`` for null holds where the member is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["PatchRefused", "apply_json_patch"]


class PatchRefused(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """A ``test`` does not hold, or a path is not there; nothing may be stored."""


def apply_json_patch(document: dict[str, Any], operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Apply the operations to ``document`` (ours to change) and return it.

    Raises:
        PatchRefused: One of them does not apply; ``document`` is then half changed and to be thrown away.
    """
    for operation in operations:
        path = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        parent: Any = document
        for part in path[:-1]:
            parent = _child(parent, part)
        _OPERATIONS[operation["op"]](parent, path[-1], operation.get("value"))
    return document


def _child(parent: Any, part: str) -> Any:
    try:
        return parent[_index(parent, part)] if isinstance(parent, list) else parent[part]
    except (KeyError, IndexError, TypeError) as error:
        raise PatchRefused(part) from error


def _index(parent: Sequence[Any], part: str) -> int:
    if not part.isdecimal():
        raise PatchRefused(part)
    return int(part)


def _test(parent: Any, last: str, value: Any) -> None:
    if value is None and isinstance(parent, dict) and last not in parent:
        return
    if _child(parent, last) != value:
        raise PatchRefused(last)


def _add(parent: Any, last: str, value: Any) -> None:
    if isinstance(parent, list):
        at = len(parent) if last == "-" else _index(parent, last)
        if at > len(parent):
            raise PatchRefused(last)
        parent.insert(at, value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise PatchRefused(last)


def _remove(parent: Any, last: str, value: Any) -> None:
    _child(parent, last)
    del parent[_index(parent, last) if isinstance(parent, list) else last]


def _replace(parent: Any, last: str, value: Any) -> None:
    _child(parent, last)
    parent[_index(parent, last) if isinstance(parent, list) else last] = value


_OPERATIONS = {"test": _test, "add": _add, "remove": _remove, "replace": _replace}
