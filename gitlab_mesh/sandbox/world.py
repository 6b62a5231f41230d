"""A whole sandbox: cluster, mesh, GitLab and background traffic, started together, ended together."""

from __future__ import annotations

import contextlib
import http.client
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from gitlab_mesh.errors import GitlabMeshError, TransientError
from gitlab_mesh.sandbox.apiserver.local import LocalClient
from gitlab_mesh.sandbox.apiserver.store import Change
from gitlab_mesh.sandbox.cluster import MESH_KINDS, SandboxCluster
from gitlab_mesh.sandbox.envoy.mesh import Mesh
from gitlab_mesh.sandbox.envoy.scrape_server import ScrapeServer
from gitlab_mesh.sandbox.gitlab_project import GitlabProject
from gitlab_mesh.sandbox.pod_access import PodAccess
from gitlab_mesh.sandbox.processes import Processes
from gitlab_mesh.sandbox.shop import HOST, MESH_YAML, NAMESPACE, shop_objects
from gitlab_mesh.sandbox.spec import SandboxSpec, TrafficCommand
from gitlab_mesh.sandbox.traffic import Traffic

__all__ = ["Sandbox", "SandboxSpec", "TrafficCommand"]

_START_SECONDS = 20.0


class Sandbox:
    """A running sandbox: ``with Sandbox.start() as sandbox: …``. Several may run side by side.

    Attributes:
        directory: Files and logs.
        processes: All child processes.
        cluster: API server, controllers, kubelet.
        mesh: Envoy and what keeps it in step.
        scrape: Every pod's telemetry for a real Prometheus.
        gitlab: The project in GitLab.
        traffic: Background traffic, or None.
        problems: What must not happen and did: the controllers' and the mesh's own.
        start_seconds: From the beginning of the start to the first routed request.
    """

    def __init__(self, spec: SandboxSpec) -> None:
        begin = time.monotonic()
        self.spec = spec
        self.problems: list[str] = []
        self.traffic: Traffic | None = None
        self.directory = spec.directory or Path(tempfile.mkdtemp(prefix="gitlab-mesh-sandbox-"))
        self._mesh_started = threading.Event()
        self._closing = False
        with contextlib.ExitStack() as exits:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.processes = Processes(self.directory, remove=spec.directory is None)
            exits.callback(self.processes.close)
            self._start(exits)
            self.start_seconds = time.monotonic() - begin
            if spec.traffic:
                self.start_traffic(spec.traffic)
            self._exits = exits.pop_all()

    @classmethod
    def start(cls, spec: SandboxSpec | None = None) -> Self:
        """Start a sandbox and wait until a user's request reaches the shop.

        Raises:
            TransientError: Something did not start; says what.
            GitlabMeshError: Envoy is not installed, or refused its configuration.
        """
        return cls(spec or SandboxSpec())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything; nothing is left running, and the directory is removed if it was temporary."""
        self._closing = True
        if self.traffic:
            self.traffic.stop()
        self._exits.close()

    @property
    def gateway_url(self) -> str:
        """The ingress gateway; send ``Host: shop.example``."""
        return f"http://127.0.0.1:{self.mesh.gateway_port}/"

    @property
    def mesh_url(self) -> str:
        """A client's sidecar; send ``Host: shop.shop.svc.cluster.local``."""
        return f"http://127.0.0.1:{self.mesh.mesh_port}/"

    @property
    def browser_url(self) -> str:
        """The shop as a browser reaches it."""
        return f"http://shop.localhost:{self.mesh.gateway_port}/"

    @property
    def config(self) -> Path:
        """A ``mesh.yaml`` for the shop."""
        return self.directory / "mesh.yaml"

    def kubeconfig(self, user: str = "deployer") -> Path:
        """Return the kubeconfig of a user of ``SandboxSpec.rules``."""
        return self.cluster.kubeconfig(user)

    def client(self, user: str = "admin") -> LocalClient:
        """Return a client of the cluster in process, with the rights of a user."""
        return self.cluster.client(user)

    def job_environment(self, job: str, *, user: str = "deployer", environment: str = "production") -> dict[str, str]:
        """Start a GitLab job; return the variables that it would see, with those that lead to cluster and shop."""
        _, variables = self.gitlab.start_job(job, environment=environment)
        own = {"KUBECONFIG": str(self.kubeconfig(user)), "GITLAB_MESH_CONFIG": str(self.config)}
        return {**variables, **own}

    def start_traffic(self, command: TrafficCommand) -> Traffic:
        """Start background traffic; it ends with the sandbox."""
        self.traffic = Traffic(self.processes, command(self.gateway_url))
        return self.traffic

    @property
    def requests_failed_by_mesh(self) -> int:
        """Requests of the background traffic that failed although the application did not fail them."""
        return self.traffic.facts.failed_by_mesh if self.traffic else 0

    def request(self, path: str = "/", *, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Send one request as a user; return status and ``x-version`` ("": a proxy answered). Raises OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.mesh.gateway_port, timeout=10)
        try:
            connection.request("GET", path, headers={"Host": HOST, **(headers or {})})
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.getheader("x-version", "")
        finally:
            connection.close()

    def pods_changed(self) -> None:
        """Bring Envoy in step with the pods (port ``PodNetwork``)."""
        self._mesh_started.wait()
        if not self._closing:
            self.mesh.pods_changed()

    def active_requests(self, namespace: str, name: str) -> int:
        """Return the number of requests that a pod is serving (port ``PodNetwork``)."""
        return self.mesh.active_requests(namespace, name)

    def _start(self, exits: contextlib.ExitStack) -> None:
        self.config.write_text(MESH_YAML)
        self.cluster = SandboxCluster(
            self.directory,
            self.processes,
            self,
            rules=self.spec.rules,
            behaviours=self.spec.behaviours,
            policy=self.spec.policy,
            seed=self.spec.seed,
            on_problem=self._note,
        )
        exits.callback(self.cluster.close)
        exits.callback(self._release_workers)
        self.cluster.create(shop_objects(self.spec.image, self.spec.replicas))
        self._start_mesh(exits)  # while the shop's processes start
        self.gitlab = exits.enter_context(GitlabProject(self.spec.title))
        self._wait_routed()

    def _start_mesh(self, exits: contextlib.ExitStack) -> None:
        """Start Envoy and let every change of objects and pods reach it."""
        directory = self.directory / "envoy"
        directory.mkdir()
        cluster = self.cluster
        self.mesh = Mesh(
            cluster.mesh_objects,
            cluster.kubelet.endpoints,
            directory,
            self.processes,
            on_problem=self._note,
            on_applied=cluster.accept_routes,
        )
        exits.callback(self.mesh.stop)
        exits.callback(cluster.api.store.watch(MESH_KINDS, self._object_changed))
        self.mesh.start()
        self._mesh_started.set()
        self.mesh.notify()
        self.scrape = ScrapeServer(self.mesh.telemetry)
        exits.callback(self.scrape.close)
        cluster.api.pod_proxy = PodAccess(cluster.kubelet, self.mesh.telemetry).get
        cluster.show_proxy_pod(self.mesh.settings.gateway, "127.0.1.1")
        cluster.show_proxy_pod(self.mesh.settings.client, "127.0.1.2")

    def _object_changed(self, change: Change) -> None:
        self.mesh.notify()

    def _release_workers(self) -> None:
        """Let pods' workers go that wait for a mesh which will not come any more."""
        self._closing = True
        self._mesh_started.set()

    def _note(self, problem: GitlabMeshError | str) -> None:
        if not self._closing:  # at the end API and processes go away under those who use them
            self.problems.append(str(problem))

    def _wait_routed(self) -> None:
        """Wait until the application answers a user's request.

        The gateway is asked only when a pod is ready: what it refused before would stay in its counters.
        """
        answer: object = "no request was sent"
        if self.cluster.wait_ready(NAMESPACE, "shop", _START_SECONDS):
            deadline = time.monotonic() + _START_SECONDS
            while time.monotonic() < deadline:
                answer = self.request("/version")
                if answer[1]:
                    return
                time.sleep(0.01)
        raise TransientError(
            f"no request was routed to the shop within {_START_SECONDS:g} s: {answer}",
            why="; ".join([*self.problems, self.cluster.describe_pods(NAMESPACE)]),
            hint=f"start it with a directory of your own and read the logs there (this one: {self.directory})",
        )
