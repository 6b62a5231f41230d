"""VirtualService: rules that are never reached, and several VirtualServices for one host."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.names import covers
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.rules.shape_virtualservice import in_mesh

__all__ = ["scopes"]

_HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n  hosts: [shop]\n"


@rule(
    "GM0109",
    "several VirtualServices for one host of the mesh",
    Level.ERROR,
    istio="IST0109",
    reads=("VirtualService",),
    why="sidecars use one of them and ignore the others; which one depends on their age",
    mend="merge them into one, or let one delegate to the others",
    bad=_HEAD
    + "  http: [{route: [{destination: {host: shop}}]}]\n---\n"
    + _HEAD.replace("name: shop,", "name: other,")
    + "  http: [{route: [{destination: {host: shop}}]}]\n",
    good=_HEAD + "  http: [{route: [{destination: {host: shop}}]}]\n",
)
def check_conflicting_hosts(mesh: Mesh) -> Iterator[Problem]:
    """Hosts of the mesh gateway that two VirtualServices claim in one scope."""
    claims: dict[tuple[str, str], dict[int, tuple[Document, int]]] = defaultdict(dict)
    for document in mesh.of("VirtualService"):
        if in_mesh(document):
            for i, host in texts(document.spec.get("hosts")):
                for scope in scopes(document):
                    claims[scope, mesh.fqdn(host, document.namespace)].setdefault(id(document), (document, i))
    wide = {host: found for (scope, host), found in claims.items() if scope == "*"}
    patterns = [host for host in wide if host.startswith("*")]
    for (scope, host), found in claims.items():
        group = dict(found)
        if scope != "*":
            for other in (host, *patterns):
                if other == host or covers(other, host):
                    group.update(wide.get(other, {}))
        if len({item.full_name for item, _ in group.values()}) < 2:  # variants of one object in several files
            continue
        names = ", ".join(sorted(item.full_name for item, _ in group.values()))
        for document, i in group.values():
            yield Problem(document, ("spec", "hosts", i), f"{names} all claim host {host} for the mesh")


def scopes(document: Document) -> set[str]:
    """Return the namespaces that see an object; ``*`` for all."""
    words = {document.namespace if scope == "." else scope for _, scope in texts(document.spec.get("exportTo"))}
    return {"*"} if not words or "*" in words else words


@object_rule(
    "GM0130",
    "route that is never used",
    Level.WARNING,
    istio="IST0130",
    reads=("VirtualService",),
    why="an earlier route takes every request that this one is meant for",
    mend="remove it, or put the narrower route first",
    bad=_HEAD + "  http: [{route: [{destination: {host: shop}}]}, {route: [{destination: {host: old}}]}]\n",
    good=_HEAD + "  http: [{match: [{uri: {prefix: /old}}], route: [{destination: {host: old}}]}, "
    "{route: [{destination: {host: shop}}]}]\n",
)
def check_unreachable(document: Document) -> Iterator[Problem]:
    """Routes behind one without a match, or with only matches that were there before."""
    for key in ("http", "tls", "tcp"):
        routes = dicts(document.spec.get(key))
        if len(routes) > 1:
            yield from _unreachable(document, key, routes)


def _unreachable(document: Document, key: str, routes: list[tuple[int, dict[str, Any]]]) -> Iterator[Problem]:
    seen: set[str] = set()
    open_route = -1
    for i, route in routes:
        matches = _matches(key, route)
        if not matches:
            if open_route >= 0:
                message = f"{_name(route, i)} is never used: {_name({}, open_route)} takes every request already"
                yield Problem(document, ("spec", key, i), message)
            open_route = i
            continue
        if all(match in seen for match in matches):
            message = f"{_name(route, i)} is never used: earlier routes have all of its matches"
            yield Problem(document, ("spec", key, i), message)
        seen.update(matches)


def _matches(key: str, route: dict[str, Any]) -> list[str]:
    found = []
    for _, match in dicts(route.get("match")):
        if key == "tls":
            parts = {name: value for name, value in match.items() if name != "sniHosts"}
            found += [json.dumps({**parts, "sni": host}, sort_keys=True) for _, host in texts(match.get("sniHosts"))]
        else:
            parts = {name: value for name, value in match.items() if name not in ("name", "statPrefix")}
            found.append(json.dumps(parts, sort_keys=True, default=str))
    return found


def _name(route: dict[str, Any], i: int) -> str:
    return f"route {route['name']}" if route.get("name") else f"route #{i}"


@object_rule(
    "GM0131",
    "match that an earlier route has",
    Level.INFO,
    istio="IST0131",
    reads=("VirtualService",),
    why="requests that fit here were taken by the earlier route",
    mend="remove the match, or put the narrower one first",
    bad=_HEAD + "  http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: shop}}]}, "
    "{match: [{uri: {prefix: /a/b}}, {uri: {prefix: /c}}], route: [{destination: {host: old}}]}]\n",
    good=_HEAD + "  http: [{match: [{uri: {prefix: /a/b}}, {uri: {prefix: /c}}], route: [{destination: {host: old}}]}, "
    "{match: [{uri: {prefix: /a}}], route: [{destination: {host: shop}}]}]\n",
)
def check_ineffective(document: Document) -> Iterator[Problem]:
    """Matches that are equal to, or covered by, one of an earlier route."""
    for key in ("http", "tls", "tcp"):
        routes = dicts(document.spec.get(key))
        if len(routes) > 1 or any(len(route.get("match") or ()) > 1 for _, route in routes):
            yield from _ineffective(document, key, routes)


def _ineffective(document: Document, key: str, routes: list[tuple[int, dict[str, Any]]]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    prefixes: list[tuple[str, str, int]] = []
    for i, route in routes:
        for m, match in dicts(route.get("match")):
            path: Path = ("spec", key, i, "match", m)
            words = _matches(key, {"match": [match]})
            duplicate = next((seen[word] for word in words if word in seen), None)
            if duplicate is not None:
                yield Problem(
                    document, path, f"match #{m} of {_name(route, i)} is the same as one of route #{duplicate}"
                )
            elif key == "http":
                uri = mapping(match.get("uri"))
                rest = json.dumps(
                    {k: v for k, v in match.items() if k not in ("uri", "name")}, sort_keys=True, default=str
                )
                text = uri.get("prefix")
                if isinstance(text, str):
                    earlier = next((n for p, r, n in prefixes if r in (rest, "{}") and text.startswith(p)), None)
                    if earlier is not None:
                        message = f"match #{m} of {_name(route, i)} ({text}) is covered by a prefix of route #{earlier}"
                        yield Problem(document, path, message)
                    prefixes.append((text, rest, i))
            for word in words:
                seen.setdefault(word, i)
