"""Who may do what: bearer tokens, Role-shaped rules, and the two reviews that answer from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.sandbox.apiserver.resources import Resource
from gitlab_mesh.sandbox.apiserver.status import bad_request, forbidden, invalid

__all__ = ["ADMIN_RULES", "Attributes", "User", "allows", "check_access", "review_access", "review_rules"]

ADMIN_RULES: tuple[Mapping[str, Any], ...] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)
"""Everything, as ``cluster-admin``."""


_NO_KIND = Resource("", "authorization.k8s.io", ("v1",), "selfsubjectaccessreviews")
"""A real server refuses a wrong review without naming its kind."""


@dataclass(frozen=True, slots=True)
class User:
    """Who holds a token.

    Attributes:
        name: As in messages and audit ("system:serviceaccount:shop:deployer").
        token: Bearer token.
        rules: Whole Role or ClusterRole objects (a Role counts in its own namespace), or bare rules (``apiGroups``,
            ``resources``, ``verbs``, ``resourceNames``; ``namespaces`` narrows them, else they count everywhere).
    """

    name: str
    token: str
    rules: tuple[Mapping[str, Any], ...] = ADMIN_RULES
    groups: tuple[str, ...] = ("system:authenticated",)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked for; ``resource`` has its subresource ("pods/proxy"), ``namespace`` "" is the whole cluster."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


def _flat_rules(rules: Iterable[Mapping[str, Any]]) -> Iterable[tuple[Mapping[str, Any], tuple[str, ...]]]:
    """Yield bare rules with the namespaces in which they count ("*": all)."""
    for rule in rules:
        if rule.get("kind") in ("Role", "ClusterRole"):
            namespace = rule.get("metadata", {}).get("namespace", "") if rule["kind"] == "Role" else ""
            for below in rule.get("rules") or ():
                yield below, (namespace or "*",)
        else:
            yield rule, tuple(rule.get("namespaces") or ("*",))


def _grants(rule: Mapping[str, Any], asked: Attributes) -> bool:
    def has(field: str, *values: str) -> bool:
        listed = rule.get(field) or ()
        return "*" in listed or any(value in listed for value in values)

    subresource = asked.resource.partition("/")[2]
    names = rule.get("resourceNames") or ()
    return (
        has("verbs", asked.verb)
        and has("apiGroups", asked.group)
        and has("resources", asked.resource, *([f"*/{subresource}"] if subresource else []))
        and (not names or asked.name in names)
    )


def allows(user: User, asked: Attributes) -> bool:
    """Tell whether a rule of the user grants it (RBAC: there are no denials)."""
    return any(
        ("*" in namespaces or asked.namespace in namespaces) and _grants(rule, asked)
        for rule, namespaces in _flat_rules(user.rules)
    )


def check_access(user: User, resource: Resource, asked: Attributes) -> None:
    """Raise StatusError 403 in the words of a real server if the user may not do it."""
    if allows(user, asked):
        return
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    text = f'User "{user.name}" cannot {asked.verb} resource "{asked.resource}" in API group "{asked.group}" {where}'
    raise forbidden(resource, asked.name, text)


def review_access(user: User, review: Any) -> dict[str, Any]:
    """Answer a SelfSubjectAccessReview. Raises StatusError 400, 422."""
    spec = review.get("spec") if isinstance(review, Mapping) else None
    if not isinstance(spec, Mapping):
        raise bad_request("spec is no object")
    about = spec.get("resourceAttributes")
    if (about is None) is (spec.get("nonResourceAttributes") is None):
        text = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise invalid(_NO_KIND, "", [("spec.resourceAttributes", text)])
    if about is not None:
        resource = about.get("resource", "")
        if about.get("subresource"):
            resource = f"{resource}/{about['subresource']}"
        asked = Attributes(
            about.get("verb", ""),
            about.get("group") or "",
            resource,
            about.get("namespace") or "",
            about.get("name") or "",
        )
        allowed = allows(user, asked)
    else:
        allowed = _allows_url(user, spec["nonResourceAttributes"])
    status: dict[str, Any] = {"allowed": allowed}
    if allowed:
        status["reason"] = f'RBAC: allowed by a rule of user "{user.name}"'
    return _answer("SelfSubjectAccessReview", spec, status)


def _allows_url(user: User, about: Mapping[str, Any]) -> bool:
    path, verb = about.get("path", ""), about.get("verb", "")
    for rule, _ in _flat_rules(user.rules):
        for url in rule.get("nonResourceURLs") or ():
            matches = url == path or (url.endswith("*") and path.startswith(url[:-1]))
            if matches and ("*" in rule["verbs"] or verb in rule["verbs"]):
                return True
    return False


def review_rules(user: User, review: Any) -> dict[str, Any]:
    """Answer a SelfSubjectRulesReview for ``spec.namespace``. Raises StatusError 400."""
    spec = review.get("spec") if isinstance(review, Mapping) else None
    if not isinstance(spec, Mapping) or not spec.get("namespace"):
        raise bad_request("no namespace on request")
    resource_rules: list[dict[str, Any]] = []
    url_rules: list[dict[str, Any]] = []
    for rule, namespaces in _flat_rules(user.rules):
        if "*" not in namespaces and spec["namespace"] not in namespaces:
            continue
        if "nonResourceURLs" in rule:
            url_rules.append({key: list(rule[key]) for key in ("verbs", "nonResourceURLs")})
        else:
            fields = [key for key in ("verbs", "apiGroups", "resources", "resourceNames") if rule.get(key)]
            resource_rules.append({key: list(rule[key]) for key in fields})
    status = {"resourceRules": resource_rules, "nonResourceRules": url_rules, "incomplete": False}
    return _answer("SelfSubjectRulesReview", spec, status)


def _answer(kind: str, spec: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": kind,
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": dict(spec),
        "status": dict(status),
    }
