"""What can be seen in an object: shares, fences, records, and which part of it is its owner's."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.core.mesh.route import FENCE_ANNOTATION
from gitlab_mesh.core.workload import ROLLOUT_ID
from gitlab_mesh.ports import Object

__all__ = [
    "RECORD",
    "ROUTE_KINDS",
    "Shadow",
    "fence_of",
    "foreign_part",
    "image_of",
    "is_canary",
    "is_ours",
    "leads_to_shop",
    "meant",
    "record_of",
    "replicas_of",
    "routes_of",
    "same_rollout",
    "share_of",
    "user_view",
]

RECORD = "gitlab-mesh-shop"
"""Name of the shop's record and of its lease."""


ROUTE_KINDS = ("VirtualService", "HTTPRoute")
SERVICES = ("shop", "shop-stable", "shop-canary")
"""Backends of an HTTPRoute that lead to the shop: of both sides, and of each."""


def routes_of(route: Mapping[str, Any] | None) -> list[list[Any]]:
    """Destinations of each HTTP route of a VirtualService, or backends of each rule of an HTTPRoute; the live lists."""
    spec = (route or {}).get("spec", {})
    return [*(http["route"] for http in spec.get("http", ())), *(rule["backendRefs"] for rule in spec.get("rules", ()))]


def leads_to_shop(item: Mapping[str, Any]) -> bool:
    """Whether a destination or backend is the shop's."""
    if "destination" in item:
        return bool(item["destination"]["host"].split(".")[0] == "shop")
    return item["name"] in SERVICES


def is_canary(item: Mapping[str, Any]) -> bool:
    """Whether a destination or backend of the shop is the canary's."""
    if "destination" in item:
        return bool(item["destination"].get("subset") == "canary")
    return bool(item["name"] == "shop-canary")


def share_of(route: Mapping[str, Any] | None) -> float | None:
    """Canary's share in a route, the largest of its HTTP routes or rules; None where none leads to the shop."""
    shares: list[float] = []
    for items in routes_of(route):
        pair = [item for item in items if leads_to_shop(item)]
        if pair:
            default = 1 if "destination" not in pair[0] else 100 if len(items) == 1 else 0
            total = sum(item.get("weight", default) for item in pair)
            canary = sum(item.get("weight", default) for item in pair if is_canary(item))
            shares.append(canary / total if total else 0.0)
    return max(shares) if shares else None


def fence_of(route: Mapping[str, Any] | None) -> str | None:
    """The fence annotation."""
    fence: str | None = ((route or {}).get("metadata", {}).get("annotations") or {}).get(FENCE_ANNOTATION)
    return fence


def same_rollout(one: str | None, other: str | None) -> bool:
    """Whether two fences are of the same rollout."""
    return one is not None and other is not None and one.rpartition("/")[0] == other.rpartition("/")[0]


def record_of(config_map: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record as the cluster holds it, {} without one that can be read."""
    try:
        found: dict[str, Any] = json.loads(((config_map or {}).get("data") or {}).get("record.json", "{}"))
    except ValueError:
        return {}
    return found


def is_ours(deployment: Mapping[str, Any]) -> bool:
    """Whether a release made this Deployment."""
    return ROLLOUT_ID in (deployment["metadata"].get("annotations") or {})


def image_of(deployment: Mapping[str, Any]) -> str:
    """Image of a Deployment's first container, "" without one."""
    containers = deployment.get("spec", {}).get("template", {}).get("spec", {}).get("containers") or [{}]
    return str(containers[0].get("image", ""))


def replicas_of(deployment: Mapping[str, Any]) -> int:
    """Pods that a Deployment wants."""
    return int(deployment["spec"].get("replicas", 1))


def user_view(body: Mapping[str, Any] | None) -> Any:
    """What of an object is its owner's: spec, labels, annotations."""
    if body is None:
        return None
    meta = body["metadata"]
    return {"spec": body["spec"], "labels": meta.get("labels"), "annotations": meta.get("annotations")}


def foreign_part(body: Mapping[str, Any] | None) -> Any:
    """A route without anything that a release may change: pairs of the shop and the fence."""
    if body is None:
        return None
    view = copy.deepcopy(user_view(body))
    annotations = {key: value for key, value in (view["annotations"] or {}).items() if key != FENCE_ANNOTATION}
    view["annotations"] = annotations or None
    for items in routes_of(view):
        items[:] = [item for item in items if not leads_to_shop(item)]
    return view


def meant(body: Mapping[str, Any] | None) -> Any:
    """What anybody but a controller writes: without it a write is one of the status."""
    return None if body is None else (user_view(body), body["metadata"]["uid"])


@dataclass
class Shadow:
    """The user's own objects as they would be without any release: foreign edits are made here, too."""

    objects: dict[tuple[str, str], Any] = field(default_factory=dict)

    def edit(self, kind: str, body: Object | None, name: str = "shop") -> None:
        """Remember what the user has now; None: it is gone."""
        self.objects[kind, name] = copy.deepcopy(user_view(body))
