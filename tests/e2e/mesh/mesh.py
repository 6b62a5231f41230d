"""A real Istio: a cluster with a node of its own, installed by istioctl, with STRICT mutual TLS and request metrics."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from gitlab_mesh.sandbox.app.behaviour import Behaviour
from tests.e2e.controlplane.control_plane import PATIENCE, ControlPlane, Object, wait_until
from tests.e2e.controlplane.programs import Programs
from tests.e2e.mesh.images import Images
from tests.e2e.mesh.installation import GATEWAY_PORT, ROOT, installation, mesh_objects
from tests.e2e.mesh.node_agent import NodeAgent
from tests.e2e.mesh.pod_network import HUB
from tests.e2e.mesh.pod_runtime import PodRuntime
from tests.e2e.mesh.telemetry import telemetry_objects

__all__ = ["Answer", "Mesh"]


class Answer:
    """One HTTP answer: ``status`` (0: none came), ``version`` (header ``x-version``, "": a proxy's), ``headers``."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def version(self) -> str:
        """Which release of the shop answered."""
        return self.headers.get("x-version", "")


class Mesh:
    """Everything together.

    Args:
        programs: What ``build`` made.
        directory: For files and logs.
    """

    def __init__(self, programs: Programs, directory: Path) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.programs = programs
        self.directory = directory
        self.install_seconds = 0.0
        self.plane = ControlPlane(programs, directory / "cluster", address=HUB)
        self.node = NodeAgent(self.plane, Images(programs, self.behaviours), directory / "node")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the cluster, install Istio, wait until its gateway is ready."""
        self.node.make_bridge()
        self.plane.start().start_controllers(nodes=0)
        self.node.start()
        self.plane.install_crds("crd-gateway-api.yaml")  # Istio's own come with istioctl
        begun = time.monotonic()
        self.install()
        self.install_seconds = time.monotonic() - begun
        self.plane.apply(*mesh_objects(), *telemetry_objects())
        return self

    def stop(self) -> None:
        """End everything at once."""
        self.node.close()
        self.plane.stop()

    def install(self, operator: Object | None = None) -> str:
        """Run `istioctl install` and return what it says.

        Raises:
            subprocess.CalledProcessError: It failed; a note has its words.
        """
        path = self.directory / "istio-operator.yaml"
        path.write_text(yaml.safe_dump(operator or installation()))
        return self.istioctl("install", "-f", str(path), "-y", "--readiness-timeout", f"{PATIENCE:g}s")

    def istioctl(self, *argv: str) -> str:
        """Run istioctl as admin and return its stdout."""
        command = [str(self.programs.path("istioctl")), "--kubeconfig", str(self.plane.kubeconfig()), *argv]
        env = {"PATH": os.environ["PATH"], "HOME": str(self.directory)}
        run = subprocess.run(command, capture_output=True, text=True, env=env)
        if run.returncode:
            error = subprocess.CalledProcessError(run.returncode, command, run.stdout, run.stderr)
            error.add_note(run.stdout + run.stderr)
            raise error
        return run.stdout

    # ---- pods

    def wait_ready(self, namespace: str, deployment: str) -> None:
        """Wait until a Deployment is rolled out.

        Raises:
            TimeoutError: It is not; says what the pods say.
        """
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}"

        def is_ready() -> bool:
            found = self.plane.json("GET", path)
            status, wanted = found.get("status") or {}, found["spec"]["replicas"]
            counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
            return status.get("observedGeneration", 0) >= found["metadata"]["generation"] and counts == [wanted] * 3

        try:
            wait_until(f"Deployment {namespace}/{deployment}", is_ready)
        except TimeoutError as error:
            error.add_note(self.plane.kubectl("get", "pods", "-n", namespace, "-o", "wide"))
            error.add_note("\n".join(self.node.problems))
            raise

    def pod(self, namespace: str, prefix: str) -> PodRuntime:
        """Return the running pod whose name begins so."""
        return self.node.find(namespace, prefix)

    def exec(self, pod: PodRuntime, argv: Iterable[str], *, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a program in a pod's network."""
        command = [*pod.network.enter(), *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds)

    def metrics(self, pod: PodRuntime) -> str:
        """Return the page that the pod's agent offers to Prometheus, through the API server."""
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.pod_name}:15020/proxy/stats/prometheus"
        answer = self.plane.request("GET", path)
        answer.raise_for_status()
        return answer.text

    def signal_istiod(self, number: int) -> None:
        """Send istiod a signal: SIGSTOP lets it hang as a whole, SIGCONT lets it go on."""
        self.pod(ROOT, "istiod-").container("discovery").signal(number)

    def hang_istiod(self) -> None:
        """Let istiod hang: no answers, no configuration for the proxies, no webhooks."""
        self.signal_istiod(signal.SIGSTOP)

    def wake_istiod(self) -> None:
        """Let istiod go on."""
        self.signal_istiod(signal.SIGCONT)

    # ---- requests

    @property
    def gateway(self) -> PodRuntime:
        """The ingress gateway's pod."""
        return self.pod(ROOT, "istio-ingressgateway-")

    @property
    def gateway_url(self) -> str:
        """Where users come in; the ``Host`` decides who answers."""
        return f"http://{self.gateway.address}:{GATEWAY_PORT}/"

    def request(
        self, host: str, path: str = "/", *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request through the ingress gateway, on a connection of its own. Raises OSError."""
        connection = http.client.HTTPConnection(self.gateway.address, GATEWAY_PORT, timeout=15)
        return _ask(connection, method, path, {"Host": host, **(headers or {})})

    def request_from(
        self,
        pod: PodRuntime,
        host: str,
        path: str = "/",
        *,
        address: str = "127.0.0.1",
        port: int = 80,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request from inside a pod.

        Args:
            pod: Who sends.
            host: Header ``Host``.
            path: And query.
            address: Default: the pod's own sidecar (see ``installation.sidecar_objects``); another one goes around it.
            port: With the sidecar, the Service's own.
            headers: Further ones.

        Returns:
            The answer; status 0 if none came.
        """
        try:
            return _ask(self.connection(pod, address, port), "GET", path, {"Host": host, **(headers or {})})
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, {}, repr(error).encode())

    def config_dump(self, pod: PodRuntime, resource: str) -> list[Any]:
        """Return what the pod's Envoy has in force, e.g. resource "dynamic_route_configs". Raises OSError."""
        connection = self.connection(pod, "127.0.0.1", 15000)
        answer = _ask(connection, "GET", f"/config_dump?resource={resource}", {"Host": "envoy"})
        found: list[Any] = json.loads(answer.body or "{}").get("configs", [])
        return found

    def endpoints(self, pod: PodRuntime, cluster: str) -> set[str]:
        """Return the addresses to which the pod's Envoy sends the requests of a cluster. Raises OSError."""
        answer = _ask(self.connection(pod, "127.0.0.1", 15000), "GET", "/clusters", {"Host": "envoy"})
        fields = [line.split("::") for line in answer.body.decode().splitlines()]
        return {one[1].rpartition(":")[0] for one in fields if one[0] == cluster and ":" in one[1]}

    def connection(self, pod: PodRuntime, address: str, port: int) -> http.client.HTTPConnection:
        """Return a connection from inside a pod. Raises OSError."""
        connection = http.client.HTTPConnection(address, port)
        connection.sock = pod.network.connect(address, port)
        return connection


def _ask(connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str]) -> Answer:
    try:
        connection.request(method, path, headers=dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()
