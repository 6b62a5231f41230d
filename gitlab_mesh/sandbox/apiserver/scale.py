"""The ``scale`` subresource: a view of ``spec.replicas`` in the form that every scaler speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.messages import clone
from gitlab_mesh.sandbox.apiserver.options import WriteOptions
from gitlab_mesh.sandbox.apiserver.patches import (
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_MERGE_PATCH,
    json_patch,
    merge_patch,
)
from gitlab_mesh.sandbox.apiserver.resources import Resource
from gitlab_mesh.sandbox.apiserver.status import bad_request, invalid, missing, unsupported_media_type
from gitlab_mesh.sandbox.apiserver.store import ObjectStore
from gitlab_mesh.sandbox.apiserver.targets import Target
from gitlab_mesh.sandbox.apiserver.writes import Writer

__all__ = ["patch_scale", "read_scale", "update_scale"]

_SCALE = Resource("Scale", "autoscaling", ("v1",), "scales")
"""In whose name a wrong Scale is refused."""


def read_scale(store: ObjectStore, target: Target) -> dict[str, Any]:
    """Return the Scale of a Deployment or ReplicaSet. Raises StatusError 404."""
    live = store.get(target.resource, target.namespace, target.name)
    if live is None:
        raise missing(target.resource, target.name)
    return _scale_of(live)


def _scale_of(live: Mapping[str, Any]) -> dict[str, Any]:
    metadata, spec = live["metadata"], live.get("spec") or {}
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept},
        "spec": {"replicas": spec.get("replicas", 0)},
        "status": {
            "replicas": (live.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in labels.items()),
        },
    }


def update_scale(writer: Writer, target: Target, body: Any, options: WriteOptions) -> dict[str, Any]:
    """Replace the Scale. Raises StatusError: 404, 409 for another resourceVersion, 400, 422."""
    with writer.store.changed:
        scale = read_scale(writer.store, target)
        if not isinstance(body, Mapping) or not isinstance(body.get("spec", {}), Mapping):
            raise bad_request("the body of the request is no Scale object")
        replicas = (body.get("spec") or {}).get("replicas", 0)
        if isinstance(replicas, bool) or not isinstance(replicas, int):
            raise bad_request(
                "json: cannot unmarshal the body into Go struct field ScaleSpec.spec.replicas of type int32"
            )
        if replicas < 0:
            text = f"Invalid value: {replicas}: must be greater than or equal to 0"
            raise invalid(_SCALE, target.name, [("spec.replicas", text)])
        live = writer.store.get(target.resource, target.namespace, target.name)
        if live is None:
            raise missing(target.resource, target.name)
        wanted = clone(live)
        wanted["metadata"].pop("managedFields", None)
        version = (body.get("metadata") or {}).get("resourceVersion")
        wanted["metadata"]["resourceVersion"] = version or scale["metadata"]["resourceVersion"]
        wanted["spec"]["replicas"] = replicas
        wanted["apiVersion"] = target.api_version
        return _scale_of(writer.update(target, wanted, options))


def patch_scale(writer: Writer, target: Target, content_type: str, body: Any, options: WriteOptions) -> dict[str, Any]:
    """Patch the Scale. Raises StatusError as ``update_scale``, and 415."""
    with writer.store.changed:
        scale = read_scale(writer.store, target)
        if content_type == JSON_PATCH:
            patched = json_patch(scale, body)
        elif content_type in (MERGE_PATCH, STRATEGIC_MERGE_PATCH):
            patched = merge_patch(scale, body)
        else:
            raise unsupported_media_type()
        return update_scale(writer, target, patched, options)
