"""A driver's way to the cluster, with its faults around each call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from gitlab_mesh.core.mesh.route import Operation
from gitlab_mesh.ports import AccessRule, HttpAnswer, Object
from gitlab_mesh.testing.cluster import Call
from gitlab_mesh.testing.simulation.faults import Injector

__all__ = ["FaultyCluster"]

T = TypeVar("T")
Rules = list[AccessRule]


class FaultyCluster:
    """The ports ``Cluster``, ``PodProxy`` and ``Access`` in front of any other, with an injector around each call.

    Args:
        inner: Does the calls; implements all three ports.
        injector: Of the driver.
        pods: Where ``inner`` is not the pod proxy, too.
        access: Where ``inner`` does not answer access reviews, too.
    """

    def __init__(self, inner: Any, injector: Injector, *, pods: Any = None, access: Any = None) -> None:
        self._inner = inner
        self._pods = pods or inner
        self._access = access or inner
        self.injector = injector

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """See the port."""
        return self._do("get", kind, namespace, name, lambda: self._inner.get(kind, namespace, name))

    def list(self, kind: str, namespace: str, *, label_selector: str = "") -> list[Object]:
        """See the port."""
        return self._do(
            "list", kind, namespace, "", lambda: self._inner.list(kind, namespace, label_selector=label_selector)
        )

    def create(self, body: Object, *, dry_run: bool = False) -> Object:
        """See the port."""
        return self._write("create", body, lambda: self._inner.create(body, dry_run=dry_run))

    def update(self, body: Object) -> Object:
        """See the port."""
        return self._write("update", body, lambda: self._inner.update(body))

    def patch(
        self, kind: str, namespace: str, name: str, operations: Sequence[Operation], *, dry_run: bool = False
    ) -> Object:
        """See the port."""
        return self._do(
            "patch",
            kind,
            namespace,
            name,
            lambda: self._inner.patch(kind, namespace, name, operations, dry_run=dry_run),
        )

    def delete(self, kind: str, namespace: str, name: str, *, uid: str | None = None) -> None:
        """See the port."""
        self._do("delete", kind, namespace, name, lambda: self._inner.delete(kind, namespace, name, uid=uid))

    def get_path(self, namespace: str, pod: str, port: int, path: str, *, timeout: float) -> HttpAnswer:
        """See the port."""

        def ask() -> HttpAnswer:
            found: HttpAnswer = self._pods.get_path(namespace, pod, port, path, timeout=timeout)
            return found

        return self._do("get", "Pod/proxy", namespace, pod, ask)

    def get_log(
        self, namespace: str, pod: str, container: str, *, lines: int, previous: bool = False, timeout: float
    ) -> str:
        """See the port."""

        def ask() -> str:
            found: str = self._pods.get_log(namespace, pod, container, lines=lines, previous=previous, timeout=timeout)
            return found

        return self._do("get", "Pod/log", namespace, pod, ask)

    def denied(self, rules: Iterable[AccessRule]) -> Rules:
        """See the port."""
        return self._do("create", "SelfSubjectAccessReview", "", "", lambda: self._access.denied(rules))

    def _write(self, verb: str, body: Object, do: Callable[[], Object]) -> Object:
        metadata = body["metadata"]
        return self._do(verb, body["kind"], metadata.get("namespace", ""), metadata.get("name", ""), do)

    def _do(self, verb: str, kind: str, namespace: str, name: str, do: Callable[[], T]) -> T:
        return self.injector.call(Call(verb, kind, namespace, name), do)
