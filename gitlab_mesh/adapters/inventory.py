"""Objects of a live cluster for the rules: read whole, told apart from the files."""

from __future__ import annotations

from typing import Any

from gitlab_mesh.core.analysis.model import Document
from gitlab_mesh.core.istio_schema.catalog import engine_kind
from gitlab_mesh.core.kinds import INVENTORY_KINDS, find_kind
from gitlab_mesh.errors import AccessDeniedError, ObjectMissingError
from gitlab_mesh.ports import Cluster

__all__ = ["READ_KINDS", "export_inventory", "read_live"]

READ_KINDS = (
    *("Namespace", "Service", "ServiceAccount", "Pod", "Deployment", "NetworkPolicy"),
    *("VirtualService", "DestinationRule", "Gateway", "AuthorizationPolicy", "PeerAuthentication"),
    *("Gateway.gateway.networking.k8s.io", "HTTPRoute"),
    *INVENTORY_KINDS,
)
"""What is read, by the words of ``core.kinds``."""
_METADATA = ("name", "namespace", "labels", "annotations", "creationTimestamp")
_NOISE = ("kubectl.kubernetes.io/last-applied-configuration",)


def fetch_objects(cluster: Cluster, *, namespace: str = "") -> tuple[list[dict[str, Any]], list[str]]:
    """List everything that rules are about, Secrets never.

    Returns:
        The objects, reduced to what rules read, and the kinds that may not be read or do not exist.

    Raises:
        TransientError: The API server cannot be reached.
    """
    objects: list[dict[str, Any]] = []
    left_out: list[str] = []
    for name in READ_KINDS:
        kind = find_kind(name)
        try:
            found = cluster.list(name, "" if not kind.namespaced else namespace)
        except (AccessDeniedError, ObjectMissingError):
            left_out.append(name)
            continue
        objects += [_reduce({**item, "kind": kind.name, "apiVersion": kind.api_version}) for item in found]
    return objects, left_out


def _reduce(item: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in item.get("metadata", {}).items() if key in _METADATA}
    if "annotations" in metadata:
        metadata["annotations"] = {key: value for key, value in metadata["annotations"].items() if key not in _NOISE}
    reduced = {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata}
    if item.get("spec"):
        reduced["spec"] = item["spec"]
    return reduced


def read_live(cluster: Cluster, *, namespace: str = "") -> list[Document]:
    """Return the cluster's objects as documents that rules read and never report about."""
    objects, _ = fetch_objects(cluster, namespace=namespace)
    documents = []
    for item in objects:
        word = engine_kind(item["apiVersion"], item["kind"])
        if word:
            metadata = item["metadata"]
            documents.append(
                Document(
                    word,
                    item["apiVersion"],
                    metadata.get("namespace", ""),
                    metadata.get("name", ""),
                    item,
                    "(cluster)",
                    1,
                    1,
                    assumed=True,
                )
            )
    return documents


def export_inventory(cluster: Cluster, *, namespace: str = "") -> tuple[str, list[str]]:
    """Return the cluster's objects as YAML documents, and the kinds that could not be read."""
    import yaml

    objects, left_out = fetch_objects(cluster, namespace=namespace)
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return yaml.dump_all(objects, Dumper=dumper, sort_keys=False, explicit_start=True), left_out
