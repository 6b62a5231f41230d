"""A cluster in process: API server, controllers, real application processes, and a mesh that only takes notes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.core.kinds import KINDS
from gitlab_mesh.sandbox.apiserver.access import User
from gitlab_mesh.sandbox.apiserver.messages import Request
from gitlab_mesh.sandbox.apiserver.resources import resource_of_kind
from gitlab_mesh.sandbox.apiserver.server import ApiServer
from gitlab_mesh.sandbox.controllers.client import ControllerClient
from gitlab_mesh.sandbox.controllers.kubelet import Kubelet, KubeletPolicy
from gitlab_mesh.sandbox.controllers.loop import ControlLoop
from gitlab_mesh.sandbox.envoy.model import PodEndpoint
from gitlab_mesh.sandbox.processes import Processes

Object = dict[str, Any]
SECONDS = 20.0


class Notes:
    """Stands for the mesh: keeps each state of the endpoints, and says how many requests are in work."""

    def __init__(self) -> None:
        self.kubelet: Kubelet | None = None
        self.history: list[list[PodEndpoint]] = []
        self.active = 0

    def pods_changed(self) -> None:
        assert self.kubelet
        self.history.append(self.kubelet.endpoints())

    def active_requests(self, namespace: str, name: str) -> int:
        return self.active


class Cluster:
    """What a test needs of it."""

    def __init__(self, directory: Path) -> None:
        admin = User("admin", "secret")
        self.api = ApiServer([admin])
        self.processes = Processes(directory)
        self.network = Notes()
        self.problems: list[str] = []
        policy = KubeletPolicy(backoff_seconds=0.05, settle_seconds=0.01)
        client = ControllerClient(self.api, admin, "kubelet")
        self.kubelet = Kubelet(
            client, self.processes, self.network, policy=policy, seed=1, on_problem=self.problems.append
        )
        self.network.kubelet = self.kubelet
        self.loop = ControlLoop(self.api, admin, self.kubelet, self.problems.append)
        self.loop.start()
        self.send(
            "POST", "/api/v1/namespaces", {"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}}
        )

    def close(self) -> None:
        self.loop.stop()
        self.processes.close()
        assert self.problems == []

    def send(self, method: str, path: str, body: Object, content_type: str = "application/json") -> Object:
        headers = {"authorization": "Bearer secret", "content-type": content_type}
        answer = self.api.handle(Request(method, path, {}, headers, json.dumps(body).encode()))
        assert answer.status < 300, answer.body
        return answer.body

    def create(self, body: Object) -> Object:
        return self.send("POST", KINDS[body["kind"]].path("shop"), body)

    def patch(self, kind: str, name: str, patch: Object) -> Object:
        return self.send("PATCH", KINDS[kind].path("shop", name), patch, "application/merge-patch+json")

    def delete(self, kind: str, name: str, **options: Any) -> Object:
        return self.send("DELETE", KINDS[kind].path("shop", name), options)

    def get(self, kind: str, name: str) -> Object:
        found = self.api.store.get(resource_of_kind(kind), "shop", name)
        assert found is not None
        return found

    def list(self, kind: str) -> list[Object]:
        return self.api.store.list_objects(resource_of_kind(kind), "shop")[0]

    def until(self, holds: Callable[[], Any], what: str = "") -> None:
        """Wait for a state of the store."""
        with self.api.store.changed:
            if not self.api.store.changed.wait_for(holds, SECONDS):
                pytest.fail(f"not within {SECONDS:g} s: {what or holds}\n{json.dumps(self.list('Pod'), indent=1)}")

    def until_complete(self, name: str = "shop") -> Object:
        """Wait until a Deployment is rolled out as its generation wants it, no pod too many; return it."""

        def complete() -> bool:
            body = self.get("Deployment", name)
            status, wanted = body.get("status", {}), body["spec"]["replicas"]
            return (
                status.get("observedGeneration") == body["metadata"]["generation"]
                and [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")] == [wanted] * 3
                and len([pod for pod in self.list("Pod") if pod["metadata"]["name"].startswith(f"{name}-")]) == wanted
            )

        self.until(complete, f"Deployment {name} complete")
        return self.get("Deployment", name)

    def events(self, reason: str) -> list[str]:
        return [event["message"] for event in self.list("Event") if event["reason"] == reason]


def deployment(name: str = "shop", tag: str = "1.4.2", replicas: int = 2, **spec: Any) -> Object:
    labels = {"app": "shop", "version": name}
    container = {
        "name": "shop",
        "image": f"registry.example/shop:{tag}",
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec},
    }


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    running = Cluster(tmp_path)
    try:
        yield running
    finally:
        running.close()
