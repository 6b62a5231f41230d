"""Hosts that two objects want to route: at one gateway, or in two languages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, texts
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.shape_virtualservice import in_mesh

__all__: list[str] = []

_TO = "route: [{destination: {host: shop}}]"


def _route(name: str, match: str = "", *, more: str = "gateways: [edge], ") -> str:
    http = f"match: [{{uri: {{prefix: {match}}}}}], {_TO}" if match else _TO
    return example("VirtualService", f"hosts: [shop.example.com], {more}http: [{{{http}}}]", name=name)


def _catch_all(document: Document) -> Path | None:
    """Return the first HTTP route that takes every request."""
    for i, route in dicts(document.spec.get("http")):
        matches = dicts(route.get("match"))
        if not matches or any(match == {"uri": {"prefix": "/"}} for _, match in matches):
            return ("spec", "http", i)
    return None


@rule(
    "GM1108",
    "several catch-all routes for one host of a gateway",
    Level.WARNING,
    reads=("VirtualService",),
    references=("istio/istio#37500",),
    why="Istio joins them in an order that it does not promise: what stands behind the first catch-all is never reached",
    mend="keep one route without a match, in one of them",
    bad=_route("one") + _route("two"),
    good=_route("one") + _route("two", "/api"),
)
def check_gateways(mesh: Mesh) -> Iterator[Problem]:
    """VirtualServices with the same host at the same gateway that both take everything."""
    found: dict[tuple[str, str], list[tuple[Document, Path]]] = defaultdict(list)
    for document in mesh.of("VirtualService"):
        path = _catch_all(document)
        if path is None:
            continue
        for _, gateway in texts(document.spec.get("gateways")):
            name = gateway if "/" in gateway else f"{document.namespace}/{gateway}"
            for _, host in texts(document.spec.get("hosts")) if gateway != "mesh" else ():
                found[name, host].append((document, path))
    for (gateway, host), items in found.items():
        for document, path in items[1:]:
            yield Problem(document, path, f"{items[0][0].full_name} takes everything for {host} at {gateway}, too")


_HTTP_ROUTE = example(
    "HTTPRoute",
    "parentRefs: [{group: '', kind: Service, name: shop}], rules: [{backendRefs: [{name: shop, port: 80}]}]",
)


@rule(
    "GM1109",
    "one host routed by Istio and by Gateway API",
    Level.WARNING,
    reads=("VirtualService", "HTTPRoute", "GRPCRoute"),
    why="only one of the two holds for a caller; which one is not promised, and differs between sidecars and waypoints",
    mend="keep one language a host",
    bad=example("VirtualService", f"hosts: [shop], http: [{{{_TO}}}]") + _HTTP_ROUTE,
    good=_HTTP_ROUTE
    + example(
        "GRPCRoute",
        "parentRefs: [{group: '', kind: Service, name: cart}], rules: [{backendRefs: [{name: cart, port: 80}]}]",
        name="cart",
    ),
)
def check_languages(mesh: Mesh) -> Iterator[Problem]:
    """Services that are a parent of a route and a host of a VirtualService of the mesh."""
    hosts: dict[str, str] = {}
    for document in mesh.of("VirtualService"):
        for _, host in texts(document.spec.get("hosts")) if in_mesh(document) else ():
            hosts.setdefault(mesh.fqdn(host, document.namespace), document.full_name)
    for kind in ("HTTPRoute", "GRPCRoute"):
        for document in mesh.of(kind):
            for i, parent in dicts(document.spec.get("parentRefs")):
                namespace = str(parent.get("namespace") or document.namespace)
                name = f"{parent.get('name')}.{namespace}.svc.{mesh.options.cluster_domain}"
                if parent.get("kind") == "Service" and name in hosts:
                    path: Path = ("spec", "parentRefs", i)
                    yield Problem(document, path, f"VirtualService {hosts[name]} routes {parent.get('name')}, too")
