"""The last step of every write: what the server fills in, checks and decides before it stores an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.defaults import set_defaults
from gitlab_mesh.sandbox.apiserver.deletion import Deleter
from gitlab_mesh.sandbox.apiserver.options import WriteOptions
from gitlab_mesh.sandbox.apiserver.ownership import Manager, decode_managers, encode_managers, owned_after_update
from gitlab_mesh.sandbox.apiserver.resources import Resource
from gitlab_mesh.sandbox.apiserver.status import already_exists
from gitlab_mesh.sandbox.apiserver.store import ObjectStore
from gitlab_mesh.sandbox.apiserver.validation import check_fields, validate

__all__ = ["Committer"]

_KEPT_METADATA = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")


class Committer:
    """Puts wanted objects into a store; the caller holds its lock."""

    def __init__(self, store: ObjectStore, deleter: Deleter) -> None:
        self._store = store
        self._deleter = deleter

    def commit(
        self,
        resource: Resource,
        live: dict[str, Any] | None,
        wanted: dict[str, Any],
        me: Manager,
        options: WriteOptions,
        managers: list[Manager] | None,
    ) -> dict[str, Any]:
        """Fill in what the server decides, check, and put it into the store unless nothing changed.

        Args:
            resource: Kind of the object.
            live: The stored object, None to create.
            wanted: The object to be stored; ours alone.
            me: Who writes.
            options: Whether to store at all, and how to take unknown fields.
            managers: The new managers; None: from the difference between live and wanted.

        Raises:
            StatusError: 400 and 422 for what a real server would not store, 409 for a second object of the same name.
        """
        check_fields(resource, wanted, options)
        metadata = wanted["metadata"]
        given = metadata.pop("managedFields", None)
        self._set_identity(resource, live, wanted)
        set_defaults(resource, wanted, live, number=self._store.version)
        validate(resource, wanted, live)
        if live is None:
            self._check_is_new(resource, metadata)
        if resource.counts_generation:
            _count_generation(resource, live, wanted)
        if managers is None:
            base = _with_managers(live, given)
            managers = owned_after_update(resource, base, wanted, me)
        if encoded := encode_managers(managers):
            metadata["managedFields"] = encoded
        if live is not None and wanted == live:
            return live
        if options.dry_run:
            return wanted
        if live is not None and "deletionTimestamp" in metadata and self._deleter.is_free(wanted):
            self._store.put(resource, wanted)
            return self._deleter.remove(resource, wanted)
        return self._store.put(resource, wanted)

    def _check_is_new(self, resource: Resource, metadata: Mapping[str, Any]) -> None:
        there = self._store.get(resource, metadata.get("namespace", ""), metadata["name"])
        if there is not None:
            raise already_exists(resource, metadata["name"], is_going="deletionTimestamp" in there["metadata"])

    def _set_identity(self, resource: Resource, live: dict[str, Any] | None, wanted: dict[str, Any]) -> None:
        """Fill in the metadata that only the server writes, and the first status of a new object."""
        metadata = wanted["metadata"]
        if live is None:
            metadata.update(uid=self._store.new_uid(), creationTimestamp=self._store.timestamp())
            for key in ("resourceVersion", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"):
                metadata.pop(key, None)
            _start_status(resource, wanted)
        else:
            for key in _KEPT_METADATA:
                metadata.pop(key, None)
                if key in live["metadata"]:
                    metadata[key] = live["metadata"][key]
            metadata["resourceVersion"] = live["metadata"]["resourceVersion"]


def _start_status(resource: Resource, body: dict[str, Any]) -> None:
    """Give a new object the status that a server starts it with; a client's own is dropped."""
    if not resource.status:
        return
    body.pop("status", None)
    first: dict[str, dict[str, Any]] = {
        "Pod": {"phase": "Pending", "qosClass": "BestEffort"},
        "Namespace": {"phase": "Active"},
        "Service": {"loadBalancer": {}},
        "Deployment": {},
        "ReplicaSet": {"replicas": 0},
    }
    if resource.kind in first:
        body["status"] = first[resource.kind]


def _count_generation(resource: Resource, live: dict[str, Any] | None, wanted: dict[str, Any]) -> None:
    def meant(body: Mapping[str, Any]) -> Any:
        if resource.custom:
            return {key: value for key, value in body.items() if key not in ("metadata", "status")}
        # annotations of a Deployment reach its ReplicaSets, so its controller has to look again
        annotations = body["metadata"].get("annotations") if resource.kind == "Deployment" else None
        return body.get("spec"), annotations

    if live is None:
        wanted["metadata"]["generation"] = 1
    elif meant(live) != meant(wanted):
        wanted["metadata"]["generation"] = live["metadata"]["generation"] + 1


def _with_managers(live: dict[str, Any] | None, given: list[Mapping[str, Any]] | None) -> dict[str, Any] | None:
    """Return ``live`` with the managers that the client sent: ``[{}]`` resets them, none leaves them."""
    if live is None or not given:
        return live
    usable = [] if given == [{}] else encode_managers(decode_managers({"managedFields": given}))
    return {**live, "metadata": {**live["metadata"], "managedFields": usable}}
