"""Gateways: pods behind them, ports, conflicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.references import NOT_READ, missing
from gitlab_mesh.core.analysis.rules.route_gateways import gateway_selector
from gitlab_mesh.core.analysis.workloads import Workload, matches

__all__ = ["GATEWAY_EXAMPLE"]

GATEWAY_EXAMPLE = (
    "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: edge}\n"
    "spec: {selector: {istio: edge}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, "
    "hosts: [shop.example.com], tls: {mode: SIMPLE, credentialName: shop-tls}}]}\n"
)


_POD = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: edge, namespace: edge, labels: {istio: edge}}\n"


_SERVICE = (
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: edge, namespace: edge}\n"
    "spec: {selector: {istio: edge}, ports: [{port: 443, targetPort: 443, name: https}]}\n"
)


@rule(
    "GM0183",
    "Gateway that no pod serves",
    Level.ERROR,
    istio="IST0101",
    reads=("Gateway", "Pod", "Deployment"),
    also=(NOT_READ,),
    why="the servers of this Gateway listen nowhere",
    mend="correct spec.selector: it must match the labels of the gateway's pods",
    bad=GATEWAY_EXAMPLE.replace("istio: edge", "istio: egde") + _POD,
    good=GATEWAY_EXAMPLE + _POD,
)
def check_workload(mesh: Mesh) -> Iterator[Problem]:
    """The selector picks pods."""
    proxies = any("istio" in item.labels for item in mesh.workloads)
    for document in mesh.of("Gateway"):
        selector = gateway_selector(document)
        if not mesh.select(None, selector):
            shown = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
            yield missing(mesh, document, ("spec", "selector"), f"no pod has the labels {shown}", surely=proxies)


def _service_ports(mesh: Mesh, workloads: list[Workload]) -> set[int] | None:
    """Return the ports of the pods that Services open; None if no Service selects them."""
    ports: set[int] | None = None
    for service in mesh.of("Service"):
        selector = mapping(service.spec.get("selector"))
        if not selector:
            continue
        for workload in workloads:
            if workload.namespace == service.namespace and matches(selector, workload.labels):
                ports = ports or set()
                for port in mesh.service_ports(service):
                    if port.get("protocol", "TCP") in ("", "TCP", "HTTP"):
                        ports |= _targets(port, workload)
                break
    return ports


def _targets(port: dict[str, Any], workload: Workload) -> set[int]:
    target = port.get("targetPort")
    if isinstance(target, int) and target:
        return {target, port.get("port", 0)}  # Istio leads a server's port through the Service's own mapping too
    if isinstance(target, str):
        named = {
            item["containerPort"]
            for _, container in workload.containers
            for _, item in dicts(container.get("ports"))
            if item.get("name") == target and isinstance(item.get("containerPort"), int)
        }
        return named or {port.get("port", 0)}
    return {port.get("port", 0)}


@rule(
    "GM0162",
    "Gateway port that its Service does not open",
    Level.WARNING,
    istio="IST0162",
    reads=("Gateway", "Service", "Pod", "Deployment"),
    why="the gateway listens, but nobody reaches this port through its Service",
    mend="add a port with this targetPort to the Service of the gateway, or correct the number",
    bad=GATEWAY_EXAMPLE.replace("number: 443", "number: 8443") + _POD + _SERVICE,
    good=GATEWAY_EXAMPLE + _POD + _SERVICE,
)
def check_ports(mesh: Mesh) -> Iterator[Problem]:
    """Server ports against the target ports of the Services that select the gateway's pods."""
    for document in mesh.of("Gateway"):
        workloads = mesh.select(None, gateway_selector(document))
        ports = _service_ports(mesh, workloads) if workloads else None
        if ports is None:
            continue
        for i, server in dicts(document.spec.get("servers")):
            number = mapping(server.get("port")).get("number")
            if isinstance(number, int) and number not in ports:
                shown = ", ".join(str(port) for port in sorted(ports))
                message = f"no Service of the gateway's pods leads to port {number}; they lead to {shown}"
                yield Problem(document, ("spec", "servers", i, "port", "number"), message)


@rule(
    "GM0145",
    "Gateways that take the same host and port",
    Level.ERROR,
    istio="IST0145",
    reads=("Gateway", "Pod", "Deployment"),
    why="one pod can serve only one of them; which one depends on their age",
    mend="merge the servers, or give them different hosts, ports or pods",
    bad=GATEWAY_EXAMPLE + "---\n" + GATEWAY_EXAMPLE.replace("name: edge,", "name: other,"),
    good=GATEWAY_EXAMPLE
    + "---\n"
    + GATEWAY_EXAMPLE.replace("name: edge,", "name: other,").replace("shop.example", "pay.example"),
)
def check_conflicts(mesh: Mesh) -> Iterator[Problem]:
    """The same pods, port, bind and host in two Gateways."""
    claims: dict[tuple[Any, ...], list[tuple[Document, Path]]] = defaultdict(list)
    clashes: dict[tuple[Any, ...], tuple[Document, Path, Any, list[str], set[str]]] = {}
    for document in mesh.of("Gateway"):
        for i, server in dicts(document.spec.get("servers")):
            number = mapping(server.get("port")).get("number")
            for h, host in texts(server.get("hosts")):
                claims[number, server.get("bind", ""), host].append((document, ("spec", "servers", i, "hosts", h)))
    for (number, _, host), found in claims.items():
        if len({item.full_name for item, _ in found}) < 2:
            continue
        for document, path in found:
            own = document.full_name
            others = {
                item.full_name for item, _ in found if item.full_name != own and _share_pods(mesh, document, item)
            }
            if others:
                entry = clashes.setdefault((id(document), path[:3]), (document, path, number, [], set()))
                entry[3].append(host)
                entry[4].update(others)
    for document, path, number, hosts, names in clashes.values():
        server = document.spec["servers"][path[2]]
        plain = str(mapping(server.get("port")).get("protocol", "")).upper() in ("HTTP", "HTTP2", "GRPC")
        message = f"{', '.join(hosts)} on port {number} is taken by {', '.join(sorted(names))} too, on the same pods"
        # plain HTTP servers of one port are merged, so their routes still work
        yield Problem(document, path, message, level=Level.WARNING if plain else None)


def _share_pods(mesh: Mesh, one: Document, other: Document) -> bool:
    first, second = gateway_selector(one), gateway_selector(other)
    if first == second:
        return True
    pods = {id(item) for item in mesh.select(None, first)}
    return any(id(item) in pods for item in mesh.select(None, second))
