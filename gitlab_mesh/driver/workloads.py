"""Deployments of the two sides, through the Cluster port; plans come from ``core.workload``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gitlab_mesh.core.judge.model import SideHealth
from gitlab_mesh.core.workload import ROLLOUT_ID, SideState, read_side
from gitlab_mesh.errors import ConflictError, ObjectMissingError, TransientError
from gitlab_mesh.ports import Cluster, Object

__all__ = [
    "NEVER",
    "Written",
    "create_ours",
    "find_ours",
    "health_of",
    "patch_template",
    "read_workload",
    "scale",
    "version_of",
]

Written: TypeAlias = tuple[str, int]
"""uid and generation of a Deployment after a write of ours."""

NEVER: Written = ("", 0)


def read_workload(cluster: Cluster, namespace: str, name: str, *, since: Written = NEVER) -> SideState | None:
    """Read a Deployment with its ReplicaSets and pods; None if it does not exist.

    Args:
        cluster: Where.
        namespace: Of the Deployment.
        name: Of the Deployment.
        since: What our own write made of it.

    Raises:
        TransientError: What was read is older than that: its status tells of other pods.
    """
    try:
        deployment = cluster.get("Deployment", namespace, name)
    except ObjectMissingError:
        return None
    uid, generation = version_of(deployment)
    if uid == since[0] and generation < since[1]:
        raise TransientError(f"Deployment {namespace}/{name} was read as it was before it was written")
    labels = deployment["spec"]["selector"].get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return read_side(
        deployment,
        cluster.list("ReplicaSet", namespace, label_selector=selector),
        cluster.list("Pod", namespace, label_selector=selector),
    )


def health_of(side: SideState | None) -> SideHealth | None:
    """Say how a side is; None if there is none."""
    if side is None:
        return None
    ready = side.ready if side.observed else 0
    return SideHealth(desired=side.desired, ready=ready, restarts=side.restarts, reason=side.reason)


def create_ours(cluster: Cluster, body: Object, *, dry_run: bool = False) -> None:
    """Create an object of ours; one that we made before in the same rollout is fine.

    Raises:
        ConflictError: An object of that name exists and is not of this rollout.
    """
    try:
        cluster.create(body, dry_run=dry_run)
    except ConflictError:
        metadata = body["metadata"]
        found = cluster.get(body["kind"], metadata["namespace"], metadata["name"])
        mine = metadata.get("annotations", {}).get(ROLLOUT_ID)
        if (found["metadata"].get("annotations") or {}).get(ROLLOUT_ID) == mine:
            return
        raise ConflictError(
            f"{body['kind']} {metadata['namespace']}/{metadata['name']} exists and does not belong to this rollout",
            why="it may be the rest of an older one, or somebody else's",
            hint=f"gitlab-mesh job status shows what is recorded; or set workload: {{canary: …}}, or delete it: "
            f"kubectl -n {metadata['namespace']} delete {body['kind'].lower()} {metadata['name']}",
        ) from None


def scale(cluster: Cluster, found: Object, replicas: int) -> None:
    """Set the replicas of a Deployment of ours; fails if it is another one, or was scaled, since we read it.

    A driver that stood still in between may meet the canary of the next rollout under the same name (S4).
    """
    metadata = found["metadata"]
    operations = [{"op": "test", "path": "/metadata/uid", "value": metadata["uid"]}]
    if "replicas" in found["spec"]:
        operations.append({"op": "test", "path": "/spec/replicas", "value": found["spec"]["replicas"]})
    operations.append({"op": "add", "path": "/spec/replicas", "value": replicas})
    cluster.patch("Deployment", metadata["namespace"], metadata["name"], operations)


def patch_template(cluster: Cluster, namespace: str, name: str, operations: Sequence[Mapping[str, Any]]) -> Written:
    """Give the stable Deployment another pod template; fails if somebody changed it since it was planned.

    Returns:
        Its uid and its generation since then.
    """
    return version_of(cluster.patch("Deployment", namespace, name, operations))


def version_of(deployment: Object) -> Written:
    """Return uid and generation, ("", 0) where an object has none."""
    metadata = deployment["metadata"]
    return str(metadata.get("uid") or ""), int(metadata.get("generation") or 0)


def find_ours(cluster: Cluster, namespace: str, name: str, rollout: str) -> Object | None:
    """Return the Deployment if this rollout made it; None if it is gone or somebody else's."""
    try:
        found = cluster.get("Deployment", namespace, name)
    except ObjectMissingError:
        return None
    return found if (found["metadata"].get("annotations") or {}).get(ROLLOUT_ID) == rollout else None
