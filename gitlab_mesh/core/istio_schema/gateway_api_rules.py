"""Rules of Gateway API's types that their notation cannot say (its CRDs say them in CEL)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.model import Path, dicts
from gitlab_mesh.core.istio_schema.types import Rules

__all__ = ["GATEWAY_API_RULES"]

_Found = Iterator[tuple[Path, str]]
_PATH_CHARACTERS = re.compile(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+")
_DURATION_PARTS = re.compile(r"(\d{1,5})(h|ms|m|s)")
_SERVICE = re.compile(r"(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*")
_METHOD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_FILTER_FIELD = {
    "RequestHeaderModifier": "requestHeaderModifier",
    "ResponseHeaderModifier": "responseHeaderModifier",
    "RequestMirror": "requestMirror",
    "RequestRedirect": "requestRedirect",
    "URLRewrite": "urlRewrite",
    "CORS": "cors",
    "ExternalAuth": "externalAuth",
    "ExtensionRef": "extensionRef",
}
_ONCE = ("CORS", "RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite")


def _filter(value: dict[str, Any]) -> _Found:
    wanted = _FILTER_FIELD.get(str(value.get("type")), "")
    if wanted and wanted not in value:
        yield (), f"a filter of type {value.get('type')} needs {wanted}"
    for field in _FILTER_FIELD.values():
        if field != wanted and value.get(field) is not None:
            yield (field,), f"{field} does not belong to a filter of type {value.get('type')}"


def _filters(value: dict[str, Any], key: str = "filters") -> _Found:
    kinds = [str(item.get("type")) for _, item in dicts(value.get(key))]
    for kind in _ONCE:
        if kinds.count(kind) > 1:
            yield (key,), f"filter {kind} may be there once only"
    if "RequestRedirect" in kinds and "URLRewrite" in kinds:
        yield (key,), "filters RequestRedirect and URLRewrite exclude one another"


def _replaces_prefix(value: dict[str, Any]) -> Path | None:
    places: list[tuple[Path, dict[str, Any]]] = [(("filters", i), item) for i, item in dicts(value.get("filters"))]
    for b, backend in dicts(value.get("backendRefs")):
        places += [(("backendRefs", b, "filters", i), item) for i, item in dicts(backend.get("filters"))]
    for path, item in places:
        for kind in ("requestRedirect", "urlRewrite"):
            modifier = (item.get(kind) or {}).get("path") or {}
            if modifier.get("type") == "ReplacePrefixMatch":
                return (*path, kind, "path")
    return None


def _http_rule(value: dict[str, Any]) -> _Found:
    yield from _filters(value)
    if value.get("backendRefs") and any(
        item.get("type") == "RequestRedirect" for _, item in dicts(value.get("filters"))
    ):
        yield ("backendRefs",), "a rule that redirects must have no backendRefs"
    place = _replaces_prefix(value)
    matches = value.get("matches")
    if place is not None and matches is not None:
        paths = [(item.get("path") or {}) for _, item in dicts(matches)]
        if len(paths) != 1 or (paths and paths[0].get("type", "PathPrefix") != "PathPrefix"):
            yield place, "ReplacePrefixMatch needs exactly one match, of type PathPrefix"


def _timeouts(value: dict[str, Any]) -> _Found:
    whole, one = _seconds(value.get("request")), _seconds(value.get("backendRequest"))
    if whole and one and one > whole:
        yield ("backendRequest",), "backendRequest is longer than request, the time for the whole"


def _seconds(text: Any) -> float:
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(int(number) * units[unit] for number, unit in _DURATION_PARTS.findall(text)) if text else 0.0


def _path_match(value: dict[str, Any]) -> _Found:
    kind, text = value.get("type", "PathPrefix"), value.get("value", "/")
    if kind == "RegularExpression" or not isinstance(text, str):
        return
    if not text.startswith("/"):
        yield ("value",), f"the path {text!r} must begin with /"
        return
    for bad in ("//", "/./", "/../", "%2f", "%2F", "#"):
        if bad in text:
            yield ("value",), f"the path must not contain {bad}"
            return
    if text.endswith(("/..", "/.")):
        yield ("value",), "the path must not end with /.. or /."
    elif not _PATH_CHARACTERS.fullmatch(text):
        yield ("value",), f"the path {text!r} has characters that a path cannot have"


def _path_modifier(value: dict[str, Any]) -> _Found:
    fields = {"ReplaceFullPath": "replaceFullPath", "ReplacePrefixMatch": "replacePrefixMatch"}
    wanted = fields.get(str(value.get("type")), "")
    for field in fields.values():
        if (field == wanted) != (value.get(field) is not None):
            yield (), f"type {value.get('type')} {'needs' if field == wanted else 'excludes'} {field}"


def _redirect(value: dict[str, Any]) -> _Found:
    if value.get("statusCode") not in (None, 301, 302, 303, 307, 308):
        yield ("statusCode",), f"{value['statusCode']} is no redirect; allowed are 301, 302, 303, 307, 308"


def _fraction(value: dict[str, Any]) -> _Found:
    if value.get("numerator", 0) > value.get("denominator", 100):
        yield ("numerator",), "numerator is more than denominator"


def _backend(value: dict[str, Any]) -> _Found:
    if value.get("group", "") == "" and value.get("kind", "Service") == "Service" and value.get("port") is None:
        yield (), "port is missing; a Service needs one"


def _http_backend(value: dict[str, Any]) -> _Found:
    yield from _backend(value)
    yield from _filters(value)


def _parents(value: dict[str, Any]) -> _Found:
    groups: dict[tuple[Any, ...], list[tuple[int, dict[str, Any]]]] = {}
    for i, item in dicts(value.get("parentRefs")):
        group, kind = item.get("group", "gateway.networking.k8s.io"), item.get("kind", "Gateway")
        key = (group, kind, item.get("namespace"), item.get("name"))
        groups.setdefault(key, []).append((i, item))
    for items in groups.values():
        if len(items) < 2:
            continue
        sections = [item.get("sectionName", "") for _, item in items]
        ports = [item.get("port", 0) for _, item in items]
        pairs = list(zip(sections, ports, strict=True))
        i = items[-1][0]
        if len(set(pairs)) < len(pairs):
            yield ("parentRefs", i), "two parentRefs name the same parent; give each its own sectionName or port"
        elif not all(sections) and not all(ports):
            yield ("parentRefs", i), "parentRefs of one parent must all name a sectionName (or a port)"


def _http_route(value: dict[str, Any]) -> _Found:
    yield from _parents(value)
    yield from _unique_names(value)
    total = sum(len(rule.get("matches") or [None]) for _, rule in dicts(value.get("rules")))
    if total > 128:
        yield ("rules",), f"a route may have 128 matches in all; these are {total}"


def _unique_names(value: dict[str, Any]) -> _Found:
    seen: set[str] = set()
    for i, rule in dicts(value.get("rules")):
        name = rule.get("name")
        if isinstance(name, str):
            if name in seen:
                yield ("rules", i, "name"), f"two rules are named {name}"
            seen.add(name)


def _grpc_method(value: dict[str, Any]) -> _Found:
    if not value.get("service") and not value.get("method"):
        yield (), "one of service and method is needed"
    if value.get("type", "Exact") == "Exact":
        for field, pattern in (("service", _SERVICE), ("method", _METHOD)):
            text = value.get(field)
            if isinstance(text, str) and text and not pattern.fullmatch(text):
                yield (field,), f"{text!r} is no name of a gRPC {field}"


def _grpc_rule(value: dict[str, Any]) -> _Found:
    yield from _filters(value)


def _session(value: dict[str, Any]) -> _Found:
    cookie = value.get("cookie") or value.get("cookieConfig") or {}
    permanent = cookie.get("lifetimeType") == "Permanent"
    if permanent and value.get("absoluteTimeout") is None:
        yield (), "a permanent cookie needs absoluteTimeout"
    kind = value.get("type", "Cookie")
    for word, field in (("Header", "cookie"), ("Header", "cookieConfig"), ("Cookie", "header")):
        if kind == word and value.get(field):
            yield (field,), f"{field} does not belong to type {word}"


def _cors(value: dict[str, Any]) -> _Found:
    for field in ("allowOrigins", "allowMethods", "allowHeaders"):
        words = value.get(field) or []
        if "*" in words and len(words) > 1:
            yield (field,), "* cannot be mixed with other values"


def _listener(value: dict[str, Any]) -> _Found:
    protocol = value.get("protocol")
    tls = value.get("tls")
    if protocol in ("HTTP", "TCP", "UDP"):
        if tls is not None:
            yield ("tls",), f"a listener of protocol {protocol} has no tls"
        if protocol != "HTTP" and value.get("hostname"):
            yield ("hostname",), f"a listener of protocol {protocol} has no hostname"
    if protocol == "HTTPS" and tls is not None and tls.get("mode", "Terminate") != "Terminate":
        yield ("tls", "mode"), "protocol HTTPS needs tls mode Terminate"
    if protocol == "TLS" and (tls is None or not tls):
        yield (), "protocol TLS needs tls.mode"


def _listener_tls(value: dict[str, Any]) -> _Found:
    if value.get("mode", "Terminate") == "Terminate" and not value.get("certificateRefs") and not value.get("options"):
        yield (), "tls mode Terminate needs certificateRefs or options"


def _gateway(value: dict[str, Any]) -> _Found:
    seen: set[tuple[Any, ...]] = set()
    for i, item in dicts(value.get("listeners")):
        key = (item.get("port"), item.get("protocol"), item.get("hostname"))
        if key in seen:
            yield (
                ("listeners", i),
                f"two listeners have port {key[0]}, protocol {key[1]} and hostname {key[2] or '(any)'}",
            )
        seen.add(key)
    if not value.get("listeners") and not value.get("allowedListeners"):
        yield (), "listeners is missing"


def _backend_tls(value: dict[str, Any]) -> _Found:
    refs, known = value.get("caCertificateRefs"), value.get("wellKnownCACertificates")
    if bool(refs) == bool(known):
        yield (), "exactly one of caCertificateRefs and wellKnownCACertificates is wanted"


GATEWAY_API_RULES: Rules = {
    "HTTPRouteFilter": _filter,
    "GRPCRouteFilter": _filter,
    "HTTPRouteRule": _http_rule,
    "GRPCRouteRule": _grpc_rule,
    "HTTPRouteTimeouts": _timeouts,
    "HTTPPathMatch": _path_match,
    "HTTPPathModifier": _path_modifier,
    "RequestRedirect": _redirect,
    "Fraction": _fraction,
    "BackendObjectReference": _backend,
    "BackendRef": _backend,
    "HTTPBackendRef": _http_backend,
    "GRPCBackendRef": _http_backend,
    "HTTPRoute": _http_route,
    "GRPCRoute": _http_route,
    "TCPRoute": _parents,
    "UDPRoute": _parents,
    "TLSRoute": _parents,
    "GRPCMethodMatch": _grpc_method,
    "SessionPersistence": _session,
    "CORSFilter": _cors,
    "Listener": _listener,
    "ListenerTLS": _listener_tls,
    "Gateway": _gateway,
    "BackendTLSValidation": _backend_tls,
}
