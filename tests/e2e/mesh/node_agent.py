"""The node: it registers itself, runs the pods that are bound to it, and plays the cluster's DNS."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import requests

from tests.e2e.controlplane.control_plane import ControlPlane, Object
from tests.e2e.mesh.images import Images
from tests.e2e.mesh.pod_network import HUB, make_bridge
from tests.e2e.mesh.pod_runtime import PodRuntime

__all__ = ["NodeAgent"]

NODE = "node-0"
_RETRY_SECONDS = 0.1
_NODE_INFO = {
    **dict.fromkeys(("machineID", "systemUUID", "bootID", "osImage", "kernelVersion"), "e2e"),
    "containerRuntimeVersion": "processes://1",
    "kubeProxyVersion": "",
    "operatingSystem": "linux",
    "architecture": "amd64",
}
_WATCH_SECONDS = 300


class NodeAgent:
    """One node of the cluster, in threads of this process.

    Args:
        plane: The cluster.
        images: What runs for which image.
        directory: For the pods' files.
    """

    def __init__(self, plane: ControlPlane, images: Images, directory: Path) -> None:
        self.plane = plane
        self.images = images
        self.directory = directory
        self.address = HUB
        self.hosts = directory / "hosts"
        self.closing = False
        self.problems: list[str] = []
        self.http = requests.Session()
        self.http.trust_env = False
        self._pods: dict[str, PodRuntime] = {}
        self._lock = threading.Lock()
        self._number = 0
        self._threads = [
            threading.Thread(target=self._follow, args=(path, deal), name=name, daemon=True)
            for name, path, deal in (
                ("node-pods", f"/api/v1/pods?fieldSelector=spec.nodeName%3D{NODE}", self._pod_seen),
                ("node-dns", "/apis/discovery.k8s.io/v1/endpointslices", self._slice_seen),
            )
        ]
        self._names: dict[str, list[str]] = {}

    def make_bridge(self) -> None:
        """Make the node's network; the API server listens there, so this comes first."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.hosts.write_text("127.0.0.1 localhost\n")
        make_bridge()

    def start(self) -> None:
        """Register the node and begin to work."""
        room = {"cpu": "64", "memory": "256Gi", "pods": "250"}
        labels = {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": NODE}
        self.plane.json("POST", "/api/v1/nodes", {"metadata": {"name": NODE, "labels": labels}})
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        # By the kubelet's version istiod decides whether sidecars are native (restartable init containers).
        version = self.plane.json("GET", "/version")["gitVersion"]
        status = {
            "allocatable": room,
            "capacity": room,
            "conditions": [ready],
            "nodeInfo": {**_NODE_INFO, "kubeletVersion": version},
        }
        kind = "application/strategic-merge-patch+json"
        self.plane.json("PATCH", f"/api/v1/nodes/{NODE}/status", {"status": status}, content_type=kind)
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop working; the processes end with the control plane's."""
        self.closing = True
        for pod in self.pods:
            pod.join(5)

    @property
    def pods(self) -> list[PodRuntime]:
        """The pods that run."""
        with self._lock:
            return list(self._pods.values())

    def find(self, namespace: str, prefix: str) -> PodRuntime:
        """Return the pod whose name begins so.

        Raises:
            LookupError: There is none.
        """
        for pod in self.pods:
            if pod.namespace == namespace and pod.pod_name.startswith(prefix):
                return pod
        raise LookupError(f"no pod {namespace}/{prefix}… runs on the node")

    def persist(self, write: Callable[[], requests.Response]) -> None:
        """Write to the API, again while the API server is away; an object that is gone or changed hands is fine."""
        while not self.closing:
            try:
                answer = write()
            except requests.RequestException:
                time.sleep(_RETRY_SECONDS)
                continue
            if answer.status_code < 500 and answer.status_code != 429:
                return
            time.sleep(_RETRY_SECONDS)

    def _follow(self, path: str, deal: Callable[[str, Object], None]) -> None:
        """List and watch for ever; a lost watch begins anew with a list, as informers do."""
        mark = "&" if "?" in path else "?"
        while not self.closing:
            try:
                listed = self.plane.json("GET", path)
                for item in listed["items"]:
                    deal("ADDED", item)
                deal("LISTED", listed)
                version = listed["metadata"]["resourceVersion"]
                query = f"{mark}watch=true&resourceVersion={version}&timeoutSeconds={_WATCH_SECONDS}"
                with self.plane.stream(path + query) as lines:
                    for line in lines:
                        event = json.loads(line)
                        if self.closing or event["type"] == "ERROR":
                            break
                        deal(event["type"], event["object"])
            except (requests.RequestException, OSError):
                time.sleep(_RETRY_SECONDS)
            except Exception as error:  # a thread has nobody above it
                if not self.closing:
                    self.problems.append(f"node: {error!r}")
                time.sleep(_RETRY_SECONDS)

    def _pod_seen(self, event: str, body: Object) -> None:
        if event == "LISTED":
            present = {item["metadata"]["uid"] for item in body["items"]}
            for one in self.pods:
                if one.uid not in present:
                    self._drop(one)
            return
        metadata = body["metadata"]
        pod = self._pods.get(metadata["uid"])
        if event == "DELETED":
            if pod is not None:
                self._drop(pod)
        elif "deletionTimestamp" in metadata:
            if pod is not None:
                pod.terminate(float(metadata.get("deletionGracePeriodSeconds", 0)))
        elif pod is None:
            with self._lock:
                self._number += 1
                address = f"10.244.{self._number // 250}.{self._number % 250 + 1}"
                pod = self._pods[metadata["uid"]] = PodRuntime(self, body, address, self._number)
            pod.start()

    def _drop(self, pod: PodRuntime) -> None:
        """Forget a pod that is gone from the API, and end it at once."""
        pod.terminate(0.0)
        with self._lock:
            self._pods.pop(pod.uid, None)

    def _slice_seen(self, event: str, body: Object) -> None:
        """Keep the hosts file: every name of every Service with endpoints leads to their addresses."""
        if event == "LISTED":
            return
        metadata = body["metadata"]
        service = (metadata.get("labels") or {}).get("kubernetes.io/service-name", "")
        key = f"{metadata['namespace']}/{metadata['name']}"
        addresses = [one["addresses"][0] for one in body.get("endpoints") or ()] if event != "DELETED" else []
        short = f"{service}.{metadata['namespace']}"
        names = f"{short}.svc.cluster.local {short}.svc {short}"
        self._names[key] = [f"{address} {names}" for address in addresses]
        lines = ["127.0.0.1 localhost", *(line for one in self._names.values() for line in one)]
        # In place: the pods have this very file bound over /etc/hosts.
        self.hosts.write_text("\n".join(lines) + "\n")
