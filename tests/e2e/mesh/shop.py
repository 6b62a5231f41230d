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

__all__ = ["Shop"]

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
        ours = ["configmap/gitlab-mesh-shop", "lease/gitlab-mesh-shop", "deployment/shop-canary"]
        plane.kubectl("delete", "-n", NAMESPACE, "--ignore-not-found", "--wait=false", *ours)
        again = ("Deployment", "VirtualService", "DestinationRule")
        for body in self.objects:
            if body["kind"] in again:
                plane.kubectl("replace", "-f", "-", stdin=json.dumps(body))
        self.mesh.wait_ready(NAMESPACE, "shop")
        wait_until("the canary's end", lambda: not self.pods("canary"))

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
