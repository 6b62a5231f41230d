"""Lists and objects as a Table, which is what ``kubectl get`` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from gitlab_mesh.sandbox.apiserver.resources import Resource

__all__ = ["as_table", "wants_table"]

Cells = Callable[[Mapping[str, Any]], list[Any]]


def wants_table(accept: str) -> bool:
    """Tell whether the first media type that the client accepts is a Table."""
    first = accept.partition(",")[0]
    return "as=Table" in first and "application/json" in first


def _text(values: Any) -> str:
    return "[" + ",".join(f'"{value}"' for value in values or []) + "]" if values else ""


def _deployment(body: Mapping[str, Any]) -> list[Any]:
    spec, status = body.get("spec") or {}, body.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [ready, status.get("updatedReplicas", 0), status.get("availableReplicas", 0)]


def _replica_set(body: Mapping[str, Any]) -> list[Any]:
    spec, status = body.get("spec") or {}, body.get("status") or {}
    return [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]


def _pod(body: Mapping[str, Any]) -> list[Any]:
    status = body.get("status") or {}
    containers = status.get("containerStatuses") or []
    count = len((body.get("spec") or {}).get("containers") or [])
    ready = sum(1 for container in containers if container.get("ready"))
    waiting = next(
        (one["state"]["waiting"]["reason"] for one in containers if (one.get("state") or {}).get("waiting")), ""
    )
    phase = "Terminating" if "deletionTimestamp" in body["metadata"] else waiting or status.get("phase", "Unknown")
    restarts = sum(container.get("restartCount", 0) for container in containers)
    return [f"{ready}/{count}", phase, restarts]


def _service(body: Mapping[str, Any]) -> list[Any]:
    spec = body.get("spec") or {}
    ports = ",".join(f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or [])
    return [spec.get("type", ""), spec.get("clusterIP") or "None", "<none>", ports or "<none>"]


def _spec(*fields: str) -> Cells:
    def cells(body: Mapping[str, Any]) -> list[Any]:
        spec = body.get("spec") or {}
        return [_text(spec[field]) if isinstance(spec.get(field), list) else spec.get(field, "") for field in fields]

    return cells


def _count(*fields: str) -> Cells:
    return lambda body: [len(body.get(field) or {}) for field in fields]


_COLUMNS: dict[str, tuple[tuple[str, ...], Cells]] = {
    "Deployment": (("Ready", "Up-to-date", "Available"), _deployment),
    "ReplicaSet": (("Desired", "Current", "Ready"), _replica_set),
    "Pod": (("Ready", "Status", "Restarts"), _pod),
    "Service": (("Type", "Cluster-IP", "External-IP", "Port(s)"), _service),
    "VirtualService": (("Gateways", "Hosts"), _spec("gateways", "hosts")),
    "DestinationRule": (("Host",), _spec("host")),
    "Lease": (("Holder",), _spec("holderIdentity")),
    "ConfigMap": (("Data",), _count("data")),
    "Secret": (("Type", "Data"), lambda body: [body.get("type", ""), len(body.get("data") or {})]),
    "Namespace": (("Status",), lambda body: [(body.get("status") or {}).get("phase", "Active")]),
    "Event": (
        ("Type", "Reason", "Object", "Message"),
        lambda body: [
            body.get("type", ""),
            body.get("reason", ""),
            "/".join(str((body.get("involvedObject") or {}).get(key, "")) for key in ("kind", "name")).lower(),
            body.get("message", ""),
        ],
    ),
}


def as_table(resource: Resource, answer: Mapping[str, Any], accept: str, now: datetime) -> dict[str, Any]:
    """Return the Table of an object or a list in the version that the client asks for.

    Args:
        resource: Kind of the objects.
        answer: The object, or a list object.
        accept: Header ``Accept``; decides ``v1`` or ``v1beta1``.
        now: For the ages.
    """
    version = "v1beta1" if "v=v1beta1" in accept.partition(",")[0] else "v1"
    names, cells = _COLUMNS.get(resource.kind, ((), lambda body: []))
    columns = [("Name", "string", "name"), *((name, "string", "") for name in names), ("Age", "string", "")]
    items = answer.get("items", [answer])
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": {key: answer["metadata"][key] for key in ("resourceVersion", "continue", "remainingItemCount")
                     if key in answer["metadata"]},
        "columnDefinitions": [
            {"name": name, "type": sort, "format": form, "description": name, "priority": 0}
            for name, sort, form in columns
        ],
        "rows": [
            {
                "cells": [body["metadata"]["name"], *cells(body), _age(body["metadata"], now)],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": f"meta.k8s.io/{version}",
                    "metadata": body["metadata"],
                },
            }
            for body in items
        ],
    }  # fmt: skip


def _age(metadata: Mapping[str, Any], now: datetime) -> str:
    created = metadata.get("creationTimestamp")
    if not created:
        return "<unknown>"
    seconds = max(0, int((now - datetime.fromisoformat(created)).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
