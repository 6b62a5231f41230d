"""The rollout record in a ConfigMap: the port ``RolloutStore``.

Conditional writes are a JSON Patch that tests ``metadata.resourceVersion``: what other people wrote beside our data
(annotations, labels) stays, and no right to ``update`` is needed.
"""

from __future__ import annotations

from gitlab_mesh.core.mesh.route import Operation
from gitlab_mesh.core.record import Record, parse_record, render_record
from gitlab_mesh.errors import ConflictError, ObjectMissingError
from gitlab_mesh.ports import Cluster, Object

__all__ = ["ConfigMapRolloutStore", "owned_labels", "record_name"]

SERVICE_LABEL = "gitlab-mesh.dev/service"


def record_name(service: str) -> str:
    """Name of the ConfigMap and of the Lease of a service."""
    return f"gitlab-mesh-{service}"


def owned_labels(service: str) -> dict[str, str]:
    """Labels by which everything of ours is found: ``kubectl get configmap,lease -l …``."""
    return {"app.kubernetes.io/managed-by": "gitlab-mesh", SERVICE_LABEL: service}


class ConfigMapRolloutStore:
    """One service's record in ConfigMap ``gitlab-mesh-<service>``; the version is its resourceVersion."""

    def __init__(self, cluster: Cluster, service: str, namespace: str) -> None:
        self._cluster = cluster
        self._service = service
        self._namespace = namespace
        self._name = record_name(service)

    def read(self) -> tuple[Record | None, str]:
        """Return the record and its version; (None, "") without ConfigMap.

        Raises:
            ConflictError: The record is of a newer schema or unreadable.
        """
        try:
            found = self._cluster.get("ConfigMap", self._namespace, self._name)
        except ObjectMissingError:
            return None, ""
        record = parse_record(found.get("data") or {}, name=f"{self._namespace}/{self._name}")
        return record, str(found["metadata"]["resourceVersion"])

    def write(self, record: Record, version: str) -> str:
        """Write if nobody else wrote since ``version``; return the new version.

        Raises:
            ConflictError: Somebody else wrote, created or deleted it since.
            UsageError: The record is larger than 64 KiB.
        """
        data = render_record(record)
        try:
            written = self._patch(data, version) if version else self._create(data)
        except (ConflictError, ObjectMissingError) as error:
            raise ConflictError(
                f"rollout record ConfigMap {self._namespace}/{self._name}: somebody else wrote it, we wrote nothing",
                why=error.what,
                hint=f"see who drives the rollout: gitlab-mesh job status --service {self._service}",
            ) from error
        return str(written["metadata"]["resourceVersion"])

    def _create(self, data: dict[str, str]) -> Object:
        metadata = {"name": self._name, "namespace": self._namespace, "labels": owned_labels(self._service)}
        return self._cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})

    def _patch(self, data: dict[str, str], version: str) -> Object:
        operations: list[Operation] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/data", "value": data},
        ]
        return self._cluster.patch("ConfigMap", self._namespace, self._name, operations)
