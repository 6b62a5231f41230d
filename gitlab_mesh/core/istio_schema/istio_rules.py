"""Rules of Istio's types that their notation cannot say (its CRDs say them in CEL)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from gitlab_mesh.core.analysis.model import Path, dicts
from gitlab_mesh.core.istio_schema.types import Rules

__all__ = ["ISTIO_RULES"]

_Found = Iterator[tuple[Path, str]]
_PORT_NAME = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")


def _selector(value: dict[str, Any]) -> _Found:
    for key in value.get("matchLabels") or {}:
        if not key:
            yield ("matchLabels", key), "a label's key must not be empty"
        elif "*" in key:
            yield ("matchLabels", key), f"wildcards are not supported in selectors: {key}"


def _service_entry(value: dict[str, Any]) -> _Found:
    resolution = value.get("resolution", "NONE")
    for i, address in enumerate(value.get("addresses") or ()):
        if isinstance(address, str) and "/" in address and resolution not in ("STATIC", "NONE"):
            yield ("addresses", i), f"the range {address} is allowed with resolution NONE or STATIC only"
    endpoints = value.get("endpoints")
    if endpoints is not None and resolution == "NONE":
        yield ("endpoints",), "resolution NONE cannot have endpoints"
    if resolution == "DNS_ROUND_ROBIN" and len(endpoints or ()) > 1:
        yield ("endpoints",), "resolution DNS_ROUND_ROBIN takes one endpoint at most"
    for i, host in enumerate(value.get("hosts") or ()):
        if host == "*":
            yield ("hosts", i), "the host must not be a bare *"
    seen: set[Any] = set()
    for i, port in dicts(value.get("ports")):
        number = port.get("number")
        if number in seen:
            yield ("ports", i, "number"), f"port number {number} stands twice"
        seen.add(number)


def _workload_entry(value: dict[str, Any]) -> _Found:
    address = value.get("address")
    if isinstance(address, str) and address.startswith("unix://"):
        if address[7:8] not in ("/", "@"):
            yield ("address",), "the path of a unix socket must be absolute, or abstract (@)"
        elif address.endswith("/"):
            yield ("address",), "a unix socket must not be a directory"
        if value.get("ports") is not None:
            yield ("ports",), "a unix socket has no ports"
    for name in value.get("ports") or {}:
        if len(str(name)) >= 63 or not _PORT_NAME.fullmatch(str(name)):
            yield ("ports", name), f"{name} is no port name"


def _source(value: dict[str, Any]) -> _Found:
    accounts = [key for key in ("serviceAccounts", "notServiceAccounts") if value.get(key) is not None]
    for other in ("principals", "notPrincipals", "namespaces", "notNamespaces"):
        if accounts and value.get(other) is not None:
            yield (accounts[0],), f"{accounts[0]} cannot be combined with {other}"


def _envoy_match(value: dict[str, Any]) -> _Found:
    if (value.get("context") == "WAYPOINT") != (value.get("waypoint") is not None):
        yield (), "a waypoint match goes with context WAYPOINT, and only with it"


def _peer_authentication(value: dict[str, Any]) -> _Found:
    ports = value.get("portLevelMtls")
    if ports is None:
        return
    if not (value.get("selector") or {}).get("matchLabels"):
        yield ("portLevelMtls",), "portLevelMtls needs a selector with matchLabels; without one it is refused"
    for port in ports:
        if not (str(port).isdigit() and 0 < int(port) <= 65535):
            yield ("portLevelMtls", port), f"{port} is no port number (1 to 65535)"


def _jwt_rule(value: dict[str, Any]) -> _Found:
    for field in ("jwksUri", "jwks_uri"):
        uri = value.get(field)
        if isinstance(uri, str):
            problem = url_problem(uri)
            if problem:
                yield (field,), f"{uri!r} {problem}"


def url_problem(uri: str) -> str:
    """Say what is wrong with an address for JWKS; empty: nothing."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return "has no valid port"
    if parts.scheme not in ("http", "https"):
        return "must begin with http:// or https://"
    if not parts.hostname:
        return "has no host"
    return "has no valid port" if parts.netloc.endswith(":") or port == 0 else ""


def _wasm(value: dict[str, Any]) -> _Found:
    url = value.get("url")
    if isinstance(url, str):
        scheme = url.split("://", 1)[0] if "://" in url else ""
        if scheme not in ("", "http", "https", "file", "oci"):
            yield ("url",), f"{scheme}:// is not supported; use oci, http, https or file"


def _wasm_variable(value: dict[str, Any]) -> _Found:
    if value.get("valueFrom") == "HOST" and value.get("value") is not None:
        yield ("value",), "value is not allowed where valueFrom is HOST"


def _tag_override(value: dict[str, Any]) -> _Found:
    operation = value.get("operation", "")
    if operation == "UPSERT" and not value.get("value"):
        yield (), "UPSERT needs a value"
    if operation == "REMOVE" and value.get("value") is not None:
        yield ("value",), "REMOVE takes no value"


def _health(value: dict[str, Any]) -> _Found:
    if value.get("scheme", "") not in ("", "HTTP", "HTTPS"):
        yield ("scheme",), f"{value['scheme']} is not one of HTTP, HTTPS"


ISTIO_RULES: Rules = {
    "MatchLabels": _selector,
    "WorkloadSelectorLabels": _selector,
    "ServiceEntry": _service_entry,
    "WorkloadEntry": _workload_entry,
    "Source": _source,
    "EnvoyConfigObjectMatch": _envoy_match,
    "PeerAuthentication": _peer_authentication,
    "JWTRule": _jwt_rule,
    "WasmPlugin": _wasm,
    "WasmConfig": _wasm,
    "EnvVar": _wasm_variable,
    "TagOverride": _tag_override,
    "HTTPHealthCheck": _health,
}
