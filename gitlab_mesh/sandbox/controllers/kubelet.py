"""The kubelet: a worker for each pod, and what the rest of the sandbox asks about running pods."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gitlab_mesh.sandbox.app.behaviour import Behaviour
from gitlab_mesh.sandbox.controllers.client import ControllerClient
from gitlab_mesh.sandbox.controllers.pod_status import NODE
from gitlab_mesh.sandbox.controllers.pod_worker import PodWorker
from gitlab_mesh.sandbox.controllers.pods import SIDECAR
from gitlab_mesh.sandbox.envoy.model import PodEndpoint
from gitlab_mesh.sandbox.processes import Processes

__all__ = ["Kubelet", "KubeletPolicy", "PodNetwork"]


@dataclass(frozen=True, slots=True)
class KubeletPolicy:
    """Times of the kubelet. The defaults are shorter than a real one's (in brackets), so that tests need not wait.

    Attributes:
        pull_seconds: Time that pulling an image takes.
        readiness_delay_seconds: A process is ready at the earliest this long after its start.
        first_probe_seconds: Interval of readiness probes until the first success; it doubles up to the probe's own
            ``periodSeconds`` [the kubelet, too, probes more often at the start, but not below 1 s].
        backoff_seconds: First wait before a crashed process is started again; it doubles [10 s].
        backoff_limit_seconds: Longest such wait [300 s].
        settle_seconds: After a pod has left the endpoints, requests that were on their way have arrived by then.
        grace_limit_seconds: ``terminationGracePeriodSeconds`` counts up to this.
    """

    pull_seconds: float = 0.0
    readiness_delay_seconds: float = 0.0
    first_probe_seconds: float = 0.02
    backoff_seconds: float = 0.5
    backoff_limit_seconds: float = 5.0
    settle_seconds: float = 0.05
    grace_limit_seconds: float = 10.0


class PodNetwork(Protocol):
    """The mesh, as the kubelet sees it."""

    def pods_changed(self) -> None:
        """Take in ``Kubelet.endpoints()`` as it is now; returns when it is in force."""

    def active_requests(self, namespace: str, name: str) -> int:
        """Return the number of requests that a pod is serving."""


@dataclass(slots=True)
class Kubelet:
    """Runs the pods of one sandbox.

    Args:
        client: Way to the API server.
        processes: Starts the pods' processes and ends them with us.
        network: Told about every pod that comes, becomes ready or goes.
        behaviours: Tag → behaviour, before the table of ``app.behaviour``; may be changed while it runs.
        policy: Times.
        seed: For applications' luck; None: honest randomness.
        on_problem: Told what must not happen.
    """

    client: ControllerClient
    processes: Processes
    network: PodNetwork
    behaviours: Mapping[str, Behaviour] = field(default_factory=dict)
    policy: KubeletPolicy = KubeletPolicy()
    seed: int | None = None
    on_problem: Callable[[str], None] = lambda problem: None
    _workers: dict[str, PodWorker] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def pod_added(self, pod: Mapping[str, Any]) -> None:
        """Start to work for a new pod of this node."""
        if pod["spec"].get("nodeName", NODE) != NODE:
            return
        number = next(self._numbers)
        # Unique in the sandbox and never a stranger's: the process itself listens on 127.0.0.1, on a port of the
        # system's choice, because its own port may be taken here.
        address = f"127.{1 + number // 65536}.{number // 256 % 256}.{number % 256}"
        seed = None if self.seed is None else self.seed + number
        worker = PodWorker(self, pod, self.workload(pod), address, seed)
        with self._lock:
            self._workers[pod["metadata"]["uid"]] = worker
        worker.start()

    def pod_changed(self, pod: Mapping[str, Any]) -> None:
        """Take in a change of a pod: a ``deletionTimestamp`` ends it in order."""
        worker = self._workers.get(pod["metadata"]["uid"])
        if worker and "deletionTimestamp" in pod["metadata"]:
            worker.terminate(float(pod["metadata"].get("deletionGracePeriodSeconds", 0)))

    def pod_deleted(self, pod: Mapping[str, Any]) -> None:
        """End what still runs of a pod that is gone from the API."""
        worker = self._workers.get(pod["metadata"]["uid"])
        if worker:
            worker.terminate(0.0)

    def has_something_to_stop(self, pod: Mapping[str, Any]) -> bool:
        """Tell whether the deletion of a pod has to wait for us (see ``ApiServer.set_pod_grace``)."""
        worker = self._workers.get(pod["metadata"]["uid"])
        return worker is not None and worker.is_alive()

    def worker_ended(self, worker: PodWorker) -> None:
        """Forget a worker whose pod is gone."""
        with self._lock:
            self._workers.pop(worker.uid, None)

    def endpoints(self) -> list[PodEndpoint]:
        """Return the pods whose process listens, ready or not."""
        with self._lock:
            workers = list(self._workers.values())
        return [endpoint for worker in workers if (endpoint := worker.endpoint)]

    def find(self, namespace: str, name: str) -> PodWorker | None:
        """Return the worker of a pod."""
        with self._lock:
            workers = list(self._workers.values())
        return next((worker for worker in workers if (worker.namespace, worker.name) == (namespace, name)), None)

    def log(self, namespace: str, name: str, container: str) -> bytes:
        """Return a pod's log over all its restarts (``ApiServer.pod_logs``)."""
        worker = self.find(namespace, name)
        if worker is None or worker.log is None or container == SIDECAR:
            return b""
        return worker.log.read_bytes()

    def stop(self) -> None:
        """End all workers without touching the API; processes end with ``Processes.close``."""
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            worker.abandon()
        for worker in workers:
            worker.join()

    def report(self, problem: str) -> None:
        """Note something that must not happen; the sandbox shows it."""
        self.on_problem(problem)

    def workload(self, pod: Mapping[str, Any]) -> str:
        """Return the name of the pod's Deployment, as Istio's webhook derives it; else of the pod itself."""
        metadata = pod["metadata"]
        for owner in metadata.get("ownerReferences") or ():
            replica_set = self.client.get("ReplicaSet", metadata["namespace"], owner["name"])
            for above in (replica_set or {}).get("metadata", {}).get("ownerReferences") or ():
                return str(above["name"])
            return str(owner["name"])
        return str(metadata["name"])
