"""Which pods have an emulated sidecar now, under which key, on which port."""

from __future__ import annotations

from collections.abc import Iterable

from gitlab_mesh.sandbox.envoy.model import InboundPod, PodEndpoint
from gitlab_mesh.sandbox.envoy.ports import ReservedPorts

__all__ = ["InboundPods"]


class InboundPods:
    """The pods of the last listing. One thread updates, others may read.

    Args:
        ports: Where each pod's sidecar gets its port; whoever removes the listener gives it back.
    """

    def __init__(self, ports: ReservedPorts) -> None:
        self._ports = ports
        self._lives = 0
        # Replaced as a whole, never changed: readers in other threads see one listing or the next.
        self._pods: dict[tuple[str, str, str], InboundPod] = {}

    def update(self, listed: Iterable[PodEndpoint]) -> list[InboundPod]:
        """Take in a listing; a pod that comes back under its name is a new one, with a key and a port of its own."""
        pods: dict[tuple[str, str, str], InboundPod] = {}
        for pod in listed:
            identity = (pod.namespace, pod.name, pod.uid)
            if known := self._pods.get(identity):
                pods[identity] = InboundPod(pod, known.key, known.port)
            else:
                self._lives += 1
                key = f"{pod.namespace}/{pod.name}#{self._lives}"
                pods[identity] = InboundPod(pod, key, self._ports.port(key))
        self._pods = pods
        return list(pods.values())

    def find(self, namespace: str, name: str) -> InboundPod | None:
        """Return the pod of this name, None if there is none."""
        pods = self._pods.values()
        return next((pod for pod in pods if (pod.endpoint.namespace, pod.endpoint.name) == (namespace, name)), None)

    def keys(self) -> dict[str, str]:
        """Return each pod's key by "namespace/name"."""
        return {f"{pod.endpoint.namespace}/{pod.endpoint.name}": pod.key for pod in self._pods.values()}
