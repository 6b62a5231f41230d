"""Hosts as Istio resolves them.

A short name in a VirtualService or DestinationRule is relative to the namespace of that object, not of the
caller (Istio reference, Destination.host).
"""

from __future__ import annotations

__all__ = ["CLUSTER_DOMAIN", "resolve_host"]

CLUSTER_DOMAIN = "svc.cluster.local"


def resolve_host(host: str, namespace: str) -> str:
    """Resolve a destination's host to a fully qualified one.

    Only names without a dot are completed by Istio; ``shop.default`` stays an external looking name there, but
    the two- and three-label forms of a Service are understood here so that the same Service compares equal.
    """
    if "." not in host:
        return f"{host}.{namespace}.{CLUSTER_DOMAIN}"
    parts = host.split(".")
    if len(parts) == 2:
        return f"{host}.{CLUSTER_DOMAIN}"
    if len(parts) == 3 and parts[2] == "svc":
        return f"{parts[0]}.{parts[1]}.{CLUSTER_DOMAIN}"
    return host
