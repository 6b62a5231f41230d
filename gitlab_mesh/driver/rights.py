"""The rights of a whole run, declared once: preflight asks for them, ``gitlab-mesh rbac render`` prints them.

``get`` and ``patch`` of objects whose names are known are narrowed to those names; ``list`` and ``create`` cannot be
narrowed in Kubernetes (a request for them carries no name). That the run passes with exactly these, and fails clearly
with any one less, is tested (``tests/jobs/test_rights.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.driver.membership import service_name
from gitlab_mesh.ports import AccessRule

__all__ = ["describe", "needed_rights", "optional_rights", "render_rbac", "render_rules"]

_ISTIO = "networking.istio.io"
_GATEWAY_API = "gateway.networking.k8s.io"


def needed_rights(service: ServiceConfig) -> tuple[AccessRule, ...]:
    """Every right of a whole run, those of the rollback first."""
    space, ours = service.namespace, f"gitlab-mesh-{service.name}"
    rights = [
        *_route_rights(service),
        *_rules(space, "", "configmaps", ("get", "patch"), (ours,)),
        *_rules(space, "coordination.k8s.io", "leases", ("get", "patch"), (ours,)),
        *_rules(space, "apps", "deployments", ("get", "patch"), (service.canary_workload, service.stable_workload)),
        *_rules(space, "apps", "deployments", ("delete",), (service.canary_workload,)),
        *_rules(space, "apps", "replicasets", ("list",)),
        *_rules(space, "", "pods", ("list",)),
        *_rules(space, "autoscaling", "horizontalpodautoscalers", ("list", "get", "patch")),
        *_rules(space, _ISTIO, "virtualservices", ("list",)),
        *_rules(space, "", "configmaps", ("create",)),
        *_rules(space, "coordination.k8s.io", "leases", ("create",)),
        *_rules(space, "apps", "deployments", ("create",)),
    ]
    behind = service_name(service)
    if service.route.kind == "VirtualService" and behind is not None:
        rights += _rules(space, "", "services", ("get",), (behind,))
    if service.metrics.source == "istio-proxy" or any(check.http for check in service.smoke):
        rights += _rules(space, "", "pods/proxy", ("get",))
    gateway = service.metrics.gateway
    if service.metrics.source == "istio-proxy" and gateway is not None and service.metrics.reporter != "destination":
        rights += _rules(gateway.namespace, "", "pods", ("list",))
        rights += _rules(gateway.namespace, "", "pods/proxy", ("get",))
    return tuple(rights)


def _route_rights(service: ServiceConfig) -> list[AccessRule]:
    """Rights on the route and on what it needs beside it."""
    space, route = service.namespace, service.route
    if route.kind == "VirtualService":
        return [
            *_rules(space, _ISTIO, "virtualservices", ("get", "patch"), route.names if route.virtual_service else ()),
            *_rules(space, _ISTIO, "destinationrules", ("list", "get", "patch", "create", "delete")),
        ]
    base = (service.host or service.name).split(".")[0]
    sides = [f"{base}-{subset}" for subset in (service.subsets.stable, service.subsets.canary)]
    return [
        *_rules(space, _GATEWAY_API, "httproutes", ("get", "patch"), route.names),
        *_rules(space, "", "services", ("get",), (base, *sides)),
        *_rules(space, "", "services", ("delete",), sides),
        *_rules(space, _ISTIO, "destinationrules", ("list",)),
        *_rules(space, _GATEWAY_API, "httproutes", ("list",)),
        *_rules(space, "discovery.k8s.io", "endpointslices", ("list",)),
        *_rules(space, "", "services", ("create",)),
    ]


def optional_rights(service: ServiceConfig) -> tuple[AccessRule, ...]:
    """Rights without which a run only says less: why a canary does not start, and Kubernetes Events on the route."""
    told = _rules(service.namespace, "", "events", ("list",)) + _rules(service.namespace, "", "pods/log", ("get",))
    return (*told, *(_rules(service.namespace, "", "events", ("create",)) if service.rollout.events else ()))


def render_rules(rights: Iterable[AccessRule]) -> list[dict[str, Any]]:
    """Return the ``rules`` of one Role: rights on the same resource and names in one rule."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for right in rights:
        verbs = grouped.setdefault((right.group, right.resource, right.name), [])
        verbs.append(right.verb)
    named: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (group, resource, name), verbs in grouped.items():
        named.setdefault((group, resource, tuple(verbs)), []).append(name)
    return [
        {
            "apiGroups": [group],
            "resources": [resource],
            **({"resourceNames": sorted(names)} if names != [""] else {}),
            "verbs": sorted(set(verbs)),
        }
        for (group, resource, verbs), names in named.items()
    ]


def render_rbac(
    services: Sequence[ServiceConfig], *, account: str, account_namespace: str | None = None
) -> list[dict[str, Any]]:
    """Return Roles and RoleBindings for a service account, one pair a namespace.

    Args:
        services: Whose releases it may drive.
        account: Name of the service account.
        account_namespace: Its namespace; None: that of each service.
    """
    spaces: dict[str, list[AccessRule]] = {}
    for service in services:
        for right in (*needed_rights(service), *optional_rights(service)):
            spaces.setdefault(right.namespace, []).append(right)
    objects: list[dict[str, Any]] = []
    for namespace, rights in spaces.items():
        metadata = {"name": "gitlab-mesh", "namespace": namespace}
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata}
        subject = {"kind": "ServiceAccount", "name": account, "namespace": account_namespace or services[0].namespace}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "gitlab-mesh"}
        unique = dict.fromkeys(rights)
        objects += [
            {**role, "rules": render_rules(unique)},
            {**role, "kind": "RoleBinding", "metadata": dict(metadata), "subjects": [subject], "roleRef": reference},
        ]
    return objects


def describe(rule: AccessRule) -> str:
    """Return "patch virtualservices.networking.istio.io shop"."""
    resource = f"{rule.resource}.{rule.group}" if rule.group else rule.resource
    return f"{rule.verb} {resource}" + (f" {rule.name}" if rule.name else "")


def _rules(
    namespace: str, group: str, resource: str, verbs: Iterable[str], names: Sequence[str] = ()
) -> list[AccessRule]:
    return [AccessRule(verb, group, resource, namespace, name) for name in names or ("",) for verb in verbs]
