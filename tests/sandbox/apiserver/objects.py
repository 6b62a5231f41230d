"""Users and objects that the tests of the API server share."""

from __future__ import annotations

from typing import Any

from gitlab_mesh.sandbox.apiserver.access import User
from gitlab_mesh.testing.cluster import MemoryCluster

ADMIN = User("admin", "admin-token")
VIEWER_ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "viewer", "namespace": "shop"},
    "rules": [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {
            "apiGroups": ["networking.istio.io"],
            "resources": ["virtualservices"],
            "verbs": ["get", "patch"],
            "resourceNames": ["shop"],
        },
    ],
}
VIEWER = User("system:serviceaccount:shop:viewer", "viewer-token", rules=(VIEWER_ROLE,))


def route(name: str = "shop", canary: int = 0) -> dict[str, Any]:
    """A VirtualService with two destinations, ``canary`` percent to the second."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "hosts": ["shop"],
            "http": [
                {
                    "name": "main",
                    "route": [
                        {"destination": {"host": "shop", "subset": "v1"}, "weight": 100 - canary},
                        {"destination": {"host": "shop", "subset": "v2"}, "weight": canary},
                    ],
                }
            ],
        },
    }


def deployment(name: str = "shop-v1", replicas: int = 2) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop", "version": "v1"}},
                "spec": {"containers": [{"name": "app", "image": "registry.example/shop:1.4.0"}]},
            },
        },
    }


def config_map(name: str = "settings", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "shop"},
        "data": data or {"a": "1"},
    }


def pod(name: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "spec": {
            "containers": [{"name": "app", "image": "registry.example/shop:1.4.0", "ports": [{"containerPort": 8080}]}]
        },
    }


def running(cluster: MemoryCluster, name: str) -> None:
    """Create a pod that has an address."""
    made = cluster.create(pod(name))
    cluster.update_status({**made, "status": {"phase": "Running", "podIP": "10.0.0.1"}})
