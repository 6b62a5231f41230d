"""The shop as its team would have it in a real mesh: namespace, Service, Deployment, route, and who may do what.

The route is in the team's own style, not in ours: short host names, several HTTP routes, a timeout and retries, a
destination without a weight. A release must leave all of that as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.access import ADMIN_RULES
from gitlab_mesh.sandbox.envoy.model import ProxyPod

__all__ = ["HOST", "MESH_YAML", "NAMESPACE", "RULES", "proxy_pod", "shop_objects"]

Object = dict[str, Any]

NAMESPACE = "shop"
HOST = "shop.example"
"""The ``Host`` under which users reach the shop; browsers reach it as shop.localhost, which is loopback to them."""

CONTAINER_PORT = 8080

MESH_YAML = """\
version: 1
services:
  shop:
    namespace: shop
    route: {virtualService: shop, http: [primary]}
"""
"""The shop's ``mesh.yaml``: the minimum, and which of its two HTTP routes a release may move."""

_READ = ["get", "list", "watch"]
_WRITE = [*_READ, "create", "update", "patch", "delete"]

_DEPLOYER: tuple[Mapping[str, Any], ...] = (
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": _WRITE},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": _WRITE},
    {"apiGroups": ["networking.istio.io"], "resources": ["virtualservices", "destinationrules"], "verbs": _WRITE},
    {"apiGroups": ["networking.istio.io"], "resources": ["gateways"], "verbs": _READ},
    {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "verbs": _WRITE},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": _READ},
    {"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"], "verbs": _WRITE},
    {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": _READ},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": [*_READ, "patch"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": _WRITE},
    {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": _READ},
    {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": [*_READ, "create", "patch"]},
    {"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"]},
)
_GATEWAY_READER: tuple[Mapping[str, Any], ...] = (
    {"apiGroups": [""], "resources": ["pods"], "verbs": _READ},
    {"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"]},
)


def _role(namespace: str, rules: tuple[Mapping[str, Any], ...]) -> Object:
    return {"kind": "Role", "metadata": {"namespace": namespace}, "rules": list(rules)}


RULES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "admin": ADMIN_RULES,
    "deployer": (_role(NAMESPACE, _DEPLOYER), _role("istio-system", _GATEWAY_READER)),
    "viewer": (_role(NAMESPACE, ({"apiGroups": ["*"], "resources": ["*"], "verbs": _READ},)),),
}
"""User → rules. ``deployer`` is what a CI job gets; ``viewer`` may look at everything in the namespace."""


def shop_objects(image: str, replicas: int) -> list[Object]:
    """Return the shop's objects, in the order in which they can be created.

    Args:
        image: Of the stable Deployment.
        replicas: Of the stable Deployment.
    """
    return [
        _object("v1", "Namespace", "istio-system", namespace=""),
        _object("v1", "Namespace", NAMESPACE, namespace="", labels={"istio-injection": "enabled"}),
        _deployment(image, replicas),
        _object(
            "v1",
            "Service",
            "shop",
            spec={"selector": {"app": "shop"}, "ports": [{"name": "http", "port": 80, "targetPort": CONTAINER_PORT}]},
        ),
        _object(
            "networking.istio.io/v1",
            "Gateway",
            "shop-gateway",
            spec={
                "selector": {"istio": "ingressgateway"},
                "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
            },
        ),
        _object(
            "networking.istio.io/v1",
            "DestinationRule",
            "shop",
            spec={"host": "shop", "subsets": [{"name": "stable", "labels": {"version": "stable"}}]},
        ),
        _virtual_service(),
    ]


def proxy_pod(pod: ProxyPod) -> Object:
    """Return a pod that is only a proxy (the gateway, a client), bound to a node where no kubelet of ours is."""
    body = _object("v1", "Pod", pod.name, namespace=pod.namespace, labels=dict(pod.labels))
    body["spec"] = {
        "nodeName": "mesh",
        "containers": [{"name": "istio-proxy", "image": "sandbox.invalid/istio/proxyv2:emulated"}],
    }
    return body


def _object(
    version: str,
    kind: str,
    name: str,
    *,
    namespace: str = NAMESPACE,
    labels: Mapping[str, str] | None = None,
    spec: Mapping[str, Any] | None = None,
) -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    body: Object = {"apiVersion": version, "kind": kind, "metadata": metadata}
    if spec:
        body["spec"] = dict(spec)
    return body


def _deployment(image: str, replicas: int) -> Object:
    container = {
        "name": "shop",
        "image": image,
        "ports": [{"name": "http", "containerPort": CONTAINER_PORT}],
        "env": [{"name": "SHOP_CURRENCY", "value": "EUR"}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": CONTAINER_PORT}, "periodSeconds": 2},
    }
    template = {
        "metadata": {"labels": {"app": "shop", "version": "stable", "team": "storefront"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 10},
    }
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "shop", "version": "stable"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": template,
    }
    return _object("apps/v1", "Deployment", "shop", labels={"app": "shop", "team": "storefront"}, spec=spec)


def _virtual_service() -> Object:
    stable = {"host": "shop", "subset": "stable"}
    body = _object(
        "networking.istio.io/v1",
        "VirtualService",
        "shop",
        labels={"team": "storefront"},
        spec={
            "hosts": [HOST, "shop.localhost", "shop.shop.svc.cluster.local"],
            "gateways": ["shop-gateway", "mesh"],
            "http": [
                {
                    "name": "internal",
                    "match": [{"headers": {"x-internal": {"exact": "true"}}, "uri": {"prefix": "/"}}],
                    "route": [{"destination": stable}],
                },
                {
                    "name": "primary",
                    "route": [{"destination": stable}],
                    "timeout": "5s",
                    # 5xx are not retried on purpose: the shop's team wants to see its errors
                    "retries": {"attempts": 2, "perTryTimeout": "2s", "retryOn": "connect-failure,refused-stream"},
                },
            ],
        },
    )
    body["metadata"]["annotations"] = {"storefront.example/owner": "team storefront, #shop"}
    return body
