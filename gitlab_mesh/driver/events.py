"""Kubernetes Events on the route: ``kubectl describe`` shows what a release did. Best effort (S10)."""

from __future__ import annotations

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.kinds import find_kind
from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh.job import ServicePorts

__all__ = ["EventLog"]

_MAX_NOTE = 1024
"""Longest message of an Event (k8s.io/api events: NoteLengthLimit)."""


class EventLog:
    """Writes Events of one rollout; after the first refusal it is silent.

    Args:
        ports: Of the job.
        rollout: Id of the rollout.
    """

    def __init__(self, ports: ServicePorts, rollout: str) -> None:
        self._ports = ports
        self._rollout = rollout
        self._number = 0
        self._off = not ports.service.rollout.events

    def write(self, reason: str, note: str, *, warning: bool = False) -> None:
        """Write one Event on the service's route; never raises."""
        if self._off:
            return
        self._number += 1
        try:
            self._ports.cluster.create(self._body(self._ports.service, reason, note, warning))
        except GitlabMeshError as error:
            self._off = True
            self._ports.console.line(
                f"no Events are written on the {self._ports.service.route.kind}: {error.what}", tone="warn"
            )

    def _body(self, service: ServiceConfig, reason: str, note: str, warning: bool) -> dict[str, object]:
        now = self._ports.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        route = service.route
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": service.namespace, "name": f"{self._rollout.lower()}.{self._stamp()}"},
            "involvedObject": {
                "apiVersion": find_kind(route.kind).api_version,
                "kind": route.kind,
                "namespace": service.namespace,
                "name": route.names[0] if route.names else service.name,
            },
            "reason": reason,
            "message": note[:_MAX_NOTE],
            "type": "Warning" if warning else "Normal",
            "source": {"component": "gitlab-mesh"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }

    def _stamp(self) -> str:
        """A suffix that no other job of the same rollout uses: its own id, and a count."""
        return f"{self._ports.driver.job or 'local'}.{int(self._ports.clock.now().timestamp())}.{self._number}"
