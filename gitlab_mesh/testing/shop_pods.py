"""Deployment controller and kubelet of the model: pods of the current template, ready after their time."""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.errors import ConflictError, ObjectMissingError
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.metrics import ScriptedMetrics

__all__ = ["TAGS", "ModelBehaviour", "ModelPod", "PodsModel"]

SURGE = 1
"""More pods than wanted while a template is rolled out: 25 % of a few replicas, as Kubernetes' default."""


@dataclass(frozen=True, slots=True)
class ModelBehaviour:
    """What pods of an image do.

    Attributes:
        error_ratio: Of their requests.
        latency_seconds: Median latency; log-normal around it.
        ready_after: Seconds until a pod is ready; inf: never.
        crashes: The container ends at once.
        never_as_stable: Pods of the stable Deployment never become ready (its configuration does not fit).
    """

    error_ratio: float = 0.001
    latency_seconds: float = 0.02
    ready_after: float = 2.0
    crashes: bool = False
    never_as_stable: bool = False


TAGS: Mapping[str, ModelBehaviour] = {
    "good": ModelBehaviour(),
    "bad": ModelBehaviour(error_ratio=0.05),
    "slow": ModelBehaviour(latency_seconds=0.2),
    "crash": ModelBehaviour(crashes=True, ready_after=math.inf),
    "never-ready": ModelBehaviour(ready_after=math.inf),
}


@dataclass(slots=True)
class ModelPod:
    """One pod as the model knows it."""

    name: str
    deployment: str
    owner: str
    image: str
    side: Side
    born: float
    ready: bool = False
    ending: bool = False


@dataclass
class PodsModel:
    """Keeps pods as the Deployments of namespace ``shop`` want them.

    Attributes:
        cluster: The kubelet's client.
        monotonic: The simulated clock.
        metrics: Gets a counter for each new pod.
        tags: Behaviour by image tag.
        draw: Randomness.
        pods: By name.
        down_until: Deployment → time until which its pods are not ready (they died, or flap).
        stuck_until: Pods that are to end stay until then, unready.
    """

    cluster: Any
    monotonic: Callable[[], float]
    metrics: ScriptedMetrics
    tags: Mapping[str, ModelBehaviour]
    draw: random.Random
    pods: dict[str, ModelPod] = field(default_factory=dict)
    down_until: dict[str, float] = field(default_factory=dict)
    stuck_until: float = -math.inf
    _sets: dict[str, str] = field(default_factory=dict)
    _serial: int = 0

    def behaviour(self, image: str) -> ModelBehaviour:
        """What pods of this image do."""
        return self.tags.get(image.rpartition(":")[2], ModelBehaviour())

    def ready(self, side: Side) -> list[ModelPod]:
        """Pods of a side that take requests."""
        return [pod for pod in self.pods.values() if pod.ready and pod.side is side]

    def evict(self, pod: ModelPod) -> None:
        """Take a pod away, as an eviction does; its Deployment makes another."""
        self._end(pod)

    def control(self) -> None:
        """Bring pods and statuses to where they are now."""
        deployments = list(self.cluster.peek("Deployment", "shop"))
        uids = {item["metadata"]["uid"] for item in deployments}
        for pod in list(self.pods.values()):
            if pod.owner not in uids or pod.ending:
                self._end(pod)
        for uid in [uid for uid in self._sets if uid not in uids]:
            self.cluster.delete("ReplicaSet", "shop", self._sets.pop(uid))
        for deployment in deployments:
            self._control(deployment)

    def _control(self, deployment: Object) -> None:
        metadata, spec = deployment["metadata"], deployment["spec"]
        uid, image = metadata["uid"], spec["template"]["spec"]["containers"][0]["image"]
        mine = [pod for pod in self.pods.values() if pod.owner == uid]
        for pod in mine:
            self._refresh(pod)
        current = [pod for pod in mine if pod.image == image and not pod.ending]
        old = sorted((pod for pod in mine if pod.image != image and not pod.ending), key=lambda pod: pod.ready)
        wanted = spec.get("replicas", 1)
        for pod in current[wanted:]:
            self._end(pod)
        room = wanted + (SURGE if old else 0) - len(old) - len(current)
        for _ in range(min(room, wanted - len(current))):
            self._start(deployment, image)
        ready = sum(pod.ready for pod in mine if not pod.ending)
        for pod in old:
            if not pod.ready or ready > wanted or wanted == 0:
                ready -= pod.ready
                self._end(pod)
        self._write_status(deployment, image)

    def _write_status(self, deployment: Object, image: str) -> None:
        metadata = deployment["metadata"]
        there = [pod for pod in self.pods.values() if pod.owner == metadata["uid"] and not pod.ending]
        ready = sum(pod.ready for pod in there)
        status = {
            "observedGeneration": metadata["generation"],
            "replicas": len(there),
            "updatedReplicas": sum(pod.image == image for pod in there),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        if deployment.get("status") != status:
            self.cluster.update_status(
                {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {**metadata}, "status": status}
            )

    def _replica_set(self, deployment: Object) -> Object:
        uid = deployment["metadata"]["uid"]
        name = self._sets.get(uid)
        if name is not None:
            for found in self.cluster.peek("ReplicaSet", "shop"):
                if found["metadata"]["name"] == name:
                    return found  # type: ignore[no-any-return]
        self._serial += 1
        spec = deployment["spec"]
        metadata = {
            "name": f"{deployment['metadata']['name']}-rs-{self._serial}",
            "namespace": "shop",
            "labels": spec["template"]["metadata"]["labels"],
            "ownerReferences": [_owned(deployment)],
        }
        body = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": metadata,
            "spec": {"selector": spec["selector"], "template": spec["template"]},
        }
        made: Object = self.cluster.create(body)
        self._sets[uid] = made["metadata"]["name"]
        return made

    def _start(self, deployment: Object, image: str) -> None:
        template, metadata = deployment["spec"]["template"], deployment["metadata"]
        owner = self._replica_set(deployment)
        self._serial += 1
        name = f"{metadata['name']}-{metadata['generation']}-{self._serial}"
        labels = template["metadata"]["labels"]
        pod = {
            "name": name,
            "namespace": "shop",
            "labels": {**labels, "model/deployment": metadata["name"]},
            "ownerReferences": [_owned(owner)],
        }
        self.cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": pod, "spec": template["spec"]})
        side = Side.CANARY if labels.get("version") == "canary" else Side.STABLE
        made = ModelPod(name, metadata["name"], metadata["uid"], image, side, self.monotonic())
        self.pods[name] = made
        self.metrics.serve(side, name, 0)
        self._write_pod(made)

    def _refresh(self, pod: ModelPod) -> None:
        now = self.monotonic()
        behaviour = self.behaviour(pod.image)
        late = now - pod.born >= behaviour.ready_after and not (behaviour.never_as_stable and pod.side is Side.STABLE)
        ready = late and not pod.ending and now >= self.down_until.get(pod.deployment, -math.inf)
        if ready != pod.ready:
            pod.ready = ready
            self._write_pod(pod)

    def _write_pod(self, pod: ModelPod) -> None:
        crashes = self.behaviour(pod.image).crashes
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting"}}
        container = {
            "name": "shop",
            "ready": pod.ready,
            "restartCount": 3 if crashes else 0,
            "imageID": f"registry.example/shop@sha256:{zlib.crc32(pod.image.encode()):012x}",
            "state": waiting if crashes else {"running": {}},
        }
        status = {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True" if pod.ready else "False"}],
            "containerStatuses": [container],
        }
        try:
            found = next(item for item in self.cluster.peek("Pod", "shop") if item["metadata"]["name"] == pod.name)
            self.cluster.update_status(
                {"kind": "Pod", "apiVersion": "v1", "metadata": {**found["metadata"]}, "status": status}
            )
        except (StopIteration, ObjectMissingError, ConflictError):
            return  # deleted meanwhile

    def _end(self, pod: ModelPod) -> None:
        """Take a pod away; while pods are stuck it stays, unready, until it may go."""
        pod.ending = True
        if self.monotonic() < self.stuck_until:
            self._refresh(pod)
            return
        self.cluster.delete("Pod", "shop", pod.name)
        self.metrics.remove(pod.side, pod.name)
        self.pods.pop(pod.name, None)


def _owned(owner: Object) -> Object:
    meta = owner["metadata"]
    return {
        "apiVersion": "apps/v1",
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
    }
