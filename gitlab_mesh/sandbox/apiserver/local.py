"""A client in process, for the sandbox's own controllers and for tests: requests without sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gitlab_mesh.core.kinds import KINDS, find_kind
from gitlab_mesh.core.kube_status import map_status
from gitlab_mesh.core.mesh.route import Operation
from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.ports import Object
from gitlab_mesh.sandbox.apiserver.access import User
from gitlab_mesh.sandbox.apiserver.messages import Request, Response, clone
from gitlab_mesh.sandbox.apiserver.patches import APPLY, JSON_PATCH, MERGE_PATCH
from gitlab_mesh.sandbox.apiserver.server import ApiServer

__all__ = ["LocalClient"]


class LocalClient:
    """Talks to an ``ApiServer`` as one user and one field manager; implements the port ``Cluster``.

    Every method raises the errors of the port ``Cluster``; objects that it returns are the caller's own.

    Args:
        server: Shared by as many clients as there are actors.
        user: Whose token is sent; must be one of the server's users.
        manager: Field manager of all writes.
    """

    def __init__(self, server: ApiServer, user: User, *, manager: str = "gitlab-mesh") -> None:
        self.server = server
        self.user = user
        self.manager = manager

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """Read one object."""
        return self._object("get", kind, namespace, name, "GET")

    def list(self, kind: str, namespace: str, *, label_selector: str = "", field_selector: str = "") -> list[Object]:
        """List objects of a namespace ("": of all), with apiVersion and kind in each."""
        query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        known = find_kind(kind)
        items = self._object("list", kind, namespace, "", "GET", query=query)["items"]
        return [{"apiVersion": known.api_version, "kind": kind, **item} for item in items]

    def create(self, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object; ConflictError if it exists."""
        kind, namespace, name = _identity(body)
        query = {"dryRun": "All"} if dry_run else {}
        return self._object("create", kind, namespace, name, "POST", body=body, query=query)

    def update(self, body: Object) -> Object:
        """Replace an object; with ``metadata.resourceVersion`` the write is conditional."""
        kind, namespace, name = _identity(body)
        return self._object("update", kind, namespace, name, "PUT", body=body)

    def update_status(self, body: Object) -> Object:
        """Replace the status of an object and nothing else."""
        kind, namespace, name = _identity(body)
        return self._object("update", kind, namespace, name, "PUT", body=body, subresource="status")

    def patch(
        self, kind: str, namespace: str, name: str, operations: Sequence[Operation], *, dry_run: bool = False
    ) -> Object:
        """Apply an RFC 6902 JSON Patch, all or nothing."""
        query = {"dryRun": "All"} if dry_run else {}
        body = [dict(operation) for operation in operations]
        return self._object("patch", kind, namespace, name, "PATCH", body=body, query=query, media=JSON_PATCH)

    def merge_patch(
        self, kind: str, namespace: str, name: str, patch: Mapping[str, Any], *, subresource: str = ""
    ) -> Object:
        """Apply an RFC 7386 merge patch to an object, or to its status."""
        return self._object(
            "patch", kind, namespace, name, "PATCH", body=patch, media=MERGE_PATCH, subresource=subresource
        )

    def apply(self, body: Object, *, force: bool = False) -> Object:
        """Apply an object on the server's side; ConflictError names the other owner of a field."""
        kind, namespace, name = _identity(body)
        query = {"force": "true"} if force else {}
        return self._object("patch", kind, namespace, name, "PATCH", body=body, query=query, media=APPLY)

    def delete(
        self,
        kind: str,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        policy: str = "Background",
        grace_seconds: int | None = None,
    ) -> None:
        """Delete an object; ``uid`` makes it conditional. Missing is fine (returns)."""
        options: dict[str, Any] = {"propagationPolicy": policy}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            self._object("delete", kind, namespace, name, "DELETE", body=options)
        except ObjectMissingError:
            return

    def _object(
        self,
        verb: str,
        kind: str,
        namespace: str,
        name: str,
        method: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        media: str = "application/json",
        subresource: str = "",
    ) -> Object:
        path = find_kind(kind).path(namespace, "" if method == "POST" else name, subresource)
        written = {"fieldManager": self.manager} if method in ("POST", "PUT", "PATCH") else {}
        request = Request(
            method,
            path,
            query={**(query or {}), **written},
            headers={"authorization": f"Bearer {self.user.token}", "content-type": media},
            body=b"" if body is None else json.dumps(body).encode(),
        )
        word = f"{kind}/{subresource}" if subresource else kind
        response = self._around(verb, word, namespace, name, body, lambda: self.server.handle(request))
        if response.status >= 400:
            raise map_status(response.status, response.body or {}, verb=verb, kind=word, namespace=namespace, name=name)
        answer: Object = clone(response.body)
        return answer

    def _around(
        self, verb: str, kind: str, namespace: str, name: str, body: Any, send: Callable[[], Response]
    ) -> Response:
        """Do one request; a place for subclasses to let something happen before or after it."""
        return send()


def _identity(body: Mapping[str, Any]) -> tuple[str, str, str]:
    metadata = body.get("metadata") or {}
    kind = body.get("kind", "")
    word = f"{kind}.{str(body.get('apiVersion', '')).rpartition('/')[0]}"  # of a kind whose name two groups have
    kind = word if word in KINDS else kind
    namespaced = kind not in KINDS or KINDS[kind].namespaced
    return kind, metadata.get("namespace", "") if namespaced else "", metadata.get("name", "")
