"""Checks of fields that several of Istio's kinds share, as Istio's webhook makes them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Path, Problem, mapping, texts
from gitlab_mesh.core.analysis.names import is_dns_label, is_subdomain, is_wildcard_host
from gitlab_mesh.core.analysis.regex import regex_problem

__all__ = [
    "PROTOCOLS",
    "check_export_to",
    "check_labels",
    "check_selector",
    "check_string_match",
    "check_target_refs",
    "host_problem",
    "is_cidr",
    "is_ip",
    "is_subnet",
    "namespaced_host_problem",
    "port_problem",
    "sni_problem",
]

PROTOCOLS = frozenset(
    [
        "GRPC",
        "GRPC-WEB",
        "HTTP",
        "HTTP_PROXY",
        "HTTP2",
        "HTTPS",
        "HBONE",
        "MONGO",
        "MYSQL",
        "REDIS",
        "TCP",
        "TLS",
        "UDP",
        "DOUBLEHBONE",
    ]
)
_SNI = re.compile(r"outbound_\.[^_]*\d[^_]*_\.[^.]*\..*[A-Za-z].*")
"""How gateways between clusters name a service in SNI: ``outbound_.80_._.shop.shop.svc.cluster.local``."""
_LABEL_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]")


@lru_cache(maxsize=8192)
def host_problem(host: str) -> str:
    """Say what is wrong with a host whose first label may be, or begin with, ``*``; empty: nothing."""
    if not host:
        return "a host must not be empty"
    if is_wildcard_host(host):
        return ""
    if "*" in host:
        return f"{host!r}: a wildcard stands at the beginning only (*.example.com)"
    return f"{host!r} is no DNS name"


@lru_cache(maxsize=4096)
def is_ip(text: str) -> bool:
    """Say whether this is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def is_cidr(text: str) -> bool:
    """Say whether this is a range such as 10.0.0.0/8."""
    if "/" not in text:
        return False
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return text.rpartition("/")[2].isdigit()


def is_subnet(text: str) -> bool:
    """An address or a range."""
    return is_ip(text) or is_cidr(text)


def port_problem(number: Any) -> str:
    """Say what is wrong with a port number; empty: nothing."""
    return "" if isinstance(number, int) and 1 <= number <= 65535 else f"port {number} is not between 1 and 65535"


def check_export_to(document: Document, *, hidden: bool = False) -> Iterator[Problem]:
    """``exportTo``: ``.``, ``*``, names of namespaces; no duplicates; ``*`` alone; ``~`` for ServiceEntry only."""
    scopes = texts(document.spec.get("exportTo"))
    seen: dict[str, str] = {}
    for i, scope in scopes:
        path: Path = ("exportTo", i)
        key = document.namespace if scope == "." and document.namespace else scope
        if key in seen:
            yield Problem(document, ("spec", *path), f"exportTo names {scope} twice (as {seen[key]})")
        seen[key] = scope
        if scope == "~" and not hidden:
            yield Problem(document, ("spec", *path), "exportTo ~ (nobody) is for ServiceEntry only")
        elif scope not in (".", "*", "~") and not is_dns_label(scope):
            yield Problem(document, ("spec", *path), f"exportTo {scope!r} is no namespace", "use ., * or a namespace")
    words = {scope for _, scope in scopes}
    for word, meaning in (("*", "everywhere"), ("~", "nowhere")):
        if word in words and len(words) > 1:
            yield Problem(document, ("spec", "exportTo"), f"exportTo {word} ({meaning}) cannot stand beside others")


def sni_problem(document: Document, host: str) -> str:
    """Say what is wrong with a host that TLS names: an address, a host, or a service as Istio's gateways name it."""
    gateways = [name for _, name in texts(document.spec.get("gateways"))]
    if is_ip(host) or (any(name != "mesh" for name in gateways) and _SNI.fullmatch(host)):
        return ""
    return host_problem(host)


def check_selector(document: Document, path: Path, value: Any) -> Iterator[Problem]:
    """Labels that a policy selects by: what no label can be selects nothing, but only wildcards are refused."""
    for key, item in mapping(value).items():
        if isinstance(item, str) and "*" in item:
            yield Problem(document, (*path, key), f"wildcards are not supported in selectors: {item}")


def check_labels(document: Document, path: Path, value: Any) -> Iterator[Problem]:
    """Labels and label selectors."""
    for key, item in mapping(value).items():
        prefix, slash, name = key.rpartition("/")
        if not _LABEL_NAME.fullmatch(name) or (slash and not is_subdomain(prefix)):
            yield Problem(document, (*path, key), f"{key!r} is no label name", at_key=True)
        if isinstance(item, str) and item and not _LABEL_NAME.fullmatch(item):
            yield Problem(document, (*path, key), f"{item!r} is no value that a label can have")


def check_string_match(document: Document, path: Path, value: Any) -> Iterator[Problem]:
    """``exact``, ``prefix`` or ``regex``."""
    pattern = mapping(value).get("regex")
    if isinstance(pattern, str):
        problem = regex_problem(pattern) or ("is empty" if not pattern else "")
        if problem:
            yield Problem(document, (*path, "regex"), f"the pattern {pattern!r} {problem}")
    prefix = mapping(value).get("prefix")
    if prefix == "":
        yield Problem(document, (*path, "prefix"), "an empty prefix is not allowed", "leave the match out instead")


_TARGETS = {
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("", "Service"),
    ("core", "Service"),
    ("networking.istio.io", "ServiceEntry"),
}


def check_target_refs(document: Document) -> Iterator[Problem]:
    """``targetRef`` and ``targetRefs``: kinds that a policy can be attached to."""
    refs: list[tuple[Path, Any]] = [
        (("targetRefs", i), item) for i, item in enumerate(document.spec.get("targetRefs") or ())
    ]
    if document.spec.get("targetRef") is not None:
        refs.append((("targetRef",), document.spec["targetRef"]))
    for path, ref in refs:
        if not isinstance(ref, dict):
            continue
        kind = (ref.get("group", ""), ref.get("kind", ""))
        if kind not in _TARGETS:
            yield Problem(
                document,
                ("spec", *path, "kind"),
                f"a policy cannot be attached to {kind[0] + '/' if kind[0] else ''}{kind[1]}",
                "attach it to a Gateway, GatewayClass (gateway.networking.k8s.io), Service or ServiceEntry",
            )


def namespaced_host_problem(text: str, *, slash_required: bool, scopes: tuple[str, ...]) -> str:
    """Say what is wrong with ``namespace/host``; empty: nothing.

    Args:
        text: As written.
        slash_required: The namespace must be named.
        scopes: Words besides namespaces that may stand for it (``.``, ``*``, ``~``).
    """
    namespace, slash, host = text.rpartition("/")
    if slash_required and not slash:
        return f"{text!r} must have the form namespace/host"
    if slash and ("/" in namespace or not namespace or (namespace not in scopes and not is_dns_label(namespace))):
        return f"{text!r}: {namespace!r} is no namespace"
    if not host:
        return f"{text!r} has no host"
    if host != "*" and "." not in host:
        return f"{text!r}: short names are not allowed here; write the whole name"
    if host != "*" and "*" in host and not host.startswith("*."):
        return f"{text!r}: a wildcard stands for the whole first label only (*.example.com)"
    return host_problem(host)
