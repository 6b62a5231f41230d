"""ServiceEntry: what Istio's webhook refuses beyond the schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.names import is_subdomain, is_wildcard_host
from gitlab_mesh.core.analysis.registry import object_rule
from gitlab_mesh.core.analysis.rules.fields import (
    PROTOCOLS,
    check_export_to,
    check_labels,
    check_selector,
    is_cidr,
    is_ip,
)

__all__: list[str] = []

_REJECTED = "Istio's admission webhook refuses the object, so the change never arrives"
_HEAD = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: pay, namespace: shop}\nspec:\n"
_DNS = ("DNS", "DNS_ROUND_ROBIN")


def _host_problem(host: str) -> str:
    if not host:
        return "a host must not be empty"
    if is_wildcard_host(host):
        return ""
    return f"{host!r} is no DNS name"


@object_rule(
    "GM0231",
    "ServiceEntry host, address or port that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("ServiceEntry",),
    why=_REJECTED,
    mend="hosts are DNS names, addresses are IP addresses or ranges, ports have a known protocol",
    bad=_HEAD + "  hosts: [pay.example.com]\n  ports: [{number: 443, name: tls, protocol: TSL}]\n  resolution: DNS\n",
    good=_HEAD + "  hosts: [pay.example.com]\n  ports: [{number: 443, name: tls, protocol: TLS}]\n  resolution: DNS\n",
)
def check_names(document: Document) -> Iterator[Problem]:
    """Hosts, addresses, ports, selector, exportTo."""
    spec = document.spec
    for i, host in texts(spec.get("hosts")):
        if host != "*" and _host_problem(host):
            yield Problem(document, ("spec", "hosts", i), _host_problem(host))
    for i, address in texts(spec.get("addresses")):
        if not is_ip(address) and not is_cidr(address):
            yield Problem(document, ("spec", "addresses", i), f"{address!r} is no address and no range")
    for i, port in dicts(spec.get("ports")):
        protocol = port.get("protocol")
        if protocol and str(protocol).upper() not in PROTOCOLS:
            yield Problem(document, ("spec", "ports", i, "protocol"), f"protocol {protocol!r} is not known")
    labels = mapping(spec.get("workloadSelector")).get("labels")
    for key in mapping(labels):
        if not key or "*" in key:
            yield Problem(document, ("spec", "workloadSelector", "labels", key), f"{key!r} is no label name")
    yield from check_selector(document, ("spec", "workloadSelector", "labels"), labels)
    yield from check_export_to(document, hidden=True)


@object_rule(
    "GM0232",
    "ServiceEntry whose endpoints do not fit its resolution",
    Level.ERROR,
    istio="IST0106",
    reads=("ServiceEntry",),
    why=_REJECTED,
    mend="STATIC takes addresses, DNS takes names, NONE and DYNAMIC_DNS take no endpoints",
    bad=_HEAD + "  hosts: ['*.example.com']\n  ports: [{number: 443, name: tls, protocol: TLS}]\n  resolution: DNS\n",
    good=_HEAD + "  hosts: [pay.example.com]\n  ports: [{number: 443, name: tls, protocol: TLS}]\n  resolution: DNS\n",
)
def check_endpoints(document: Document) -> Iterator[Problem]:
    """Endpoints against resolution and ports."""
    resolution = document.spec.get("resolution", "NONE")
    if resolution == "STATIC":
        yield from _static(document)
    elif resolution in _DNS:
        yield from _dns(document, resolution)
    elif resolution == "DYNAMIC_DNS":
        yield from _dynamic(document)
    yield from _ports(document)


def _static(document: Document) -> Iterator[Problem]:
    sockets = False
    for i, endpoint in dicts(document.spec.get("endpoints")):
        address = str(endpoint.get("address", ""))
        if address.startswith("unix://"):
            sockets = True
        elif not address:
            if not endpoint.get("network"):
                yield Problem(document, ("spec", "endpoints", i), "the endpoint has no address")
        elif not is_ip(address):
            message = f"{address!r} is no address; resolution STATIC takes addresses"
            yield Problem(document, ("spec", "endpoints", i, "address"), message)
    if sockets and len(document.spec.get("ports") or ()) != 1:
        yield Problem(document, ("spec", "ports"), "with a unix socket as endpoint exactly one port is needed")


def _dns(document: Document, resolution: str) -> Iterator[Problem]:
    endpoints = dicts(document.spec.get("endpoints"))
    if not endpoints:
        for i, host in texts(document.spec.get("hosts")):
            if "*" in host:
                message = f"{host} cannot be looked up: resolution {resolution} without endpoints needs a whole name"
                yield Problem(document, ("spec", "hosts", i), message)
    for i, endpoint in endpoints:
        address = str(endpoint.get("address", ""))
        if address.startswith("unix://") or (not is_ip(address) and not is_subdomain(address)):
            message = f"{address!r} is no DNS name and no address; resolution {resolution} needs one"
            yield Problem(document, ("spec", "endpoints", i, "address"), message)


def _dynamic(document: Document) -> Iterator[Problem]:
    spec = document.spec
    for i, host in texts(spec.get("hosts")):
        if not host.startswith("*."):
            yield Problem(
                document, ("spec", "hosts", i), f"resolution DYNAMIC_DNS takes wildcard hosts, {host} is none"
            )
    for key in ("endpoints", "addresses", "workloadSelector"):
        if spec.get(key):
            yield Problem(document, ("spec", key), f"resolution DYNAMIC_DNS takes no {key}")
    if spec.get("location") == "MESH_INTERNAL" and "istio.io/use-waypoint" in document.labels:
        message = "resolution DYNAMIC_DNS with a waypoint is for MESH_EXTERNAL only"
        yield Problem(document, ("spec", "location"), message)
    for i, port in dicts(spec.get("ports")):
        protocol = str(port.get("protocol") or "TCP").upper()
        if protocol not in ("HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS", "TLS"):
            message = f"resolution DYNAMIC_DNS needs the host in the request: HTTP or TLS, not {protocol}"
            yield Problem(document, ("spec", "ports", i), message)


def _ports(document: Document) -> Iterator[Problem]:
    names = {port.get("name") for _, port in dicts(document.spec.get("ports"))}
    for i, endpoint in dicts(document.spec.get("endpoints")):
        path: Path = ("spec", "endpoints", i)
        for name in mapping(endpoint.get("ports")):
            if name not in names:
                yield Problem(
                    document, (*path, "ports", name), f"port {name} is none of the ServiceEntry's", at_key=True
                )
        yield from check_labels(document, (*path, "labels"), endpoint.get("labels"))


@object_rule(
    "GM0331",
    "ServiceEntry that works differently from what it says",
    Level.WARNING,
    istio="IST0133",
    reads=("ServiceEntry",),
    why="plain TCP knows no host names: such an entry takes traffic of all addresses on its port",
    mend="name the addresses, or use a protocol that carries the host (HTTP, TLS)",
    bad=_HEAD + "  hosts: ['*.example.com']\n  ports: [{number: 3306, name: tcp, protocol: TCP}]\n  resolution: NONE\n",
    good=_HEAD + "  hosts: ['*.example.com']\n  ports: [{number: 443, name: tls, protocol: TLS}]\n  resolution: NONE\n",
)
def check_wide_tcp(document: Document) -> Iterator[Problem]:
    """A wildcard host on a TCP port without addresses."""
    spec: dict[str, Any] = document.spec
    if spec.get("addresses") or spec.get("resolution", "NONE") != "NONE":
        return
    for i, port in dicts(spec.get("ports")):
        if str(port.get("protocol") or "TCP").upper() in ("TCP", "MYSQL", "REDIS", "MONGO"):
            message = f"port {port.get('number')} takes all TCP traffic: the hosts mean nothing without addresses"
            yield Problem(document, ("spec", "ports", i), message)
