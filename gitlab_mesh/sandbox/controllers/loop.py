"""The control loop: one thread that follows the store's changes and reconciles what they touch."""

from __future__ import annotations

import heapq
import queue
import threading
import time
import traceback
from collections.abc import Callable, Mapping

from gitlab_mesh.errors import ConflictError, GitlabMeshError, ObjectMissingError
from gitlab_mesh.sandbox.apiserver.access import User
from gitlab_mesh.sandbox.apiserver.server import ApiServer
from gitlab_mesh.sandbox.apiserver.store import Change
from gitlab_mesh.sandbox.controllers.client import ControllerClient
from gitlab_mesh.sandbox.controllers.deployment import DeploymentController
from gitlab_mesh.sandbox.controllers.endpoints import EndpointsController
from gitlab_mesh.sandbox.controllers.kubelet import Kubelet
from gitlab_mesh.sandbox.controllers.replicaset import ReplicaSetController

__all__ = ["ControlLoop"]

Key = tuple[str, str, str]
"""Kind, namespace, name."""

_RETRY_SECONDS = 0.2


class ControlLoop:
    """Runs the controllers of workloads and endpoints, and hands pods to the kubelet.

    Args:
        api: The API server.
        user: May do everything.
        kubelet: Runs the pods.
        on_problem: Told what must not happen.
    """

    def __init__(
        self, api: ApiServer, user: User, kubelet: Kubelet, on_problem: Callable[[str], None] = lambda _: None
    ) -> None:
        self._api = api
        self._kubelet = kubelet
        self._on_problem = on_problem
        self._changes: queue.Queue[Change | None] = queue.Queue()
        self._due: list[tuple[float, Key]] = []
        client = ControllerClient(api, user, "kube-controller-manager")
        self._endpoints = EndpointsController(client)
        self._controllers: Mapping[str, Callable[[str, str], None]] = {
            "Deployment": DeploymentController(client, self._again).reconcile,
            "ReplicaSet": ReplicaSetController(client, self._again).reconcile,
            "Service": self._endpoints.reconcile,
        }
        self._thread = threading.Thread(target=self._run, name="controllers", daemon=True)
        self._unwatch: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin, with what is there already."""
        self._api.set_pod_grace(self._kubelet.has_something_to_stop)
        self._unwatch = self._api.store.watch(("Deployment", "ReplicaSet", "Pod", "Service"), self._changes.put)
        self._thread.start()

    def stop(self) -> None:
        """End the controllers, then the kubelet's workers."""
        self._unwatch()
        self._changes.put(None)
        self._thread.join()
        self._api.set_pod_grace(None)
        self._kubelet.stop()

    def _again(self, kind: str, namespace: str, name: str, seconds: float) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, (kind, namespace, name)))

    def _run(self) -> None:
        while True:
            changes, ended = self._wait()
            if ended:
                return
            keys: dict[Key, None] = {}
            for change in changes:
                keys |= dict.fromkeys(self._take_in(change))
            while self._due and self._due[0][0] <= time.monotonic():
                keys[heapq.heappop(self._due)[1]] = None
            for key in keys:
                self._reconcile(key)

    def _wait(self) -> tuple[list[Change], bool]:
        """Return the changes since the last call, waiting for one or for what is due."""
        timeout = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
        changes: list[Change] = []
        try:
            change = self._changes.get(timeout=timeout)
            while change is not None:
                changes.append(change)
                change = self._changes.get_nowait()
        except queue.Empty:
            return changes, False
        return changes, True

    def _take_in(self, change: Change) -> list[Key]:
        """Tell the kubelet about a pod; return what is to be reconciled: the object or its owners."""
        body, kind = change.body, change.resource.kind
        metadata = body["metadata"]
        namespace = metadata["namespace"]
        if kind == "Pod":
            act = {
                "ADDED": self._kubelet.pod_added,
                "MODIFIED": self._kubelet.pod_changed,
                "DELETED": self._kubelet.pod_deleted,
            }
            act[change.type](body)
        keys = [(owner["kind"], namespace, owner["name"]) for owner in metadata.get("ownerReferences") or ()]
        if kind == "Pod":
            keys += [("Service", namespace, name) for name in self._endpoints.services_of(namespace)]
        if kind == "Pod" and change.type == "DELETED":
            # strategy Recreate waits for the last old pod: its Deployment is two owners up
            keys += [("Deployment", namespace, self._kubelet.workload(body))]
        return [*keys, (kind, namespace, metadata["name"])]

    def _reconcile(self, key: Key) -> None:
        kind, namespace, name = key
        reconcile = self._controllers.get(kind)
        if reconcile is None:
            return
        try:
            reconcile(namespace, name)
        except (ObjectMissingError, ConflictError):  # gone, or changed by somebody else meanwhile
            self._again(kind, namespace, name, _RETRY_SECONDS)
        except GitlabMeshError as error:
            self._on_problem(f"{kind} {namespace}/{name}: {error}")
            self._again(kind, namespace, name, _RETRY_SECONDS)
        except Exception:  # the thread must live on: one bad object must not stop all others
            self._on_problem(f"{kind} {namespace}/{name}: {traceback.format_exc()}")
