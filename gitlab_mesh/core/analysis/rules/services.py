"""Services: names of ports, Deployments behind several Services, clusters that disagree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.mesh import SYSTEM_NAMESPACES, Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.workloads import Workload, matches

__all__ = ["port_protocol"]

_PROTOCOLS = frozenset(
    [
        "grpc",
        "grpc-web",
        "http",
        "http2",
        "http_proxy",
        "https",
        "hbone",
        "mongo",
        "mysql",
        "redis",
        "tcp",
        "tls",
        "udp",
    ]
)
_APP_PROTOCOLS = frozenset({"kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss", "istio.io/hbone"})
_KNOWN_PORTS = frozenset({25, 53, 3306, 27017})
_SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: shop}\nspec: {selector: {app: shop}, ports: [%s]}\n"
_DEPLOYMENT = (
    "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {template: {metadata: {labels: {app: shop}}}}\n"
    "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n"
)


def port_protocol(port: dict[str, Any]) -> str:
    """Return the protocol that Istio reads from a Service's port, lower case; empty where it has to guess."""
    if str(port.get("protocol", "TCP")).upper() in ("UDP", "SCTP"):
        return str(port["protocol"]).lower()
    app = port.get("appProtocol")
    if isinstance(app, str):
        if app.lower() in _PROTOCOLS or app in _APP_PROTOCOLS:
            return app.lower()
        return ""
    name = str(port.get("name") or "").lower()
    if name.startswith("grpc-web"):
        return "grpc-web"
    word = name.split("-", 1)[0]
    if word in _PROTOCOLS:
        return word
    return "tcp" if port.get("port") in _KNOWN_PORTS else ""


def _control_plane(document: Document) -> bool:
    labels = document.labels
    return (
        "operator.istio.io/component" in labels
        or labels.get("istio") in ("pilot", "istiod", "ingressgateway", "egressgateway")
        or labels.get("app") in ("istiod", "istio-pilot")
        or "gateway.istio.io/managed" in labels
        or labels.get("release") == "istio"
    )


@rule(
    "GM0118",
    "port whose protocol Istio has to guess",
    Level.INFO,
    istio="IST0118",
    reads=("Service",),
    why="the protocol is sniffed from each connection: slower, no route by path where it fails, and policies for HTTP do not hold",
    mend="name the port http-…, grpc-…, tcp-… or set appProtocol",
    bad=_SERVICE % "{port: 8080, name: web}",
    good=_SERVICE % "{port: 8080, name: http-web}",
)
def check_port_names(mesh: Mesh) -> Iterator[Problem]:
    """Names and appProtocol of ports."""
    for document, path, port, protocol in _named_ports(mesh):
        if document.spec.get("type") != "ExternalName" and not protocol:
            named = port.get("name")
            text = f"port {named!r}" if named else f"port {port.get('port')} (without a name)"
            yield Problem(document, (*path, "name"), f"{text} names no protocol")


def _named_ports(mesh: Mesh) -> Iterator[tuple[Document, Path, dict[str, Any], str]]:
    for document in mesh.of("Service"):
        if document.namespace not in SYSTEM_NAMESPACES and not _control_plane(document):
            for i, port in dicts(document.spec.get("ports")):
                yield document, ("spec", "ports", i), port, port_protocol(port)


@rule(
    "GM0150",
    "ExternalName service with a TCP port",
    Level.WARNING,
    istio="IST0150",
    reads=("Service",),
    why="such a listener takes TCP traffic of every address on this port",
    mend="name the port by its protocol (http-…, https-…, tls-…), or use a ServiceEntry",
    bad="apiVersion: v1\nkind: Service\nmetadata: {name: pay, namespace: shop}\n"
    "spec: {type: ExternalName, externalName: pay.example.com, ports: [{port: 443, name: tcp}]}\n",
    good="apiVersion: v1\nkind: Service\nmetadata: {name: pay, namespace: shop}\n"
    "spec: {type: ExternalName, externalName: pay.example.com, ports: [{port: 443, name: https}]}\n",
)
def check_external_names(mesh: Mesh) -> Iterator[Problem]:
    """The same for ExternalName services."""
    for document, path, port, protocol in _named_ports(mesh):
        if document.spec.get("type") == "ExternalName" and (not protocol or str(port.get("name")).lower() == "tcp"):
            message = f"port {port.get('port')} of this ExternalName service names no protocol that carries the host"
            yield Problem(document, (*path, "name"), message)


def _behind(mesh: Mesh) -> Iterator[tuple[Workload, list[Document]]]:
    """Yield each Deployment of the mesh with the Services that select its pods."""
    by_namespace: dict[str, list[Document]] = defaultdict(list)
    for service in mesh.of("Service"):
        if mapping(service.spec.get("selector")):
            by_namespace[service.namespace].append(service)
    index: dict[tuple[str, str, Any], list[Document]] = defaultdict(list)
    for namespace, services in by_namespace.items():
        for service in services:
            key, value = next(iter(service.spec["selector"].items()))
            index[namespace, key, str(value)].append(service)
    for workload in mesh.workloads:
        if workload.document.kind != "Deployment" or not mesh.in_sidecar_mesh(workload):
            continue
        found = [
            service
            for key, value in workload.labels.items()
            for service in index.get((workload.namespace, key, str(value)), ())
            if matches(service.spec["selector"], workload.labels)
        ]
        if found:
            yield workload, found


@rule(
    "GM0116",
    "one port with two protocols",
    Level.WARNING,
    istio="IST0116",
    reads=("Deployment", "Service", "Namespace"),
    why="the proxy can treat a port in one way only: one of the Services does not work",
    mend="use different port numbers",
    bad=_SERVICE % "{port: 80, name: http, protocol: TCP}"
    + "---\n"
    + (_SERVICE % "{port: 80, name: udp, protocol: UDP}").replace("name: shop,", "name: two,")
    + _DEPLOYMENT,
    good=_SERVICE % "{port: 80, name: http, protocol: TCP}" + _DEPLOYMENT,
)
def check_protocols(mesh: Mesh) -> Iterator[Problem]:
    """Port numbers with several protocols over the Services of one Deployment."""
    for workload, services in _behind(mesh):
        if len(services) < 2 and len(mesh.service_ports(services[0])) < 2:
            continue
        ports: dict[Any, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for service in services:
            for port in mesh.service_ports(service):
                ports[port.get("port")][str(port.get("protocol") or "TCP").upper()].append(service.name)
        for number, protocols in ports.items():
            if len(protocols) > 1:
                shown = ", ".join(f"{word} by {'/'.join(names)}" for word, names in sorted(protocols.items()))
                yield Problem(workload.document, ("metadata", "name"), f"port {number} is used as {shown}")


@rule(
    "GM0137",
    "one target port behind several ports",
    Level.WARNING,
    istio="IST0137",
    reads=("Deployment", "Service", "Namespace"),
    why="the proxy sees the target port only and may apply the settings of the wrong Service",
    mend="use the same port number in both Services, or different target ports",
    bad=_SERVICE % "{port: 80, name: http, targetPort: 8080}"
    + "---\n"
    + (_SERVICE % "{port: 90, name: http, targetPort: 8080}").replace("name: shop,", "name: two,")
    + _DEPLOYMENT,
    good=_SERVICE % "{port: 80, name: http, targetPort: 8080}" + _DEPLOYMENT,
)
def check_target_ports(mesh: Mesh) -> Iterator[Problem]:
    """Target ports that several Services lead to from different ports."""
    for workload, services in _behind(mesh):
        if len(services) < 2:
            continue
        targets: dict[str, dict[Any, list[str]]] = defaultdict(lambda: defaultdict(list))
        for service in services:
            for port in mesh.service_ports(service):
                if port.get("targetPort") not in (None, 0, ""):
                    targets[str(port["targetPort"])][port.get("port")].append(service.name)
        for target, ports in targets.items():
            names = {name for found in ports.values() for name in found}
            if len(ports) > 1 and len(names) > 1:
                shown = ", ".join(str(port) for port in sorted(ports, key=str))
                message = f"target port {target} is behind the ports {shown} of {', '.join(sorted(names))}"
                yield Problem(workload.document, ("metadata", "name"), message)


@rule(
    "GM0170",
    "service that differs between clusters",
    Level.WARNING,
    istio="IST0170",
    reads=("Service",),
    why="the mesh takes both for one service: what works from one cluster fails from the other",
    mend="make type, clusterIP and ports equal",
    bad="apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: shop, labels: {topology.istio.io/cluster: a}}\n"
    "spec: {ports: [{port: 80, name: http}]}\n---\napiVersion: v1\nkind: Service\n"
    "metadata: {name: shop, namespace: shop, labels: {topology.istio.io/cluster: b}}\nspec: {ports: [{port: 81, name: http}]}\n",
    good="apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: shop, labels: {topology.istio.io/cluster: a}}\n"
    "spec: {ports: [{port: 80, name: http}]}\n---\napiVersion: v1\nkind: Service\n"
    "metadata: {name: shop, namespace: shop, labels: {topology.istio.io/cluster: b}}\nspec: {ports: [{port: 80, name: http}]}\n",
)
def check_clusters(mesh: Mesh) -> Iterator[Problem]:
    """Services of one name in several clusters."""
    groups: dict[tuple[str, str], list[Document]] = defaultdict(list)
    for document in mesh.of("Service"):
        groups[document.namespace, document.name].append(document)
    for documents in groups.values():
        clusters = {item.cluster or str(item.labels.get("topology.istio.io/cluster", "")) for item in documents}
        if len(documents) < 2 or len(clusters) < 2:
            continue
        differences = [word for word, read in _ASPECTS if len({read(item) for item in documents}) > 1]
        if differences:
            first = documents[0]
            shown = ", ".join(sorted(cluster for cluster in clusters if cluster))
            yield Problem(first, ("spec",), f"{', '.join(differences)} differ between the clusters {shown}")


def _ports_key(document: Document) -> str:
    return str(
        sorted(
            (str(p.get("name")), str(p.get("port")), str(p.get("protocol", "TCP")))
            for _, p in dicts(document.spec.get("ports"))
        )
    )


_ASPECTS = (
    ("type", lambda item: str(item.spec.get("type") or "ClusterIP")),
    ("headless", lambda item: str(item.spec.get("clusterIP") == "None")),
    ("ports", _ports_key),
)
