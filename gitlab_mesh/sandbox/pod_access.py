"""What ``pods/proxy`` reaches in a pod: its application, and its sidecar's telemetry on port 15020."""

from __future__ import annotations

import http.client
from collections.abc import Mapping

from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh.sandbox.controllers.kubelet import Kubelet
from gitlab_mesh.sandbox.envoy.telemetry import Telemetry

__all__ = ["PodAccess"]

_TELEMETRY_PORT = 15020
_TELEMETRY_PATH = "/stats/prometheus"
_TIMEOUT_SECONDS = 30.0

Answer = tuple[int, Mapping[str, str], bytes]


class PodAccess:
    """Answers for the API server's proxy.

    Args:
        kubelet: Knows the processes.
        telemetry: Of all proxies.
    """

    def __init__(self, kubelet: Kubelet, telemetry: Telemetry) -> None:
        self._kubelet = kubelet
        self._telemetry = telemetry

    def get(self, namespace: str, pod: str, port: int, path: str) -> Answer:
        """GET a path of a pod. Raises OSError if nothing answers there."""
        if port == _TELEMETRY_PORT:
            return self._get_telemetry(namespace, pod, path)
        worker = self._kubelet.find(namespace, pod)
        if worker is None or worker.endpoint is None or port not in worker.ports:
            raise ConnectionRefusedError("connect: connection refused")
        connection = http.client.HTTPConnection("127.0.0.1", worker.endpoint.app_port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        except http.client.HTTPException as error:
            raise ConnectionResetError(f"the connection broke: {error!r}") from error
        finally:
            connection.close()

    def _get_telemetry(self, namespace: str, pod: str, path: str) -> Answer:
        if path.partition("?")[0] != _TELEMETRY_PATH:
            return 404, {"content-type": "text/plain"}, b"404 page not found\n"
        try:
            text = self._telemetry.render(namespace, pod)
        except GitlabMeshError as error:
            raise ConnectionRefusedError(f"connect: connection refused ({error.what})") from error
        return 200, {"content-type": "text/plain; version=0.0.4; charset=utf-8"}, text.encode()
