"""The three patches that compute a new object from the live one: merge, JSON and strategic merge."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from gitlab_mesh.sandbox.apiserver.json_patch import PatchRefused, apply_json_patch
from gitlab_mesh.sandbox.apiserver.lists import SET, list_keys, patch_merge_key
from gitlab_mesh.sandbox.apiserver.resources import Resource
from gitlab_mesh.sandbox.apiserver.status import bad_request, json_patch_refused, unsupported_media_type

__all__ = [
    "APPLY",
    "JSON_PATCH",
    "MERGE_PATCH",
    "STRATEGIC_MERGE_PATCH",
    "apply_patch",
    "json_patch",
    "merge_patch",
    "strategic_merge_patch",
]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def apply_patch(resource: Resource, content_type: str, live: dict[str, Any], body: Any) -> Any:
    """Return ``live`` (ours to change) with a merge, JSON or strategic merge patch on it.

    Raises:
        StatusError: 400 for a body that is no such patch, 415 for a patch that the kind does not have, 422.
    """
    if content_type == JSON_PATCH:
        return json_patch(live, body)
    accepted = [JSON_PATCH, MERGE_PATCH, APPLY]
    if content_type not in (*accepted, STRATEGIC_MERGE_PATCH):
        raise unsupported_media_type()
    if not resource.custom:
        accepted.insert(2, STRATEGIC_MERGE_PATCH)
    if content_type not in accepted:
        raise unsupported_media_type(accepted)
    if not isinstance(body, Mapping):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        )
    if content_type == MERGE_PATCH:
        return merge_patch(live, body)
    return strategic_merge_patch(resource, live, body)


def merge_patch(live: Any, patch: Any) -> Any:
    """Return ``live`` with an RFC 7386 merge patch on it; neither argument is changed."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(live) if isinstance(live, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(live: Mapping[str, Any], operations: Any) -> dict[str, Any]:
    """Return ``live`` (ours to change) with a JSON Patch on it, or refuse it whole.

    Raises:
        StatusError: 400 if it is no JSON Patch, 422 if an operation does not apply or a ``test`` does not hold.
    """
    wrong = next((one for one in operations if not isinstance(one, dict)), None) if isinstance(operations, list) else 0
    if wrong is not None:
        got, wanted = ("object", "[]handlers.jsonPatchOp") if wrong == 0 else ("string", "handlers.jsonPatchOp")
        raise bad_request(f"error decoding patch: json: cannot unmarshal {got} into Go value of type {wanted}")
    try:
        patched = apply_json_patch(live, operations)
    except PatchRefused as error:
        raise json_patch_refused() from error
    if not isinstance(patched, dict):
        raise json_patch_refused()
    return patched


def strategic_merge_patch(resource: Resource, live: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``live`` with a strategic merge patch on it (kinds with a schema only).

    Lists with a merge key are merged item by item, all others are replaced. Directives: ``$patch`` delete and
    replace, ``$setElementOrder/…``, ``$deleteFromPrimitiveList/…``, ``$retainKeys``.

    Raises:
        StatusError: 400 if an item lacks its merge key or a directive is unknown.
    """
    return _merge_map(resource, (), live, patch)


def _merge_map(
    resource: Resource, path: tuple[str, ...], live: Mapping[str, Any], patch: Mapping[str, Any]
) -> dict[str, Any]:
    directive = patch.get("$patch")
    if directive == "replace":
        replaced: dict[str, Any] = _without_directives(patch)
        return replaced
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"unrecognized patch directive {directive!r}")
    merged = dict(live)
    if isinstance(patch.get("$retainKeys"), list):
        merged = {key: value for key, value in merged.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            below = merged.get(key)
            if value.get("$patch") == "delete":
                merged.pop(key, None)
            else:
                merged[key] = _merge_map(resource, (*path, key), below if isinstance(below, Mapping) else {}, value)
        elif isinstance(value, list):
            below = merged.get(key)
            merged[key] = _merge_list(resource, (*path, key), below if isinstance(below, list) else [], value)
        else:
            merged[key] = value
    _apply_list_directives(resource, path, merged, patch)
    return merged


def _merge_list(resource: Resource, path: tuple[str, ...], live: Sequence[Any], patch: Sequence[Any]) -> list[Any]:
    if list_keys(resource, path) == SET:
        return [*live, *(item for item in patch if item not in live)]
    key = patch_merge_key(resource, path)
    if not key:
        return [_without_directives(item) if isinstance(item, Mapping) else item for item in patch]
    if any(isinstance(item, Mapping) and item.get("$patch") == "replace" for item in patch):
        return [_without_directives(item) for item in patch if "$patch" not in item]
    merged = list(live)
    fresh: list[Any] = []
    for item in patch:
        if not isinstance(item, Mapping) or key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        at = next((index for index, old in enumerate(merged) if old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            merged = [old for old in merged if old.get(key) != item[key]]
        elif at is None:
            fresh.append(_merge_map(resource, path, {}, item))
        else:
            merged[at] = _merge_map(resource, path, merged[at], item)
    # A real server puts new items where the patch has them relative to its own, which for a plain patch of
    # one new item is in front; kubectl's patches carry $setElementOrder, which decides the order afterwards.
    return [*merged, *fresh]


def _apply_list_directives(
    resource: Resource, path: tuple[str, ...], merged: dict[str, Any], patch: Mapping[str, Any]
) -> None:
    for directive, listed in patch.items():
        name, _, field = directive.partition("/")
        current = merged.get(field)
        if not field or not isinstance(current, list) or not isinstance(listed, list):
            continue
        if name == "$deleteFromPrimitiveList":
            merged[field] = [item for item in current if item not in listed]
        elif name == "$setElementOrder":
            key = patch_merge_key(resource, (*path, field))
            wanted = [item[key] if isinstance(item, Mapping) and key in item else item for item in listed]
            place = {repr(value): index for index, value in enumerate(wanted)}

            def order(item: Any, key: str = key, place: dict[str, int] = place) -> int:
                value = item.get(key) if isinstance(item, Mapping) else item
                return place.get(repr(value), len(place))

            merged[field] = sorted(current, key=order)


def _without_directives(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_directives(below) for key, below in value.items() if not key.startswith("$")}
    if isinstance(value, list):
        return [_without_directives(item) for item in value]
    return copy.deepcopy(value)
