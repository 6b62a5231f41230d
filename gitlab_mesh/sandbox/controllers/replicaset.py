"""ReplicaSet controller: as many pods as wanted, and a status that counts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from gitlab_mesh.sandbox.controllers.client import ControllerClient
from gitlab_mesh.sandbox.controllers.pods import build_pod, deletion_rank, is_ready, ready_since

__all__ = ["ReplicaSetController"]

Object = dict[str, Any]


class ReplicaSetController:
    """Reconciles one ReplicaSet at a time.

    Args:
        client: Way to the API server.
        again: Called with kind, namespace, name and seconds: reconcile once more then.
    """

    def __init__(self, client: ControllerClient, again: Callable[[str, str, str, float], None]) -> None:
        self._client = client
        self._again = again

    def reconcile(self, namespace: str, name: str) -> None:
        """Bring the pods of a ReplicaSet, and its status, to what is wanted. Raises GitlabMeshError."""
        replica_set = self._client.get("ReplicaSet", namespace, name)
        if replica_set is None or "deletionTimestamp" in replica_set["metadata"]:
            return
        pods = [pod for pod in self._client.owned("Pod", replica_set) if "deletionTimestamp" not in pod["metadata"]]
        missing = replica_set["spec"]["replicas"] - len(pods)
        for _ in range(missing):
            pod = self._client.create(build_pod(replica_set, self._client.get("Namespace", "", namespace)))
            self._client.record_event(replica_set, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        for pod in sorted(pods, key=deletion_rank, reverse=True)[: max(0, -missing)]:
            self._client.delete("Pod", pod)
            self._client.record_event(replica_set, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
        self._write_status(replica_set)

    def _write_status(self, replica_set: Mapping[str, Any]) -> None:
        pods = [pod for pod in self._client.owned("Pod", replica_set) if "deletionTimestamp" not in pod["metadata"]]
        wanted = replica_set["spec"]["template"].get("metadata", {}).get("labels", {}).items()
        status: Object = {"replicas": len(pods), "observedGeneration": replica_set["metadata"]["generation"]}
        counts = {
            "fullyLabeledReplicas": sum(wanted <= pod["metadata"].get("labels", {}).items() for pod in pods),
            "readyReplicas": sum(is_ready(pod) for pod in pods),
            "availableReplicas": sum(self._is_available(pod, replica_set) for pod in pods),
        }
        status |= {key: count for key, count in counts.items() if count}
        self._client.set_status("ReplicaSet", replica_set, status)

    def _is_available(self, pod: Mapping[str, Any], replica_set: Mapping[str, Any]) -> bool:
        """Ready for at least ``minReadySeconds``."""
        since = ready_since(pod)
        if since is None:
            return False
        left = since + timedelta(seconds=replica_set["spec"].get("minReadySeconds", 0)) - self._client.store.now()
        if replica_set["spec"].get("minReadySeconds", 0) and left > timedelta():
            metadata = replica_set["metadata"]
            self._again("ReplicaSet", metadata["namespace"], metadata["name"], left.total_seconds() + 0.05)
            return False
        return True
