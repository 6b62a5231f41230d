"""The cluster side of a sandbox: API server on HTTPS, its users, the controllers and the kubelet."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gitlab_mesh.core.kinds import KINDS
from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.sandbox.apiserver.access import User
from gitlab_mesh.sandbox.apiserver.certificate import make_certificate
from gitlab_mesh.sandbox.apiserver.http_server import HttpServer
from gitlab_mesh.sandbox.apiserver.local import LocalClient
from gitlab_mesh.sandbox.apiserver.resources import resource_of_kind
from gitlab_mesh.sandbox.apiserver.server import ApiServer
from gitlab_mesh.sandbox.app.behaviour import Behaviour
from gitlab_mesh.sandbox.controllers.client import ControllerClient
from gitlab_mesh.sandbox.controllers.kubelet import Kubelet, KubeletPolicy, PodNetwork
from gitlab_mesh.sandbox.controllers.loop import ControlLoop
from gitlab_mesh.sandbox.controllers.pod_status import ContainerState, build_status, running
from gitlab_mesh.sandbox.envoy.http_routes import GATEWAY_API
from gitlab_mesh.sandbox.envoy.model import ProxyPod
from gitlab_mesh.sandbox.envoy.route_status import route_statuses
from gitlab_mesh.sandbox.processes import Processes
from gitlab_mesh.sandbox.shop import proxy_pod

__all__ = ["MESH_KINDS", "SandboxCluster"]

MESH_KINDS = tuple(
    word
    for word, kind in KINDS.items()
    if kind.group.endswith("istio.io") or kind.group == GATEWAY_API or kind.name == "Service"
)
"""Kinds that the mesh looks at."""


class SandboxCluster:
    """Starts at once; ``close`` ends it.

    Args:
        directory: For the kubeconfigs.
        processes: Starts the pods' processes.
        network: The mesh.
        rules: User → rules (see ``apiserver.access``).
        behaviours: Tag → behaviour, before the table of ``app.behaviour``.
        policy: Times of the kubelet.
        seed: For the applications' luck; None: honest randomness.
        on_problem: Told what must not happen.

    Attributes:
        api: In process.
        server: On HTTPS.
        kubelet: Runs the pods.
    """

    def __init__(
        self,
        directory: Path,
        processes: Processes,
        network: PodNetwork,
        *,
        rules: Mapping[str, Sequence[Mapping[str, Any]]],
        behaviours: Mapping[str, Behaviour],
        policy: KubeletPolicy,
        seed: int | None,
        on_problem: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._users = {name: User(name, secrets.token_hex(16), tuple(rules[name])) for name in rules}
        self._root = User("system:sandbox", secrets.token_hex(16))
        self._exits = contextlib.ExitStack()
        self.api = ApiServer([self._root, *self._users.values()])
        client = ControllerClient(self.api, self._root, "kubelet")
        self.kubelet = Kubelet(client, processes, network, dict(behaviours), policy, seed, on_problem)
        loop = ControlLoop(self.api, self._root, self.kubelet, on_problem)
        loop.start()
        self._exits.callback(loop.stop)
        self.api.pod_logs = self.kubelet.log
        self.server = HttpServer(self.api, certificate=make_certificate())
        self._exits.enter_context(self.server)
        for name, user in self._users.items():
            self._write_kubeconfig(name, user)

    def kubeconfig(self, user: str) -> Path:
        """Return the kubeconfig of a user."""
        return self._directory / f"kubeconfig-{user}.json"

    def client(self, user: str) -> LocalClient:
        """Return a client in process, with the rights of a user."""
        return LocalClient(self.api, self._users[user], manager=f"sandbox-{user}")

    def create(self, objects: Iterable[dict[str, Any]]) -> None:
        """Create objects, as a team with kubectl and all rights would."""
        client = LocalClient(self.api, self._root, manager="kubectl-create")
        for body in objects:
            client.create(body)

    def show_proxy_pod(self, pod: ProxyPod, address: str) -> None:
        """Show a pod that is nothing but a proxy (the gateway), ready."""
        client = LocalClient(self.api, self._root, manager="kubelet")
        now = self.api.store.timestamp()
        body = client.create(proxy_pod(pod))
        state = ContainerState(running(now), ready=True, has_image=True)
        client.update_status({**body, "status": build_status(body, state, address, now)})

    def mesh_objects(self) -> list[Mapping[str, Any]]:
        """Return the objects that the mesh looks at."""
        store = self.api.store
        return [body for kind in MESH_KINDS for body in store.list_objects(resource_of_kind(kind))[0]]

    def accept_routes(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """Write the status of the HTTPRoutes that the mesh has in force."""
        door = LocalClient(self.api, self._root, manager="istiod")
        for route, status in route_statuses(objects, self.api.store.timestamp()):
            if route.get("status") != status:
                metadata = route["metadata"]
                with contextlib.suppress(ObjectMissingError):  # it went meanwhile
                    door.merge_patch(
                        "HTTPRoute", metadata["namespace"], metadata["name"], {"status": status}, subresource="status"
                    )

    def wait_ready(self, namespace: str, deployment: str, timeout: float) -> bool:
        """Wait until a Deployment has a ready pod; False if it took longer than ``timeout`` seconds."""
        store, resource = self.api.store, resource_of_kind("Deployment")

        def is_ready() -> bool:
            body = store.get(resource, namespace, deployment) or {}
            return bool((body.get("status") or {}).get("readyReplicas"))

        with store.changed:
            return store.changed.wait_for(is_ready, timeout)

    def describe_pods(self, namespace: str) -> str:
        """Return one line on how the pods are, for an error message."""
        pods = self.api.store.list_objects(resource_of_kind("Pod"), namespace)[0]
        states = {
            pod["metadata"]["name"]: (pod.get("status", {}).get("containerStatuses") or [{}])[0].get("state")
            for pod in pods
        }
        return ", ".join(f"pod {name}: {state}" for name, state in states.items()) or "there is no pod"

    def close(self) -> None:
        """End server, controllers and workers; the pods' processes end with ``processes``."""
        self._exits.close()

    def _write_kubeconfig(self, name: str, user: User) -> None:
        path = self.kubeconfig(name)
        path.touch(0o600)
        path.write_text(self.server.render_kubeconfig(user.token, namespace="shop"))
