"""Objects with resource versions, their history for watches, and a change feed for controllers.

Stored objects are never changed in place: every write puts a new value, so readers may hand them out without a
copy as long as nobody writes into them.
"""

from __future__ import annotations

import queue
import random
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gitlab_mesh.sandbox.apiserver.resources import Resource, resource_of_kind

__all__ = ["Change", "ObjectStore", "Sink"]

Key = tuple[str, str]
"""Namespace ("" for cluster-wide kinds) and name."""


@dataclass(frozen=True, slots=True)
class Change:
    """One write.

    Attributes:
        type: ADDED, MODIFIED or DELETED.
        version: Its resourceVersion.
        body: The object afterwards (DELETED: its last state, with the version of the deletion).
        previous: The object before, None for ADDED.
    """

    type: str
    version: int
    resource: Resource
    body: dict[str, Any]
    previous: dict[str, Any] | None = None


Sink = Callable[[Change], None]


class ObjectStore:
    """Values by kind, namespace and name under one counter of resource versions.

    Args:
        now: Wall time, aware; decides creation times.
        history: Number of changes kept for watches; an older resourceVersion is "too old" (410).
        seed: Makes uids and generated names repeatable; None: random.
    """

    def __init__(
        self, *, now: Callable[[], datetime] | None = None, history: int = 10_000, seed: int | None = None
    ) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.now = now or (lambda: datetime.now(UTC))
        self.version = 1
        self._random = random.Random(seed)
        self._objects: dict[Resource, dict[Key, dict[str, Any]]] = {}
        self._history: deque[Change] = deque(maxlen=history)
        self._forgotten = 0  # the newest version whose change is no longer in the history
        self._sinks: list[tuple[frozenset[str], Sink]] = []

    def new_uid(self) -> str:
        """Return a UUID."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def new_suffix(self) -> str:
        """Return the five characters that ``generateName`` appends."""
        return "".join(self._random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))

    def timestamp(self) -> str:
        """Return now in RFC 3339 to the second, as metadata has it."""
        return self.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """Return the stored object (not to be changed) or None."""
        return self._objects.get(resource, {}).get((namespace, name))

    def list_objects(self, resource: Resource, namespace: str = "") -> tuple[list[dict[str, Any]], int]:
        """Return the objects of a namespace ("": all) in the order of their keys, and the version of this view."""
        with self.changed:
            stored = self._objects.get(resource, {})
            keys = sorted(key for key in stored if not namespace or key[0] == namespace)
            return [stored[key] for key in keys], self.version

    def all_objects(self) -> list[tuple[Resource, dict[str, Any]]]:
        """Return everything there is."""
        with self.changed:
            return [(resource, body) for resource, stored in self._objects.items() for body in stored.values()]

    def put(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        """Store ``body`` (ours from now on) under a new resourceVersion and tell it."""
        with self.changed:
            metadata = body["metadata"]
            key = (metadata.get("namespace", ""), metadata["name"])
            stored = self._objects.setdefault(resource, {})
            previous = stored.get(key)
            self.version += 1
            metadata["resourceVersion"] = str(self.version)
            stored[key] = body
            self._tell(Change("MODIFIED" if previous else "ADDED", self.version, resource, body, previous))
            return body

    def remove(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """Take the object out; return its last state with the version of the removal. Raises KeyError."""
        with self.changed:
            previous = self._objects.get(resource, {}).pop((namespace, name))
            self.version += 1
            body = {**previous, "metadata": {**previous["metadata"], "resourceVersion": str(self.version)}}
            self._tell(Change("DELETED", self.version, resource, body, previous))
            return body

    def changes_after(self, version: int) -> list[Change] | None:
        """Return the changes after ``version``, oldest first; None if some of them are forgotten."""
        with self.changed:
            if version < self._forgotten:
                return None
            newer: list[Change] = []
            for change in reversed(self._history):
                if change.version <= version:
                    break
                newer.append(change)
            newer.reverse()
            return newer

    def forget_history(self) -> None:
        """Forget all changes, as compaction does: watches from before now get 410."""
        with self.changed:
            self._history.clear()
            self._forgotten = self.version

    def watch(
        self, kinds: Iterable[str], sink: Sink | queue.Queue[Change] | queue.SimpleQueue[Change], *, replay: bool = True
    ) -> Callable[[], None]:
        """Tell every change of these kinds to ``sink``, in order; return a function that ends it.

        Args:
            kinds: Words of ``core.kinds``; all if empty.
            sink: A queue, or a callable that is called under the store's lock and must not block.
            replay: Tell the existing objects first, as ADDED.
        """
        tell: Sink = sink if callable(sink) else sink.put
        wanted = frozenset(kinds)
        entry = (wanted, tell)
        with self.changed:
            if replay:
                for kind in sorted(wanted) or sorted(resource.kind for resource in self._objects):
                    resource = resource_of_kind(kind)
                    for body in self.list_objects(resource)[0]:
                        tell(Change("ADDED", int(body["metadata"]["resourceVersion"]), resource, body))
            self._sinks.append(entry)

        def stop() -> None:
            with self.changed:
                if entry in self._sinks:
                    self._sinks.remove(entry)

        return stop

    def _tell(self, change: Change) -> None:
        if len(self._history) == self._history.maxlen:
            self._forgotten = self._history[0].version
        self._history.append(change)
        for wanted, tell in list(self._sinks):
            if not wanted or change.resource.kind in wanted:
                tell(change)
        self.changed.notify_all()
