"""Which kinds there are: where their schema is, and which versions Istio serves, newest first."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["API_VERSIONS", "KINDS", "SERVED", "UNKNOWN_KIND", "KindSchema", "engine_kind", "kinds_of_group"]


class KindSchema(NamedTuple):
    """Family of schemas, type inside it, and the key of the object that the type describes ("": the object)."""

    family: str
    type: str
    spec_key: str = "spec"


_NETWORKING = (
    "VirtualService",
    "DestinationRule",
    "Gateway",
    "ServiceEntry",
    "WorkloadEntry",
    "WorkloadGroup",
    "Sidecar",
)
_GATEWAY_API = (
    "GatewayClass",
    "HTTPRoute",
    "GRPCRoute",
    "TCPRoute",
    "TLSRoute",
    "UDPRoute",
    "ReferenceGrant",
    "ListenerSet",
    "BackendTLSPolicy",
)

SERVED: dict[str, tuple[str, ...]] = {
    **{kind: tuple(f"networking.istio.io/{v}" for v in ("v1", "v1beta1", "v1alpha3")) for kind in _NETWORKING},
    "EnvoyFilter": ("networking.istio.io/v1alpha3",),
    "ProxyConfig": ("networking.istio.io/v1beta1",),
    **dict.fromkeys(
        ("AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"),
        ("security.istio.io/v1", "security.istio.io/v1beta1"),
    ),
    "Telemetry": ("telemetry.istio.io/v1", "telemetry.istio.io/v1alpha1"),
    "WasmPlugin": ("extensions.istio.io/v1alpha1",),
    "TrafficExtension": ("extensions.istio.io/v1alpha1",),
    "IstioOperator": ("install.istio.io/v1alpha1",),
}

KINDS: dict[str, KindSchema] = {
    **{kind: KindSchema("istio", kind) for kind in SERVED},
    **{kind: KindSchema("gateway-api", kind) for kind in _GATEWAY_API},
    "KubernetesGateway": KindSchema("gateway-api", "Gateway"),
    "IstioOperator": KindSchema("bare", "IstioOperator"),
    "MeshConfig": KindSchema("bare", "MeshConfig", ""),
    "MeshNetworks": KindSchema("bare", "MeshNetworks", ""),
    "Service": KindSchema("kubernetes", "Service"),
    "Pod": KindSchema("kubernetes", "Pod"),
    **{
        kind: KindSchema("kubernetes", "Workload")
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")
    },
    "CronJob": KindSchema("kubernetes", "CronWorkload"),
    "NetworkPolicy": KindSchema("kubernetes", "NetworkPolicy"),
}

_GROUPS = {
    "networking.istio.io": {*_NETWORKING, "EnvoyFilter", "ProxyConfig"},
    "security.istio.io": {"AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"},
    "telemetry.istio.io": {"Telemetry"},
    "extensions.istio.io": {"WasmPlugin", "TrafficExtension"},
    "install.istio.io": {"IstioOperator"},
    "gateway.networking.k8s.io": set(_GATEWAY_API),
    "": {"Service", "Pod", "Namespace", "ConfigMap", "Secret", "Node", "ServiceAccount"},
    "apps": {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"},
    "batch": {"Job", "CronJob"},
    "networking.k8s.io": {"NetworkPolicy"},
    "admissionregistration.k8s.io": {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"},
    "apiextensions.k8s.io": {"CustomResourceDefinition"},
    "policy": {"PodDisruptionBudget"},
}

_NEWEST = {
    "install.istio.io": "v1alpha1",
    "gateway.networking.k8s.io": "v1",
    "": "v1",
    "apps": "v1",
    "batch": "v1",
    "networking.k8s.io": "v1",
    "admissionregistration.k8s.io": "v1",
    "apiextensions.k8s.io": "v1",
    "policy": "v1",
}
API_VERSIONS: dict[str, str] = {
    "KubernetesGateway": "gateway.networking.k8s.io/v1",
    **{kind: f"{group}/{version}".lstrip("/") for group, version in _NEWEST.items() for kind in _GROUPS[group]},
    **dict.fromkeys(("TCPRoute", "TLSRoute", "UDPRoute", "ListenerSet"), "gateway.networking.k8s.io/v1alpha2"),
    "ReferenceGrant": "gateway.networking.k8s.io/v1beta1",
    **{kind: versions[0] for kind, versions in SERVED.items()},
}
"""The newest version of each kind, with its group."""


UNKNOWN_KIND = "UnknownKind"
"""The engine's word for an object of a group of Istio's whose kind that group does not have."""
_ISTIO_GROUPS = (
    "networking.istio.io",
    "security.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
    "install.istio.io",
)


def kinds_of_group(api_version: str) -> list[str]:
    """Return the kinds of a group of Istio's; none for other groups, of which only some kinds are known here."""
    group = api_version.rpartition("/")[0]
    return sorted(_GROUPS[group]) if group in _ISTIO_GROUPS else []


def engine_kind(api_version: str, kind: str) -> str:
    """Return the engine's word for a kind, or an empty text if no rule is about it."""
    group = api_version.rpartition("/")[0]
    if group == "gateway.networking.k8s.io" and kind == "Gateway":
        return "KubernetesGateway"
    return kind if kind in _GROUPS.get(group, ()) else ""
