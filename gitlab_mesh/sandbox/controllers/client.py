"""The controllers' way to the API server: in process, through the same door and checks as everybody else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from gitlab_mesh.core.kinds import KINDS
from gitlab_mesh.sandbox.apiserver.messages import Request
from gitlab_mesh.sandbox.apiserver.resources import resource_of_kind
from gitlab_mesh.sandbox.apiserver.server import ApiServer

__all__ = ["ControllerClient", "RefusedError"]

Object = dict[str, Any]


class RefusedError(Exception):
    """The API server refused a controller's request.

    Args:
        code: HTTP status.
        message: The server's text.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class ControllerClient:
    """Reads from the store, writes through the server.

    Args:
        api: The API server.
        token: Of a user who may do everything.
        manager: Name in ``managedFields`` ("kubelet").
    """

    def __init__(self, api: ApiServer, token: str, manager: str) -> None:
        self.store = api.store
        self._api = api
        self._headers = {"authorization": f"Bearer {token}", "user-agent": manager}
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

    def create(self, kind: str, body: Mapping[str, Any]) -> Object:
        """Create an object. Raises RefusedError."""
        return self._send("POST", KINDS[kind].path(body["metadata"]["namespace"]), body)

    def patch(self, kind: str, body: Mapping[str, Any], patch: Mapping[str, Any], subresource: str = "") -> Object:
        """Put a merge patch on the object that ``body`` is a state of. Raises RefusedError."""
        metadata = body["metadata"]
        path = KINDS[kind].path(metadata["namespace"], metadata["name"], subresource)
        about = {"metadata": {"uid": metadata["uid"]}}
        return self._send("PATCH", path, {**about, **patch}, "application/merge-patch+json")

    def set_status(self, kind: str, body: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Write the whole status if it differs; an object that is gone meanwhile is fine. Raises RefusedError."""
        if body.get("status") == status:
            return
        old = body.get("status") or {}
        removed = {key: None for key in old if key not in status}
        try:
            self.patch(kind, body, {"status": {**removed, **status}}, "status")
        except RefusedError as error:
            if error.code not in (404, 422):  # 422: another object has the name now
                raise

    def delete(self, kind: str, body: Mapping[str, Any], *, grace_seconds: int | None = None) -> None:
        """Delete an object; one that is gone already is fine. Raises RefusedError."""
        metadata = body["metadata"]
        options: Object = {"preconditions": {"uid": metadata["uid"]}, "propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            self._send("DELETE", KINDS[kind].path(metadata["namespace"], metadata["name"]), options)
        except RefusedError as error:
            if error.code not in (404, 409):  # 409: another object has the name now
                raise

    def record_event(self, about: Mapping[str, Any], reason: str, message: str, *, warning: bool = False) -> None:
        """Write an Event about an object, or count it up if the same was said before."""
        metadata = about["metadata"]
        same = hashlib.sha256(f"{metadata['uid']}{reason}{message}{self._manager}".encode()).hexdigest()[:16]
        name = f"{metadata['name']}.{same}"
        now = self.store.timestamp()
        live = self.get("Event", metadata["namespace"], name)
        try:
            if live:
                self.patch("Event", live, {"count": live["count"] + 1, "lastTimestamp": now})
                return
            reference = {"apiVersion": about["apiVersion"], "kind": about["kind"]}
            reference |= {key: metadata[key] for key in ("namespace", "name", "uid")}
            self.create(
                "Event",
                {
                    "metadata": {"name": name, "namespace": metadata["namespace"]},
                    "involvedObject": reference,
                    "reason": reason,
                    "message": message,
                    "type": "Warning" if warning else "Normal",
                    "count": 1,
                    "firstTimestamp": now,
                    "lastTimestamp": now,
                    "source": {"component": self._manager},
                },
            )
        except RefusedError as error:
            if error.code not in (404, 409):  # the namespace is gone; or the other thread was first
                raise

    def _send(self, method: str, path: str, body: Mapping[str, Any], content_type: str = "application/json") -> Object:
        headers = {**self._headers, "content-type": content_type}
        answer = self._api.handle(Request(method, path, {}, headers, json.dumps(body).encode()))
        if answer.status >= 400:
            raise RefusedError(answer.status, answer.body["message"])
        result: Object = answer.body
        return result
