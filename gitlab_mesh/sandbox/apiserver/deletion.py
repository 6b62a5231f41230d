"""Deletion: preconditions, finalizers, grace periods of pods, and the garbage collection of what was owned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from gitlab_mesh.sandbox.apiserver.messages import clone
from gitlab_mesh.sandbox.apiserver.resources import Resource
from gitlab_mesh.sandbox.apiserver.status import conflict, forbidden, invalid_options, missing
from gitlab_mesh.sandbox.apiserver.store import ObjectStore

__all__ = ["DeleteOptions", "Deleter", "parse_delete_options"]

_FOREGROUND = "foregroundDeletion"
_ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """``policy`` is Background, Foreground or Orphan; ``grace_seconds`` None is the object's own."""

    policy: str = "Background"
    grace_seconds: int | None = None
    uid: str = ""
    version: str = ""
    dry_run: bool = False


def parse_delete_options(body: Any, query: Mapping[str, str]) -> DeleteOptions:
    """Return the options of a DELETE from its body and its query. Raises StatusError 422."""
    given = body if isinstance(body, Mapping) else {}
    preconditions = given.get("preconditions") or {}
    orphan = given.get("orphanDependents", query.get("orphanDependents") == "true")
    policy = given.get("propagationPolicy") or query.get("propagationPolicy") or ("Orphan" if orphan else "Background")
    if policy not in ("Background", "Foreground", "Orphan"):
        text = f'Unsupported value: "{policy}": supported values: "Foreground", "Background", "Orphan", "nil"'
        raise invalid_options("DeleteOptions", "propagationPolicy", text)
    grace = given.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    return DeleteOptions(
        policy=policy,
        grace_seconds=None if grace is None else int(grace),
        uid=preconditions.get("uid") or "",
        version=preconditions.get("resourceVersion") or "",
        dry_run=bool(given.get("dryRun") or query.get("dryRun")),
    )


class Deleter:
    """Takes objects out of a store.

    Attributes:
        pod_grace: Set by what runs pods (a kubelet): tells whether this pod has something to stop first. Such a pod
            only gets a ``deletionTimestamp``; whoever runs it deletes it again with ``gracePeriodSeconds: 0``.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.pod_grace: Callable[[Mapping[str, Any]], bool] | None = None

    def delete(
        self, resource: Resource, namespace: str, name: str, options: DeleteOptions
    ) -> tuple[dict[str, Any], bool]:
        """Delete an object; return its last state, and whether it is gone already.

        Raises:
            StatusError: 404; 409 if a precondition does not hold.
        """
        with self._store.changed:
            live = self._store.get(resource, namespace, name)
            if live is None:
                raise missing(resource, name)
            _check_preconditions(resource, live, options)
            if resource.kind == "Namespace" and name in ("default", "kube-system"):
                raise forbidden(resource, name, "this namespace may not be deleted")
            if options.dry_run:
                return live, True
            return self._delete(resource, live, options)

    def is_free(self, body: Mapping[str, Any]) -> bool:
        """Tell whether an object that is being deleted has nothing left that keeps it."""
        metadata = body["metadata"]
        return not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds")

    def remove(self, resource: Resource, live: Mapping[str, Any]) -> dict[str, Any]:
        """Take the object out, and what only it owned; return its last state."""
        metadata = live["metadata"]
        gone = self._store.remove(resource, metadata.get("namespace", ""), metadata["name"])
        if resource.kind == "Namespace":
            for other, body in self._store.all_objects():
                if body["metadata"].get("namespace") == metadata["name"]:
                    self._delete_if_there(other, body)
        self._collect(metadata["uid"], "Background")
        self._release_owners(metadata)
        return gone

    def _delete(self, resource: Resource, live: dict[str, Any], options: DeleteOptions) -> tuple[dict[str, Any], bool]:
        metadata = live["metadata"]
        finalizers = [one for one in metadata.get("finalizers") or [] if one not in (_FOREGROUND, _ORPHAN)]
        if options.policy == "Orphan":
            self._orphan(metadata["uid"])
        elif options.policy == "Foreground" and self._dependents(metadata["uid"]):
            finalizers.append(_FOREGROUND)
        grace = self._grace(resource, live, options)
        if not finalizers and not grace:
            return self.remove(resource, live), True
        marked = self._mark(resource, live, finalizers, grace)
        if _FOREGROUND in finalizers:
            self._collect(metadata["uid"], "Foreground")
        now = self._store.get(resource, metadata.get("namespace", ""), metadata["name"])
        return now or marked, now is None

    def _grace(self, resource: Resource, live: Mapping[str, Any], options: DeleteOptions) -> int:
        if resource.kind != "Pod" or self.pod_grace is None or not self.pod_grace(live):
            return 0
        if options.grace_seconds is not None:
            return options.grace_seconds
        return int((live.get("spec") or {}).get("terminationGracePeriodSeconds") or 0)

    def _mark(self, resource: Resource, live: dict[str, Any], finalizers: list[str], grace: int) -> dict[str, Any]:
        marked: dict[str, Any] = clone(live)
        metadata = marked["metadata"]
        if "deletionTimestamp" not in metadata:
            due = self._store.now().astimezone(UTC) + timedelta(seconds=grace)
            metadata["deletionTimestamp"] = due.strftime("%Y-%m-%dT%H:%M:%SZ")
            if "generation" in metadata:
                metadata["generation"] += 1
        shortest = min(grace, metadata.get("deletionGracePeriodSeconds", grace))
        metadata["deletionGracePeriodSeconds"] = shortest
        if finalizers:
            metadata["finalizers"] = finalizers
        else:
            metadata.pop("finalizers", None)
        if marked == live:
            return live
        return self._store.put(resource, marked)

    def _dependents(self, uid: str) -> list[tuple[Resource, dict[str, Any]]]:
        return [
            (resource, body)
            for resource, body in self._store.all_objects()
            if any(owner.get("uid") == uid for owner in body["metadata"].get("ownerReferences") or ())
        ]

    def _collect(self, uid: str, policy: str) -> None:
        """Delete what the object with this uid owned alone; take the reference off what others own too."""
        for resource, body in self._dependents(uid):
            alive = {other["metadata"]["uid"] for _, other in self._store.all_objects()} - {uid}
            others = [owner for owner in body["metadata"]["ownerReferences"] if owner.get("uid") in alive]
            if others:
                self._set_owners(resource, body, others)
            else:
                self._delete_if_there(resource, body, policy)

    def _orphan(self, uid: str) -> None:
        for resource, body in self._dependents(uid):
            kept = [owner for owner in body["metadata"]["ownerReferences"] if owner.get("uid") != uid]
            self._set_owners(resource, body, kept)

    def _set_owners(self, resource: Resource, body: dict[str, Any], owners: list[Any]) -> None:
        changed = clone(body)
        if owners:
            changed["metadata"]["ownerReferences"] = owners
        else:
            del changed["metadata"]["ownerReferences"]
        self._store.put(resource, changed)

    def _delete_if_there(self, resource: Resource, body: Mapping[str, Any], policy: str = "Background") -> None:
        """Delete unless an earlier step of the same collection has taken it, or it is going already."""
        metadata = body["metadata"]
        live = self._store.get(resource, metadata.get("namespace", ""), metadata["name"])
        if live is not None and "deletionTimestamp" not in live["metadata"]:
            self._delete(resource, live, DeleteOptions(policy=policy))

    def _release_owners(self, metadata: Mapping[str, Any]) -> None:
        """Let owners go that only waited for this dependent (Foreground)."""
        waiting = {owner.get("uid") for owner in metadata.get("ownerReferences") or ()}
        for resource, body in self._store.all_objects():
            about = body["metadata"]
            if about["uid"] not in waiting or _FOREGROUND not in (about.get("finalizers") or ()):
                continue
            if not self._dependents(about["uid"]):
                changed = clone(body)
                changed["metadata"]["finalizers"] = [one for one in about["finalizers"] if one != _FOREGROUND]
                if self.is_free(changed):
                    self.remove(resource, body)
                else:
                    self._store.put(resource, changed)


def _check_preconditions(resource: Resource, live: Mapping[str, Any], options: DeleteOptions) -> None:
    metadata = live["metadata"]
    checks = (
        (options.uid, "uid", "UID", "deleted and then recreated"),
        (options.version, "resourceVersion", "ResourceVersion", "modified"),
    )
    for given, field, label, then in checks:
        if given and given != metadata[field]:
            text = f"the {label} in the precondition ({given}) does not match the {label} in record ({metadata[field]}). The object might have been {then}"  # noqa: E501 - the server's own sentence
            raise conflict(resource, metadata["name"], text, by_kind=True)
