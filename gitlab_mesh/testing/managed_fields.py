"""Who wrote which field (``metadata.managedFields``), as fine as a release asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gitlab_mesh.ports import Object

__all__ = ["managed_fields"]


def _fields(body: Mapping[str, Any] | None) -> dict[tuple[str, str], Any]:
    """Fields two levels deep: as fine as a release asks managedFields (who wrote ``spec.http``?)."""
    found: dict[tuple[str, str], Any] = {}
    for top in ("metadata", "spec", "data"):
        for key, value in ((body or {}).get(top) or {}).items():
            if top != "metadata" or key in ("labels", "annotations"):
                found[top, key] = value
    return found


def managed_fields(live: Mapping[str, Any] | None, wanted: Mapping[str, Any], manager: str, time: str) -> list[Object]:
    """Return managedFields after a write: the writer gets what it changed, everybody else loses it."""
    before, after = _fields(live), _fields(wanted)
    written = {field for field, value in after.items() if field not in before or before[field] != value}
    entries = []
    mine: set[tuple[str, str]] = set()
    for entry in ((live or {}).get("metadata") or {}).get("managedFields") or ():
        owned = {(top[2:], key[2:]) for top, below in entry["fieldsV1"].items() for key in below}
        if entry["manager"] == manager:
            mine = owned
            continue
        kept = (owned - written) & after.keys()
        if kept:
            entries.append({**entry, "fieldsV1": _fields_v1(kept)})
    mine = (mine & after.keys()) | written
    if mine:
        entry = {"manager": manager, "operation": "Update", "apiVersion": wanted.get("apiVersion", "")}
        entries.append({**entry, "time": time, "fieldsType": "FieldsV1", "fieldsV1": _fields_v1(mine)})
    return entries


def _fields_v1(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    encoded: dict[str, Any] = {}
    for top, key in sorted(fields):
        encoded.setdefault(f"f:{top}", {})[f"f:{key}"] = {}
    return encoded
