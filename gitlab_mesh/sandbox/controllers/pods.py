"""Pure rules about pods: how a controller builds one, when it counts as ready or available, which one goes first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

__all__ = [
    "HASH_LABEL",
    "SIDECAR",
    "build_pod",
    "deletion_rank",
    "is_ready",
    "owner_reference",
    "ready_since",
    "template_hash",
]

Object = dict[str, Any]

HASH_LABEL = "pod-template-hash"
SIDECAR = "istio-proxy"
"""Name of the container that Istio's webhook injects."""

_SIDECAR_IMAGE = "sandbox.invalid/istio/proxyv2:emulated"
# The alphabet of apimachinery's rand.SafeEncodeString: no vowels, so that no words come out.
_SAFE = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(template: Mapping[str, Any]) -> str:
    """Return the value of ``pod-template-hash`` for a Deployment's template: equal for equal templates."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_SAFE[byte % len(_SAFE)] for byte in digest[:10])


def owner_reference(owner: Mapping[str, Any]) -> Object:
    """Return the controllerRef to an object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def build_pod(replica_set: Mapping[str, Any], namespace: Mapping[str, Any] | None) -> Object:
    """Return the pod that a ReplicaSet creates, with the sidecar if its namespace has injection on."""
    template = json.loads(json.dumps(replica_set["spec"]["template"]))
    metadata = template.get("metadata") or {}
    spec = template["spec"]
    labels = metadata.get("labels") or {}
    of_namespace = ((namespace or {}).get("metadata") or {}).get("labels") or {}
    enabled = of_namespace.get("istio-injection") == "enabled" or "istio.io/rev" in of_namespace
    if labels.get("sidecar.istio.io/inject", "true" if enabled else "false") == "true":
        spec["containers"].append({"name": SIDECAR, "image": _SIDECAR_IMAGE, "args": ["proxy", "sidecar"]})
    about: Object = {
        "generateName": f"{replica_set['metadata']['name']}-",
        "namespace": replica_set["metadata"]["namespace"],
        "labels": labels,
        "ownerReferences": [owner_reference(replica_set)],
    }
    if metadata.get("annotations"):
        about["annotations"] = metadata["annotations"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec}


def _ready_condition(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == "Ready" and one["status"] == "True"), None)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Tell whether a pod is ready and not on its way out."""
    return _ready_condition(pod) is not None and "deletionTimestamp" not in pod["metadata"]


def ready_since(pod: Mapping[str, Any]) -> datetime | None:
    """Return since when a pod is ready; None if it is not."""
    condition = _ready_condition(pod)
    return datetime.fromisoformat(condition["lastTransitionTime"]) if condition and is_ready(pod) else None


def deletion_rank(pod: Mapping[str, Any]) -> tuple[bool, int, str, str]:
    """Sort key: the pods that a scale-down takes first (not ready, most restarts, youngest) have the largest."""
    status = pod.get("status") or {}
    restarts = sum(one.get("restartCount", 0) for one in status.get("containerStatuses") or ())
    return not is_ready(pod), restarts, pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]
