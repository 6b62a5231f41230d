"""Stable keeps its capacity while the canary takes its traffic: its HorizontalPodAutoscaler is pinned, and put back.

An autoscaler sees stable idle at half of its traffic and scales it down; a rollback would then flood what is left
(S9). Its ``minReplicas`` is raised to what ran before the release, recorded ahead, and restored at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.mesh.route import Operation
from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.ports import Cluster, Object

__all__ = ["KIND", "find_autoscaler", "pin", "plan_pin", "unpin"]

KIND = "HorizontalPodAutoscaler"


def find_autoscaler(cluster: Cluster, service: ServiceConfig) -> Object | None:
    """Return the autoscaler of the stable Deployment; None if there is none."""
    for item in cluster.list(KIND, service.namespace):
        target = item.get("spec", {}).get("scaleTargetRef") or {}
        if (target.get("kind"), target.get("name")) == ("Deployment", service.stable_workload):
            return item
    return None


def plan_pin(autoscaler: Object | None, replicas: int) -> dict[str, Any]:
    """Return what must be recorded before ``pin``: ``{key: {"min": before, "pinned": at}}``; {} if it suffices."""
    if autoscaler is None:
        return {}
    before = autoscaler["spec"].get("minReplicas")
    if (before or 1) >= replicas:
        return {}
    metadata = autoscaler["metadata"]
    return {f"{KIND}/{metadata['namespace']}/{metadata['name']}": {"min": before, "pinned": replicas}}


def pin(cluster: Cluster, recorded: Mapping[str, Any]) -> None:
    """Raise ``minReplicas`` as recorded."""
    for key, was in recorded.items():
        kind, namespace, name = key.split("/")
        if kind == KIND:
            cluster.patch(kind, namespace, name, [{"op": "add", "path": "/spec/minReplicas", "value": was["pinned"]}])


def unpin(cluster: Cluster, recorded: Mapping[str, Any]) -> None:
    """Put ``minReplicas`` back; what somebody else changed meanwhile stays as it is."""
    for key, was in recorded.items():
        kind, namespace, name = key.split("/")
        if kind != KIND:
            continue
        try:
            live = cluster.get(kind, namespace, name)["spec"].get("minReplicas")
        except ObjectMissingError:
            continue
        if live != was["pinned"]:
            continue
        operations: list[Operation] = [{"op": "test", "path": "/spec/minReplicas", "value": live}]
        if was["min"] is None:
            operations.append({"op": "remove", "path": "/spec/minReplicas"})
        else:
            operations.append({"op": "replace", "path": "/spec/minReplicas", "value": was["min"]})
        cluster.patch(kind, namespace, name, operations)
