"""One pod on the tests' node, run from its own specification: containers, probes, restarts, status, an orderly end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from gitlab_mesh.sandbox.app.behaviour import parse_image
from gitlab_mesh.sandbox.processes import Child
from tests.e2e.mesh.images import Command
from tests.e2e.mesh.pod_network import PodNetwork, child_of
from tests.e2e.mesh.pod_spec import containers_of, environment_of, probe_url
from tests.e2e.mesh.volumes import Volumes

if TYPE_CHECKING:
    from tests.e2e.mesh.node_agent import NodeAgent

__all__ = ["Container", "PodRuntime"]

_LOOK_SECONDS = 0.1
_PROBE_SECONDS = 1.0
"""Between two probes of what is ready; what is not yet is asked at every look."""
_BACKOFF_SECONDS = (0.5, 1.0, 2.0, 4.0)
_HOME_FOLDERS = ("etc/istio/proxy", "var/lib/istio/data", "tmp")


class Container:
    """One container: its process, how often it was started, whether its readiness probe succeeds.

    Args:
        pod: Whose it is.
        spec: From the pod's specification.
    """

    def __init__(self, pod: PodRuntime, spec: Mapping[str, Any]) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.ready = False
        self.restarts = 0
        self.waiting = "ContainerCreating"
        self._pod = pod
        self._child: Child | None = None
        self._idle = False
        self._next_start = 0.0
        self._next_probe = 0.0
        self._home = pod.directory / self.name

    def look(self) -> None:
        """Start it if it does not run and may, and ask its readiness probe."""
        if self._child is not None and self._child.returncode is not None:
            self._child, self.ready, self.waiting = None, False, "CrashLoopBackOff"
            pause = _BACKOFF_SECONDS[min(self.restarts, len(_BACKOFF_SECONDS) - 1)]
            self._next_start, self.restarts = time.monotonic() + pause, self.restarts + 1
        if self._child is None and not self._idle and time.monotonic() >= self._next_start:
            self._start()
        runs = self._child is not None or self._idle
        if not runs or not self.ready or time.monotonic() >= self._next_probe:
            self.ready = runs and self._probe()
            self._next_probe = time.monotonic() + _PROBE_SECONDS

    def _start(self) -> None:
        pod = self._pod
        env = environment_of(pod.body, self.spec, address=pod.address, node_address=pod.node.address)
        kubeconfig = self._home / "kubeconfig"
        command: Command | None = pod.node.images.command(pod.body, self.spec, env, kubeconfig)
        if command is None:
            self.waiting, self._next_start = "ImagePullBackOff", time.monotonic() + 1.0
            return
        if not command.argv:
            self.waiting, self._idle = "", True
            return
        for folder in _HOME_FOLDERS:
            (self._home / folder).mkdir(parents=True, exist_ok=True)
        Volumes(pod.node.plane, pod.body, pod.address, pod.node.address).write(self.spec, self._home)
        token = self._home / "var/run/secrets/kubernetes.io/serviceaccount/token"
        if token.exists():
            kubeconfig.write_text(pod.node.plane.render_kubeconfig(token.read_text(), namespace=pod.namespace))
        self._child = pod.network.start(
            f"{pod.namespace}.{pod.pod_name}.{self.name}", command.argv, command.env, self._home
        )
        self.waiting = ""

    def _probe(self) -> bool:
        probe = self.spec.get("readinessProbe")
        url = probe_url(probe, self.spec.get("ports") or (), self._pod.address) if probe else ""
        if not url:
            return True
        try:
            return self._pod.node.http.get(url, timeout=1.0).status_code < 400
        except requests.RequestException:
            return False

    def signal(self, number: int) -> None:
        """Send a signal to its process (the child of nsenter)."""
        child = self._child
        if child is not None and child.returncode is None and (pid := child_of(child.pid)):
            os.kill(pid, number)

    def wait(self, seconds: float) -> None:
        """Wait until its process has ended."""
        if self._child is not None:
            self._child.wait(max(0.0, seconds))

    def status(self, now: str) -> dict[str, Any]:
        """Return its ``containerStatus``."""
        image = parse_image(self.spec["image"])
        state = {"waiting": {"reason": self.waiting}} if self.waiting else {"running": {"startedAt": now}}
        return {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": image.image_id if image else "",
            "ready": self.ready,
            "started": not self.waiting,
            "restartCount": self.restarts,
            "state": state,
        }


class PodRuntime(threading.Thread):
    """Runs a pod until it is deleted.

    Args:
        node: Where.
        body: The pod as it was bound to the node.
        address: Its IP.
        number: Different for every pod of the node.
    """

    def __init__(self, node: NodeAgent, body: dict[str, Any], address: str, number: int) -> None:
        metadata = body["metadata"]
        super().__init__(name=f"pod-{metadata['name']}", daemon=True)
        self.node = node
        self.body = body
        self.address = address
        self.namespace: str = metadata["namespace"]
        self.pod_name: str = metadata["name"]
        self.uid: str = metadata["uid"]
        self.directory: Path = node.directory / "pods" / self.namespace / metadata["name"]
        self.network: PodNetwork
        self.containers = [Container(self, spec) for spec in containers_of(body)]
        self._number = number
        self._since = _now()
        self._written: object = None
        self._grace: float | None = None
        self._wake = threading.Event()

    def terminate(self, grace: float) -> None:
        """End the pod in order within ``grace`` seconds."""
        if self._grace is None or grace < self._grace:
            self._grace = grace
            self._wake.set()

    def container(self, name: str) -> Container:
        """Return a container by its name."""
        return next(one for one in self.containers if one.name == name)

    def run(self) -> None:
        """Work for the pod; whatever goes wrong is kept for the tests to see."""
        try:
            self.directory.mkdir(parents=True)
            self.network = PodNetwork(
                self.node.plane.processes,
                f"{self.namespace}.{self.pod_name}",
                self.address,
                self._number,
                self.node.hosts,
            )
            while self._grace is None and not self.node.closing:
                for container in self.containers:
                    container.look()
                self._write_status()
                self._wake.wait(_LOOK_SECONDS)
            if not self.node.closing:
                self._end()
        except Exception as error:  # a thread has nobody above it
            if not self.node.closing:
                self.node.problems.append(f"pod {self.namespace}/{self.pod_name}: {error!r}")

    def _end(self) -> None:
        """Do what the kubelet does: preStop, SIGTERM to the application, then to the sidecars, then SIGKILL.

        https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
        """
        deadline = time.monotonic() + (self._grace or 0.0)
        sidecars = [one for one in self.containers if one.spec.get("restartPolicy") == "Always"]
        applications = [one for one in self.containers if one not in sidecars]
        if self._grace:
            for container in applications:
                hook = ((container.spec.get("lifecycle") or {}).get("preStop") or {}).get("sleep") or {}
                time.sleep(min(float(hook.get("seconds", 0)), max(0.0, deadline - time.monotonic())))
            for group in (applications, sidecars):
                for container in group:
                    container.signal(signal.SIGTERM)
                for container in group:
                    container.wait(deadline - time.monotonic())
        self.network.end()
        gone = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": self.uid},
        }
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.pod_name}"
        self.node.persist(lambda: self.node.plane.request("DELETE", path, gone))

    def _write_status(self) -> None:
        """Write the pod's status if it is another one than before."""
        sidecars = [one for one in self.containers if one.spec.get("restartPolicy") == "Always"]
        ready = all(one.ready for one in self.containers)
        # "Running" when every container was started once, as the kubelet has it.
        begun = all(not one.waiting or one.restarts for one in self.containers)
        now = _now()
        told = (begun, ready, [(one.name, one.ready, one.waiting, one.restarts) for one in self.containers])
        if told == self._written:
            return
        states = [
            ("Initialized", True),
            ("Ready", ready),
            ("ContainersReady", ready),
            ("PodReadyToStartContainers", True),
        ]
        conditions = [{"type": k, "status": str(v), "lastTransitionTime": now} for k, v in states]
        status = {
            "phase": "Running" if begun else "Pending",
            "conditions": conditions,
            "hostIP": self.node.address,
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": self._since,
            "containerStatuses": [one.status(self._since) for one in self.containers if one not in sidecars],
            "initContainerStatuses": [one.status(self._since) for one in sidecars],
        }
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.pod_name}/status"
        patch = {"metadata": {"uid": self.uid}, "status": status}
        kind = "application/strategic-merge-patch+json"
        self.node.persist(lambda: self.node.plane.request("PATCH", path, patch, content_type=kind))
        self._written = told


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
