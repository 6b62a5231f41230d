"""Deployments of the two sides as values: what runs, and the bodies that we plan.

Mode ``subset``: canary pods carry all of stable's labels with only the version label changed, so that policies,
budgets and Services that select stable still hold for them.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.core.record import SideIdentity
from gitlab_mesh.errors import UsageError

__all__ = [
    "MANAGED_BY",
    "ROLLOUT_ID",
    "SideState",
    "needed_replicas",
    "pick_container",
    "plan_canary",
    "plan_promotion",
    "read_side",
    "release_template",
    "smoke_port",
    "template_hash",
]

Json = Mapping[str, Any]
ROLLOUT_ID = "gitlab-mesh.dev/rollout-id"
"""Annotation on a Deployment that a rollout made; nothing else of ours is ever scaled down or deleted."""

MANAGED_BY = {"app.kubernetes.io/managed-by": "gitlab-mesh"}
_WAITING_BAD = (
    "CrashLoopBackOff",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
)


@dataclass(frozen=True, slots=True)
class SideState:
    """One side as the cluster shows it now.

    Attributes:
        deployment: The live object.
        pods: Names of its pods by controllerRef, ready or not, terminating ones included.
        ready_pods: Those that are ready.
        desired: Replicas wanted.
        ready: Replicas that are ready and of the current template.
        restarts: Container restarts of its pods.
        reason: Worst waiting reason ("CrashLoopBackOff: back-off …"), empty if none.
        observed: Whether the controller has seen the current generation.
    """

    deployment: Json
    pods: tuple[str, ...]
    ready_pods: tuple[str, ...]
    desired: int
    ready: int
    restarts: int
    reason: str
    observed: bool
    identity: SideIdentity

    @property
    def is_ready(self) -> bool:
        """All wanted replicas are ready, of the current template."""
        return self.observed and self.ready >= self.desired


def template_hash(template: Json) -> str:
    """Return a short hash of a pod template: equal templates, equal hashes, whatever the key order."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:12]


def read_side(deployment: Json, replica_sets: Sequence[Json], pods: Sequence[Json]) -> SideState:
    """Read one side; pods belong by controllerRef (Deployment → ReplicaSet → Pod), never by label alone."""
    uid = deployment["metadata"].get("uid")
    sets = {item["metadata"]["uid"] for item in replica_sets if _owner(item) == uid}
    mine = [pod for pod in pods if _owner(pod) in sets]
    statuses = [status for pod in mine for status in (pod.get("status", {}).get("containerStatuses") or ())]
    waiting = [
        f"{state['reason']}: {state.get('message', '')}".rstrip(": ")
        for status in statuses
        if (state := (status.get("state") or {}).get("waiting")) and state.get("reason") in _WAITING_BAD
    ]
    status = deployment.get("status") or {}
    desired = int(deployment["spec"].get("replicas", 1))
    template = deployment["spec"]["template"]
    # The mesh's injected sidecar is in every pod, of every release: it identifies none.
    own = {container.get("name") for container in template["spec"]["containers"]}
    digests = sorted(
        {
            str(item["imageID"]).rpartition("@")[2]
            for item in statuses
            if "@" in str(item.get("imageID", "")) and item.get("name") in own
        }
    )
    return SideState(
        deployment=deployment,
        pods=tuple(sorted(pod["metadata"]["name"] for pod in mine)),
        ready_pods=tuple(sorted(pod["metadata"]["name"] for pod in mine if _is_ready(pod))),
        desired=desired,
        ready=_ready_and_current(status),
        restarts=sum(int(item.get("restartCount") or 0) for item in statuses),
        reason=waiting[0] if waiting else "",
        observed=int(status.get("observedGeneration") or 0) >= int(deployment["metadata"].get("generation") or 0),
        identity=SideIdentity(
            workload=deployment["metadata"]["name"],
            image=str(template["spec"]["containers"][0].get("image", "")),
            digests=tuple(digests),
            template_hash=template_hash(template),
            replicas=desired,
        ),
    )


def _ready_and_current(status: Json) -> int:
    """Return the replicas that are ready and of the current template.

    ``readyReplicas`` counts pods of old templates, too; all of those are taken for ready, so that a new pod that is
    not is never overlooked (Deployment controller, ``DeploymentComplete`` in k8s.io/kubernetes).
    """
    updated, ready = int(status.get("updatedReplicas") or 0), int(status.get("readyReplicas") or 0)
    old = max(0, int(status.get("replicas") or 0) - updated)
    return max(0, min(updated, ready - old))


def pick_container(template: Json, wanted: str | None, names: Sequence[str]) -> str:
    """Return the name of the container that ``--image`` is for.

    Args:
        template: Pod template.
        wanted: ``workload.container`` of ``mesh.yaml``.
        names: Names that would do without being told: service, Deployment.

    Raises:
        UsageError: There is no such container, or several and none is named.
    """
    found = [
        str(container["name"]) for container in template["spec"]["containers"] if container["name"] != "istio-proxy"
    ]
    if wanted is not None:
        if wanted in found:
            return wanted
        raise UsageError(f"there is no container {wanted!r}", why=f"the Deployment has {', '.join(found)}")
    for name in (*found[: len(found) == 1], *names):
        if name in found:
            return name
    raise UsageError(
        f"--image could be meant for any of {', '.join(found)}",
        hint="name one in mesh.yaml: workload: {container: …}, or use --manifest",
    )


def release_template(
    stable: Json, *, image: str | None, container: str | None, names: Sequence[str], manifest: Json | None
) -> dict[str, Any]:
    """Return the pod template that is to be released, still with stable's labels.

    Either stable's own template with another image, or the template of a whole Deployment given as manifest; then
    stable's selector labels are kept, so that the stable Deployment can take it.
    """
    template: dict[str, Any]
    if manifest is not None:
        template = copy.deepcopy(dict(manifest["spec"]["template"]))
        labels = template.setdefault("metadata", {}).setdefault("labels", {})
        labels.update(stable["spec"]["selector"].get("matchLabels") or {})
        return template
    template = copy.deepcopy(dict(stable["spec"]["template"]))
    name = pick_container(template, container, names)
    for item in template["spec"]["containers"]:
        if item["name"] == name:
            item["image"] = image
    return template


def plan_canary(
    stable: Json, template: Json, *, name: str, service: str, label: str, value: str, replicas: int, rollout: str
) -> dict[str, Any]:
    """Plan the canary Deployment.

    Args:
        stable: The stable Deployment.
        template: From ``release_template``.
        name: Of the canary Deployment.
        service: Service in ``mesh.yaml``, for our own label on the Deployment.
        label: Pod label that tells the sides apart.
        value: Its value on the canary.
        replicas: How many.
        rollout: Id of the rollout.
    """
    pod_template = copy.deepcopy(dict(template))
    labels = {
        **(stable["spec"]["template"]["metadata"].get("labels") or {}),
        **(pod_template["metadata"].get("labels") or {}),
    }
    labels[label] = value
    pod_template["metadata"]["labels"] = labels
    selector = {**(stable["spec"]["selector"].get("matchLabels") or {}), label: value}
    kept = ("strategy", "minReadySeconds", "progressDeadlineSeconds", "revisionHistoryLimit")
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": stable["metadata"]["namespace"],
            "labels": {**MANAGED_BY, "gitlab-mesh.dev/service": service},
            "annotations": {ROLLOUT_ID: rollout},
        },
        "spec": {
            **{key: copy.deepcopy(stable["spec"][key]) for key in kept if key in stable["spec"]},
            "replicas": replicas,
            "selector": {"matchLabels": selector},
            "template": pod_template,
        },
    }


def plan_promotion(stable: Json, template: Json, *, label: str) -> tuple[dict[str, Any], ...]:
    """Plan the patch that gives the stable Deployment the new template, its version label unchanged."""
    new = copy.deepcopy(dict(template))
    current = stable["spec"]["template"]
    value = (current["metadata"].get("labels") or {}).get(label)
    labels = {**(current["metadata"].get("labels") or {}), **(new["metadata"].get("labels") or {})}
    if value is not None:
        labels[label] = value
    new["metadata"]["labels"] = labels
    return (
        {"op": "test", "path": "/spec/template", "value": current},
        {"op": "replace", "path": "/spec/template", "value": new},
    )


def needed_replicas(stable_replicas: int, share: float) -> int:
    """Return the canary replicas that ``share`` of stable's load needs: the same load a pod, at least one pod."""
    return max(1, math.ceil(round(stable_replicas * share, 9)))


def smoke_port(template: Json, container: str | None, configured: int | None) -> int:
    """Return the application's port for smoke checks.

    Raises:
        UsageError: It is neither configured nor declared by the container.
    """
    if configured is not None:
        return configured
    for item in template["spec"]["containers"]:
        if item["name"] == "istio-proxy" or (container is not None and item["name"] != container):
            continue
        for port in item.get("ports") or ():
            return int(port["containerPort"])
    raise UsageError(
        "the port for smoke checks is not known",
        why="no container declares one",
        hint="set workload: {port: …} in mesh.yaml",
    )


def _owner(obj: Json) -> str | None:
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return str(reference["uid"])
    return None


def _is_ready(pod: Json) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
