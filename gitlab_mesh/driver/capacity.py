"""Stable keeps its capacity while the canary takes its traffic: its HorizontalPodAutoscaler is pinned, and put back.

An autoscaler sees stable idle at half of its traffic and scales it down; a rollback would then flood what is left
(S9). Its ``minReplicas`` is raised to what ran before the release, recorded ahead, and restored at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.mesh.route import Operation
from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.ports import Cluster, Object

__all__ = ["KIND", "find_autoscaler", "pin", "plan_pin", "unpin"]

KIND = "HorizontalPodAutoscaler"

_PASSED = "gitlab-mesh.dev/restored"
"""Annotation on the autoscaler for the moment in which it only gets another version."""


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


def pin(cluster: Cluster, recorded: Mapping[str, Any], autoscaler: Object | None) -> None:
    """Raise ``minReplicas`` as recorded.

    Args:
        cluster: Where.
        recorded: Originals of the record.
        autoscaler: As read before the record was written: whoever takes over touches it, and this fails.
    """
    for key, was in recorded.items():
        kind, namespace, name = key.split("/")
        if kind != KIND or autoscaler is None or autoscaler["metadata"]["name"] != name:
            continue
        raised = {"op": "add", "path": "/spec/minReplicas", "value": was["pinned"]}
        cluster.patch(kind, namespace, name, [_unchanged(autoscaler), raised])


def unpin(cluster: Cluster, recorded: Mapping[str, Any], check: Callable[[], None]) -> None:
    """Put ``minReplicas`` back; what somebody else changed meanwhile stays as it is.

    The autoscaler is written in any case: a driver that stands still before its own write of it tests the version
    that it read. Here, not at the takeover: no autoscaler that refuses stands between a bad release and weight 0.

    Args:
        cluster: Where.
        recorded: Originals of the record.
        check: Raises if the record is not ours any more; asked after the autoscaler was read.
    """
    for key, was in recorded.items():
        kind, namespace, name = key.split("/")
        if kind != KIND:
            continue
        try:
            live = _read_now(cluster, namespace, name)
        except ObjectMissingError:
            continue
        check()
        if live["spec"].get("minReplicas") != was["pinned"]:
            _touch(cluster, live)
            continue
        back: Operation = {"op": "replace", "path": "/spec/minReplicas", "value": was["min"]}
        if was["min"] is None:
            back = {"op": "remove", "path": "/spec/minReplicas"}
        cluster.patch(kind, namespace, name, [_unchanged(live), back])


def _read_now(cluster: Cluster, namespace: str, name: str) -> Object:
    """Read through a patch that changes nothing: unlike a read's, its answer cannot come from a cache that lags."""
    uid = cluster.get(KIND, namespace, name)["metadata"].get("uid")
    return cluster.patch(KIND, namespace, name, [{"op": "test", "path": "/metadata/uid", "value": uid}])


def _touch(cluster: Cluster, live: Object) -> None:
    """Give the autoscaler another version and nothing else."""
    metadata = live["metadata"]
    where = (KIND, metadata["namespace"], metadata["name"])
    annotations = metadata.get("annotations") or {}
    kept = {key: value for key, value in annotations.items() if key != _PASSED}  # of a process that died in between
    mark = {"op": "add", "path": "/metadata/annotations", "value": {**kept, _PASSED: metadata["resourceVersion"]}}
    marked = cluster.patch(*where, [_unchanged(live), mark])
    back: Operation = {"op": "replace", "path": "/metadata/annotations", "value": kept}
    if not kept:
        back = {"op": "remove", "path": "/metadata/annotations"}
    cluster.patch(*where, [_unchanged(marked), back])


def _unchanged(autoscaler: Object) -> Operation:
    return {"op": "test", "path": "/metadata/resourceVersion", "value": autoscaler["metadata"]["resourceVersion"]}
