"""What changes the proxy itself: EnvoyFilter, Wasm, Lua, external authorization."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.places import field_rule
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.workloads import selector_of

__all__: list[str] = []

_CLUSTER = "configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 1s}}}]"
_DIGEST = "0" * 64


def _filter(patch: str, *, selector: str = "workloadSelector: {labels: {app: shop}}, ", namespace: str = "shop") -> str:
    return example("EnvoyFilter", f"{selector}{patch}", name="x", namespace=namespace)


def _wasm(url: str, more: str = "") -> str:
    return example("WasmPlugin", f"url: '{url}'{more}", name="x")


def _walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every value inside, with its path."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key), item
        yield from _walk(item, (*path, key))


def _patched(document: Document) -> Iterator[tuple[Path, Any]]:
    for i, item in dicts(document.spec.get("configPatches")):
        path: Path = ("spec", "configPatches", i, "patch", "value")
        yield from _walk(mapping(item.get("patch")).get("value"), path)


@object_rule(
    "GM2601",
    "EnvoyFilter that touches the protection itself",
    Level.ERROR,
    suite="security",
    reads=("EnvoyFilter",),
    references=("CWE-693",),
    why="without the filters for RBAC, JWT or external authorization, policies are stored but not applied",
    mend="leave those filters alone; write an AuthorizationPolicy",
    bad=_filter(
        "configPatches: [{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: "
        "envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.rbac}}}}}, "
        "patch: {operation: REMOVE}}]"
    ),
    good=_filter(_CLUSTER),
)
def check_filters(document: Document) -> Iterator[Problem]:
    """REMOVE, REPLACE and INSERT_BEFORE at rbac, jwt_authn, ext_authz."""
    for i, item in dicts(document.spec.get("configPatches")):
        operation = mapping(item.get("patch")).get("operation")
        found = re.search(r"envoy\.filters\.(?:http|network)\.(rbac|jwt_authn|ext_authz)", str(item.get("match")))
        if found and operation in ("REMOVE", "REPLACE", "INSERT_BEFORE", "MERGE"):
            yield Problem(document, ("spec", "configPatches", i, "patch"), f"{operation} at {found[1]}")


@rule(
    "GM2602",
    "EnvoyFilter for the whole mesh",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("EnvoyFilter",),
    why="one mistake takes down, or opens, every proxy",
    mend="select the workloads",
    bad=_filter(_CLUSTER, selector="", namespace="istio-system"),
    good=_filter(_CLUSTER, namespace="istio-system"),
)
def check_wide_filters(mesh: Mesh) -> Iterator[Problem]:
    """EnvoyFilters of the root namespace without selector."""
    for document in mesh.of("EnvoyFilter"):
        if (
            document.namespace == mesh.options.root_namespace
            and not selector_of(document)
            and not document.spec.get("targetRefs")
        ):
            yield Problem(document, ("spec",), "it patches every proxy of the mesh")


@object_rule(
    "GM2603",
    "code of others without a fixed digest",
    Level.WARNING,
    suite="security",
    reads=("WasmPlugin",),
    references=("CWE-494",),
    why="whoever can write to that address runs code in your proxies",
    mend="fetch it with https or oci, and set sha256 (or name the image by digest)",
    bad=_wasm("oci://registry.example/x:1"),
    good=_wasm(f"oci://registry.example/x@sha256:{_DIGEST}"),
)
def check_wasm(document: Document) -> Iterator[Problem]:
    """WasmPlugins without digest, over http, or that fail open."""
    url = str(document.spec.get("url", ""))
    if not document.spec.get("sha256") and "@sha256:" not in url and not url.startswith("file://"):
        yield Problem(document, ("spec", "url"), f"{url} has no digest")
    if document.spec.get("failStrategy") == "FAIL_OPEN" and document.spec.get("phase") in ("AUTHN", "AUTHZ"):
        yield Problem(document, ("spec", "failStrategy"), f"if it fails, phase {document.spec['phase']} is skipped")


field_rule(
    "GM2605",
    "code fetched without TLS",
    Level.ERROR,
    "spec.url spec.wasm.url",
    lambda value: f"{value} can be exchanged on the way" if str(value).startswith("http://") else "",
    suite="security",
    reads=("WasmPlugin", "TrafficExtension"),
    references=("CWE-494", "CWE-319"),
    why="whoever is on the way runs code in your proxies",
    mend="use https or oci, with sha256",
    bad=_wasm("http://registry.example/x.wasm", f", sha256: {_DIGEST.replace('0', 'a')}"),
    good=_wasm("https://registry.example/x.wasm", f", sha256: {_DIGEST.replace('0', 'a')}"),
)

_CODE = ("inlineCode", "inline_code", "inline_string", "inlineString")
_SYSTEM = re.compile(r"\b(os|io|package|debug)\.\w+|\b(loadstring|dofile|require)\s*\(")
_LUA = (
    "configPatches: [{applyTo: HTTP_FILTER, patch: {operation: INSERT_FIRST, value: {name: lua, "
    "typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, %s}}}}]"
)


@object_rule(
    "GM2604",
    "code inside of the configuration",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("EnvoyFilter", "TrafficExtension"),
    references=("CWE-94",),
    why="whoever may write this object runs code in the proxies, unseen by reviews and scanners of images",
    mend="use what Istio offers for it; else a Wasm plugin by digest, reviewed and built like other code",
    bad=_filter(_LUA % "inline_code: 'function envoy_on_request(handle) os.execute(\"id\") end'"),
    good=_filter(_CLUSTER),
)
def check_inline_code(document: Document) -> Iterator[Problem]:
    """Lua and Wasm that stand in the object."""
    found = list(_patched(document))
    lua = mapping(document.spec.get("lua")).get("inlineCode")
    found += [(("spec", "lua", "inlineCode"), lua)] if lua else []
    for path, value in found:
        if path[-1] in _CODE and isinstance(value, str) and value.strip():
            call = _SYSTEM.search(value)
            yield Problem(document, path, f"code that calls {call[0]}" if call else "code stands here")


@object_rule(
    "GM2606",
    "authorization that gives up openly",
    Level.WARNING,
    suite="security",
    reads=("MeshConfig", "IstioOperator", "EnvoyFilter"),
    references=("CWE-636",),
    why="while the authorizer is down, slow or overloaded, everybody is admitted: an attacker can bring that about",
    mend="set failOpen: false",
    bad="extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: opa.opa.svc.cluster.local, port: 9191, failOpen: true}}]\n",
    good="extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: opa.opa.svc.cluster.local, port: 9191}}]\n",
)
def check_fail_open(document: Document) -> Iterator[Problem]:
    """FailOpen of the mesh's providers, failure_mode_allow of ext_authz filters."""
    operator = document.kind == "IstioOperator"
    settings = mapping(document.spec.get("meshConfig")) if operator else document.body
    prefix: Path = ("spec", "meshConfig") if operator else ()
    for i, provider in dicts(settings.get("extensionProviders")):
        for key in ("envoyExtAuthzHttp", "envoyExtAuthzGrpc"):
            if mapping(provider.get(key)).get("failOpen") is True:
                path: Path = (*prefix, "extensionProviders", i, key, "failOpen")
                yield Problem(document, path, f"without an answer of {provider.get('name')} requests are admitted")
    for path, value in _patched(document):
        if path[-1] in ("failure_mode_allow", "failureModeAllow") and value is True:
            yield Problem(document, path, "without an answer requests are admitted")


_ADMIN = (
    "configPatches: [{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: "
    "{admin: {address: {socket_address: {address: %s, port_value: 15000}}}}}}]"
)


@object_rule(
    "GM2607",
    "admin interface open to others",
    Level.ERROR,
    suite="security",
    reads=("EnvoyFilter",),
    references=("CWE-306", "OWASP API8:2023"),
    why="Envoy's admin interface has no login: it shows keys and configuration, and ends the proxy",
    mend="leave it on 127.0.0.1",
    bad=_filter(_ADMIN % "0.0.0.0"),  # noqa: S104 - an example
    good=_filter(_ADMIN % "127.0.0.1"),
)
def check_admin(document: Document) -> Iterator[Problem]:
    """Bootstrap patches that bind the admin interface elsewhere."""
    for path, value in _patched(document):
        if path[-1] == "address" and "admin" in path and isinstance(value, str) and value not in ("127.0.0.1", "::1"):
            yield Problem(document, path, f"the admin interface listens on {value}")
