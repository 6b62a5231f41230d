"""Server-side apply: merge what one manager wants, refuse what another one owns, take out what is wanted no more."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gitlab_mesh.sandbox.apiserver.lists import SET, item_key, list_keys, map_is_atomic
from gitlab_mesh.sandbox.apiserver.ownership import FieldSet, Manager, Path, decode_managers, leaves
from gitlab_mesh.sandbox.apiserver.resources import Resource
from gitlab_mesh.sandbox.apiserver.status import StatusError

__all__ = ["apply_configuration"]


def apply_configuration(
    resource: Resource, live: Mapping[str, Any] | None, config: Mapping[str, Any], me: Manager, *, force: bool
) -> tuple[dict[str, Any], list[Manager]]:
    """Return the object after the apply and its managers; neither argument is changed.

    Args:
        resource: Kind of the object.
        live: The stored object, None if there is none yet.
        config: What ``me`` wants, with apiVersion, kind, metadata.name.
        me: The applier, operation Apply, with the time of now.
        force: Take fields that others own.

    Raises:
        StatusError: 409 that names each field and its owner.
    """
    wanted_values = leaves(resource, config, applied=True)
    wanted = frozenset(wanted_values)
    live_values = leaves(resource, live) if live else {}
    managers = decode_managers((live or {}).get("metadata", {}))
    others = [manager for manager in managers if manager.identity != me.identity]
    before = next((manager for manager in managers if manager.identity == me.identity), None)
    differing = frozenset(
        path for path, value in wanted_values.items() if path not in live_values or live_values[path] != value
    )
    taken = [(manager, manager.fields & differing) for manager in others]
    if not force and any(fields for _, fields in taken):
        raise _conflicts([(manager, fields) for manager, fields in taken if fields])
    others = [replace(manager, fields=manager.fields - fields) for manager, fields in taken]

    merged = _merge(resource, (), dict(live or {}), config)
    if before:
        _remove_unowned(merged, before.fields - wanted, others, wanted)
    unchanged = before is not None and before.fields == wanted and merged == live
    mine = before if before and unchanged else replace(me, fields=wanted)
    return merged, [*others, mine]


def _conflicts(taken: Sequence[tuple[Manager, FieldSet]]) -> StatusError:
    causes: list[dict[str, Any]] = []
    lines: list[str] = []
    for manager, fields in taken:
        via = f"conflict with {json.dumps(manager.name)}"
        if manager.subresource:
            via += f" with subresource {json.dumps(manager.subresource)}"
        if manager.operation == "Update":
            via += f" using {manager.api_version}"
        for path in sorted(fields):
            causes.append({"reason": "FieldManagerConflict", "message": via, "field": _readable(path)})
            lines.append(f"{via}: {_readable(path)}")
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    text = f"Apply failed with {count}: {lines[0]}"
    if len(lines) > 1:
        text = f"Apply failed with {count}: " + "\n".join(f"- {line}" for line in lines)
    return StatusError(409, "Conflict", text, details={"causes": causes})


def _readable(path: Path) -> str:
    """Return ``.spec.containers[name="c"].image``."""
    text = ""
    for element in path:
        sort, _, value = element.partition(":")
        if sort == "f":
            text += f".{value}"
        elif sort == "k":
            text += "[" + ",".join(f"{key}={json.dumps(item)}" for key, item in json.loads(value).items()) + "]"
        else:
            text += f"[={value}]"
    return text


def _merge(resource: Resource, fields: Path, live: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(live)
    for key, value in config.items():
        path = (*fields, key)
        old = merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping) and not map_is_atomic(resource, path):
            merged[key] = _merge(resource, path, dict(old), value)
        elif isinstance(value, list) and isinstance(old, list) and (keys := list_keys(resource, path)):
            merged[key] = _merge_items(resource, path, old, value, keys)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _merge_items(
    resource: Resource, path: Path, old: Sequence[Any], new: Sequence[Any], keys: tuple[str, ...]
) -> list[Any]:
    if keys == SET:
        return [*old, *(item for item in new if item not in old)]
    merged = list(old)
    for item in new:
        identity = item_key(item, keys)
        at = next((index for index, one in enumerate(merged) if item_key(one, keys) == identity), None)
        if at is None:
            merged.append(copy.deepcopy(item))
        else:
            merged[at] = _merge(resource, path, dict(merged[at]), item)
    return merged


def _remove_unowned(body: dict[str, Any], dropped: FieldSet, others: Sequence[Manager], wanted: FieldSet) -> None:
    """Take out of ``body`` what the applier wants no more and nobody else owns; ``body`` shares parts with live."""
    owned = wanted.union(*(manager.fields for manager in others))
    for path in sorted(dropped, key=len):  # an item goes whole before its fields, by which it is found
        if not any(other[: len(path)] == path for other in owned) and not _is_key(path):
            _remove(body, path, owned, path)


def _is_key(path: Path) -> bool:
    """Tell whether the path is a field that names its list item; it stays as long as the item does."""
    item = path[-2] if len(path) > 1 else ""
    return item.startswith("k:") and path[-1].removeprefix("f:") in json.loads(item[2:])


def _remove(node: dict[str, Any], path: Path, owned: FieldSet, whole: Path) -> None:
    field = path[0].removeprefix("f:")
    if field not in node:
        return
    if len(path) == 1:
        del node[field]
        return
    below = node[field]
    depth = len(whole) - len(path) + 1
    if path[1].startswith("f:"):
        if not isinstance(below, Mapping):
            return
        node[field] = below = dict(below)
        _remove(below, path[1:], owned, whole)
    else:
        if not isinstance(below, list):
            return
        node[field] = below = _without_item(below, path[1:], owned, whole)
    if not below and not any(other[:depth] == whole[:depth] for other in owned):
        del node[field]


def _without_item(items: Sequence[Any], path: Path, owned: FieldSet, whole: Path) -> list[Any]:
    sort, _, encoded = path[0].partition(":")
    key = json.loads(encoded)
    kept: list[Any] = []
    for item in items:
        is_it = item == key if sort == "v" else item_key(item, tuple(key)) == tuple(key.values())
        if not is_it:
            kept.append(item)
        elif len(path) > 1:
            item = dict(item)
            _remove(item, path[1:], owned, whole)
            kept.append(item)
    return kept
