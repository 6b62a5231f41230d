"""What the route will be once planned changes are made: the next one can then be planned without writing anything."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gitlab_mesh.core.mesh.pair import key_of
from gitlab_mesh.core.mesh.route import Operation, RouteChange, RouteState

__all__ = ["foresee"]


def foresee(state: RouteState, change: RouteChange) -> RouteState:
    """Return the objects as they are after a change that was planned for this state; nothing else is read anew.

    Args:
        state: Before.
        change: Planned for it; its preconditions hold, so they are not asked.
    """
    objects: dict[str, Any] = {key: copy.deepcopy(dict(item)) for key, item in state.objects.items()}
    objects |= {key_of(item): copy.deepcopy(dict(item)) for item in change.create}
    for patch in change.patches:
        _apply(objects[f"{patch.kind}/{patch.namespace}/{patch.name}"], patch.operations)
    gone = {"/".join(names) for names in change.delete}
    return replace(state, objects={key: item for key, item in objects.items() if key not in gone})


def _apply(document: dict[str, Any], operations: Sequence[Operation]) -> None:
    """Apply the operations of RFC 6902 that our plans are made of."""
    for operation in operations:
        if operation["op"] == "test":
            continue
        *way, last = (part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:])
        parent: Any = document
        for part in way:
            parent = parent[part] if isinstance(parent, Mapping) else parent[int(part)]
        _change(parent, last, operation)


def _change(parent: Any, last: str, operation: Operation) -> None:
    value = copy.deepcopy(operation.get("value"))
    if isinstance(parent, dict):
        if operation["op"] == "remove":
            del parent[last]
        else:
            parent[last] = value
    elif operation["op"] == "add":
        parent.insert(len(parent) if last == "-" else int(last), value)
    elif operation["op"] == "remove":
        del parent[int(last)]
    else:
        parent[int(last)] = value
