"""Create, replace and patch: from a client's body to a stored object, as a real server does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.apply import apply_configuration
from gitlab_mesh.sandbox.apiserver.commit import Committer
from gitlab_mesh.sandbox.apiserver.deletion import Deleter
from gitlab_mesh.sandbox.apiserver.messages import clone
from gitlab_mesh.sandbox.apiserver.options import WriteOptions
from gitlab_mesh.sandbox.apiserver.ownership import Manager
from gitlab_mesh.sandbox.apiserver.patches import APPLY, JSON_PATCH, MERGE_PATCH, apply_patch
from gitlab_mesh.sandbox.apiserver.resources import Resource, resource_of_kind
from gitlab_mesh.sandbox.apiserver.status import (
    StatusError,
    bad_request,
    conflict,
    internal_error,
    invalid,
    invalid_patch,
    missing,
)
from gitlab_mesh.sandbox.apiserver.store import ObjectStore
from gitlab_mesh.sandbox.apiserver.targets import Target, from_served, to_served
from gitlab_mesh.sandbox.apiserver.validation import check_fields, check_metadata

__all__ = ["Writer"]

_CONDITIONAL_ONLY = {"Lease", "PodDisruptionBudget"}
"""Built-in kinds whose replacement must carry a resourceVersion; all custom kinds must too."""
_CREATED_BY_UPDATE = {"Lease", "Event"}


class Writer:
    """Writes to a store; every method holds its lock for the whole read-change-write."""

    def __init__(self, store: ObjectStore, deleter: Deleter) -> None:
        self.store = store
        self._committer = Committer(store, deleter)

    def create(self, target: Target, body: Any, options: WriteOptions) -> dict[str, Any]:
        """Store a new object.

        Raises:
            StatusError: 409 AlreadyExists, 404 for a missing namespace, 400 and 422.
        """
        resource = target.resource
        with self.store.changed:
            wanted = self._accept(target, body)
            metadata = wanted["metadata"]
            if metadata.get("resourceVersion"):
                raise internal_error("resourceVersion should not be set on objects to be created")
            if not metadata.get("name") and metadata.get("generateName"):
                metadata["name"] = metadata["generateName"] + self.store.new_suffix()
            self._check_namespace(resource, metadata)
            me = self._manager(target, options)
            return self._committer.commit(resource, None, wanted, me, options, None)

    def update(self, target: Target, body: Any, options: WriteOptions) -> dict[str, Any]:
        """Replace an object, or only its status.

        Raises:
            StatusError: 404, 409 for another resourceVersion or uid, 400 and 422.
        """
        resource = target.resource
        with self.store.changed:
            wanted = self._accept(target, body)
            live = self.store.get(resource, target.namespace, target.name)
            uid = wanted["metadata"].get("uid")
            if live is None:
                if resource.kind not in _CREATED_BY_UPDATE or target.subresource:
                    raise missing(resource, target.name)
                if uid:
                    raise conflict(resource, target.name, _uid_text(uid, ""))
                return self.create(target, body, options)
            if uid and uid != live["metadata"]["uid"]:
                raise conflict(resource, target.name, _uid_text(uid, live["metadata"]["uid"]))
            if not wanted["metadata"].get("resourceVersion") and (
                resource.custom or resource.kind in _CONDITIONAL_ONLY
            ):
                text = "Invalid value: 0: must be specified for an update"
                raise invalid(resource, target.name, [("metadata.resourceVersion", text)], by_kind=False)
            return self._replace(target, live, wanted, options)

    def patch(self, target: Target, content_type: str, body: Any, options: WriteOptions) -> dict[str, Any]:
        """Change an object by one of the four kinds of patch; an apply may create it.

        Raises:
            StatusError: 404, 409, 415 for a patch that the kind does not have, 422 for one that does not apply.
        """
        resource = target.resource
        with self.store.changed:
            live = self.store.get(resource, target.namespace, target.name)
            if content_type == APPLY:
                return self._apply(target, live, body, options)
            if live is None:
                raise missing(resource, target.name)
            patched = apply_patch(resource, content_type, clone(to_served(live, target.api_version)), body)
            try:
                wanted = self._accept(target, patched)
                check_fields(resource, wanted, options)
            except StatusError as error:
                does_not_decode = "handled as" in error.message or "API version" in error.message
                if error.code == 400 and does_not_decode and content_type in (JSON_PATCH, MERGE_PATCH):
                    raise invalid_patch(patched, error.message) from error
                raise
            uid = wanted["metadata"].get("uid")
            if uid and uid != live["metadata"]["uid"]:
                raise invalid(resource, target.name, [("metadata.uid", f'Invalid value: "{uid}": field is immutable')])
            return self._replace(target, live, wanted, options)

    def _apply(self, target: Target, live: dict[str, Any] | None, body: Any, options: WriteOptions) -> dict[str, Any]:
        config = self._accept(target, body)
        metadata = config["metadata"]
        if metadata.get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        if live and metadata.get("uid", live["metadata"]["uid"]) != live["metadata"]["uid"]:
            raise conflict(target.resource, target.name, _uid_text(metadata["uid"], live["metadata"]["uid"]))
        if live is None:
            self._check_namespace(target.resource, metadata)
        me = self._manager(target, options, operation="Apply")
        wanted, managers = apply_configuration(target.resource, live, config, me, force=options.force)
        wanted = clone(wanted)
        if live is None:
            return self._committer.commit(target.resource, None, wanted, me, options, managers)
        if target.subresource == "status":
            wanted = {**live, "status": wanted.get("status"), "metadata": wanted["metadata"]}
        self._check_version(target, live, wanted)
        return self._committer.commit(target.resource, live, wanted, me, options, managers)

    def _replace(
        self, target: Target, live: dict[str, Any], wanted: dict[str, Any], options: WriteOptions
    ) -> dict[str, Any]:
        self._check_version(target, live, wanted)
        if target.subresource == "status":
            metadata = {**live["metadata"], "managedFields": wanted["metadata"].get("managedFields")}
            wanted = clone({**live, "metadata": metadata, "status": wanted.get("status")})
            if wanted["status"] is None:
                del wanted["status"]
        elif target.resource.status:
            wanted.pop("status", None)
            if "status" in live:
                wanted["status"] = live["status"]
        return self._committer.commit(target.resource, live, wanted, self._manager(target, options), options, None)

    def _accept(self, target: Target, body: Any) -> dict[str, Any]:
        """Return the body as an object of ours to change, in the stored version. Raises StatusError 400."""
        resource = target.resource
        if not isinstance(body, Mapping):
            raise bad_request(f"the body of the request is no {resource.kind} object")
        given = (body.get("apiVersion", target.api_version), body.get("kind", resource.kind))
        if given != (target.api_version, resource.kind):
            raise bad_request(
                f"the API version in the data ({given[0]}, Kind={given[1]}) does not match the expected API version "
                f"({target.api_version}, Kind={resource.kind})"
            )
        wanted: dict[str, Any] = clone(from_served({**body, "apiVersion": target.api_version}, resource))
        wanted["kind"] = resource.kind
        metadata = wanted.get("metadata")
        if metadata is None:
            metadata = wanted["metadata"] = {}
        if not isinstance(metadata, dict):
            raise bad_request("metadata is no object")
        check_metadata(resource, metadata)
        for key in [key for key, value in metadata.items() if value in (None, "", {}, []) and key != "managedFields"]:
            del metadata[key]
        if resource.namespaced:
            if metadata.setdefault("namespace", target.namespace) != target.namespace:
                raise bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
        else:
            metadata.pop("namespace", None)
        if target.name and metadata.setdefault("name", target.name) != target.name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
            )
        return wanted

    def _check_namespace(self, resource: Resource, metadata: Mapping[str, Any]) -> None:
        if resource.namespaced:
            namespaces = resource_of_kind("Namespace")
            if self.store.get(namespaces, "", metadata["namespace"]) is None:
                raise missing(namespaces, metadata["namespace"])

    def _check_version(self, target: Target, live: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        version = wanted["metadata"].get("resourceVersion")
        if version and not version.isdigit():
            raise internal_error(f'strconv.ParseUint: parsing "{version}": invalid syntax')
        if version and version != live["metadata"]["resourceVersion"]:
            raise conflict(target.resource, target.name)

    def _manager(self, target: Target, options: WriteOptions, *, operation: str = "Update") -> Manager:
        return Manager(
            name=options.manager,
            operation=operation,
            api_version=target.api_version,
            subresource=target.subresource,
            time="" if target.subresource == "scale" else self.store.timestamp(),
        )


def _uid_text(wanted: str, found: str) -> str:
    return f"StorageError: invalid object, Code: 4, AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"  # noqa: E501 - the server's own sentence
