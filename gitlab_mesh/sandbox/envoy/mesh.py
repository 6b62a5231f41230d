"""The emulated mesh: keeps Envoy in step with the cluster's objects and pods."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gitlab_mesh.errors import GitlabMeshError, TransientError
from gitlab_mesh.sandbox.envoy.inbound_pods import InboundPods
from gitlab_mesh.sandbox.envoy.model import (
    CLIENT,
    GATEWAY,
    GATEWAY_POD,
    InboundPod,
    MeshSettings,
    PodEndpoint,
    ProxyPod,
    UntranslatableError,
)
from gitlab_mesh.sandbox.envoy.proxy import EnvoyProxy
from gitlab_mesh.sandbox.envoy.telemetry import Telemetry
from gitlab_mesh.sandbox.envoy.translate import is_translated, translate
from gitlab_mesh.sandbox.processes import Processes

__all__ = ["Mesh"]

_DEBOUNCE_SECONDS = 0.002
_COLLECT_SECONDS = 0.1
_WAIT_SECONDS = 5.0

Body = Mapping[str, Any]


class Mesh:
    """Translates and applies on ``notify``; a configuration that cannot be applied leaves the last good one.

    Args:
        objects: Lists the cluster's objects; kinds that are not translated are skipped.
        pods: Lists the pods with a running app.
        directory: Existing, empty; for Envoy's files.
        processes: Starts Envoy and ends it with us.
        client: Pod whose sidecar the mesh listener plays.
        gateway: Pod that the gateway listener plays.
        on_problem: Called with each new problem, in the mesh's own thread.
        on_applied: Called with the objects that Envoy has in force from now on, in the mesh's own thread.
        concurrency: Envoy's worker threads.
    """

    def __init__(
        self,
        objects: Callable[[], Iterable[Body]],
        pods: Callable[[], Iterable[PodEndpoint]],
        directory: Path,
        processes: Processes,
        *,
        client: ProxyPod | None = None,
        gateway: ProxyPod = GATEWAY_POD,
        on_problem: Callable[[GitlabMeshError], None] | None = None,
        on_applied: Callable[[Sequence[Body]], None] | None = None,
        concurrency: int = 1,
    ) -> None:
        self._objects = objects
        self._pods = pods
        self._on_problem = on_problem or (lambda _: None)
        self._on_applied = on_applied or (lambda _: None)
        self.proxy = EnvoyProxy(directory, processes, concurrency=concurrency)
        about = {"gateway": gateway, **({"client": client} if client else {})}
        self.settings = MeshSettings(self.proxy.gateway_port, self.proxy.mesh_port, **about)
        sources = {GATEWAY: gateway, CLIENT: self.settings.client}
        self.telemetry = Telemetry(self.proxy.admin, self._proxies, sources)
        self.problem: GitlabMeshError | None = None
        self.warnings: tuple[str, ...] = ()
        self._inbound = InboundPods(self.proxy.ports)
        self._applied = 0
        self._good: Sequence[Body] = ()
        self._requested = 0
        self._done = 0
        self._stopping = False
        self._changed = threading.Condition()
        self._work = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="mesh", daemon=True)

    @property
    def gateway_port(self) -> int:
        """Port of the ingress gateway on 127.0.0.1."""
        return self.proxy.gateway_port

    @property
    def mesh_port(self) -> int:
        """Port of the client sidecar's outbound side on 127.0.0.1."""
        return self.proxy.mesh_port

    def inbound_port(self, namespace: str, name: str) -> int | None:
        """Return the port of a pod's sidecar on 127.0.0.1, None while the mesh does not know the pod."""
        pod = self._inbound.find(namespace, name)
        return pod.port if pod else None

    def pods_changed(self) -> None:
        """Take in the pods as they are now; returns when they are in force, or when a problem has been reported.

        Objects at fault do not stand in the way: pods are then followed with the last good ones.
        """
        ticket = self.notify()
        with self._changed:
            self._changed.wait_for(lambda: self._done >= ticket or self._stopping, _WAIT_SECONDS)

    def active_requests(self, namespace: str, name: str) -> int:
        """Return the number of requests that a pod's app is serving now: none while Envoy does not run."""
        pod = self._inbound.find(namespace, name)
        try:
            return self.proxy.active_requests(f"inbound|{pod.key}") if pod else 0
        except TransientError:
            if self.proxy.running:
                raise
            return 0

    def start(self) -> None:
        """Start Envoy with what is there.

        If an object cannot be translated, that is a problem, not an error: Envoy starts with the pods alone.

        Raises:
            TransientError: Envoy could not be started.
        """
        pods, objects = self._inbound.update(self._pods()), list(filter(is_translated, self._objects()))
        try:
            translation = translate(objects, pods, self.settings)
        except UntranslatableError as error:
            objects, translation = [], translate((), pods, self.settings)
            self._report(error)
        with self._work:
            self.proxy.start(translation.config, self._next_version())
        self._good, self.warnings = objects, translation.warnings
        self._thread.start()

    def stop(self) -> None:
        """End Envoy and the mesh's thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        self.proxy.stop()

    def restart_proxy(self) -> None:
        """Start Envoy again (after it was killed), on the same ports, and take in what was missed meanwhile.

        Raises:
            TransientError: Envoy could not be started.
        """
        with self._work:
            self.proxy.restart()
        self.notify()

    def notify(self) -> int:
        """Say that objects or pods have changed; returns a ticket for ``wait``. Never blocks."""
        with self._changed:
            self._requested += 1
            self._changed.notify_all()
            return self._requested

    def wait(self, ticket: int, timeout: float = _WAIT_SECONDS) -> None:
        """Wait until everything that was there when the ticket was given is in force.

        Raises:
            GitlabMeshError: The problem that stands in the way (untranslatable, refused by Envoy).
            TransientError: It took longer than ``timeout`` seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._done >= ticket or self._stopping, timeout)
            if self._done < ticket:
                raise TransientError(f"the mesh did not take in a change within {timeout:g} s")
        if self.problem:
            raise self.problem

    def accepted_resource_version(self, kind: str, namespace: str, name: str) -> str | None:
        """Return the ``resourceVersion`` of the object that Envoy has in force; None if it has none."""
        for body in self._good:
            meta = body.get("metadata", {})
            if (body.get("kind"), meta.get("namespace"), meta.get("name")) == (kind, namespace, name):
                return str(meta.get("resourceVersion"))
        return None

    def _proxies(self) -> dict[str, str]:
        sources = (self.settings.gateway, self.settings.client)
        return {f"{pod.namespace}/{pod.name}": f"{pod.namespace}/{pod.name}" for pod in sources} | self._inbound.keys()

    def _next_version(self) -> str:
        self._applied += 1
        return str(self._applied)

    def _run(self) -> None:
        busy = False
        while True:
            with self._changed:
                pause = _COLLECT_SECONDS if busy else None
                self._changed.wait_for(lambda: self._stopping or self._requested > self._done, pause)
                if self._stopping:
                    return
                wanted = self._requested
            if wanted == self._done:
                busy = self._collect()
                continue
            time.sleep(_DEBOUNCE_SECONDS)
            with self._changed:
                wanted = self._requested
            self._report(self._take_in())
            busy = True
            with self._changed:
                self._done = wanted
                self._changed.notify_all()

    def _take_in(self) -> GitlabMeshError | None:
        """Apply what is there now; if its objects are at fault, follow the pods with the last good objects."""
        try:
            pods, objects = self._inbound.update(self._pods()), list(filter(is_translated, self._objects()))
        except Exception as error:
            return GitlabMeshError("the mesh cannot list what there is", why=repr(error))
        problem = self._apply(objects, pods)
        if problem is not None and not isinstance(problem, TransientError):
            self._apply(self._good, pods)
        return problem

    def _apply(self, objects: Sequence[Body], pods: Sequence[InboundPod]) -> GitlabMeshError | None:
        try:
            translation = translate(objects, pods, self.settings)
            with self._work:
                self.proxy.apply(translation.config, self._next_version())
        except GitlabMeshError as error:
            return error
        except Exception as error:
            # An object that no API server would let in, or a bug: the mesh must go on with what it has.
            return GitlabMeshError("the mesh cannot take in a change", why=repr(error))
        self._good, self.warnings = objects, translation.warnings
        self._on_applied(objects)
        return None

    def _report(self, problem: GitlabMeshError | None) -> None:
        is_new = problem is not None and str(problem) != str(self.problem)
        self.problem = problem
        if problem is not None and is_new:
            self._on_problem(problem)

    def _collect(self) -> bool:
        try:
            with self._work:
                return self.proxy.collect()
        except GitlabMeshError:
            return True  # Envoy is down or was replaced; what is left over is collected later
