"""Who wrote which field: ``metadata.managedFields`` in FieldsV1 form.

A field set is a set of paths; a path is a tuple of FieldsV1 elements: ``f:<field>``, ``k:<keys as JSON>`` for an
item of a keyed list, ``v:<value as JSON>`` for an item of a set (sigs.k8s.io/structured-merge-diff, ``fieldpath``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gitlab_mesh.sandbox.apiserver.lists import SET, item_key, list_keys, map_is_atomic
from gitlab_mesh.sandbox.apiserver.resources import Resource

__all__ = ["FieldSet", "Manager", "decode_managers", "encode_managers", "leaves", "owned_after_update"]

Path = tuple[str, ...]
FieldSet = frozenset[Path]

_SERVER_METADATA = {
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "managedFields", "selfLink",
}  # fmt: skip
_STRUCTS = {"metadata", "status", "spec", "template", "strategy", "source", "scaleTargetRef"}
_CONTAINER = object()


@dataclass(frozen=True, slots=True)
class Manager:
    """One entry of managedFields without its time: entries of equal identity are merged."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""
    time: str = ""
    fields: FieldSet = frozenset()

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What tells entries apart."""
        return (self.name, self.operation, self.api_version, self.subresource)


def leaves(resource: Resource, body: Mapping[str, Any], *, applied: bool = False) -> dict[Path, Any]:
    """Return every owned path of the object with its value.

    Args:
        resource: Kind of the object; decides which lists are keyed.
        body: The object.
        applied: As for an applied configuration: maps themselves (".") are not owned, only their members.
    """
    found: dict[Path, Any] = {}
    for field, value in body.items():
        if field in ("apiVersion", "kind"):
            continue
        if field == "metadata":
            value = {key: below for key, below in value.items() if key not in _SERVER_METADATA}
            if not value:
                continue
        _collect(resource, (field,), (f"f:{field}",), value, found, applied)
    return found


def _collect(
    resource: Resource, fields: tuple[str, ...], path: Path, value: Any, found: dict[Path, Any], applied: bool
) -> None:
    if isinstance(value, Mapping) and value and not map_is_atomic(resource, fields):
        is_struct = fields[-1] in _STRUCTS and not (resource.custom and fields in (("spec",), ("status",)))
        if not applied and not is_struct:
            found[path] = _CONTAINER
        for key, below in value.items():
            _collect(resource, (*fields, key), (*path, f"f:{key}"), below, found, applied)
    elif isinstance(value, list) and value and (keys := list_keys(resource, fields)):
        if not applied and fields[-1] != "containers":  # the one keyed list that is never absent
            found[path] = _CONTAINER
        for item in value:
            element = _element(item, keys)
            found[(*path, element)] = _CONTAINER if isinstance(item, Mapping) else item
            if isinstance(item, Mapping):
                for key, below in item.items():
                    _collect(resource, (*fields, key), (*path, element, f"f:{key}"), below, found, applied)
    else:
        found[path] = value


def _element(item: Any, keys: tuple[str, ...]) -> str:
    if keys == SET or not isinstance(item, Mapping):
        return "v:" + json.dumps(item, separators=(",", ":"))
    named = dict(zip(keys, item_key(item, keys), strict=True))
    return "k:" + json.dumps(named, separators=(",", ":"), sort_keys=True)


def encode_fields(fields: FieldSet) -> dict[str, Any]:
    """Return FieldsV1: nested maps, "." where a path that has members is owned itself."""
    root: dict[str, Any] = {}
    for path in sorted(fields):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _prune(root)


def _prune(node: dict[str, Any]) -> dict[str, Any]:
    if set(node) == {"."}:
        return {}
    return {key: ({} if key == "." else _prune(below)) for key, below in node.items()}


def decode_fields(encoded: Mapping[str, Any]) -> FieldSet:
    """Return the paths of a FieldsV1 value."""
    found: set[Path] = set()

    def walk(node: Mapping[str, Any], path: Path) -> None:
        if not node and path:
            found.add(path)
        for key, below in node.items():
            if key == ".":
                found.add(path)
            else:
                walk(below, (*path, key))

    walk(encoded, ())
    return frozenset(found)


def decode_managers(metadata: Mapping[str, Any]) -> list[Manager]:
    """Return the entries of ``metadata.managedFields``."""
    return [
        Manager(
            name=entry.get("manager", ""),
            operation=entry.get("operation", "Update"),
            api_version=entry.get("apiVersion", ""),
            subresource=entry.get("subresource", ""),
            time=entry.get("time", ""),
            fields=decode_fields(entry.get("fieldsV1") or {}),
        )
        for entry in metadata.get("managedFields") or []
        if entry
    ]


def encode_managers(managers: Iterable[Manager]) -> list[dict[str, Any]]:
    """Return ``metadata.managedFields``; entries without fields are dropped; applies first, then by time."""
    entries: list[dict[str, Any]] = []
    for manager in sorted(managers, key=lambda one: (one.operation != "Apply", one.time, one.name)):
        if not manager.fields:
            continue
        entry = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
            **({"time": manager.time} if manager.time else {}),
            "fieldsType": "FieldsV1",
            "fieldsV1": encode_fields(manager.fields),
        }
        if manager.subresource:
            entry["subresource"] = manager.subresource
        entries.append(entry)
    return entries


def changed_paths(
    resource: Resource, before: Mapping[str, Any] | None, after: Mapping[str, Any]
) -> tuple[FieldSet, FieldSet]:
    """Return the paths that were added or modified, and those that are gone."""
    old = leaves(resource, before) if before else {}
    new = leaves(resource, after)
    written = frozenset(path for path, value in new.items() if path not in old or old[path] != value)
    return written, frozenset(old) - frozenset(new)


def owned_after_update(
    resource: Resource, before: Mapping[str, Any] | None, after: Mapping[str, Any], me: Manager
) -> list[Manager]:
    """Return the managers after ``me`` changed the object (any write but apply).

    The writer gets the fields that it added or modified, everybody else loses them; removed fields belong to
    nobody. The writer's time moves only if the write took any field.
    """
    written, gone = changed_paths(resource, before, after)
    if resource.status:  # a first status is the server's own
        written = frozenset(path for path in written if (path[0] == "f:status") is (me.subresource == "status"))
    kept: list[Manager] = []
    mine = me
    for manager in decode_managers((before or {}).get("metadata", {})):
        if manager.identity == me.identity:
            moved = me.time if written else manager.time
            mine = replace(manager, fields=(manager.fields - gone) | written, time=moved)
        else:
            kept.append(replace(manager, fields=manager.fields - written - gone))
    if mine is me:
        mine = replace(me, fields=written)
    return [*kept, mine]
