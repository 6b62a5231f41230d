"""EnvoyFilter: what Istio's webhook refuses beyond the schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.regex import regex_problem
from gitlab_mesh.core.analysis.registry import object_rule
from gitlab_mesh.core.analysis.rules.fields import check_labels

__all__: list[str] = []

_REJECTED = "Istio's admission webhook refuses the object, so the change never arrives"
_HEAD = "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: shop, namespace: shop}\nspec:\n"
_LISTENERS = frozenset({"LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER"})
_ROUTES = frozenset({"ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"})
_MANAGER = ("envoy.filters.network.http_connection_manager", "envoy.http_connection_manager")
_Found = Iterator[tuple[Path, str]]

DEPRECATED_FILTERS = {
    "envoy.cors": "envoy.filters.http.cors",
    "envoy.fault": "envoy.filters.http.fault",
    "envoy.grpc_http1_bridge": "envoy.filters.http.grpc_http1_bridge",
    "envoy.grpc_json_transcoder": "envoy.filters.http.grpc_json_transcoder",
    "envoy.grpc_web": "envoy.filters.http.grpc_web",
    "envoy.gzip": "envoy.filters.http.gzip",
    "envoy.health_check": "envoy.filters.http.health_check",
    "envoy.ip_tagging": "envoy.filters.http.ip_tagging",
    "envoy.lua": "envoy.filters.http.lua",
    "envoy.rate_limit": "envoy.filters.http.ratelimit",
    "envoy.router": "envoy.filters.http.router",
    "envoy.squash": "envoy.filters.http.squash",
    "envoy.ext_authz": "envoy.filters.http.ext_authz",
    "envoy.http_connection_manager": "envoy.filters.network.http_connection_manager",
    "envoy.tcp_proxy": "envoy.filters.network.tcp_proxy",
    "envoy.mongo_proxy": "envoy.filters.network.mongo_proxy",
    "envoy.redis_proxy": "envoy.filters.network.redis_proxy",
    "envoy.client_ssl_auth": "envoy.filters.network.client_ssl_auth",
    "envoy.ratelimit": "envoy.filters.network.ratelimit",
    "envoy.listener.http_inspector": "envoy.filters.listener.http_inspector",
    "envoy.listener.original_dst": "envoy.filters.listener.original_dst",
    "envoy.listener.tls_inspector": "envoy.filters.listener.tls_inspector",
    "envoy.listener.proxy_protocol": "envoy.filters.listener.proxy_protocol",
}


@object_rule(
    "GM0271",
    "EnvoyFilter patch that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("EnvoyFilter",),
    why=_REJECTED,
    mend="each patch needs applyTo, an operation, a value (but for REMOVE) and a match of its own class",
    bad=_HEAD + "  configPatches: [{applyTo: HTTP_FILTER, match: {cluster: {service: shop}}, "
    "patch: {operation: INSERT_FIRST, value: {name: x}}}]\n",
    good=_HEAD + "  configPatches: [{applyTo: HTTP_FILTER, match: {listener: {portNumber: 80}}, "
    "patch: {operation: INSERT_FIRST, value: {name: x}}}]\n",
)
def check_patches(document: Document) -> Iterator[Problem]:
    """Patches and matches."""
    labels = mapping(document.spec.get("workloadSelector")).get("labels")
    for key in mapping(labels):
        if not key or "*" in key:
            yield Problem(document, ("spec", "workloadSelector", "labels", key), f"{key!r} is no label name")
    yield from check_labels(document, ("spec", "workloadSelector", "labels"), labels)
    for i, patch in dicts(document.spec.get("configPatches")):
        for path, message in _patch(patch):
            yield Problem(document, ("spec", "configPatches", i, *path), message)


def _patch(item: dict[str, Any]) -> _Found:
    if mapping(item.get("match")).get("context") == "WAYPOINT":
        return  # Istio's webhook leaves patches of waypoints alone
    kind = item.get("applyTo")
    if kind in (None, "INVALID"):
        yield (), "applyTo is missing"
        return
    patch = item.get("patch")
    if not isinstance(patch, dict):
        yield (), "patch is missing"
        return
    operation = patch.get("operation")
    if operation in (None, "INVALID"):
        yield ("patch",), "operation is missing"
    elif operation != "REMOVE" and patch.get("value") is None:
        yield ("patch",), f"operation {operation} needs a value"
    if operation in ("INSERT_BEFORE", "INSERT_AFTER") and kind not in (*_LISTENERS, "HTTP_ROUTE", "BOOTSTRAP"):
        yield ("patch", "operation"), f"{operation} does not work on {kind}"
    match = mapping(item.get("match"))
    version = mapping(match.get("proxy")).get("proxyVersion")
    if isinstance(version, str):
        problem = regex_problem(version)
        if problem and "longer" not in problem:  # the limit is the routes', not this field's
            yield ("match", "proxy", "proxyVersion"), f"the pattern {version!r} {problem}"
    yield from _match(str(kind), match)


def _match(kind: str, match: dict[str, Any]) -> _Found:
    there = [key for key in ("listener", "routeConfiguration", "cluster", "waypoint") if match.get(key) is not None]
    wanted = "listener" if kind in _LISTENERS else "routeConfiguration" if kind in _ROUTES else "cluster"
    for key in there:
        if key not in (wanted, "waypoint") and kind not in ("BOOTSTRAP", "EXTENSION_CONFIG"):
            yield ("match", key), f"applyTo {kind} is matched by {wanted}, not by {key}"
    chain = mapping(mapping(match.get("listener")).get("filterChain"))
    found = chain.get("filter")
    if kind in _LISTENERS and isinstance(found, dict):
        path: Path = ("match", "listener", "filterChain", "filter")
        if not found.get("name"):
            yield path, "the filter match has no name"
        inner = found.get("subFilter")
        if isinstance(inner, dict):
            if kind != "HTTP_FILTER":
                yield (*path, "subFilter"), "subFilter works with applyTo HTTP_FILTER only"
            if found.get("name") and found["name"] not in _MANAGER:
                yield (*path, "name"), f"subFilter needs the filter {_MANAGER[0]}"
            if not inner.get("name"):
                yield (*path, "subFilter"), "subFilter has no name"


@object_rule(
    "GM0371",
    "deprecated Envoy filter name",
    Level.WARNING,
    istio="IST0133",
    reads=("EnvoyFilter",),
    why="Envoy has renamed its filters: a patch or match by the old name applies to nothing",
    mend="use the new name",
    bad=_HEAD + "  configPatches: [{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: "
    "{name: envoy.http_connection_manager}}}}, patch: {operation: INSERT_FIRST, value: {name: x, "
    "typed_config: {'@type': type.googleapis.com/udpa.type.v1.TypedStruct}}}}]\n",
    good=_HEAD + "  configPatches: [{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: "
    "{name: envoy.filters.network.http_connection_manager}}}}, patch: {operation: INSERT_FIRST, value: {name: x, "
    "typed_config: {'@type': type.googleapis.com/udpa.type.v1.TypedStruct}}}}]\n",
)
def check_old_names(document: Document) -> Iterator[Problem]:
    """Filter names of Envoy before v3."""
    for i, item in dicts(document.spec.get("configPatches")):
        chain = mapping(mapping(mapping(item.get("match")).get("listener")).get("filterChain"))
        outer = mapping(chain.get("filter"))
        base: Path = ("spec", "configPatches", i)
        places = (
            ((*base, "match", "listener", "filterChain", "filter", "name"), outer.get("name")),
            (
                (*base, "match", "listener", "filterChain", "filter", "subFilter", "name"),
                mapping(outer.get("subFilter")).get("name"),
            ),
            ((*base, "patch", "value", "name"), mapping(mapping(item.get("patch")).get("value")).get("name")),
        )
        for path, name in places:
            new = DEPRECATED_FILTERS.get(str(name))
            if new:
                yield Problem(document, path, f"{name} is called {new} now", f"write {new}")
