"""Kubernetes Services as the mesh sees them: full name, HTTP ports, pods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.sandbox.envoy.hosts import DOMAIN, by_age
from gitlab_mesh.sandbox.envoy.model import InboundPod

__all__ = ["DOMAIN", "MeshService", "cluster_name", "read_services"]

_OTHER_PROTOCOLS = {"tcp", "tls", "https", "http2", "grpc", "grpc-web", "udp", "mongo", "mysql", "redis"}


@dataclass(frozen=True, slots=True)
class MeshService:
    """A Service.

    Attributes:
        name: Of the Service.
        namespace: Of the Service.
        ports: Its HTTP/1.1 ports, in its own order.
        selector: Labels of its pods; a Service without selector has no pods here.
    """

    name: str
    namespace: str
    ports: tuple[int, ...]
    selector: Mapping[str, str]

    @property
    def host(self) -> str:
        """Full name."""
        return f"{self.name}.{self.namespace}.svc.{DOMAIN}"

    @property
    def default_port(self) -> int:
        """The port that a ``Host`` header without port means: 80, or else the first."""
        return 80 if 80 in self.ports else self.ports[0]

    def selects(self, pod: InboundPod, labels: Mapping[str, str] | None = None) -> bool:
        """Whether the pod belongs to the Service, and has these labels (of a subset) as well."""
        wanted = {**self.selector, **(labels or {})}
        at = pod.endpoint
        return (
            bool(self.selector)
            and at.namespace == self.namespace
            and all(at.labels.get(key) == value for key, value in wanted.items())
        )


def cluster_name(port: int, subset: str, host: str) -> str:
    """Name of an outbound cluster, as Istio writes it."""
    return f"outbound|{port}|{subset}|{host}"


def read_services(bodies: Iterable[Mapping[str, Any]], warn: list[str]) -> Sequence[MeshService]:
    """Read Services, oldest first; ports that do not speak HTTP/1.1 are left out with a warning.

    Istio finds a port's protocol by ``appProtocol``, else by its name's prefix, else by looking at the bytes
    (https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/). An unnamed port is
    HTTP here. Fields that Istio ignores (``sessionAffinity``, traffic policies) are ignored here, too.
    """
    found = []
    for body in by_age(bodies):
        meta, spec = body.get("metadata", {}), body.get("spec") or {}
        name, namespace = str(meta.get("name", "")), str(meta.get("namespace", "default"))
        ports = []
        for port in spec.get("ports") or []:
            protocol = _protocol(port)
            if protocol in _OTHER_PROTOCOLS:
                warn.append(f"Service {namespace}/{name}: port {port['port']} speaks {protocol}; it is not routed here")
            else:
                ports.append(int(port["port"]))
        if spec.get("type") == "ExternalName":
            warn.append(f"Service {namespace}/{name}: type ExternalName is not routed here")
        elif ports:
            found.append(MeshService(name, namespace, tuple(ports), spec.get("selector") or {}))
    return found


def _protocol(port: Mapping[str, Any]) -> str:
    if str(port.get("protocol", "TCP")).upper() != "TCP":
        return "udp"
    if stated := port.get("appProtocol"):
        return {"kubernetes.io/h2c": "http2"}.get(stated, str(stated).lower())
    named = str(port.get("name") or "")
    return "grpc-web" if named.startswith("grpc-web") else named.split("-")[0].lower()
