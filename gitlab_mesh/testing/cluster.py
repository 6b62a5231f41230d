"""A cluster in memory: the sandbox's API server called in process, with a place for faults at every call.

It implements the ports ``Cluster``, ``PodProxy`` and ``Access``. Several clusters over one server are several
actors: ``cluster.as_actor("kubectl-edit")`` writes as somebody else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from gitlab_mesh.core.kinds import KINDS
from gitlab_mesh.core.kube_status import map_status
from gitlab_mesh.ports import AccessRule, HttpAnswer, Object
from gitlab_mesh.sandbox.apiserver.access import User
from gitlab_mesh.sandbox.apiserver.local import LocalClient
from gitlab_mesh.sandbox.apiserver.messages import Request, Response
from gitlab_mesh.sandbox.apiserver.resources import resource_of_kind
from gitlab_mesh.sandbox.apiserver.server import ApiServer
from gitlab_mesh.sandbox.apiserver.store import ObjectStore

__all__ = ["ADMIN", "Call", "Fault", "MemoryCluster"]

ADMIN = User("admin", "admin-token")
"""May do everything."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the cluster.

    Attributes:
        verb: get, list, create, update, patch, delete.
        kind: Word of ``core.kinds``; with subresource where there is one ("Pod/proxy", "Deployment/status").
        body: What is written: object, JSON Patch operations, delete options; None for reads.
    """

    verb: str
    kind: str
    namespace: str
    name: str
    body: Any = None

    @property
    def is_write(self) -> bool:
        """Whether it can change the cluster."""
        return self.verb in ("create", "update", "patch", "delete")


class Fault(Protocol):
    """What happens around a call."""

    def before(self, call: Call) -> None:
        """Look, write as somebody else, or raise: then the call is never done."""

    def after(self, call: Call) -> None:
        """Look, write as somebody else, or raise: then the call is done and its answer is lost."""


class MemoryCluster(LocalClient):
    """The ports ``Cluster``, ``PodProxy`` and ``Access`` on an ``ApiServer`` in process.

    Args:
        server: Shared with other actors; None: a new one with the user ``ADMIN`` and a repeatable store.
        user: Who calls; is let into the server.
        manager: Field manager of the writes.
        fault: Called around every call; may be set and taken away at any time.
        now: Wall time of a new server; None: the machine's.
        namespaces: Created if they are missing.
    """

    def __init__(
        self,
        server: ApiServer | None = None,
        *,
        user: User = ADMIN,
        manager: str = "gitlab-mesh",
        fault: Fault | None = None,
        now: Callable[[], datetime] | None = None,
        namespaces: Iterable[str] = (),
    ) -> None:
        super().__init__(server or ApiServer([ADMIN], ObjectStore(now=now, seed=1)), user, manager=manager)
        self.server.add_user(user)
        self.fault = fault
        self.load({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces)

    def as_actor(self, manager: str, *, user: User | None = None, fault: Fault | None = None) -> MemoryCluster:
        """Return a client of the same server that writes under another name."""
        return MemoryCluster(self.server, user=user or self.user, manager=manager, fault=fault)

    def load(self, objects: Iterable[Object]) -> None:
        """Create objects with all rights and without faults, status included; their namespaces are created too."""
        self.server.add_user(ADMIN)
        setup = LocalClient(self.server, ADMIN, manager="setup")
        for body in objects:
            namespace = body["metadata"].get("namespace", "")
            for name in {namespace, body["metadata"]["name"] if body["kind"] == "Namespace" else ""} - {""}:
                if not setup.list("Namespace", "", field_selector=f"metadata.name={name}"):
                    setup.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            if body["kind"] != "Namespace":
                created = setup.create(body)
                if body.get("status") and created.get("status") != body["status"]:
                    setup.update_status({**created, "status": body["status"]})

    def peek(self, kind: str, namespace: str) -> list[Object]:
        """Return the stored objects themselves, for a model that only looks: no copy, no rights, no faults."""
        return self.server.store.list_objects(resource_of_kind(kind), namespace)[0]

    def get_path(self, namespace: str, pod: str, port: int, path: str, *, timeout: float) -> HttpAnswer:
        """GET ``path`` of a pod by the server's ``pod_proxy``; see the port ``PodProxy``."""
        place, _, query = path.lstrip("/").partition("?")
        request = Request(
            "GET",
            f"{KINDS['Pod'].path(namespace, f'{pod}:{port}', 'proxy')}/{place}",
            headers={"authorization": f"Bearer {self.user.token}"},
            raw_query=query,
        )
        response = self._around("get", "Pod/proxy", namespace, pod, None, lambda: self.server.handle(request))
        if response.raw is None:
            body = response.body or {}
            raise map_status(response.status, body, verb="get", kind="Pod/proxy", namespace=namespace, name=pod)
        return HttpAnswer(response.status, response.raw)

    def get_log(
        self, namespace: str, pod: str, container: str, *, lines: int, previous: bool = False, timeout: float
    ) -> str:
        """Return the end of a log by the server's ``pod_logs``; see the port ``PodProxy``."""
        request = Request(
            "GET",
            KINDS["Pod"].path(namespace, pod, "log"),
            query={"container": container, "tailLines": str(lines)},
            headers={"authorization": f"Bearer {self.user.token}"},
        )
        response = self._around("get", "Pod/log", namespace, pod, None, lambda: self.server.handle(request))
        if response.raw is None:
            body = response.body or {}
            raise map_status(response.status, body, verb="get", kind="Pod/log", namespace=namespace, name=pod)
        return response.raw.decode(errors="replace")

    def denied(self, rules: Iterable[AccessRule]) -> list[AccessRule]:
        """Return the rules that the server does not grant, asked one by one (SelfSubjectAccessReview)."""
        return [rule for rule in rules if not self._is_allowed(rule)]

    def _is_allowed(self, rule: AccessRule) -> bool:
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
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer: Mapping[str, Any] = self.create(review)
        return bool(answer["status"]["allowed"])

    def _around(
        self, verb: str, kind: str, namespace: str, name: str, body: Any, send: Callable[[], Response]
    ) -> Response:
        fault = self.fault
        if fault is None:
            return send()
        call = Call(verb, kind, namespace, name, None if body is None else json.loads(json.dumps(body)))
        fault.before(call)
        response = send()
        fault.after(call)
        return response
