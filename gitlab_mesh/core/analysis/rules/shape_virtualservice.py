"""VirtualServices that Istio refuses: hosts, gateways, routes, destinations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, texts
from gitlab_mesh.core.analysis.names import is_dns_label, is_host_label, is_subdomain, overlaps
from gitlab_mesh.core.analysis.registry import object_rule
from gitlab_mesh.core.analysis.rules.fields import check_export_to, host_problem, is_ip, port_problem, sni_problem

__all__ = ["gateway_problem"]

_REJECTED = "Istio's admission webhook refuses the object, so the change never arrives"


def in_mesh(document: Document) -> bool:
    """Say whether the routes hold for sidecars (gateway ``mesh``)."""
    gateways = document.spec.get("gateways")
    return not gateways or "mesh" in gateways


def gateway_problem(name: str) -> str:
    """Say what is wrong with a gateway's name in a VirtualService; empty: nothing."""
    if not name:
        return "a gateway's name must not be empty"
    if name == "mesh":
        return ""
    if "/" not in name:
        return "" if is_subdomain(name) else f"{name!r} is no gateway's name"
    parts = name.split("/")
    if len(parts) != 2 or not all(is_dns_label(part) for part in parts):
        return f"{name!r} is no gateway's name; the form is namespace/name, without wildcards"
    return ""


_HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n"


_ROUTE = "  http: [{route: [{destination: {host: shop}}]}]\n"


@object_rule(
    "GM0201",
    "VirtualService host or gateway that is no name",
    Level.ERROR,
    istio="IST0106",
    reads=("VirtualService",),
    why=_REJECTED,
    mend="write DNS names; a wildcard stands for the first label; gateways are name or namespace/name",
    bad=_HEAD + "  hosts: ['*']\n" + _ROUTE,
    good=_HEAD + "  hosts: [shop]\n" + _ROUTE,
)
def check_names(document: Document) -> Iterator[Problem]:
    """Hosts, gateways, exportTo."""
    spec = document.spec
    seen: set[str] = set()
    for i, host in texts(spec.get("hosts")):
        problem = sni_problem(document, host) if spec.get("tls") else "" if is_ip(host) else host_problem(host)
        if host == "*" and in_mesh(document):
            problem = "host * is not allowed for the mesh gateway: it would take all traffic of all sidecars"
        elif host in seen:
            problem = f"host {host} stands twice"
        elif "*" in host or any("*" in other for other in seen):
            other = next((other for other in sorted(seen) if overlaps(other, host)), "")
            problem = (
                f"host {host} and {other} overlap; in one VirtualService that counts as a duplicate" if other else ""
            )
        if problem:
            yield Problem(document, ("spec", "hosts", i), problem)
        seen.add(host)
    for i, name in texts(spec.get("gateways")):
        problem = gateway_problem(name)
        if problem:
            yield Problem(document, ("spec", "gateways", i), problem)
    if "exportTo" in spec:
        yield from check_export_to(document)


@object_rule(
    "GM0202",
    "VirtualService without a route",
    Level.ERROR,
    istio="IST0106",
    reads=("VirtualService",),
    why=_REJECTED,
    mend="give it http, tls or tcp routes, and each of them a destination",
    bad=_HEAD + "  hosts: [shop]\n",
    good=_HEAD + "  hosts: [shop]\n" + _ROUTE,
)
def check_routes(document: Document) -> Iterator[Problem]:
    """Some route must be there; a delegate has http only."""
    spec = document.spec
    if not (spec.get("http") or spec.get("tls") or spec.get("tcp")):
        yield Problem(document, ("spec",), "it has neither http nor tls nor tcp routes")
    if not spec.get("hosts"):
        if spec.get("gateways"):
            yield Problem(document, ("spec", "gateways"), "a delegate (no hosts) must not name gateways")
        for key in ("tls", "tcp"):
            if spec.get(key):
                yield Problem(document, ("spec", key), f"a delegate (no hosts) can have http routes only, no {key}")
    for key in ("tls", "tcp"):
        for i, route in dicts(spec.get(key)):
            if not route.get("route"):
                yield Problem(document, ("spec", key, i), f"this {key} route has no destination")


@object_rule(
    "GM0203",
    "http route that does nothing or two things",
    Level.ERROR,
    istio="IST0106",
    reads=("VirtualService",),
    why=_REJECTED,
    mend="keep exactly one of route, redirect, directResponse, delegate",
    bad=_HEAD + "  hosts: [shop]\n  http: [{redirect: {uri: /new}, route: [{destination: {host: shop}}]}]\n",
    good=_HEAD + "  hosts: [shop]\n  http: [{redirect: {uri: /new}}]\n",
)
def check_action(document: Document) -> Iterator[Problem]:
    """Exactly one action."""
    delegate_object = not document.spec.get("hosts")
    for i, route in dicts(document.spec.get("http")):
        path: Path = ("spec", "http", i)
        actions = [key for key in ("route", "redirect", "directResponse", "delegate") if route.get(key)]
        if not actions:
            yield Problem(document, path, "one of route, redirect, directResponse is needed")
        elif len(actions) > 1:
            yield Problem(document, (*path, actions[1]), f"{' and '.join(actions)} exclude one another", at_key=True)
        if delegate_object and "delegate" in route:
            yield Problem(document, (*path, "delegate"), "a delegate cannot delegate again")
        for key in ("rewrite", "fault", "mirror", "mirrors"):
            if route.get(key) and "redirect" in route and key != "fault":
                yield Problem(document, (*path, key), f"{key} cannot be combined with redirect", at_key=True)
            if route.get(key) and "directResponse" in route and key != "fault":
                yield Problem(document, (*path, key), f"{key} cannot be combined with directResponse", at_key=True)


@object_rule(
    "GM0206",
    "destination or weight that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("VirtualService",),
    why=_REJECTED,
    mend="name a host, a subset (a DNS label) and a port; weights are 0 or more, and not all 0",
    bad=_HEAD + "  hosts: [shop]\n  http: [{route: [{destination: {host: shop, subset: a}, weight: 0}, "
    "{destination: {host: shop, subset: b}, weight: 0}]}]\n",
    good=_HEAD + "  hosts: [shop]\n  http: [{route: [{destination: {host: shop, subset: a}, weight: 90}, "
    "{destination: {host: shop, subset: b}, weight: 10}]}]\n",
)
def check_destinations(document: Document) -> Iterator[Problem]:
    """Destinations of routes and mirrors, weights."""
    for key in ("http", "tls", "tcp"):
        for i, route in dicts(document.spec.get(key)):
            path: Path = ("spec", key, i)
            places: list[tuple[Path, Any]] = [
                (("route", d, "destination"), item.get("destination")) for d, item in dicts(route.get("route"))
            ]
            places.append((("mirror",), route.get("mirror")))
            places += [(("mirrors", d, "destination"), m.get("destination")) for d, m in dicts(route.get("mirrors"))]
            for place, destination in places:
                if isinstance(destination, dict):
                    yield from _destination(document, (*path, *place), destination)
            yield from _weights(document, path, dicts(route.get("route")))


def _destination(document: Document, path: Path, destination: dict[str, Any]) -> Iterator[Problem]:
    host = destination.get("host")
    if isinstance(host, str):
        problem = host_problem(host) or ("a destination cannot be *" if host == "*" else "")
        if problem:
            yield Problem(document, (*path, "host"), problem)
    subset = destination.get("subset")
    if subset and not is_host_label(str(subset)):
        yield Problem(document, (*path, "subset"), f"subset {subset!r} is no DNS label")
    port = destination.get("port")
    if isinstance(port, dict) and port_problem(port.get("number")):
        yield Problem(document, (*path, "port"), f"port: {port_problem(port.get('number'))}")


def _weights(document: Document, path: Path, routes: list[tuple[int, dict[str, Any]]]) -> Iterator[Problem]:
    weights = [(d, item.get("weight", 0)) for d, item in routes]
    for d, weight in weights:
        if weight < 0:
            yield Problem(document, (*path, "route", d, "weight"), f"weight {weight} is negative")
    if len(weights) > 1 and sum(weight for _, weight in weights) == 0:
        yield Problem(document, (*path, "route"), f"{len(weights)} destinations, and the sum of their weights is 0")
