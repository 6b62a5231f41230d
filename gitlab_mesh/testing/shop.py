"""A model of a shop in a mesh on a simulated clock: cluster, controllers, traffic, counts.

For tests of whole rollouts without processes: time moves only when the code under test sleeps. Deployments become
ready, pods come and go, requests are split by the live VirtualService and counted per pod, errors and latency follow
from the image's tag. Randomness comes from one seed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

from gitlab_mesh.core.metrics.counts import Histogram, Side
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.clock import FakeClock
from gitlab_mesh.testing.cluster import MemoryCluster
from gitlab_mesh.testing.metrics import ScriptedMetrics

__all__ = ["TAGS", "ModelBehaviour", "ShopModel", "shop_objects"]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, math.inf)


@dataclass(frozen=True, slots=True)
class ModelBehaviour:
    """What pods of an image do.

    Attributes:
        error_ratio: Of their requests.
        latency_seconds: Median latency; log-normal around it.
        ready_after: Seconds until a pod is ready; inf: never.
        crashes: The container ends at once.
    """

    error_ratio: float = 0.001
    latency_seconds: float = 0.02
    ready_after: float = 2.0
    crashes: bool = False


TAGS: Mapping[str, ModelBehaviour] = {
    "good": ModelBehaviour(),
    "bad": ModelBehaviour(error_ratio=0.05),
    "slow": ModelBehaviour(latency_seconds=0.2),
    "crash": ModelBehaviour(crashes=True, ready_after=math.inf),
    "never-ready": ModelBehaviour(ready_after=math.inf),
}


def shop_objects(*, replicas: int = 3, image: str = "registry.example/shop:good") -> list[Object]:
    """Return the user's own objects: Deployment, Service, DestinationRule, VirtualService."""
    labels = {"app": "shop", "version": "stable"}
    route = {"destination": {"host": "shop", "subset": "stable"}}
    internal = {
        "name": "internal",
        "match": [{"headers": {"x-internal": {"exact": "1"}}}],
        "route": [{"destination": {"host": "admin"}}],
    }
    meta = {"name": "shop", "namespace": "shop"}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {**meta, "labels": {"app": "shop"}},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "shop"}},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "shop", "image": image, "ports": [{"containerPort": 8080}]}]},
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": dict(meta),
            "spec": {"selector": {"app": "shop"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": dict(meta),
            "spec": {"host": "shop", "subsets": [{"name": "stable", "labels": {"version": "stable"}}]},
        },
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {**meta, "annotations": {"owner": "team-shop"}},
            "spec": {
                "hosts": ["shop.example"],
                "gateways": ["shop", "mesh"],
                "http": [internal, {"name": "primary", "timeout": "2s", "route": [route]}],
            },
        },
    ]


class ShopModel:
    """The world of one service.

    Args:
        objects: The user's own; default ``shop_objects()``.
        rate: Requests a second.
        seed: Of all randomness.
        tags: Behaviour by image tag; a tag that is not there is good.
    """

    def __init__(
        self,
        objects: list[Object] | None = None,
        *,
        rate: float = 300.0,
        seed: int = 1,
        tags: Mapping[str, ModelBehaviour] = TAGS,
    ) -> None:
        self.clock = FakeClock(on_sleep=self._pass)
        self.cluster = MemoryCluster(now=self.clock.now)
        self.cluster.load(objects if objects is not None else shop_objects())
        self.metrics = ScriptedMetrics(self.clock.monotonic)
        self.rate = rate
        self.tags = tags
        self.failed: dict[Side, int] = dict.fromkeys(Side, 0)
        self.lost_by_mesh = 0
        self._kubelet = self.cluster.as_actor("kubelet")
        self._random = random.Random(seed)
        self._born: dict[str, float] = {}
        self._carry = 0.0
        self.settle(seconds=60.0)

    def settle(self, *, seconds: float = 10.0) -> None:
        """Let time pass without traffic until the Deployments are as ready as they get."""
        rate, self.rate = self.rate, 0.0
        for _ in range(3):
            self.clock.sleep(seconds / 3)
        self.rate = rate

    def pods(self, deployment: str) -> list[Object]:
        """Pods of a Deployment."""
        found = self._kubelet.list("Pod", "shop")
        return [pod for pod in found if pod["metadata"]["labels"].get("model/deployment") == deployment]

    def route(self) -> Object:
        """The live VirtualService."""
        return self._kubelet.get("VirtualService", "shop", "shop")

    def _pass(self, seconds: float) -> None:
        for deployment in self._kubelet.list("Deployment", "shop"):
            self._control(deployment)
        for pod in self._kubelet.list("Pod", "shop"):
            names = {item["metadata"]["name"] for item in self._kubelet.list("Deployment", "shop")}
            if pod["metadata"]["labels"]["model/deployment"] not in names:
                self._end(pod)
        self._carry += self.rate * seconds
        requests, self._carry = int(self._carry), self._carry % 1
        if requests:
            self._serve(requests)

    def _control(self, deployment: Object) -> None:
        """Deployment, ReplicaSet and kubelet in one: pods of the current template, ready after their time."""
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        image = spec["template"]["spec"]["containers"][0]["image"]
        generation = str(deployment["metadata"]["generation"])
        pods = self.pods(name)
        current = [pod for pod in pods if pod["spec"]["containers"][0]["image"] == image]
        wanted = spec.get("replicas", 1)
        for pod in current[wanted:]:
            self._end(pod)
        owner = self._replica_set(deployment)
        for number in range(len(current), wanted):
            self._start(deployment, owner, f"{name}-{generation}-{number}-{int(self.clock.monotonic() * 10)}", image)
        ready = 0
        for pod in self.pods(name):
            ready += self._refresh(pod, image)
        fresh = self.pods(name)
        old = [pod for pod in fresh if pod["spec"]["containers"][0]["image"] != image]
        for pod in old[: max(0, len(old) - max(0, wanted - ready))]:
            self._end(pod)
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(fresh),
            "updatedReplicas": wanted,
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        if deployment.get("status") != status:
            self._kubelet.update_status({**self._kubelet.get("Deployment", "shop", name), "status": status})

    def _replica_set(self, deployment: Object) -> Object:
        name = f"{deployment['metadata']['name']}-rs"
        for found in self._kubelet.list("ReplicaSet", "shop"):
            if found["metadata"]["ownerReferences"][0]["uid"] == deployment["metadata"]["uid"]:
                return found
        reference = _owned("apps/v1", deployment)
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        spec = {"selector": deployment["spec"]["selector"], "template": deployment["spec"]["template"]}
        metadata = {
            "name": f"{name}-{self._random.randrange(10**6)}",
            "namespace": "shop",
            "labels": labels,
            "ownerReferences": [reference],
        }
        return self._kubelet.create({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec})

    def _start(self, deployment: Object, owner: Object, name: str, image: str) -> None:
        template = deployment["spec"]["template"]
        metadata = {
            "name": name,
            "namespace": "shop",
            "labels": {**template["metadata"]["labels"], "model/deployment": deployment["metadata"]["name"]},
            "ownerReferences": [_owned("apps/v1", owner)],
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        self._kubelet.create(body)
        self._born[name] = self.clock.monotonic()
        self.metrics.serve(_side(template["metadata"]["labels"]), name, 0)

    def _refresh(self, pod: Object, image: str) -> int:
        """Write the pod's status; return 1 if it is ready and of the current image."""
        name = pod["metadata"]["name"]
        its_image = pod["spec"]["containers"][0]["image"]
        behaviour = self._behaviour(its_image)
        ready = self.clock.monotonic() - self._born.get(name, -math.inf) >= behaviour.ready_after
        container = {
            "name": "shop",
            "ready": ready,
            "restartCount": 3 if behaviour.crashes else 0,
            "imageID": f"registry.example/shop@sha256:{abs(hash(its_image)) % 16**12:012x}",
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting"}}
            if behaviour.crashes
            else {"running": {}},
        }
        status = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [container],
        }
        if pod.get("status") != status:
            self._kubelet.update_status({**pod, "status": status})
        return int(ready and its_image == image)

    def _end(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        self._kubelet.delete("Pod", "shop", name)
        for side in Side:
            self.metrics.remove(side, name)

    def _behaviour(self, image: str) -> ModelBehaviour:
        return self.tags.get(image.rpartition(":")[2], ModelBehaviour())

    def _serve(self, requests: int) -> None:
        share = self._share()
        canary = self._draw(requests, share)
        ready: dict[Side, list[Object]] = {side: [] for side in Side}
        for pod in self._kubelet.list("Pod", "shop"):
            conditions = pod.get("status", {}).get("conditions", ())
            if any(item["type"] == "Ready" and item["status"] == "True" for item in conditions):
                ready[_side(pod["metadata"]["labels"])].append(pod)
        for side, count in ((Side.STABLE, requests - canary), (Side.CANARY, canary)):
            pods = ready[side]
            if not pods:
                self.lost_by_mesh += count
            for number, pod in enumerate(pods):
                self._serve_pod(side, pod, count // len(pods) + (number < count % len(pods)))

    def _serve_pod(self, side: Side, pod: Object, count: int) -> None:
        behaviour = self._behaviour(pod["spec"]["containers"][0]["image"])
        errors = self._draw(count, behaviour.error_ratio)
        self.failed[side] += errors
        counts, left, below = [], count, 0.0
        for bound in BOUNDS:
            until = 1.0 if bound == math.inf else _log_normal_cdf(bound, behaviour.latency_seconds)
            part = self._draw(left, (until - below) / (1 - below) if below < 1 else 1.0)
            counts.append(part)
            left, below = left - part, until
        self.metrics.serve(
            side,
            pod["metadata"]["name"],
            count,
            errors={"5xx": errors} if errors else {},
            latency=Histogram(BOUNDS, tuple(counts)),
        )

    def _share(self) -> float:
        """Canary's share in the live route; destinations are told apart by their subset, as Istio does."""
        for http in self.route()["spec"]["http"]:
            routes = http["route"]
            if any(item["destination"]["host"].split(".")[0] == "shop" for item in routes):
                weights = {item["destination"].get("subset"): item.get("weight", 100) for item in routes}
                if len(routes) > 1:
                    weights = {item["destination"].get("subset"): item.get("weight", 0) for item in routes}
                total = sum(weights.values())
                return float(weights.get("canary", 0) / total) if total else 0.0
        return 0.0

    def _draw(self, count: int, ratio: float) -> int:
        """Draw from a binomial: exactly for small counts, by its normal approximation for large ones."""
        if count <= 0 or ratio <= 0:
            return 0
        if ratio >= 1:
            return count
        mean = count * ratio
        if min(mean, count - mean) < 20:
            return sum(self._random.random() < ratio for _ in range(count))
        return min(count, max(0, round(self._random.gauss(mean, math.sqrt(mean * (1 - ratio))))))


def _owned(api_version: str, owner: Object) -> Object:
    meta = owner["metadata"]
    return {
        "apiVersion": api_version,
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
    }


def _side(labels: Mapping[str, str]) -> Side:
    return Side.CANARY if labels.get("version") == "canary" else Side.STABLE


def _log_normal_cdf(value: float, median: float, sigma: float = 0.4) -> float:
    return 0.5 * math.erfc(-math.log(value / median) / (sigma * math.sqrt(2)))
