"""The sandbox's shop on the real mesh: the very same objects, plus the Sidecars that this data plane needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

from gitlab_mesh.sandbox.shop import HOST, NAMESPACE, shop_objects
from tests.e2e.controlplane.control_plane import wait_until
from tests.e2e.mesh.installation import ROOT, sidecar_objects
from tests.e2e.mesh.mesh import Mesh
from tests.e2e.mesh.pod_runtime import PodRuntime

__all__ = ["STABLE", "Shop"]

STABLE = f"outbound|80|stable|shop.{NAMESPACE}.svc.cluster.local"
"""How proxies call the shop's stable side."""

_CLIENT = "client"


class Shop:
    """The shop in namespace ``shop``, with a client pod beside it.

    Args:
        mesh: Where it runs.
        version: Tag of the stable image.
        objects: What its team deployed.
    """

    def __init__(self, mesh: Mesh, version: str, objects: Sequence[dict[str, Any]]) -> None:
        self.mesh = mesh
        self.version = version
        self.objects = objects

    @classmethod
    def deploy(cls, mesh: Mesh, *, version: str = "1.4.0", replicas: int = 2) -> Self:
        """Create everything and wait until users and pods reach the shop."""
        objects = [one for one in shop_objects(f"registry.example/shop:{version}", replicas) if not _is_root(one)]
        space, rest = objects[0], objects[1:]
        mesh.plane.apply(space)
        wait_until(
            "the namespace's service account",
            lambda: mesh.plane.request("GET", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default").ok,
        )
        mesh.plane.apply(*sidecar_objects(NAMESPACE, "shop"), *rest, _client_pod())
        mesh.wait_ready(NAMESPACE, "shop")
        shop = cls(mesh, version, rest)
        wait_until("users", lambda: mesh.request(HOST).status == 200)
        inside = f"shop.{NAMESPACE}.svc.cluster.local"
        wait_until("pods", lambda: mesh.request_from(shop.client, inside).status == 200, pause=0.2)
        return shop

    def reset(self) -> None:
        """Bring everything back to the beginning: no canary, no record, routes and images as they were deployed."""
        plane = self.mesh.plane
        spaces = [
            f"/{group}/namespaces/{NAMESPACE}" for group in ("api/v1", "apis/apps/v1", "apis/coordination.k8s.io/v1")
        ]
        names = ("configmaps/gitlab-mesh-shop", "deployments/shop-canary", "leases/gitlab-mesh-shop")
        plane.delete(*(f"{space}/{name}" for space, name in zip(spaces, names, strict=True)))
        for body in self.objects:
            if body["kind"] in ("Deployment", "VirtualService", "DestinationRule"):
                plane.replace(body)
        self.mesh.wait_ready(NAMESPACE, "shop")
        wait_until("the shop as it was deployed", self.is_whole)

    def is_whole(self) -> bool:
        """Whether stable's pods alone are there, and the gateway and the client send to all of them and nowhere else.

        Whoever comes next finds no pod that is about to end, and no proxy that has yet to hear of the last change.
        """
        pods = [pod for pod in self.mesh.node.pods if pod.namespace == NAMESPACE and pod.pod_name != _CLIENT]
        wanted = next(one["spec"]["replicas"] for one in self.objects if one["kind"] == "Deployment")
        if len(pods) != wanted or len(self.pods("stable")) != wanted:
            return False
        addresses = {pod.address for pod in pods}
        for proxy in (self.mesh.gateway, self.client):
            routes = json.dumps(self.mesh.config_dump(proxy, "dynamic_route_configs"))
            if STABLE not in routes or "canary" in routes or self.mesh.endpoints(proxy, STABLE) != addresses:
                return False
        return True

    @property
    def client(self) -> PodRuntime:
        """A pod of the namespace that only sends."""
        return self.mesh.pod(NAMESPACE, _CLIENT)

    def pods(self, side: str) -> list[PodRuntime]:
        """Return the running pods of a side ("stable", "canary")."""
        return [
            pod
            for pod in self.mesh.node.pods
            if pod.namespace == NAMESPACE and pod.body["metadata"].get("labels", {}).get("version") == side
        ]


def _is_root(body: dict[str, Any]) -> bool:
    return bool(body["kind"] == "Namespace" and body["metadata"]["name"] == ROOT)


def _client_pod() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": _CLIENT, "namespace": NAMESPACE, "labels": {"app": "client"}},
        "spec": {"containers": [{"name": "client", "image": "registry.example/client:1"}]},
    }
