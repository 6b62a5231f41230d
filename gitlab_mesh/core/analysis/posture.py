"""Which protection really holds for each workload, by Istio's rules of precedence; and the shares of it."""

from __future__ import annotations

from typing import Any

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, dicts, mapping
from gitlab_mesh.core.analysis.workloads import Workload, matches, selector_of

__all__ = [
    "asks_for_token",
    "effective_mtls",
    "has_default_deny",
    "is_strict",
    "policies_for",
    "requires_token",
    "summarize_posture",
]


def policies_for(mesh: Mesh, kind: str, workload: Workload) -> list[Document]:
    """Return the policies of a kind that hold for a workload: of its pods, its namespace, the root namespace."""
    return [
        policy
        for namespace in dict.fromkeys((workload.namespace, mesh.options.root_namespace))
        for policy in mesh.within(kind, namespace)
        if not policy.spec.get("targetRef")
        and not policy.spec.get("targetRefs")
        and matches(selector_of(policy), workload.labels)
    ]


def _age(policy: Document) -> str:
    """RFC 3339 sorts as text; what comes from files has no age and keeps its order."""
    return str(policy.metadata.get("creationTimestamp") or "")


def effective_mtls(mesh: Mesh, workload: Workload, port: int | None = None) -> tuple[str, Document | None]:
    """Return the mTLS mode of a workload (or of one of its ports) and the policy that says so.

    Port, then workload, then namespace, then mesh; UNSET inherits; with no policy at all it is PERMISSIVE
    (Istio reference, PeerAuthentication). Of several policies in one scope the oldest holds; files have no age, so
    the first one is taken.
    """
    root = mesh.options.root_namespace
    scopes: list[list[Document]] = [[], [], []]
    for policy in mesh.within("PeerAuthentication", workload.namespace):
        selector = selector_of(policy)
        if selector:
            if matches(selector, workload.labels):
                scopes[0].append(policy)
        elif workload.namespace != root:
            scopes[1].append(policy)
    scopes[2] = [policy for policy in mesh.within("PeerAuthentication", root) if not selector_of(policy)]
    for scope in scopes:
        if not scope:
            continue
        policy = min(scope, key=_age)
        ports = mapping(policy.spec.get("portLevelMtls"))
        if port is not None and str(port) in map(str, ports):
            mode = next(mapping(item).get("mode", "UNSET") for key, item in ports.items() if str(key) == str(port))
            if mode != "UNSET":
                return str(mode), policy
        mode = mapping(policy.spec.get("mtls")).get("mode", "UNSET")
        if mode != "UNSET":
            return str(mode), policy
    return "PERMISSIVE", None


def is_strict(mesh: Mesh, workload: Workload) -> bool:
    """Say whether the workload and each of its ports take mTLS only."""
    if mesh.is_outside(workload) or effective_mtls(mesh, workload)[0] != "STRICT":
        return False
    ports = {
        int(port)
        for policy in mesh.within("PeerAuthentication", workload.namespace)
        if selector_of(policy) and matches(selector_of(policy), workload.labels)
        for port in mapping(policy.spec.get("portLevelMtls"))
        if str(port).isdigit()
    }
    return all(effective_mtls(mesh, workload, port)[0] == "STRICT" for port in ports)


def _action(policy: Document) -> str:
    return str(policy.spec.get("action", "ALLOW"))


def _enforced(policy: Document) -> bool:
    return str(policy.annotations.get("istio.io/dry-run", "")).lower() != "true"


def has_default_deny(mesh: Mesh, workload: Workload) -> bool:
    """Say whether requests that no rule allows are refused.

    As soon as one ALLOW policy holds for the workload, only what some rule allows passes; a rule without from, to
    and when allows everything again.
    """
    allow = [
        policy
        for policy in policies_for(mesh, "AuthorizationPolicy", workload)
        if _action(policy) == "ALLOW" and _enforced(policy)
    ]
    return bool(allow) and not any(_allows_all(policy) for policy in allow) and not mesh.is_outside(workload)


def _allows_all(policy: Document) -> bool:
    return any(
        not item.get("from") and not item.get("to") and not item.get("when")
        for _, item in dicts(policy.spec.get("rules"))
    )


def requires_token(mesh: Mesh, workload: Workload) -> bool:
    """Say whether no request passes without a token.

    Either some policy denies requests without a principal (``notRequestPrincipals: ["*"]``, whatever paths it
    excepts), or a RequestAuthentication says ``presence: REQUIRED``, or every rule of every ALLOW policy names
    request principals or claims.
    """
    if mesh.is_outside(workload):
        return False
    if any(
        rule.get("presence") == "REQUIRED"
        for policy in policies_for(mesh, "RequestAuthentication", workload)
        for _, rule in dicts(policy.spec.get("jwtRules"))
    ):
        return True
    policies = [item for item in policies_for(mesh, "AuthorizationPolicy", workload) if _enforced(item)]
    for policy in policies:
        if _action(policy) == "DENY" and any(_denies_anonymous(item) for _, item in dicts(policy.spec.get("rules"))):
            return True
    rules = [item for policy in policies if _action(policy) == "ALLOW" for _, item in dicts(policy.spec.get("rules"))]
    return bool(rules) and all(_needs_token(item) for item in rules)


def _denies_anonymous(rule: dict[str, Any]) -> bool:
    sources = [mapping(part.get("source")) for _, part in dicts(rule.get("from"))]
    narrowed = any(
        not key.startswith("not") for _, part in dicts(rule.get("to")) for key in mapping(part.get("operation"))
    )
    return not rule.get("when") and not narrowed and {"notRequestPrincipals": ["*"]} in sources


def _needs_token(rule: dict[str, Any]) -> bool:
    sources = [mapping(part.get("source")) for _, part in dicts(rule.get("from"))]
    if sources and all(source.get("requestPrincipals") for source in sources):
        return True
    return any(
        str(condition.get("key", "")).startswith("request.auth.") and condition.get("values")
        for _, condition in dicts(rule.get("when"))
    )


def asks_for_token(policy: Document) -> bool:
    """Say whether some rule of an AuthorizationPolicy is about a token's principal or claims."""
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
    workloads = [
        item for item in mesh.workloads if item.namespace != mesh.options.root_namespace and not item.document.assumed
    ]
    if not workloads:
        return {}
    total = len(workloads)
    counts = {
        "workloads in the mesh": sum(mesh.in_mesh(item) for item in workloads),
        "workloads under STRICT mTLS": sum(is_strict(mesh, item) for item in workloads),
        "workloads under default deny": sum(has_default_deny(mesh, item) for item in workloads),
        "workloads that require a token": sum(requires_token(mesh, item) for item in workloads),
    }
    shares = {name: f"{count} of {total} ({100 * count // total} %)" for name, count in counts.items()}
    unknown = sum(not mesh.in_mesh(item) and not _known(mesh, item) for item in workloads)
    if unknown:
        shares["workloads in the mesh"] += f"; {unknown} in namespaces that were not read"
    return shares


def _known(mesh: Mesh, workload: Workload) -> bool:
    return workload.namespace in mesh.namespaces or mesh.is_outside(workload)
