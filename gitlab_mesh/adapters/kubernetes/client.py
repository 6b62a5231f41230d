"""Objects, pods and rights of a real cluster: the ports ``Cluster``, ``PodProxy`` and ``Access``.

Paths come from ``core.kinds``; what a refusal means comes from ``core.kube_status``, which the in-process cluster
of the tests shares.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from gitlab_mesh.adapters.kubernetes.connection import JSON_PATCH, TIMEOUT_SECONDS, Answer, Connection
from gitlab_mesh.adapters.kubernetes.kubeconfig import find_target
from gitlab_mesh.core.kinds import Kind, find_kind
from gitlab_mesh.core.kube_status import map_status
from gitlab_mesh.core.mesh.route import Operation
from gitlab_mesh.errors import ObjectMissingError, TransientError, UsageError
from gitlab_mesh.ports import AccessRule, HttpAnswer, Object

__all__ = ["FIELD_MANAGER", "KubernetesAccess", "KubernetesCluster", "KubernetesPodProxy", "connect"]

FIELD_MANAGER = "gitlab-mesh"
"""Stands in ``managedFields`` of everything that we write."""

PAGE_SIZE = "500"
_PROXY_FAULT = b"error trying to reach service"


def connect(
    context: str | None,
    env: Mapping[str, str],
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> Connection:
    """Return a connection to the chosen cluster; nothing is sent yet.

    Args:
        context: Value of ``--kube-context``, or None.
        env: The job's environment.
        timeout_seconds: Longest wait for one answer.
        sleep: ``Clock.sleep`` of the job.

    Raises:
        UsageError: No cluster, or several contexts and none chosen.
    """
    return Connection(find_target(context, env), timeout_seconds=timeout_seconds, sleep=sleep)


class KubernetesCluster:
    """``Cluster`` on a real API server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """Read one object."""
        path = _path(find_kind(kind), namespace, name)
        return _expect(self._connection.request("GET", path), "get", kind, namespace, name)

    def list(self, kind: str, namespace: str, *, label_selector: str = "") -> list[Object]:
        """List objects, page after page.

        A list that expires while it is paged (410: the server forgot the snapshot) is begun anew once, unpaged.
        """
        known = find_kind(kind)
        path = known.path(namespace)
        query = {"labelSelector": label_selector, "limit": PAGE_SIZE}
        found: list[Object] = []
        while True:
            answer = self._connection.request("GET", path, query=query)
            if answer.status == 410 and "continue" in query:
                found, query = [], {"labelSelector": label_selector}
                continue
            page = _expect(answer, "list", kind, namespace, "")
            # Items of a list carry neither kind nor apiVersion.
            found += [{"apiVersion": known.api_version, "kind": kind, **item} for item in page.get("items") or []]
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return found
            query["continue"] = more

    def create(self, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object; ConflictError if it exists."""
        kind, namespace, name = _identify(body)
        answer = self._connection.request("POST", find_kind(kind).path(namespace), query=_write(dry_run), body=body)
        return _expect(answer, "create", kind, namespace, name)

    def update(self, body: Object) -> Object:
        """Replace an object; with ``metadata.resourceVersion`` the write is conditional."""
        kind, namespace, name = _identify(body)
        path = _path(find_kind(kind), namespace, name)
        answer = self._connection.request("PUT", path, query=_write(False), body=body)
        return _expect(answer, "update", kind, namespace, name)

    def patch(
        self, kind: str, namespace: str, name: str, operations: Sequence[Operation], *, dry_run: bool = False
    ) -> Object:
        """Apply an RFC 6902 JSON Patch, all or nothing."""
        answer = self._connection.request(
            "PATCH",
            _path(find_kind(kind), namespace, name),
            query=_write(dry_run),
            body=[dict(operation) for operation in operations],
            content_type=JSON_PATCH,
        )
        return _expect(answer, "patch", kind, namespace, name)

    def delete(self, kind: str, namespace: str, name: str, *, uid: str | None = None) -> None:
        """Delete in the background; ``uid`` makes it conditional. Missing is fine."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        path = _path(find_kind(kind), namespace, name)
        answer = self._connection.request("DELETE", path, body=options)
        if answer.status != 404:
            _expect(answer, "delete", kind, namespace, name)


class KubernetesPodProxy:
    """``PodProxy`` through ``pods/proxy`` of the API server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get_path(self, namespace: str, pod: str, port: int, path: str, *, timeout: float) -> HttpAnswer:
        """GET ``path`` of ``pod:port``; a status of the pod's own, 404 and 503 included, is an answer.

        What the API server itself says is a ``Status`` object (or, from older ones, the plain text "error trying to
        reach service: …"), and becomes an error.
        """
        root = find_kind("Pod").path(namespace, f"{quote(pod, safe='')}:{port}", "proxy")
        target = path if path.startswith("/") else f"/{path}"
        answer = self._connection.request("GET", root + target, timeout_seconds=timeout, relayed=True)
        if answer.status >= 400 and answer.is_kubernetes_status:
            said = answer.document() or {}
            raise map_status(answer.status, said, verb="get", kind="Pod/proxy", namespace=namespace, name=pod)
        if answer.status >= 500 and answer.body[:64].lower().startswith(_PROXY_FAULT):
            raise TransientError(
                f"Pod {namespace}/{pod}: port {port} does not answer",
                why=answer.body[:200].decode(errors="replace").strip(),
                hint="check that the container listens on this port, and that its policies let the API server in",
            )
        return HttpAnswer(answer.status, answer.body)

    def get_log(
        self, namespace: str, pod: str, container: str, *, lines: int, previous: bool = False, timeout: float
    ) -> str:
        """Return the last lines of a container's log."""
        path = find_kind("Pod").path(namespace, quote(pod, safe=""), "log")
        query = {"container": container, "tailLines": str(lines), "previous": "true" if previous else ""}
        answer = self._connection.request("GET", path, query=query, timeout_seconds=timeout, relayed=True)
        if answer.status >= 300:
            said = answer.document() or {}
            raise map_status(answer.status, said, verb="get", kind="Pod/log", namespace=namespace, name=pod)
        return answer.body.decode(errors="replace")


class KubernetesAccess:
    """``Access`` by SelfSubjectAccessReview, one request a rule."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def denied(self, rules: Iterable[AccessRule]) -> list[AccessRule]:
        """Return the rules that the API server does not grant."""
        return [rule for rule in rules if not self._is_granted(rule)]

    def _is_granted(self, rule: AccessRule) -> bool:
        kind = find_kind("SelfSubjectAccessReview")
        resource, _, subresource = rule.resource.partition("/")
        attributes = {
            "verb": rule.verb,
            "group": rule.group,
            "resource": resource,
            "subresource": subresource,
            "namespace": rule.namespace,
            "name": rule.name,
        }
        review = {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "spec": {"resourceAttributes": {name: value for name, value in attributes.items() if value}},
        }
        answer = self._connection.request("POST", kind.path(), body=review)
        document = _expect(answer, "create", kind.name, "", "")
        return bool((document.get("status") or {}).get("allowed"))


def _write(dry_run: bool) -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER, "dryRun": "All" if dry_run else ""}


def _path(kind: Kind, namespace: str, name: str) -> str:
    if not name or "/" in name or (kind.namespaced and not namespace):
        raise UsageError(f'{kind.name} "{namespace}/{name}": a namespace and a name are needed')
    return kind.path(namespace, quote(name, safe=""))


def _identify(body: Object) -> tuple[str, str, str]:
    metadata: dict[str, Any] = body.get("metadata") or {}
    kind = find_kind(str(body.get("kind")))
    namespace = str(metadata.get("namespace") or "")
    name = str(metadata.get("name") or "")
    _path(kind, namespace, name)
    return kind.name, namespace, name


def _expect(answer: Answer, verb: str, kind: str, namespace: str, name: str) -> Object:
    """Return the object of a success; raise what a refusal means."""
    document = answer.document()
    if 200 <= answer.status < 300:
        if document is None:
            raise TransientError(
                f"{kind} {namespace}/{name}: the answer to {verb} is not JSON (HTTP {answer.status})",
                why="something between us and the API server answered in its place",
                hint="check the server's address in the kubeconfig, and proxies on the way",
            )
        return document
    error = map_status(answer.status, document or {}, verb=verb, kind=kind, namespace=namespace, name=name)
    if document is None and not error.why:
        error.why = answer.body[:200].decode(errors="replace").strip()
    if answer.status == 404 and document is None and isinstance(error, ObjectMissingError):
        error.hint = (
            f"the cluster does not serve {kind} (its CRD is not installed?), or the server's address in the kubeconfig "
            "is not that of a Kubernetes API"
        )
    raise error
