"""What both routers ask of the cluster: what tells the pods of the two sides apart, and which routes exist."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.ports import Cluster, Object

__all__ = ["find_existing", "read_stable_label"]


def find_existing(names: Sequence[str], find: Callable[[str], Object]) -> tuple[list[Object], tuple[str, ...]]:
    """Return the routes that exist, and the names of those that do not; where none does, the first one's error.

    Raises:
        ObjectMissingError: None of them exists.
    """
    found: list[Object] = []
    problems: dict[str, ObjectMissingError] = {}
    for name in names:
        try:
            found.append(find(name))
        except ObjectMissingError as error:
            problems[name] = error
    if problems and not found:
        raise next(iter(problems.values()))
    return found, tuple(problems)


def read_stable_label(cluster: Cluster, service: ServiceConfig) -> str | None:
    """Return the version label's value on the stable Deployment's pods; None where there is none."""
    try:
        deployment = cluster.get("Deployment", service.namespace, service.stable_workload)
    except ObjectMissingError:
        return None
    labels = deployment["spec"]["template"].get("metadata", {}).get("labels") or {}
    value = labels.get(service.subsets.label)
    return None if value is None else str(value)
