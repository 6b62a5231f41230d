"""A cluster in memory that costs microseconds a call, for thousands of whole rollouts.

It keeps the same promises as ``MemoryCluster`` where a release can see them (one contract suite runs on both, and on
the real client): resource versions, conditional writes, JSON Patch all or nothing with ``test``, generation, uid,
managedFields, rights, dry run. It does not emulate what a release never meets: watches, finalizers, admission,
field validation beyond names. The sandbox's API server does, and 200 schedules of the simulation are replayed there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from gitlab_mesh.core.kinds import KINDS, find_kind
from gitlab_mesh.core.kube_status import JSON_PATCH_REFUSED, map_status
from gitlab_mesh.core.mesh.route import Operation
from gitlab_mesh.errors import TransientError
from gitlab_mesh.ports import AccessRule, HttpAnswer, Object
from gitlab_mesh.sandbox.apiserver.access import Attributes, User, allows
from gitlab_mesh.sandbox.apiserver.json_patch import PatchRefused, apply_json_patch
from gitlab_mesh.sandbox.apiserver.selectors import Matcher, parse_label_selector
from gitlab_mesh.testing.cluster import ADMIN, Call, Fault
from gitlab_mesh.testing.lean_store import LeanStore
from gitlab_mesh.testing.managed_fields import managed_fields

__all__ = ["LeanCluster"]

Rules = list[AccessRule]
T = TypeVar("T")

_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
_SERVER_METADATA = ("uid", "creationTimestamp", "generation", "resourceVersion", "managedFields", "deletionTimestamp")
_CONDITIONAL_ONLY = ("Lease", "PodDisruptionBudget", "VirtualService", "DestinationRule", "HTTPRoute")
_WITH_STATUS = ("Deployment", "ReplicaSet", "Pod", "HTTPRoute")
_MATCHERS: dict[str, Matcher] = {}


class LeanCluster:
    """The ports ``Cluster``, ``PodProxy`` and ``Access`` on a ``LeanStore``; arguments as ``MemoryCluster`` has them.

    Args:
        store: Shared with other actors; None: a new one.
        user: Who calls; its rules are its rights.
        manager: Field manager of the writes.
        fault: Called around every call; may be set and taken away at any time.
        now: Wall time of a new store.
        namespaces: Created if they are missing.
    """

    def __init__(
        self,
        store: LeanStore | None = None,
        *,
        user: User = ADMIN,
        manager: str = "gitlab-mesh",
        fault: Fault | None = None,
        now: Callable[[], datetime] | None = None,
        namespaces: Iterable[str] = (),
    ) -> None:
        self.store = store or LeanStore(now=now)
        self.user = user
        self.manager = manager
        self.fault = fault
        self.store.namespaces.update(namespaces)

    def as_actor(self, manager: str, *, user: User | None = None, fault: Fault | None = None) -> LeanCluster:
        """Return a client of the same store that writes under another name."""
        return LeanCluster(self.store, user=user or self.user, manager=manager, fault=fault)

    def load(self, objects: Iterable[Object]) -> None:
        """Create objects with all rights and without faults, status included; their namespaces are created too."""
        setup = self.as_actor("setup", user=ADMIN)
        for body in objects:
            self.store.namespaces.add(body["metadata"].get("namespace", ""))
            if body["kind"] == "Namespace":
                self.store.namespaces.add(body["metadata"]["name"])
                continue
            created = setup.create(body)
            if body.get("status") and created.get("status") != body["status"]:
                setup.update_status({**created, "status": body["status"]})

    def peek(self, kind: str, namespace: str) -> list[Object]:
        """Return the stored objects themselves, for a model that only looks: no copy, no rights, no faults."""
        return [body for (place, _), body in self.store.objects[kind].items() if place == namespace]

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """Read one object."""
        return self._around("get", kind, namespace, name, None, lambda: self._read(kind, namespace, name))

    def list(self, kind: str, namespace: str, *, label_selector: str = "") -> list[Object]:
        """List objects of a namespace ("": of all) in the order of their keys."""
        find_kind(kind)

        def answer() -> list[Object]:
            stored = self.store.objects[kind]
            matches = _matcher(label_selector)
            return [
                self.store.read(kind, *key)
                for key in sorted(stored)
                if (not namespace or key[0] == namespace) and (matches is None or matches(stored[key]))
            ]

        return self._around("list", kind, namespace, "", None, answer)

    def create(self, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object; ConflictError if it exists."""
        kind, namespace, name = _identity(body)
        return self._around("create", kind, namespace, name, body, lambda: self._create(body, dry_run))

    def update(self, body: Object) -> Object:
        """Replace an object; with ``metadata.resourceVersion`` the write is conditional."""
        kind, namespace, name = _identity(body)

        def answer() -> Object:
            live = self._live("update", kind, namespace, name)
            version = body["metadata"].get("resourceVersion")
            if not version and kind in _CONDITIONAL_ONLY:
                raise map_status(422, _INVALID, verb="update", kind=kind, namespace=namespace, name=name)
            if version and version != live["metadata"]["resourceVersion"]:
                raise map_status(409, _CONFLICT, verb="update", kind=kind, namespace=namespace, name=name)
            return self._commit(live, _plain(body), dry_run=False)

        return self._around("update", kind, namespace, name, body, answer)

    def update_status(self, body: Object) -> Object:
        """Replace the status of an object and nothing else."""
        kind, namespace, name = _identity(body)

        def answer() -> Object:
            wanted = {**self._live("update", kind, namespace, name), "status": _plain(body["status"])}
            wanted["metadata"] = dict(wanted["metadata"])
            self.store.put(wanted)
            return self.store.read(kind, namespace, name)

        return self._around("update", f"{kind}/status", namespace, name, body, answer)

    def patch(
        self, kind: str, namespace: str, name: str, operations: Sequence[Operation], *, dry_run: bool = False
    ) -> Object:
        """Apply an RFC 6902 JSON Patch, all or nothing."""
        body = [dict(operation) for operation in operations]

        def answer() -> Object:
            live = self._live("patch", kind, namespace, name)
            try:
                wanted = apply_json_patch(self.store.read(kind, namespace, name), _plain(body))
            except PatchRefused:
                refusal = {"message": JSON_PATCH_REFUSED}
                raise map_status(422, refusal, verb="patch", kind=kind, namespace=namespace, name=name) from None
            return self._commit(live, wanted, dry_run=dry_run)

        return self._around("patch", kind, namespace, name, body, answer)

    def delete(self, kind: str, namespace: str, name: str, *, uid: str | None = None) -> None:
        """Delete an object; ``uid`` makes it conditional. Missing is fine (returns)."""
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}

        def answer() -> None:
            live = self.store.find(kind, namespace, name)
            if live is None:
                return
            if uid and live["metadata"]["uid"] != uid:
                raise map_status(409, _CONFLICT, verb="delete", kind=kind, namespace=namespace, name=name)
            self.store.remove(kind, namespace, name)

        self._around("delete", kind, namespace, name, options, answer)

    def get_path(self, namespace: str, pod: str, port: int, path: str, *, timeout: float) -> HttpAnswer:
        """GET ``path`` of a pod by the store's ``pod_proxy``; see the port ``PodProxy``."""

        def answer() -> HttpAnswer:
            if self.store.find("Pod", namespace, pod) is None:
                raise map_status(404, {}, verb="get", kind="Pod/proxy", namespace=namespace, name=pod)
            try:
                if self.store.pod_proxy is None:
                    raise ConnectionRefusedError("nothing runs in the pod")
                status, _, body = self.store.pod_proxy(namespace, pod, port, f"/{path.lstrip('/')}")
            except OSError as error:
                raise TransientError(f"Pod/proxy {namespace}/{pod}: {error}") from error
            return HttpAnswer(status, body)

        return self._around("get", "Pod/proxy", namespace, pod, None, answer)

    def get_log(
        self, namespace: str, pod: str, container: str, *, lines: int, previous: bool = False, timeout: float
    ) -> str:
        """Containers of the model write nothing; see the port ``PodProxy``."""

        def answer() -> str:
            if self.store.find("Pod", namespace, pod) is None:
                raise map_status(404, {}, verb="get", kind="Pod/log", namespace=namespace, name=pod)
            return ""

        return self._around("get", "Pod/log", namespace, pod, None, answer)

    def denied(self, rules: Iterable[AccessRule]) -> Rules:
        """Return the rules that are not granted."""
        asked = list(rules)
        return self._around(
            "create",
            "SelfSubjectAccessReview",
            "",
            "",
            {},
            lambda: [
                rule
                for rule in asked
                if not allows(self.user, Attributes(rule.verb, rule.group, rule.resource, rule.namespace, rule.name))
            ],
        )

    def _around(self, verb: str, kind: str, namespace: str, name: str, body: Any, answer: Callable[[], T]) -> T:
        fault = self.fault
        if fault is None:
            self._authorize(verb, kind, namespace, name)
            return answer()
        call = Call(verb, kind, namespace, name, None if body is None else _plain(body))
        fault.before(call)
        self._authorize(verb, kind, namespace, name)
        found = answer()
        fault.after(call)
        return found

    def _authorize(self, verb: str, kind: str, namespace: str, name: str) -> None:
        base, _, subresource = kind.partition("/")
        known = find_kind(base)
        if self.user is ADMIN:
            return
        resource = f"{known.plural}/{subresource}" if subresource else known.plural
        if base != "SelfSubjectAccessReview" and not allows(
            self.user, Attributes(verb, known.group, resource, namespace, name)
        ):
            raise map_status(403, {}, verb=verb, kind=kind, namespace=namespace, name=name)

    def _live(self, verb: str, kind: str, namespace: str, name: str) -> Object:
        live = self.store.find(kind, namespace, name)
        if live is None:
            raise map_status(404, {}, verb=verb, kind=kind, namespace=namespace, name=name)
        return live

    def _read(self, kind: str, namespace: str, name: str) -> Object:
        self._live("get", kind, namespace, name)
        return self.store.read(kind, namespace, name)

    def _create(self, body: Object, dry_run: bool) -> Object:
        kind, namespace, name = _identity(body)
        refuse = {"verb": "create", "kind": kind, "namespace": namespace, "name": name}
        if KINDS[kind].namespaced and namespace not in self.store.namespaces:
            raise map_status(404, {}, **refuse)
        if not _NAME.match(name):
            raise map_status(422, _INVALID, **refuse)
        if self.store.find(kind, namespace, name) is not None:
            raise map_status(409, {"reason": "AlreadyExists"}, **refuse)
        wanted = _plain(body)
        for key in _SERVER_METADATA:
            wanted["metadata"].pop(key, None)
        if kind in _WITH_STATUS:
            wanted["status"] = {"phase": "Pending"} if kind == "Pod" else {}
        return self._commit(None, wanted, dry_run=dry_run)

    def _commit(self, live: Object | None, wanted: Object, *, dry_run: bool) -> Object:
        """Fill in what the server decides and store it, unless nothing changed."""
        metadata = wanted["metadata"]
        if live is None:
            metadata |= {"uid": self.store.new_uid(), "creationTimestamp": self.store.timestamp(), "generation": 1}
        else:
            for key in _SERVER_METADATA:
                metadata.pop(key, None)
                if key in live["metadata"]:
                    metadata[key] = live["metadata"][key]
            if "status" in live and live["kind"] in _WITH_STATUS:
                wanted["status"] = live["status"]
            if wanted == live:
                return self.store.read(*_identity(live))
            if wanted.get("spec") != live.get("spec"):
                metadata["generation"] = live["metadata"]["generation"] + 1
        metadata["managedFields"] = managed_fields(live, wanted, self.manager, self.store.timestamp())
        if dry_run:
            return wanted
        self.store.put(wanted)
        return self.store.read(*_identity(wanted))


_CONFLICT = {"reason": "Conflict", "message": "the object has been modified"}
_INVALID = {"reason": "Invalid", "message": "the object is invalid", "details": {"causes": [{"message": "invalid"}]}}


def _identity(body: Mapping[str, Any]) -> tuple[str, str, str]:
    metadata = body.get("metadata") or {}
    kind = find_kind(str(body.get("kind", "")))
    return kind.name, metadata.get("namespace", "") if kind.namespaced else "", metadata.get("name", "")


def _plain(body: Any) -> Any:
    """What arrives on the other side of a wire: a deep copy, tuples as lists."""
    return json.loads(json.dumps(body))


def _matcher(selector: str) -> Matcher | None:
    if not selector:
        return None
    if selector not in _MATCHERS:
        _MATCHERS[selector] = parse_label_selector(selector)
    return _MATCHERS[selector]
