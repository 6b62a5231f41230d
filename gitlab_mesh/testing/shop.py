"""A model of a shop in a mesh on a simulated clock: cluster, controllers, traffic, counts.

For tests of whole rollouts without processes: time moves only when the code under test sleeps. Deployments become
ready, pods come and go, requests are split by the live VirtualService or HTTPRoute and counted per pod,
errors and latency follow from the image's tag. Randomness comes from one seed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.clock import FakeClock
from gitlab_mesh.testing.cluster import MemoryCluster
from gitlab_mesh.testing.lean import LeanCluster
from gitlab_mesh.testing.metrics import ScriptedMetrics
from gitlab_mesh.testing.shop_pods import TAGS, ModelBehaviour, PodsModel
from gitlab_mesh.testing.shop_routes import ControlPlaneModel, RouteView, view_of_routes
from gitlab_mesh.testing.shop_traffic import TrafficModel

__all__ = ["TAGS", "ModelBehaviour", "ShopModel", "shop_objects"]


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
        cluster: Where it lives; None: a new ``MemoryCluster``. ``LeanCluster`` makes it several times cheaper. Its
            store should take its time from ``clock``.
        clock: The simulated clock; None: a new one. Each of its sleeps must call ``pass_time``.
        lag: Seconds until all proxies follow a changed route.
        latency: Whether latencies are drawn at all; without them a run is cheaper.
        bypass: Part of the requests that do not follow the route.

    Attributes:
        failed: Requests that the application answered with an error, by side.
        lost_by_mesh: Requests that found no ready pod behind the route.
    """

    def __init__(
        self,
        objects: list[Object] | None = None,
        *,
        rate: float = 300.0,
        seed: int = 1,
        tags: Mapping[str, ModelBehaviour] = TAGS,
        cluster: MemoryCluster | LeanCluster | None = None,
        clock: FakeClock | None = None,
        lag: float = 0.0,
        latency: bool = True,
        bypass: float = 0.0,
    ) -> None:
        self.clock = clock or FakeClock(on_sleep=self._pass)
        self.cluster: Any = cluster or MemoryCluster(now=self.clock.now)
        self.cluster.load(objects if objects is not None else shop_objects())
        self.metrics = ScriptedMetrics(self.clock.monotonic)
        self.rate = rate
        self._kubelet = self.cluster.as_actor("kubelet")
        draw = random.Random(seed)
        self.workloads = PodsModel(self._kubelet, self.clock.monotonic, self.metrics, tags, draw)
        self.traffic = TrafficModel(self.workloads, self.metrics, draw, lag=lag, latency=latency, bypass=bypass)
        self.plane = ControlPlaneModel(self.cluster.as_actor("istiod"), self.clock.monotonic, lag / 2)
        self.settle(seconds=60.0)

    @property
    def failed(self) -> dict[Side, int]:
        """Requests that the application answered with an error, by side."""
        return self.traffic.failed

    @property
    def lost_by_mesh(self) -> int:
        """Requests that found no ready pod behind the route."""
        return self.traffic.lost

    def settle(self, *, seconds: float = 10.0) -> None:
        """Let time pass without traffic until the Deployments are as ready as they get."""
        rate, self.rate = self.rate, 0.0
        for _ in range(3):
            self.clock.advance(seconds / 3)
            self._pass(seconds / 3)
        self.rate = rate

    def pods(self, deployment: str) -> list[Object]:
        """Pods of a Deployment."""
        names = {pod.name for pod in self.workloads.pods.values() if pod.deployment == deployment}
        return [pod for pod in self._kubelet.list("Pod", "shop") if pod["metadata"]["name"] in names]

    def route(self, name: str = "shop") -> Object | None:
        """A live VirtualService (not to be changed), None once it is gone."""
        found: Object
        for found in self._kubelet.peek("VirtualService", "shop"):
            if found["metadata"]["name"] == name:
                return found
        return None

    def _pass(self, seconds: float) -> None:
        """Let the world live through the last ``seconds`` of the clock."""
        view = self._view()
        self.workloads.control()
        self.plane.control({side: len(self.workloads.ready(side)) for side in Side})
        now = self.clock.monotonic()
        self.traffic.serve(self.rate, now - seconds, now, view)

    def _share(self) -> float | None:
        """Canary's share in the live routes; None where none leads to the shop."""
        view = self._view()
        return None if view is None else view.canary

    def _view(self) -> RouteView | None:
        """Where the live routes lead requests; None where none leads to the shop."""
        http_routes = self._kubelet.peek("HTTPRoute", "shop")
        known = self.plane.with_endpoints() if http_routes else set()
        return view_of_routes(self._kubelet.peek("VirtualService", "shop"), http_routes, known)
