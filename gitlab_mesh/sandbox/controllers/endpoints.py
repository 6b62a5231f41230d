"""EndpointSlice controller: which pods a Service selects, and which of them are ready."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gitlab_mesh.sandbox.controllers.client import ControllerClient
from gitlab_mesh.sandbox.controllers.pods import is_ready, owner_reference

__all__ = ["EndpointsController"]

Object = dict[str, Any]

_SERVICE = "kubernetes.io/service-name"


class EndpointsController:
    """Keeps one EndpointSlice for each Service with a selector; the mesh here does not read it, jobs do.

    Args:
        client: Way to the API server.
    """

    def __init__(self, client: ControllerClient) -> None:
        self._client = client

    def reconcile(self, namespace: str, name: str) -> None:
        """Bring a Service's slice to what its selector finds now. Raises GitlabMeshError."""
        service = self._client.get("Service", namespace, name)
        selector = (service or {}).get("spec", {}).get("selector")
        if service is None or not selector:
            return
        wanted = {"endpoints": list(self._endpoints(namespace, selector)), "ports": list(_ports(service))}
        live = next(iter(self._client.owned("EndpointSlice", service)), None)
        if live is None:
            self._client.create(_slice(service, wanted))
        elif any(live.get(key) != value for key, value in wanted.items()):
            self._client.patch("EndpointSlice", live, wanted)

    def services_of(self, namespace: str) -> list[str]:
        """Return the Services whose endpoints a pod of the namespace may concern."""
        return [body["metadata"]["name"] for body in self._client.objects("Service", namespace)]

    def _endpoints(self, namespace: str, selector: Mapping[str, str]) -> Iterator[Object]:
        for pod in self._client.objects("Pod", namespace):
            address = (pod.get("status") or {}).get("podIP")
            if not address or not selector.items() <= (pod["metadata"].get("labels") or {}).items():
                continue
            ready, ending = is_ready(pod), "deletionTimestamp" in pod["metadata"]
            metadata = pod["metadata"]
            yield {
                "addresses": [address],
                "conditions": {"ready": ready, "serving": ready, "terminating": ending},
                "nodeName": pod["spec"].get("nodeName", ""),
                "targetRef": {"kind": "Pod", "namespace": namespace, "name": metadata["name"], "uid": metadata["uid"]},
            }


def _ports(service: Mapping[str, Any]) -> Iterator[Object]:
    for port in service["spec"].get("ports") or ():
        target = port.get("targetPort", port["port"])
        yield {
            "name": port.get("name", ""),
            "port": target if isinstance(target, int) else port["port"],
            "protocol": port.get("protocol", "TCP"),
        }


def _slice(service: Mapping[str, Any], wanted: Object) -> Object:
    metadata = service["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{metadata['name']}-",
            "namespace": metadata["namespace"],
            "labels": {
                _SERVICE: metadata["name"],
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": "IPv4",
        **wanted,
    }
