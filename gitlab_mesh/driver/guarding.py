"""The guard in the cluster as manifests: a CronJob that runs ``gitlab-mesh job recover --expired``, and its rights."""

from __future__ import annotations

from typing import Any

from gitlab_mesh.driver.rights import render_rules
from gitlab_mesh.ports import AccessRule

__all__ = ["guard_rights", "render_guard"]

NAME = "gitlab-mesh-guard"
_RBAC = "rbac.authorization.k8s.io"
_NEEDED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("", "configmaps", ("get", "list", "patch")),
    ("coordination.k8s.io", "leases", ("get", "list", "patch")),
    ("networking.istio.io", "virtualservices", ("get", "list", "patch")),
    ("networking.istio.io", "destinationrules", ("get", "list", "patch", "delete")),
    ("apps", "deployments", ("get", "patch", "delete")),
    ("apps", "replicasets", ("list",)),
    ("", "pods", ("list",)),
    ("autoscaling", "horizontalpodautoscalers", ("get", "patch")),
)

_GATEWAY_API: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("gateway.networking.k8s.io", "httproutes", ("get", "list", "patch")),
    ("", "services", ("get", "delete")),
)
"""For HTTPRoutes: the Services of the sides go at the end. Deleting any Service is a right that others do not need."""


def guard_rights(namespace: str, *, gateway_api: bool = False) -> tuple[AccessRule, ...]:
    """Everything that ending any service's rollout needs; nothing can be created with it, no pod be asked.

    Args:
        namespace: Whose services are guarded.
        gateway_api: Those that are released through an HTTPRoute, too.
    """
    needed = (*_NEEDED, *(_GATEWAY_API if gateway_api else ()))
    return tuple(AccessRule(verb, group, resource, namespace) for group, resource, verbs in needed for verb in verbs)


def render_guard(
    *,
    namespace: str,
    image: str,
    schedule: str = "*/2 * * * *",
    every_namespace: bool = False,
    gateway_api: bool = False,
) -> list[dict[str, Any]]:
    """Return ServiceAccount, (Cluster)Role, its binding, and the CronJob.

    Args:
        namespace: Where the guard runs, and whose services it guards.
        image: A container image with gitlab-mesh in it.
        schedule: Of the CronJob.
        every_namespace: Guard the services of the whole cluster; needs a ClusterRole.
        gateway_api: Guard services that are released through an HTTPRoute, too.
    """
    where = {} if every_namespace else {"namespace": namespace}
    kind = "ClusterRole" if every_namespace else "Role"
    rules = [*render_rules(guard_rights(namespace, gateway_api=gateway_api)), _rule("", "events", "create")]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": namespace}},
        {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": {"name": NAME, **where}, "rules": rules},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": f"{kind}Binding",
            "metadata": {"name": NAME, **where},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": NAME},
        },
        _cron_job(namespace, image, schedule, every_namespace),
    ]


def _rule(group: str, resource: str, *verbs: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


def _cron_job(namespace: str, image: str, schedule: str, every_namespace: bool) -> dict[str, Any]:
    scope = ["--all"] if every_namespace else ["--namespace", namespace]
    container = {
        "name": "recover",
        "image": image,
        "command": ["gitlab-mesh", "job", "recover", *scope, "--expired", "--output", "/tmp/mesh-out"],  # noqa: S108
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }
    pod = {
        # A sidecar would keep the pod from ending, and the guard speaks to the API server only.
        "metadata": {"labels": {"app.kubernetes.io/name": NAME, "sidecar.istio.io/inject": "false"}},
        "spec": {
            "serviceAccountName": NAME,
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }
    job = {"backoffLimit": 0, "activeDeadlineSeconds": 900, "ttlSecondsAfterFinished": 3600, "template": pod}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "schedule": schedule,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 100,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"spec": job},
        },
    }
