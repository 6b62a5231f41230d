"""Values of the data plane: what goes into the translation, what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.errors import GitlabMeshError, UsageError

__all__ = [
    "CLIENT",
    "GATEWAY",
    "GATEWAY_POD",
    "InboundPod",
    "MeshSettings",
    "PodEndpoint",
    "ProxyPod",
    "Translation",
    "UntranslatableError",
    "XdsConfig",
    "XdsRejectedError",
]

Json = dict[str, Any]

GATEWAY = "gateway"
"""Name of the listener that emulates the ingress gateway, and of its pod as a source of requests."""

CLIENT = "mesh"
"""Name of the listener that emulates the outbound side of a client's sidecar."""


class UntranslatableError(UsageError):
    """An Istio object uses something that the sandbox does not translate (2).

    Args:
        owner: The object, "VirtualService shop/shop".
        path: Where in it, "spec.http[0].corsPolicy".
        why: What is wrong with the value there.
        hint: What the reader can do.
    """

    def __init__(self, owner: str, path: str, why: str, hint: str = "") -> None:
        super().__init__(f"{owner}: the sandbox cannot translate {path}", why=why, hint=hint)
        self.owner = owner
        self.path = path


class XdsRejectedError(GitlabMeshError):
    """Envoy refused a configuration and keeps serving the one before it."""


@dataclass(frozen=True, slots=True)
class PodEndpoint:
    """A pod with a running app process.

    Attributes:
        namespace: Of the pod.
        name: Of the pod.
        labels: Of the pod.
        workload: Name of the Deployment (or other owner) that telemetry names.
        app_port: Port of the app's process on 127.0.0.1. Every port of a Service leads to it: an emulated pod
            has one app process with one port.
        ready: Only ready pods get requests through a Service.
        uid: Of the pod, if known; another uid is another pod, whose counters start at 0.
    """

    namespace: str
    name: str
    labels: Mapping[str, str]
    workload: str
    app_port: int
    ready: bool = True
    uid: str = ""


@dataclass(frozen=True, slots=True)
class InboundPod:
    """A pod and its emulated sidecar.

    Attributes:
        endpoint: The pod.
        key: Unique for this life of the pod, also where a later pod has its name; names listener and counters.
        port: Port of the sidecar's inbound listener on 127.0.0.1.
    """

    endpoint: PodEndpoint
    key: str
    port: int


@dataclass(frozen=True, slots=True)
class ProxyPod:
    """The pod whose proxy is a source of requests: the ingress gateway, or the client's sidecar."""

    namespace: str
    name: str
    workload: str
    labels: Mapping[str, str]


GATEWAY_POD = ProxyPod(
    "istio-system",
    "istio-ingressgateway-0",
    "istio-ingressgateway",
    {"app": "istio-ingressgateway", "istio": "ingressgateway"},
)


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """What the emulated mesh is made of, besides the cluster's objects.

    Attributes:
        gateway_port: Port of the gateway's listener on 127.0.0.1.
        mesh_port: Port of the client sidecar's outbound listener on 127.0.0.1. It serves all Service ports: the
            port in the ``Host`` header chooses, as an HTTP client sends it.
        gateway: Pod of the gateway; Gateway objects apply if their selector matches its labels.
        client: Pod of the client; short host names are short in its namespace.
    """

    gateway_port: int
    mesh_port: int
    gateway: ProxyPod = GATEWAY_POD
    client: ProxyPod = field(default_factory=lambda: ProxyPod("default", "client-0", "client", {"app": "client"}))


@dataclass(frozen=True, slots=True)
class XdsConfig:
    """One whole configuration of Envoy; every mapping is by resource name, file paths are relative.

    Attributes:
        clusters: ``envoy.config.cluster.v3.Cluster``.
        endpoints: ``envoy.config.endpoint.v3.ClusterLoadAssignment`` by cluster.
        listeners: ``envoy.config.listener.v3.Listener``.
        routes: ``envoy.config.route.v3.RouteConfiguration``.
    """

    clusters: Mapping[str, Json] = field(default_factory=dict)
    endpoints: Mapping[str, Json] = field(default_factory=dict)
    listeners: Mapping[str, Json] = field(default_factory=dict)
    routes: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Translation:
    """A configuration, and what Istio would do silently although its author hardly meant it."""

    config: XdsConfig
    warnings: tuple[str, ...] = ()
