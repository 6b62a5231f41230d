"""The Kubernetes kinds that we use, and where the API serves them."""

from __future__ import annotations

from dataclasses import dataclass

from gitlab_mesh.errors import UsageError

__all__ = ["INVENTORY_KINDS", "KINDS", "Kind", "find_kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind; ``group`` is empty for the core API.

    ``word`` is what we call it where two groups have a kind of the same name; elsewhere it is the name.
    """

    name: str
    group: str
    version: str
    plural: str
    namespaced: bool = True
    word: str = ""

    @property
    def api_version(self) -> str:
        """``apiVersion`` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path on the API server; without namespace the list over all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


KINDS = {
    kind.word or kind.name: kind
    for kind in (
        Kind("Namespace", "", "v1", "namespaces", namespaced=False),
        Kind("Pod", "", "v1", "pods"),
        Kind("Service", "", "v1", "services"),
        Kind("ServiceAccount", "", "v1", "serviceaccounts"),
        Kind("ConfigMap", "", "v1", "configmaps"),
        Kind("Secret", "", "v1", "secrets"),
        Kind("Event", "", "v1", "events"),
        Kind("Deployment", "apps", "v1", "deployments"),
        Kind("ReplicaSet", "apps", "v1", "replicasets"),
        Kind("HorizontalPodAutoscaler", "autoscaling", "v2", "horizontalpodautoscalers"),
        Kind("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets"),
        Kind("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices"),
        Kind("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies"),
        Kind("Lease", "coordination.k8s.io", "v1", "leases"),
        Kind(
            "SelfSubjectAccessReview",
            "authorization.k8s.io",
            "v1",
            "selfsubjectaccessreviews",
            namespaced=False,
        ),
        Kind("VirtualService", "networking.istio.io", "v1", "virtualservices"),
        Kind("DestinationRule", "networking.istio.io", "v1", "destinationrules"),
        Kind("Gateway", "networking.istio.io", "v1", "gateways"),
        Kind("HTTPRoute", "gateway.networking.k8s.io", "v1", "httproutes"),
        Kind(
            "Gateway",
            "gateway.networking.k8s.io",
            "v1",
            "gateways",
            word="Gateway.gateway.networking.k8s.io",
        ),
        Kind("AuthorizationPolicy", "security.istio.io", "v1", "authorizationpolicies"),
        Kind("PeerAuthentication", "security.istio.io", "v1", "peerauthentications"),
    )
}


INVENTORY_KINDS = {
    kind.name: kind
    for kind in (
        Kind("StatefulSet", "apps", "v1", "statefulsets"),
        Kind("DaemonSet", "apps", "v1", "daemonsets"),
        Kind("ServiceEntry", "networking.istio.io", "v1", "serviceentries"),
        Kind("Sidecar", "networking.istio.io", "v1", "sidecars"),
        Kind("WorkloadEntry", "networking.istio.io", "v1", "workloadentries"),
        Kind("EnvoyFilter", "networking.istio.io", "v1alpha3", "envoyfilters"),
        Kind("RequestAuthentication", "security.istio.io", "v1", "requestauthentications"),
        Kind("Telemetry", "telemetry.istio.io", "v1", "telemetries"),
        Kind("GatewayClass", "gateway.networking.k8s.io", "v1", "gatewayclasses", namespaced=False),
        Kind("GRPCRoute", "gateway.networking.k8s.io", "v1", "grpcroutes"),
        Kind("ReferenceGrant", "gateway.networking.k8s.io", "v1beta1", "referencegrants"),
    )
}
"""Kinds that a release has nothing to do with: only the rules of ``validate`` read them."""


def find_kind(name: str) -> Kind:
    """Return the kind of this name.

    Raises:
        UsageError: We do not use such a kind.
    """
    kind = KINDS.get(name) or INVENTORY_KINDS.get(name)
    if kind is None:
        raise UsageError(f"kind {name} is not known", why=f"known are {', '.join(KINDS)}")
    return kind
