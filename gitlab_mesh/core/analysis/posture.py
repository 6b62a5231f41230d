"""Which protection really holds for each workload, by Istio's rules of precedence; and the shares of it."""

from __future__ import annotations

from typing import Any

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, dicts, mapping
from gitlab_mesh.core.analysis.workloads import Workload, matches, selector_of

__all__ = ["effective_mtls", "has_default_deny", "policies_for", "requires_jwt", "summarize_posture"]


def policies_for(mesh: Mesh, kind: str, workload: Workload) -> list[Document]:
    """Return the policies of a kind that hold for a workload: of its pods, its namespace, the root namespace."""
    root = mesh.options.root_namespace
    return [
        policy
        for policy in mesh.of(kind)
        if policy.namespace in (workload.namespace, root)
        and not policy.spec.get("targetRef")
        and not policy.spec.get("targetRefs")
        and matches(selector_of(policy), workload.labels)
    ]


def effective_mtls(mesh: Mesh, workload: Workload, port: int | None = None) -> tuple[str, Document | None]:
    """Return the mTLS mode of a workload (or of one of its ports) and the policy that says so.

    Port, then workload, then namespace, then mesh; UNSET inherits; with no policy at all it is PERMISSIVE
    (Istio reference, PeerAuthentication). Of several policies in one scope the oldest holds; files have no age, so
    the first one is taken.
    """
    root = mesh.options.root_namespace
    scopes: list[list[Document]] = [[], [], []]
    for policy in mesh.of("PeerAuthentication"):
        selector = selector_of(policy)
        if policy.namespace == workload.namespace and selector:
            if matches(selector, workload.labels):
                scopes[0].append(policy)
        elif policy.namespace == workload.namespace and policy.namespace != root:
            scopes[1].append(policy)
        elif policy.namespace == root and not selector:
            scopes[2].append(policy)
    for scope in scopes:
        for policy in scope[:1]:
            ports = mapping(policy.spec.get("portLevelMtls"))
            if port is not None and str(port) in ports:
                mode = mapping(ports[str(port)]).get("mode", "UNSET")
                if mode != "UNSET":
                    return str(mode), policy
            mode = mapping(policy.spec.get("mtls")).get("mode", "UNSET")
            if mode != "UNSET":
                return str(mode), policy
    return "PERMISSIVE", None


def is_deny_all(policy: Document) -> bool:
    """An ALLOW policy without rules admits nobody."""
    return policy.spec.get("action", "ALLOW") == "ALLOW" and not policy.spec.get("rules")


def has_default_deny(mesh: Mesh, workload: Workload) -> bool:
    """Say whether requests that no rule allows are refused: as soon as one ALLOW policy holds for the workload."""
    return any(
        policy.spec.get("action", "ALLOW") == "ALLOW" and not _allows_all(policy)
        for policy in policies_for(mesh, "AuthorizationPolicy", workload)
    )


def _allows_all(policy: Document) -> bool:
    return any(
        not item.get("from") and not item.get("to") and not item.get("when")
        for _, item in dicts(policy.spec.get("rules"))
    )


def requires_jwt(mesh: Mesh, workload: Workload) -> bool:
    """Say whether some policy asks for a token's principal or claims."""
    return any(_asks_for_token(policy) for policy in policies_for(mesh, "AuthorizationPolicy", workload))


def _asks_for_token(policy: Document) -> bool:
    for _, item in dicts(policy.spec.get("rules")):
        for _, part in dicts(item.get("from")):
            source: dict[str, Any] = mapping(part.get("source"))
            if source.get("requestPrincipals") or source.get("notRequestPrincipals"):
                return True
        if any(str(condition.get("key", "")).startswith("request.auth.") for _, condition in dicts(item.get("when"))):
            return True
    return False


def summarize_posture(mesh: Mesh) -> dict[str, str]:
    """Return shares over the workloads that were read: in the mesh, STRICT, default deny, token required."""
    workloads = [item for item in mesh.workloads if item.namespace != mesh.options.root_namespace]
    if not workloads:
        return {}
    total = len(workloads)
    counts = {
        "workloads in the mesh": sum(mesh.in_mesh(item) for item in workloads),
        "workloads under STRICT mTLS": sum(effective_mtls(mesh, item)[0] == "STRICT" for item in workloads),
        "workloads under default deny": sum(has_default_deny(mesh, item) for item in workloads),
        "workloads that require a token": sum(requires_jwt(mesh, item) for item in workloads),
    }
    return {name: f"{count} of {total} ({100 * count // total} %)" for name, count in counts.items()}
