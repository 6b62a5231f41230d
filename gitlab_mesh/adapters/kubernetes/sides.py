"""What tells the pods of the two sides apart, as the cluster has it."""

from __future__ import annotations

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.ports import Cluster

__all__ = ["read_stable_label"]


def read_stable_label(cluster: Cluster, service: ServiceConfig) -> str | None:
    """Return the version label's value on the stable Deployment's pods; None where there is none."""
    try:
        deployment = cluster.get("Deployment", service.namespace, service.stable_workload)
    except ObjectMissingError:
        return None
    labels = deployment["spec"]["template"].get("metadata", {}).get("labels") or {}
    value = labels.get(service.subsets.label)
    return None if value is None else str(value)
