"""A container's files from its volumes: ConfigMaps, Secrets, service account tokens, the downward API.

They are written below a folder of the container's own at the path where they would be mounted; istiod and Istio's
agent name their files relative to the working directory, so that folder as working directory is all they need.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import requests

from tests.e2e.controlplane.control_plane import ControlPlane, wait_until
from tests.e2e.mesh.pod_spec import field_of

__all__ = ["Volumes"]


class Volumes:
    """Writes the files of one pod's containers.

    Args:
        plane: Where ConfigMaps, Secrets and tokens come from.
        pod: The pod.
        address: Its IP.
        node_address: Of the node.
    """

    def __init__(self, plane: ControlPlane, pod: Mapping[str, Any], address: str, node_address: str) -> None:
        self._plane = plane
        self._pod = pod
        self._space = pod["metadata"]["namespace"]
        self._where = {"address": address, "node_address": node_address}

    def write(self, container: Mapping[str, Any], home: Path) -> None:
        """Write everything that the container mounts below ``home``.

        Raises:
            TimeoutError: A ConfigMap or Secret that is not optional is not there.
        """
        known = {one["name"]: one for one in self._pod["spec"].get("volumes") or ()}
        for mount in container.get("volumeMounts") or ():
            base = home / mount["mountPath"].lstrip("./")
            base.mkdir(parents=True, exist_ok=True)
            for path, content in self._files(known[mount["name"]]):
                (base / path).parent.mkdir(parents=True, exist_ok=True)
                (base / path).write_bytes(content)

    def _files(self, volume: Mapping[str, Any]) -> Iterable[tuple[str, bytes]]:
        sources = (volume.get("projected") or {}).get("sources") or [volume]
        for source in sources:
            if token := source.get("serviceAccountToken"):
                account = self._pod["spec"].get("serviceAccountName", "default")
                text = self._plane.account_token(
                    self._space, account, audience=token.get("audience", ""), pod=dict(self._pod)
                )
                yield token["path"], text.encode()
            if wanted := source.get("configMap"):
                found = self._read("configmaps", wanted["name"], optional=wanted.get("optional", False))
                yield from _chosen({k: v.encode() for k, v in (found.get("data") or {}).items()}, wanted)
            if wanted := source.get("secret"):
                name = wanted.get("secretName") or wanted["name"]
                found = self._read("secrets", name, optional=wanted.get("optional", False))
                yield from _chosen({k: base64.b64decode(v) for k, v in (found.get("data") or {}).items()}, wanted)
            if wanted := source.get("downwardAPI"):
                for item in wanted["items"]:
                    if "fieldRef" in item:
                        yield item["path"], field_of(self._pod, item["fieldRef"]["fieldPath"], **self._where).encode()

    def _read(self, resource: str, name: str, *, optional: bool) -> Mapping[str, Any]:
        """Return a ConfigMap or Secret; the kubelet, too, waits for one that is not optional."""
        path = f"/api/v1/namespaces/{self._space}/{resource}/{name}"
        if optional:
            answer = self._plane.request("GET", path)
            return dict(answer.json()) if answer.ok else {}

        def read() -> dict[str, Any] | None:
            try:
                return self._plane.json("GET", path)
            except requests.HTTPError:
                return None

        found: dict[str, Any] = wait_until(f"{resource} {self._space}/{name}", read)
        return found


def _chosen(data: Mapping[str, bytes], wanted: Mapping[str, Any]) -> Iterable[tuple[str, bytes]]:
    """Return the keys that ``items`` names under its paths; without ``items`` all of them."""
    items = wanted.get("items")
    if items is None:
        return list(data.items())
    return [(item["path"], data[item["key"]]) for item in items if item["key"] in data]
