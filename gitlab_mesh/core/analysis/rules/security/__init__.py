"""What an attacker would use; importing this package registers every rule of ``security-scan``."""

from __future__ import annotations

from gitlab_mesh.core.analysis.rules.security import (
    authorization,
    authorization_context,
    authorization_values,
    egress,
    entries,
    extensions,
    gateways,
    listeners,
    mtls,
    mtls_clients,
    network,
    network_needs,
    scope,
    token_places,
    tokens,
    traffic,
    visibility,
    workloads,
)

__all__ = [
    "authorization",
    "authorization_context",
    "authorization_values",
    "egress",
    "entries",
    "extensions",
    "gateways",
    "listeners",
    "mtls",
    "mtls_clients",
    "network",
    "network_needs",
    "scope",
    "token_places",
    "tokens",
    "traffic",
    "visibility",
    "workloads",
]
