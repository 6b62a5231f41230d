"""Host names as Istio understands them: short names, full names, wildcards, and which object comes first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

__all__ = ["DOMAIN", "best_match", "by_age", "intersect", "is_subset", "resolve_host", "service_domains"]

DOMAIN = "cluster.local"

T = TypeVar("T")


def resolve_host(host: str, namespace: str) -> str:
    """Return the full name of a host in an object of this namespace.

    As Istio's ``ResolveShortnameToFQDN``: only a name without a dot is short. ``shop.prod`` is *not* resolved,
    which in Istio, too, leads nowhere.
    """
    return host if "." in host or "*" in host else f"{host}.{namespace}.svc.{DOMAIN}"


def is_subset(narrow: str, wide: str) -> bool:
    """Whether every name that ``narrow`` matches is matched by ``wide`` (Istio's ``host.Name.SubsetOf``)."""
    narrow, wide = narrow.lower(), wide.lower()
    if not wide.startswith("*"):
        return narrow == wide
    bare = narrow.removeprefix("*")
    return len(narrow) >= len(wide) and bare.endswith(wide[1:])


def intersect(first: Iterable[str], second: Sequence[str]) -> list[str]:
    """Return the names that both lists match: of each pair that overlaps, the narrower one."""
    common: dict[str, None] = {}
    for one in first:
        for other in second:
            if is_subset(one, other):
                common[one.lower()] = None
            elif is_subset(other, one):
                common[other.lower()] = None
    return list(common)


def best_match(host: str, candidates: Iterable[tuple[str, T]]) -> list[T]:
    """Return the values of the most specific pattern that matches ``host``, in their order; empty if none does."""
    matching = [(pattern, value) for pattern, value in candidates if is_subset(host, pattern)]
    if not matching:
        return []
    best = max(matching, key=lambda item: (not item[0].startswith("*"), len(item[0])))[0].lower()
    return [value for pattern, value in matching if pattern.lower() == best]


def by_age(bodies: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort objects as istiod does before it merges: oldest first, then by name and namespace."""

    def age(body: Mapping[str, Any]) -> tuple[str, str]:
        meta = body.get("metadata", {})
        return str(meta.get("creationTimestamp", "")), f"{meta.get('name', '')}.{meta.get('namespace', '')}"

    return sorted(bodies, key=age)


def service_domains(name: str, namespace: str, port: int, *, client_namespace: str, default_port: bool) -> list[str]:
    """Return the ``Host`` headers by which a client reaches a Service's port.

    Args:
        name: Of the Service.
        namespace: Of the Service.
        port: Of the Service.
        client_namespace: Where the client is; the bare name works only in the Service's own namespace.
        default_port: Whether a ``Host`` without a port means this one.
    """
    names = [f"{name}.{namespace}.svc.{DOMAIN}", f"{name}.{namespace}.svc", f"{name}.{namespace}"]
    if namespace == client_namespace:
        names.append(name)
    return [domain for one in names for domain in ([one, f"{one}:{port}"] if default_port else [f"{one}:{port}"])]
