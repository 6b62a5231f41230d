"""Gateway API: routes whose parents and backends exist, and may be used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.names import nearest, overlaps
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.references import NOT_READ, missing

__all__: list[str] = []

_ROUTES = ("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute")
_GROUP = "gateway.networking.k8s.io"
_ROUTE = (
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {parentRefs: [{name: %s}], hostnames: [%s], rules: [{backendRefs: [{name: %s, port: %s}]}]}\n"
)
_SERVICE = "---\napiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: %s}\nspec: {ports: [{port: 80, name: http}]}\n"
_GATEWAY = (
    "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: shop}\n"
    "spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP, hostname: '*.example.com'}]}\n"
)


def _backends(document: Document) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every Service that a route names, mirrors too."""
    for r, item in dicts(document.spec.get("rules")):
        for b, backend in dicts(item.get("backendRefs")):
            yield ("spec", "rules", r, "backendRefs", b), backend
        for f, part in dicts(item.get("filters")):
            mirror = mapping(part.get("requestMirror")).get("backendRef")
            if isinstance(mirror, dict):
                yield ("spec", "rules", r, "filters", f, "requestMirror", "backendRef"), mirror


def _service_backends(mesh: Mesh) -> Iterator[tuple[Document, Path, dict[str, Any], str]]:
    for kind in _ROUTES:
        for document in mesh.of(kind):
            for path, backend in _backends(document):
                if backend.get("group", "") in ("", "core") and backend.get("kind", "Service") == "Service":
                    yield document, path, backend, str(backend.get("namespace") or document.namespace)


@rule(
    "GM1501",
    "backend that does not exist",
    Level.ERROR,
    reads=("Service", *_ROUTES),
    also=(NOT_READ,),
    why="the gateway answers 500 to every request that is routed there",
    mend="correct the name or the port of the Service",
    bad=_ROUTE % ("edge", "shop.example.com", "shpo", "80") + _SERVICE % "shop",
    good=_ROUTE % ("edge", "shop.example.com", "shop", "80") + _SERVICE % "shop",
)
def check_backends(mesh: Mesh) -> Iterator[Problem]:
    """Services and ports of backendRefs and mirrors."""
    for document, path, backend, namespace in _service_backends(mesh):
        name = str(backend.get("name"))
        service = mesh.services.get((namespace, name))
        if service is None:
            if mesh.assumed_host(mesh.fqdn(name, namespace)):
                continue
            near = nearest(name, [item for space, item in mesh.services if space == namespace])
            surely = namespace in mesh.service_namespaces and namespace != mesh.options.root_namespace
            hint = f"did you mean {near}?" if near else ""
            message = f"Service {namespace}/{name} does not exist"
            yield missing(mesh, document, (*path, "name"), message, surely=surely, hint=hint)
            continue
        ports = [port.get("port") for port in mesh.service_ports(service)]
        if backend.get("port") is not None and ports and backend["port"] not in ports:
            shown = ", ".join(str(port) for port in ports)
            yield Problem(document, (*path, "port"), f"Service {name} has no port {backend['port']}; it has {shown}")


@rule(
    "GM1502",
    "backend of another namespace without a grant",
    Level.ERROR,
    reads=("Service", "ReferenceGrant", *_ROUTES),
    why="without a ReferenceGrant in that namespace the gateway answers 500",
    mend="add a ReferenceGrant there that allows routes of this namespace",
    bad=_ROUTE % ("edge", "shop.example.com", "shop, namespace: pay", "80") + _SERVICE % "pay",
    good=_ROUTE % ("edge", "shop.example.com", "shop, namespace: pay", "80")
    + _SERVICE % "pay"
    + "---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: pay}\n"
    "spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}], to: [{group: '', kind: Service}]}\n",
)
def check_grants(mesh: Mesh) -> Iterator[Problem]:
    """Cross-namespace backends against the grants, where the other namespace's objects were read."""
    for document, path, backend, namespace in _service_backends(mesh):
        if namespace == document.namespace or namespace not in mesh.service_namespaces:
            continue
        if not any(
            _grants(grant, document, str(backend.get("name")))
            for grant in mesh.of("ReferenceGrant")
            if grant.namespace == namespace
        ):
            message = (
                f"no ReferenceGrant of namespace {namespace} allows it to {document.kind}s of {document.namespace}"
            )
            yield Problem(document, (*path, "namespace"), message)


def _grants(grant: Document, route: Document, name: str) -> bool:
    sources = any(
        item.get("group") == _GROUP and item.get("kind") == route.kind and item.get("namespace") == route.namespace
        for _, item in dicts(grant.spec.get("from"))
    )
    targets = any(
        item.get("kind") == "Service" and item.get("group") in ("", "core") and item.get("name", name) == name
        for _, item in dicts(grant.spec.get("to"))
    )
    return sources and targets


@rule(
    "GM1503",
    "route that its Gateway does not take",
    Level.WARNING,
    reads=("KubernetesGateway", *_ROUTES),
    why="no listener serves the route: requests for its hosts get 404",
    mend="correct parentRefs, sectionName or hostnames, or open the listener for this namespace",
    bad=_ROUTE % ("edge", "shop.example.org", "shop", "80") + _GATEWAY,
    good=_ROUTE % ("edge", "shop.example.com", "shop", "80") + _GATEWAY,
)
def check_parents(mesh: Mesh) -> Iterator[Problem]:
    """ParentRefs against the Gateways that were read: section, port, namespace, hostnames."""
    gateways = {(item.namespace, item.name): item for item in mesh.of("KubernetesGateway")}
    for kind in _ROUTES:
        for document in mesh.of(kind):
            hosts = [host for _, host in texts(document.spec.get("hostnames"))]
            for i, parent in dicts(document.spec.get("parentRefs")):
                space = str(parent.get("namespace") or document.namespace)
                gateway = gateways.get((space, str(parent.get("name"))))
                if parent.get("kind", "Gateway") != "Gateway" or gateway is None:
                    continue
                problem = _refused(gateway, parent, document, hosts)
                if problem:
                    yield Problem(document, ("spec", "parentRefs", i), f"{gateway.resource} {problem}")


def _refused(gateway: Document, parent: dict[str, Any], route: Document, hosts: list[str]) -> str:
    listeners = [item for _, item in dicts(gateway.spec.get("listeners"))]
    if parent.get("sectionName"):
        listeners = [item for item in listeners if item.get("name") == parent["sectionName"]]
        if not listeners:
            return f"has no listener {parent['sectionName']}"
    if parent.get("port") is not None:
        listeners = [item for item in listeners if item.get("port") == parent["port"]]
        if not listeners:
            return f"has no listener on port {parent['port']}"
    allowed = [item for item in listeners if _open_for(gateway, item, route.namespace)]
    if listeners and not allowed:
        return f"takes no routes of namespace {route.namespace}"
    names = [str(item.get("hostname") or "*") for item in allowed]
    if hosts and names and not any(overlaps(name, host) for name in names for host in hosts):
        return f"has no listener for {', '.join(hosts)}; it listens for {', '.join(dict.fromkeys(names))}"
    return ""


def _open_for(gateway: Document, listener: dict[str, Any], namespace: str) -> bool:
    source = mapping(mapping(listener.get("allowedRoutes")).get("namespaces")).get("from", "Same")
    return source != "Same" or gateway.namespace == namespace
