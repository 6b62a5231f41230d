"""The fence on a route: put on, rewritten at a takeover, taken off; each a part of a JSON Patch."""

from __future__ import annotations

from gitlab_mesh.core.mesh.pair import FENCE_PATH, Json, label_of, patch_of
from gitlab_mesh.core.mesh.route import FENCE_ANNOTATION, Operation, RouteChange
from gitlab_mesh.errors import ConflictError

__all__ = ["fence_of", "has_others", "is_older", "plan_fence", "put_on", "take_off", "unchanged"]


def fence_of(obj: Json) -> str | None:
    """Return the fence that an object carries, None if it has none."""
    held = (obj["metadata"].get("annotations") or {}).get(FENCE_ANNOTATION)
    return None if held is None else str(held)


def is_older(fence: str | None, ours: str) -> bool:
    """Whether a fence has a lower fencing number than ours: who takes over from us never has."""
    number, mine = ((text or "").rpartition("/")[2] for text in (fence, ours))
    return number.isdigit() and mine.isdigit() and int(number) < int(mine)


def has_others(obj: Json) -> bool:
    """Whether an object has annotations besides the fence."""
    return bool(set(obj["metadata"].get("annotations") or {}) - {FENCE_ANNOTATION})


def unchanged(obj: Json) -> list[Operation]:
    """Condition that nobody wrote the object since it was read."""
    version = obj["metadata"].get("resourceVersion")
    return [{"op": "test", "path": "/metadata/resourceVersion", "value": version}] if version else []


def put_on(obj: Json, fence: str) -> list[Operation]:
    """Put our fence on an object that nobody wrote since it was read.

    Raises:
        ConflictError: It carries the fence of another rollout.
    """
    held = fence_of(obj)
    if held not in (None, fence):
        raise ConflictError(
            f"{label_of(obj)} belongs to rollout {held}",
            hint="gitlab-mesh job status shows it; gitlab-mesh job rollback ends it",
        )
    # Read before the record was written: whoever takes over meanwhile changes the object, and this fails.
    operations = unchanged(obj)
    if obj["metadata"].get("annotations") is None:
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {FENCE_ANNOTATION: fence}})
    elif held is None:
        operations.append({"op": "add", "path": FENCE_PATH, "value": fence})
    else:
        operations.append({"op": "test", "path": FENCE_PATH, "value": fence})
    return operations


def take_off(obj: Json, *, had_annotations: bool) -> list[Operation]:
    """Take the fence off, and the annotations as a whole if there were none before and no others came since."""
    if had_annotations or has_others(obj):
        return [{"op": "remove", "path": FENCE_PATH}]
    return [{"op": "remove", "path": "/metadata/annotations"}]


def plan_fence(obj: Json, fence: str) -> RouteChange:
    """Rewrite the fence at a takeover: the old driver's next patch then fails its ``test``."""
    annotations = obj["metadata"].get("annotations")
    held = fence_of(obj)
    if held == fence:
        return RouteChange((), "fence is ours already")
    operations: list[Operation] = []
    if annotations is None:
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {FENCE_ANNOTATION: fence}})
    else:
        if held is not None:
            operations.append({"op": "test", "path": FENCE_PATH, "value": held})
        operations.append({"op": "add", "path": FENCE_PATH, "value": fence})
    return RouteChange((patch_of(obj, operations),), f"{label_of(obj)}: fence {fence}")
