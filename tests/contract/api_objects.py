"""Objects of the contract suite."""

from __future__ import annotations

from tests.contract.api import Object

__all__ = ["config_map", "deployment", "destination_rule", "lease", "pod", "route"]


def config_map(name: str = "settings", *, data: dict[str, str] | None = None, **metadata: object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": data if data is not None else {"a": "1"},
    }


def route(name: str = "shop", canary: int = 0, **metadata: object) -> Object:
    """A VirtualService with two destinations, ``canary`` percent to the second."""
    both = (("stable", 100 - canary), ("canary", canary))
    routes = [{"destination": {"host": "shop", "subset": side}, "weight": weight} for side, weight in both]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, **metadata},
        "spec": {"hosts": ["shop"], "http": [{"name": "main", "route": routes}]},
    }


def destination_rule(name: str = "shop") -> Object:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": name},
        "spec": {"host": "shop", "subsets": [{"name": "stable", "labels": {"version": "stable"}}]},
    }


def deployment(name: str = "shop", replicas: int = 2) -> Object:
    container = {"name": "app", "image": "registry.example/shop:1.4.0"}
    labels = {"app": "shop", "version": "stable"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def lease(name: str = "lock", holder: str = "77/1001", fence: int = 1) -> Object:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": 30,
            "leaseTransitions": fence,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:00:00.000000Z",
        },
    }


def pod(name: str = "shop-1", **metadata: object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "shop"}, **metadata},
        "spec": {"containers": [{"name": "app", "image": "registry.example/shop:1.4.0"}]},
    }
