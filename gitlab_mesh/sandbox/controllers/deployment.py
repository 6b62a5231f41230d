"""Deployment controller: one ReplicaSet for each pod template, moved over step by step, and an honest status."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gitlab_mesh.sandbox.controllers.client import ControllerClient
from gitlab_mesh.sandbox.controllers.pods import HASH_LABEL, owner_reference, template_hash
from gitlab_mesh.sandbox.controllers.rolling import SetSize, plan_new_size, plan_old_sizes, surge_and_unavailable

__all__ = ["DeploymentController"]

Object = dict[str, Any]
_REVISION = "deployment.kubernetes.io/revision"


class DeploymentController:
    """Reconciles one Deployment at a time.

    Args:
        client: Way to the API server.
        again: Called with kind, namespace, name and seconds: reconcile once more then.
    """

    def __init__(self, client: ControllerClient, again: Callable[[str, str, str, float], None]) -> None:
        self._client = client
        self._again = again
        self._progress: dict[str, tuple[Any, float]] = {}  # uid -> what was last seen to move, monotonic time

    def reconcile(self, namespace: str, name: str) -> None:
        """Bring the ReplicaSets of a Deployment, and its status, to what is wanted. Raises GitlabMeshError."""
        deployment = self._client.get("Deployment", namespace, name)
        if deployment is None or "deletionTimestamp" in deployment["metadata"]:
            return
        sets = sorted(self._client.owned("ReplicaSet", deployment), key=_revision)
        label = template_hash(deployment["spec"]["template"])
        new = next((one for one in sets if one["metadata"]["labels"].get(HASH_LABEL) == label), None)
        old = [one for one in sets if one is not new]
        if not deployment["spec"].get("paused"):
            new = self._ensure_new(deployment, new, old, label)
            self._move(deployment, new, old)
            self._forget_old(deployment, old)
        elif sets:  # no roll-out while paused: the newest one there is takes the whole size
            self._scale(deployment, sets[-1], deployment["spec"]["replicas"])
        self._write_status(deployment, label)

    def _ensure_new(self, deployment: Object, new: Object | None, old: Sequence[Object], label: str) -> Object:
        """Create the ReplicaSet of the present template, or give it the newest revision again (rollback)."""
        newest = max((_revision(one) for one in old), default=0)
        if new is None:
            new = self._client.create(_build_replica_set(deployment, label, newest + 1))
        elif _revision(new) <= newest:
            new = self._client.patch("ReplicaSet", new, {"metadata": {"annotations": {_REVISION: str(newest + 1)}}})
        revision = new["metadata"]["annotations"][_REVISION]
        if (deployment["metadata"].get("annotations") or {}).get(_REVISION) != revision:
            self._client.patch("Deployment", deployment, {"metadata": {"annotations": {_REVISION: revision}}})
        return new

    def _move(self, deployment: Object, new: Object, old: Sequence[Object]) -> None:
        spec = deployment["spec"]
        replicas = spec["replicas"]
        if spec["strategy"]["type"] == "Recreate":
            for one in old:
                self._scale(deployment, one, 0)
            if not any(self._client.owned("Pod", one) for one in old):
                self._scale(deployment, new, replicas)
            return
        surge, unavailable = surge_and_unavailable(spec["strategy"], replicas)
        size, sizes = _size(new), [_size(one) for one in old]
        wanted = plan_new_size(replicas, size, sizes, surge)
        self._scale(deployment, new, wanted)
        size = SetSize(wanted, min(wanted, size.available))
        for one, count in zip(old, plan_old_sizes(replicas, size, sizes, unavailable), strict=True):
            self._scale(deployment, one, count)

    def _scale(self, deployment: Object, replica_set: Object, count: int) -> None:
        before = replica_set["spec"]["replicas"]
        if before == count:
            return
        self._client.patch("ReplicaSet", replica_set, {"spec": {"replicas": count}})
        way = "up" if count > before else "down"
        text = f"Scaled {way} replica set {replica_set['metadata']['name']} from {before} to {count}"
        self._client.record_event(deployment, "ScalingReplicaSet", text)

    def _forget_old(self, deployment: Object, old: Sequence[Object]) -> None:
        """Delete the oldest empty ReplicaSets beyond ``revisionHistoryLimit``."""
        empty = [one for one in old if not one["spec"]["replicas"] and not one.get("status", {}).get("replicas")]
        for one in empty[: max(0, len(empty) - deployment["spec"]["revisionHistoryLimit"])]:
            self._client.delete("ReplicaSet", one)

    def _write_status(self, before: Object, label: str) -> None:
        namespace, name = before["metadata"]["namespace"], before["metadata"]["name"]
        deployment = self._client.get("Deployment", namespace, name)
        if deployment is None:
            return
        sets = self._client.owned("ReplicaSet", deployment)
        updated = sum(_status(one, "replicas") for one in sets if one["metadata"]["labels"].get(HASH_LABEL) == label)
        available = sum(_status(one, "availableReplicas") for one in sets)
        counts = {
            "replicas": sum(_status(one, "replicas") for one in sets),
            "updatedReplicas": updated,
            "readyReplicas": sum(_status(one, "readyReplicas") for one in sets),
            "availableReplicas": available,
            "unavailableReplicas": max(0, sum(one["spec"]["replicas"] for one in sets) - available),
        }
        status: Object = {"observedGeneration": before["metadata"]["generation"]}
        status |= {key: count for key, count in counts.items() if count}
        status["conditions"] = self._conditions(deployment, counts, label)
        self._client.set_status("Deployment", deployment, status)

    def _conditions(self, deployment: Object, counts: Mapping[str, int], label: str) -> list[Object]:
        spec = deployment["spec"]
        _, unavailable = surge_and_unavailable(spec["strategy"], spec["replicas"])
        enough = counts["availableReplicas"] >= spec["replicas"] - unavailable
        available = (
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
            if enough
            else ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        )
        old = (deployment.get("status") or {}).get("conditions") or ()
        now = self._client.store.timestamp()
        progressing = self._progressing(deployment, counts, label)
        return [_condition("Available", *available, old, now), _condition("Progressing", *progressing, old, now)]

    def _progressing(self, deployment: Object, counts: Mapping[str, int], label: str) -> tuple[str, str, str]:
        """Return status, reason and message of the condition Progressing."""
        metadata, spec = deployment["metadata"], deployment["spec"]
        what = f'ReplicaSet "{metadata["name"]}-{label}"'
        replicas = spec["replicas"]
        complete = counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == replicas
        if complete:
            self._progress.pop(metadata["uid"], None)
            return "True", "NewReplicaSetAvailable", f"{what} has successfully progressed."
        moved = (label, replicas, counts["updatedReplicas"], counts["readyReplicas"], counts["availableReplicas"])
        now = time.monotonic()
        seen, since = self._progress.get(metadata["uid"], (None, now))
        if seen != moved:
            self._progress[metadata["uid"]] = (moved, now)
            since = now
        left = since + spec["progressDeadlineSeconds"] - now
        if left <= 0:
            return "False", "ProgressDeadlineExceeded", f"{what} has timed out progressing."
        self._again("Deployment", metadata["namespace"], metadata["name"], left + 0.01)
        return "True", "ReplicaSetUpdated", f"{what} is progressing."


def _revision(replica_set: Mapping[str, Any]) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(_REVISION, 0))


def _status(replica_set: Mapping[str, Any], key: str) -> int:
    return int((replica_set.get("status") or {}).get(key, 0))


def _size(replica_set: Mapping[str, Any]) -> SetSize:
    return SetSize(replica_set["spec"]["replicas"], _status(replica_set, "availableReplicas"))


def _build_replica_set(deployment: Mapping[str, Any], label: str, revision: int) -> Object:
    metadata, spec = deployment["metadata"], deployment["spec"]
    template = spec["template"]
    about = template.get("metadata") or {}
    labels = {**(about.get("labels") or {}), HASH_LABEL: label}
    selector = dict(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: label}
    wanted = {
        "replicas": 0,
        "selector": selector,
        "template": {**template, "metadata": {**about, "labels": labels}},
    }
    if spec.get("minReadySeconds"):
        wanted["minReadySeconds"] = spec["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{label}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": {_REVISION: str(revision)},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": wanted,
    }


def _condition(kind: str, status: str, reason: str, message: str, old: Sequence[Mapping[str, Any]], now: str) -> Object:
    """Return a condition whose times only move when it changes."""
    before = next((one for one in old if one["type"] == kind), {})
    same = (status, reason, message) == tuple(before.get(key) for key in ("status", "reason", "message"))
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastUpdateTime": before["lastUpdateTime"] if same else now,
        "lastTransitionTime": before["lastTransitionTime"] if before.get("status") == status else now,
    }
