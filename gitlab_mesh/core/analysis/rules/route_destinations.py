"""Destinations of VirtualServices: hosts and ports that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.mesh import Mesh, is_exported
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.names import nearest
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.references import NOT_READ, missing

__all__ = ["destinations"]

_HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n  hosts: [shop]\n"


_SERVICE = "---\napiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: shop}\nspec: {ports: [{port: 80, name: http}]}\n"


def destinations(document: Document) -> Iterator[tuple[Path, dict[str, Any], bool]]:
    """Yield (path, destination, whether it is a mirror) of every route of a VirtualService."""
    for key in ("http", "tls", "tcp"):
        for i, route in dicts(document.spec.get(key)):
            for r, item in dicts(route.get("route")):
                destination = item.get("destination")
                if destination.__class__ is dict:
                    yield ("spec", key, i, "route", r, "destination"), destination, False
            if key == "http":
                if isinstance(route.get("mirror"), dict):
                    yield ("spec", key, i, "mirror"), route["mirror"], True
                for m, item in dicts(route.get("mirrors")):
                    if isinstance(item.get("destination"), dict):
                        yield ("spec", key, i, "mirrors", m, "destination"), item["destination"], True


@rule(
    "GM0101",
    "destination that does not exist",
    Level.ERROR,
    istio="IST0101",
    reads=("VirtualService", "Service", "ServiceEntry"),
    also=(NOT_READ,),
    why="Envoy answers 503 (no such cluster) to every request that is routed there",
    mend="correct the host or its port; a short name belongs to the VirtualService's own namespace",
    bad=_HEAD + "  http: [{route: [{destination: {host: shpo}}]}]\n" + _SERVICE,
    good=_HEAD + "  http: [{route: [{destination: {host: shop}}]}]\n" + _SERVICE,
)
def check_hosts(mesh: Mesh) -> Iterator[Problem]:
    """Host and port of each destination."""
    entries = mesh.of("ServiceEntry")
    for document in mesh.of("VirtualService"):
        namespace = document.namespace
        for path, destination, mirror in destinations(document):
            host = destination.get("host")
            if not isinstance(host, str) or host == "*":
                continue
            key = mesh.service_key(host, namespace)
            service = mesh.services.get(key) if key else None
            if service is not None and service.annotations and not _visible(service, document):
                hint = "extend its annotation networking.istio.io/exportTo, or exportTo here"
                message = f"host {host} exists, but is not exported to where this route is read"
                yield Problem(document, (*path, "host"), message, hint)
                continue
            entry = mesh.find_entry(host, namespace) if entries and service is None else None
            if service is None and entry is None:
                if not mesh.assumed_host(mesh.fqdn(host, namespace)):
                    yield _no_host(mesh, document, path, host, key, mirror)
                continue
            wanted = mapping(destination.get("port")).get("number")
            ports = _ports(service, entry)
            if wanted is not None and ports and wanted not in ports:
                shown = ", ".join(str(port) for port in ports)
                yield Problem(
                    document,
                    (*path, "port", "number"),
                    f"{host} has no port {wanted}; it has {shown}",
                    f"use one of {shown}",
                )


def _visible(service: Document, route: Document) -> bool:
    """Say whether every namespace that reads the route sees the Service (its exportTo annotation)."""
    text = service.annotations.get("networking.istio.io/exportTo")
    if not isinstance(text, str) or not text.strip():
        return True
    exported = {service.namespace if word.strip() == "." else word.strip() for word in text.split(",")}
    readers = {route.namespace if word == "." else word for _, word in texts(route.spec.get("exportTo")) if word != "*"}
    return "*" in exported or (readers or {route.namespace}) <= exported


def _ports(service: Document | None, entry: Document | None) -> list[int]:
    if service is not None:
        return [port["port"] for _, port in dicts(service.spec.get("ports")) if isinstance(port.get("port"), int)]
    return [port["number"] for _, port in dicts(entry.spec.get("ports")) if "number" in port] if entry else []


def _hidden(mesh: Mesh, host: str, namespace: str) -> str:
    """Name the ServiceEntry that has the host, but is not exported to the namespace."""
    found = [entry for entry in mesh.entry_hosts.get(host, ()) if not is_exported(entry, namespace)]
    return found[0].full_name if found else ""


def _no_host(
    mesh: Mesh, document: Document, path: Path, host: str, key: tuple[str, str] | None, mirror: bool
) -> Problem:
    what = "mirror host" if mirror else "host"
    hidden = _hidden(mesh, host, document.namespace)
    if hidden:
        message = f"{what} {host} exists, but ServiceEntry {hidden} is not exported to namespace {document.namespace}"
        return Problem(document, (*path, "host"), message, "extend its exportTo")
    if key is None:
        return missing(mesh, document, (*path, "host"), f"{what} {host} is no ServiceEntry", surely=False)
    space, name = key
    known = [service for ns, service in mesh.services if ns == space]
    near = nearest(name, known)
    others = [ns for ns, service in mesh.services if service == name and ns != space]
    hint = f"did you mean {near}?" if near else ""
    if others and not near:
        hint = f"{name} exists in namespace {others[0]}: write {name}.{others[0]}.svc.{mesh.options.cluster_domain}"
    # the control plane is installed by other means than this repository
    surely = space in mesh.service_namespaces and space != mesh.options.root_namespace
    message = f"{what} {host} ({name} in namespace {space or 'of the object'}) does not exist"
    return missing(mesh, document, (*path, "host"), message, surely=surely, hint=hint)


@rule(
    "GM0112",
    "destination without the port that it needs",
    Level.ERROR,
    istio="IST0112",
    reads=("VirtualService", "Service", "ServiceEntry"),
    why="the service has several ports: Istio cannot choose one, and the route leads nowhere",
    mend="name the port: destination.port.number",
    bad=_HEAD
    + "  http: [{route: [{destination: {host: shop}}]}]\n"
    + _SERVICE.replace("http}", "http}, {port: 90, name: grpc}"),
    good=_HEAD
    + "  http: [{route: [{destination: {host: shop, port: {number: 80}}}]}]\n"
    + _SERVICE.replace("http}", "http}, {port: 90, name: grpc}"),
)
def check_port_needed(mesh: Mesh) -> Iterator[Problem]:
    """A service with several ports needs one named."""
    entries = mesh.of("ServiceEntry")
    for document in mesh.of("VirtualService"):
        for path, destination, _ in destinations(document):
            host = destination.get("host")
            if not isinstance(host, str) or mapping(destination.get("port")).get("number") is not None:
                continue
            key = mesh.service_key(host, document.namespace)
            service = mesh.services.get(key) if key else None
            entry = mesh.find_entry(host, document.namespace) if entries and service is None else None
            ports = _ports(service, entry)
            if len(ports) > 1:
                shown = ", ".join(str(port) for port in ports)
                yield Problem(document, path, f"{host} has the ports {shown}; the destination must name one")
