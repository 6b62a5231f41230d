"""Pods as the rules see them: real ones, and those that Deployments and the like will make.

Istio's own analyzer looks at live pods only; a repository has templates. A template stands for its pods, but for
checks of what injection adds (a template has no proxy yet): ``Workload.live`` tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Path, dicts, mapping

__all__ = ["TEMPLATE_KINDS", "Workload", "list_workloads", "matches", "selector_of"]

TEMPLATE_KINDS: Mapping[str, Path] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"


def matches(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Say whether the labels have every pair of the selector; an empty selector matches everything."""
    for key, value in selector.items():  # noqa: SIM110 - a loop is twice as fast as all() here
        if labels.get(key) != value:
            return False
    return True


def selector_of(document: Document) -> dict[str, Any]:
    """Return the labels that a Sidecar, Telemetry or policy selects by."""
    spec = document.spec
    if document.kind in ("Sidecar", "EnvoyFilter"):
        return mapping(mapping(spec.get("workloadSelector")).get("labels"))
    return mapping(mapping(spec.get("selector")).get("matchLabels"))


@dataclass(eq=False)
class Workload:
    """A pod, or the template of pods.

    ``path`` leads to the pod's root (``()`` for a Pod), ``name`` is the pod's or the workload's.
    """

    document: Document
    path: Path
    namespace: str
    name: str
    labels: dict[str, Any]
    annotations: dict[str, Any]
    spec: dict[str, Any]
    live: bool

    @cached_property
    def containers(self) -> list[tuple[Path, dict[str, Any]]]:
        """Containers and init containers with their paths."""
        return [
            ((*self.path, "spec", group, i), item)
            for group in ("containers", "initContainers")
            for i, item in dicts(self.spec.get(group))
        ]

    @property
    def has_proxy(self) -> bool:
        """Whether a container is Istio's proxy."""
        return any(item.get("name") == "istio-proxy" for _, item in self.containers)

    @property
    def gateway_name(self) -> str:
        """Name of the Gateway API Gateway that made it, or empty."""
        return str(self.labels.get(GATEWAY_NAME, ""))

    @property
    def inject(self) -> str:
        """What label or annotation ``sidecar.istio.io/inject`` say; the label wins; empty: nothing."""
        word = self.labels.get("sidecar.istio.io/inject", self.annotations.get("sidecar.istio.io/inject", ""))
        return str(word).lower()

    @property
    def host_network(self) -> bool:
        """Whether it shares the node's network: such pods are never injected."""
        return self.spec.get("hostNetwork") is True


def list_workloads(documents: Mapping[str, list[Document]]) -> Iterator[Workload]:
    """Yield the workload of every Pod and every template."""
    for document in documents.get("Pod", ()):
        yield _workload(document, (), document.body, live=True)
    for kind, path in TEMPLATE_KINDS.items():
        for document in documents.get(kind, ()):
            body: dict[str, Any] = document.body
            for key in path:
                body = mapping(body.get(str(key)))
            yield _workload(document, path, body, live=False)


def _workload(document: Document, path: Path, body: dict[str, Any], *, live: bool) -> Workload:
    metadata = mapping(body.get("metadata"))
    return Workload(
        document,
        path,
        document.namespace,
        document.name,
        mapping(metadata.get("labels")),
        mapping(metadata.get("annotations")),
        mapping(body.get("spec")),
        live,
    )
