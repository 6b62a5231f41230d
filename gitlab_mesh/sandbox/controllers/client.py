"""The controllers' way to the API server: in process, through the same door and checks as everybody else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from gitlab_mesh.errors import ConflictError, ObjectMissingError, UsageError
from gitlab_mesh.sandbox.apiserver.access import User
from gitlab_mesh.sandbox.apiserver.local import LocalClient
from gitlab_mesh.sandbox.apiserver.resources import resource_of_kind
from gitlab_mesh.sandbox.apiserver.server import ApiServer

__all__ = ["ControllerClient"]

Object = dict[str, Any]


class ControllerClient:
    """Reads from the store without copies, writes through the server. Writes raise the errors of the port Cluster.

    Args:
        api: The API server.
        user: May do everything.
        manager: Name in ``managedFields`` and events ("kubelet").
    """

    def __init__(self, api: ApiServer, user: User, manager: str) -> None:
        self.store = api.store
        self._door = LocalClient(api, user, manager=manager)
        self._manager = manager

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return an object (not to be changed) or None."""
        return self.store.get(resource_of_kind(kind), namespace, name)

    def objects(self, kind: str, namespace: str = "") -> list[Object]:
        """Return the objects of a namespace ("": all), not to be changed."""
        return self.store.list_objects(resource_of_kind(kind), namespace)[0]

    def owned(self, kind: str, owner: Mapping[str, Any]) -> list[Object]:
        """Return the objects whose controller is ``owner``."""
        uid = owner["metadata"]["uid"]
        return [
            body
            for body in self.objects(kind, owner["metadata"]["namespace"])
            if any(
                one.get("uid") == uid and one.get("controller") for one in body["metadata"].get("ownerReferences", ())
            )
        ]

    def create(self, body: Object) -> Object:
        """Create an object."""
        return self._door.create(body)

    def patch(self, kind: str, body: Mapping[str, Any], patch: Mapping[str, Any], subresource: str = "") -> Object:
        """Put a merge patch on the object that ``body`` is a state of; ObjectMissingError if there is another one."""
        metadata = body["metadata"]
        uid = {"metadata": {**patch.get("metadata", {}), "uid": metadata["uid"]}}
        try:
            return self._door.merge_patch(
                kind, metadata["namespace"], metadata["name"], {**patch, **uid}, subresource=subresource
            )
        except UsageError as error:
            live = self.get(kind, metadata["namespace"], metadata["name"])
            if live is None or live["metadata"]["uid"] != metadata["uid"]:
                raise ObjectMissingError(f"{kind} {metadata['namespace']}/{metadata['name']} is gone") from error
            raise

    def set_status(self, kind: str, body: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Write the whole status if it differs; an object that is gone meanwhile is fine."""
        if body.get("status") == status:
            return
        removed = {key: None for key in body.get("status") or {} if key not in status}
        try:
            self.patch(kind, body, {"status": {**removed, **status}}, "status")
        except ObjectMissingError:
            return

    def delete(self, kind: str, body: Mapping[str, Any], *, grace_seconds: int | None = None) -> None:
        """Delete an object; one that is gone already is fine, another one of its name stays."""
        metadata = body["metadata"]
        try:
            self._door.delete(
                kind, metadata["namespace"], metadata["name"], uid=metadata["uid"], grace_seconds=grace_seconds
            )
        except ConflictError:
            return

    def record_event(self, about: Mapping[str, Any], reason: str, message: str, *, warning: bool = False) -> None:
        """Write an Event about an object, or count it up if the same was said before."""
        metadata = about["metadata"]
        same = hashlib.sha256(f"{metadata['uid']}{reason}{message}{self._manager}".encode()).hexdigest()[:16]
        name, now = f"{metadata['name']}.{same}", self.store.timestamp()
        live = self.get("Event", metadata["namespace"], name)
        try:
            if live:
                self.patch("Event", live, {"count": live["count"] + 1, "lastTimestamp": now})
            else:
                self._door.create(_event(about, name, reason, message, now, self._manager, warning=warning))
        except (ObjectMissingError, ConflictError):
            return  # the namespace is going; events are best effort, as in Kubernetes


def _event(
    about: Mapping[str, Any], name: str, reason: str, message: str, now: str, component: str, *, warning: bool
) -> Object:
    metadata = about["metadata"]
    reference = {"apiVersion": about["apiVersion"], "kind": about["kind"]}
    reference |= {key: metadata[key] for key in ("namespace", "name", "uid")}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": metadata["namespace"]},
        "involvedObject": reference,
        "reason": reason,
        "message": message,
        "type": "Warning" if warning else "Normal",
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": component},
    }
