"""The pair of destinations between which traffic moves, and how to find it in a route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.core.mesh.hosts import resolve_host
from gitlab_mesh.core.mesh.route import FENCE_ANNOTATION, ObjectPatch, Operation
from gitlab_mesh.errors import ConflictError, UsageError

__all__ = [
    "FENCE_PATH",
    "Json",
    "Pair",
    "key_of",
    "label_of",
    "patch_of",
    "positions",
    "require_fence",
    "target_of",
    "weight_of",
]

Json = Mapping[str, Any]
FENCE_PATH = "/metadata/annotations/" + FENCE_ANNOTATION.replace("/", "~1")


@dataclass(frozen=True, slots=True)
class Pair:
    """The two destinations between which traffic moves.

    Attributes:
        namespace: Of the VirtualService.
        host: Fully qualified host of the stable side.
        stable: Stable's subset.
        canary: Canary's subset.
        routes: Names of the HTTP routes to move; empty: the only one.
        label: Pod label that tells the sides apart.
        labels: Label values (stable, canary).
    """

    namespace: str
    host: str
    stable: str = "stable"
    canary: str = "canary"
    routes: tuple[str, ...] = ()
    label: str = "version"
    labels: tuple[str, str] = ("stable", "canary")

    def is_stable(self, destination: Json) -> bool:
        """Whether this destination is the stable side (a missing subset counts: we add it)."""
        if resolve_host(str(destination.get("host", "")), self.namespace) != self.host:
            return False
        return destination.get("subset") in (None, self.stable)

    def is_canary(self, destination: Json) -> bool:
        """Whether this destination is the canary side."""
        host = resolve_host(str(destination.get("host", "")), self.namespace)
        return host == self.host and destination.get("subset") == self.canary


def positions(routes: Sequence[Json], pair: Pair) -> tuple[int, int | None]:
    """Return the positions of (stable, canary) in a route's destinations; canary None if it is not there.

    Raises:
        UsageError: Stable is not there exactly once, or the canary more than once.
    """
    stable = [
        at
        for at, route in enumerate(routes)
        if pair.is_stable(target_of(route)) and not pair.is_canary(target_of(route))
    ]
    canary = [at for at, route in enumerate(routes) if pair.is_canary(target_of(route))]
    if len(stable) != 1 or len(canary) > 1:
        raise UsageError(
            f"a route has {len(stable)} destinations for stable and {len(canary)} for the canary of {pair.host}",
            why="one of each is what weights can be moved between",
        )
    return stable[0], canary[0] if canary else None


def weight_of(route: Json, routes: Sequence[Json]) -> int:
    """Return the weight of one destination of ``routes``, Istio's defaults applied."""
    # A single destination without weight gets everything; with several, a missing weight is 0 (Istio reference).
    return int(route.get("weight", 100 if len(routes) == 1 else 0))


def require_fence(virtual_service: Json, fence: str) -> None:
    """Raise ConflictError unless the VirtualService carries this fence."""
    held = (virtual_service["metadata"].get("annotations") or {}).get(FENCE_ANNOTATION)
    if held != fence:
        raise ConflictError(
            f"{label_of(virtual_service)} carries the fence {held or 'of nobody'}, ours is {fence}",
            why="another driver took over, or somebody removed the annotation",
        )


def target_of(route: Json) -> Json:
    """Return the ``destination`` of a weighted destination, empty if there is none."""
    target: Json = route.get("destination", {})
    return target


def patch_of(obj: Json, operations: Sequence[Operation]) -> ObjectPatch:
    """Return the operations as a patch of this object."""
    return ObjectPatch(obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"], tuple(operations))


def key_of(obj: Json) -> str:
    """Return "Kind/namespace/name"."""
    return f"{obj['kind']}/{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def label_of(obj: Json) -> str:
    """Return "Kind namespace/name", for people."""
    return f"{obj['kind']} {obj['metadata']['namespace']}/{obj['metadata']['name']}"
