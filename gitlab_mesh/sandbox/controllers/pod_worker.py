"""One pod, from the pull of its image to its last request, restarts with back-off included."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh.sandbox.app.behaviour import Behaviour, find_behaviour, parse_image
from gitlab_mesh.sandbox.controllers.app_process import AppProcess, Probe, start_app
from gitlab_mesh.sandbox.controllers.pod_status import NODE, ContainerState, build_status, running, terminated, waiting
from gitlab_mesh.sandbox.envoy.model import PodEndpoint

if TYPE_CHECKING:
    from gitlab_mesh.sandbox.controllers.kubelet import Kubelet

__all__ = ["PodWorker"]

_DRAIN_POLL_SECONDS = 0.01


class PodWorker:
    """Works for one pod in a thread of its own, as the kubelet's pod workers do.

    Args:
        kubelet: Whose pod it is.
        pod: The pod as it was added.
        workload: Name of the Deployment that it belongs to, for telemetry.
        address: The pod's IP.
        seed: Of the application's luck.
    """

    def __init__(self, kubelet: Kubelet, pod: Mapping[str, Any], workload: str, address: str, seed: int | None) -> None:
        self.namespace: str = pod["metadata"]["namespace"]
        self.name: str = pod["metadata"]["name"]
        self.uid: str = pod["metadata"]["uid"]
        self.log: Path | None = None
        self._kubelet = kubelet
        self._pod = pod
        self._container = pod["spec"]["containers"][0]
        self._workload = workload
        self._address = address
        self._seed = seed
        self._app: AppProcess | None = None
        self._ready = False
        self._restarts = 0
        self._last: dict[str, Any] | None = None
        self._changed = threading.Condition()
        self._grace: float | None = None  # seconds that are left, once the pod shall end
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name=f"pod-{self.name}", daemon=True)

    @property
    def ports(self) -> list[int]:
        """The ports of its application, as its container names them."""
        return [int(port["containerPort"]) for port in self._container.get("ports") or ()]

    @property
    def endpoint(self) -> PodEndpoint | None:
        """The pod as the mesh sees it; None while no process listens."""
        app = self._app
        if app is None:
            return None
        labels = self._pod["metadata"].get("labels") or {}
        return PodEndpoint(self.namespace, self.name, labels, self._workload, app.port, ready=self._ready, uid=self.uid)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def terminate(self, grace: float) -> None:
        """End the pod in order within ``grace`` seconds; 0: at once. A shorter grace replaces a longer one."""
        with self._changed:
            self._grace = grace if self._grace is None else min(grace, self._grace)
            self._changed.notify_all()

    def abandon(self) -> None:
        """Stop working and leave the process to whoever ends all of them."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def is_alive(self) -> bool:
        """Tell whether it still works."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait until it has stopped."""
        self._thread.join()

    @property
    def _ending(self) -> bool:
        return self._grace is not None or self._abandoned

    def _run(self) -> None:
        try:
            self._work()
            if not self._abandoned:
                self._leave()
        except GitlabMeshError as error:
            if not self._abandoned:  # at the sandbox's end API and processes go away under us
                self._kubelet.report(f"pod {self.namespace}/{self.name}: {error}")
        finally:
            self._kubelet.worker_ended(self)

    def _work(self) -> None:
        """Pull, run, and run again, until the pod shall end."""
        self._write(waiting("ContainerCreating"), has_image=False)
        self._say("Scheduled", f"Successfully assigned {self.namespace}/{self.name} to {NODE}")
        policy = self._kubelet.policy
        behaviour = self._pull()
        backoff = policy.backoff_seconds
        while behaviour and not self._ending:
            started = time.monotonic()
            self._run_once(behaviour)
            if time.monotonic() - started > 2 * policy.backoff_limit_seconds:
                backoff = policy.backoff_seconds
            if self._pause(backoff):
                return
            backoff = min(2 * backoff, policy.backoff_limit_seconds)
            self._restarts += 1

    def _pull(self) -> Behaviour | None:
        """Return what the image does, as soon as the registry has it; None if the pod shall end before."""
        policy, reference = self._kubelet.policy, self._container["image"]
        image = parse_image(reference)
        if image is None:
            self._write(waiting("InvalidImageName", f'couldn\'t parse image name "{reference}"'), has_image=False)
            self._say("InspectFailed", f'Failed to apply default image tag "{reference}"', warning=True)
            self._pause(None)
            return None
        self._say("Pulling", f'Pulling image "{reference}"')
        backoff = policy.backoff_seconds
        while not self._pause(policy.pull_seconds):
            behaviour = find_behaviour(image.tag, self._kubelet.behaviours)
            if behaviour:
                self._say("Pulled", f'Successfully pulled image "{reference}"')
                return behaviour
            problem = f'failed to pull and unpack image "{reference}": {reference}: not found'
            self._write(waiting("ErrImagePull", problem), has_image=False)
            self._say("Failed", f'Failed to pull image "{reference}": {problem}', warning=True)
            if self._pause(backoff):
                return None
            backoff = min(2 * backoff, policy.backoff_limit_seconds)
            self._write(waiting("ImagePullBackOff", f'Back-off pulling image "{reference}"'), has_image=False)
            if self._pause(backoff):
                return None
        return None

    def _run_once(self, behaviour: Behaviour) -> None:
        """Run the process until it ends or the pod shall end; afterwards the status says what happened."""
        store, policy = self._kubelet.client.store, self._kubelet.policy
        image = parse_image(self._container["image"])
        started, clock = store.timestamp(), time.monotonic()
        app = start_app(
            self._kubelet.processes,
            f"{self.namespace}-{self.name}",
            self._container,
            image.tag if image else "",
            behaviour,
            seed=self._seed,
            on_exit=lambda _: self._wake(),
        )
        self.log = app.child.log
        self._say("Started", f"Started container {self._container['name']}")
        if app.port:
            self._app = app
            self._write(running(started))
            self._kubelet.network.pods_changed()
            probe = Probe(self._container.get("readinessProbe"))
            first = max(policy.readiness_delay_seconds, probe.delay_seconds)
            self._watch(app, probe, started, clock + first)
        if not self._ending:
            self._note_exit(app, started)

    def _watch(self, app: AppProcess, probe: Probe, started: str, first: float) -> None:
        """Probe a running process; returns when it has ended or the pod shall end."""
        interval = self._kubelet.policy.first_probe_seconds
        self._pause(max(0.0, first - time.monotonic()), app)
        while app.child.returncode is None and not self._ending:
            if probe.look(app.port) != self._ready:
                self._ready = probe.ready
                # First the mesh, then the word "ready": who acts on the word finds it true.
                self._kubelet.network.pods_changed()
                self._write(running(started))
            if probe.message:
                self._say("Unhealthy", probe.message, warning=True)
            self._pause(probe.period_seconds if self._ready else interval, app)
            interval = min(2 * interval, probe.period_seconds)

    def _note_exit(self, app: AppProcess, started: str) -> None:
        """Take a pod whose process has ended out of the mesh and say so."""
        app.child.wait()
        was_there, self._app, self._ready = self._app is not None, None, False
        if was_there:
            self._kubelet.network.pods_changed()
        finished = self._kubelet.client.store.timestamp()
        self._last = terminated(app.child.returncode or 0, started, finished)
        name = self._container["name"]
        text = f"back-off restarting failed container={name} pod={self.name}_{self.namespace}({self.uid})"
        self._write(waiting("CrashLoopBackOff", text))
        self._say("BackOff", f"Back-off restarting failed container {name} in pod {self.name}", warning=True)

    def _leave(self) -> None:
        """End in order: out of the endpoints, requests finished, SIGTERM, SIGKILL; then the pod is gone."""
        policy, network = self._kubelet.policy, self._kubelet.network
        app, self._ready = self._app, False
        if app:
            network.pods_changed()
            self._say("Killing", f"Stopping container {self._container['name']}")
            self._write(running(self._kubelet.client.store.timestamp()))
            deadline = time.monotonic() + min(self._grace or 0.0, policy.grace_limit_seconds)
            settled = time.monotonic() + policy.settle_seconds
            while self._grace and time.monotonic() < deadline and not self._abandoned:
                if time.monotonic() > settled and not network.active_requests(self.namespace, self.name):
                    break
                time.sleep(_DRAIN_POLL_SECONDS)
            if self._abandoned:
                return
            if self._grace:
                app.child.stop(max(0.1, deadline - time.monotonic()))
            else:
                app.child.signal(signal.SIGKILL)
                app.child.wait()
            self._app = None
            network.pods_changed()
        self._kubelet.client.delete("Pod", self._pod, grace_seconds=0)

    def _write(self, state: dict[str, Any], *, has_image: bool = True) -> None:
        """Write the pod's status."""
        client = self._kubelet.client
        live = client.get("Pod", self.namespace, self.name)
        if live is None or live["metadata"]["uid"] != self.uid:
            return
        self._pod = live
        app = ContainerState(state, self._last, self._ready, self._restarts, has_image)
        client.set_status("Pod", live, build_status(live, app, self._address, client.store.timestamp()))

    def _say(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._kubelet.client.record_event(self._pod, reason, message, warning=warning)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _pause(self, seconds: float | None, app: AppProcess | None = None) -> bool:
        """Wait (None: for ever), at most until the pod shall end or ``app`` has ended; True if the pod shall end."""

        def is_over() -> bool:
            return self._ending or (app is not None and app.child.returncode is not None)

        with self._changed:
            self._changed.wait_for(is_over, seconds)
        return self._ending
