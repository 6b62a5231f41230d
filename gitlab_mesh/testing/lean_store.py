"""The objects of a ``LeanCluster``, and who is told of their changes."""

from __future__ import annotations

import marshal
import random
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from gitlab_mesh.core.kinds import KINDS
from gitlab_mesh.ports import Object

__all__ = ["LeanStore", "Observer", "PodAnswer"]

PodAnswer = Callable[[str, str, int, str], tuple[int, Mapping[str, str], bytes]]
"""Answers ``pods/proxy``: namespace, pod, port, path → status, headers, body; OSError: the pod does not answer."""

Observer = Callable[[Object | None, Object | None], None]
"""Told every write: the object before and after (None: it did not, or does not, exist); neither may be changed."""


class LeanStore:
    """Objects by kind, namespace and name under one counter of resource versions.

    Each object is kept beside its marshalled form, so that a reader gets a copy of its own for the price of a load.
    """

    def __init__(self, *, now: Callable[[], datetime] | None = None, seed: int = 1) -> None:
        self.now = now or (lambda: datetime.now(UTC))
        self.version = 1
        self.objects: dict[str, dict[tuple[str, str], Object]] = {kind: {} for kind in KINDS}
        self.namespaces = {"default", "kube-system"}
        self.pod_proxy: PodAnswer | None = None
        self.observers: list[Observer] = []
        self._frozen: dict[tuple[str, str, str], bytes] = {}
        self._random = random.Random(seed)

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return the stored object itself (not to be changed) or None."""
        return self.objects[kind].get((namespace, name))

    def read(self, kind: str, namespace: str, name: str) -> Object:
        """Return a copy. Raises KeyError."""
        found: Object = marshal.loads(self._frozen[kind, namespace, name])  # noqa: S302 - our own bytes
        return found

    def put(self, body: Object) -> None:
        """Store ``body`` (ours from now on) under a new resourceVersion."""
        metadata = body["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        before = self.objects[body["kind"]].get(key)
        self.objects[body["kind"]][key] = body
        self._frozen[body["kind"], *key] = marshal.dumps(body)
        for observer in self.observers:
            observer(before, body)

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Take it out. Raises KeyError."""
        before = self.objects[kind].pop((namespace, name))
        del self._frozen[kind, namespace, name]
        self.version += 1
        for observer in self.observers:
            observer(before, None)

    def new_uid(self) -> str:
        """Return a UUID."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def timestamp(self) -> str:
        """Return now as metadata has it."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
