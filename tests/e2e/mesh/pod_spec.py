"""What a pod's specification says about its containers: which to run, with which environment. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["containers_of", "environment_of", "expand", "field_of", "image_kind", "probe_url"]

Object = dict[str, Any]

_REFERENCE = re.compile(r"\$\((\w+)\)")
_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")


def image_kind(image: str) -> str:
    """Return the last part of an image's repository: "proxyv2" of docker.io/istio/proxyv2:1.30.1."""
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def containers_of(pod: Mapping[str, Any]) -> list[Object]:
    """Return the containers that run as long as the pod: sidecars (restartable init containers) first."""
    spec = pod["spec"]
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    return [*sidecars, *spec["containers"]]


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replace $(NAME) as the kubelet does; unknown names stay."""
    return _REFERENCE.sub(lambda found: known.get(found[1], found[0]), text)


def field_of(pod: Mapping[str, Any], path: str, *, address: str, node_address: str) -> str:
    """Return what a fieldRef (downward API) points at.

    Args:
        pod: The pod as stored; its status need not say its address yet.
        path: ``fieldPath``.
        address: The pod's IP.
        node_address: Of the node.

    Raises:
        KeyError: No field of the downward API.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    if keyed := _KEYED.fullmatch(path):
        return str((metadata.get(keyed[1]) or {}).get(keyed[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        pairs = metadata.get(path.partition(".")[2]) or {}
        return "".join(f"{key}={json.dumps(value)}\n" for key, value in sorted(pairs.items()))
    found: dict[str, str] = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": address,
        "status.podIPs": address,
        "status.hostIP": node_address,
    }
    return found[path]


def environment_of(
    pod: Mapping[str, Any], container: Mapping[str, Any], *, address: str, node_address: str
) -> dict[str, str]:
    """Return the container's environment; what comes from resource limits is left out (nothing limits us here)."""
    found: dict[str, str] = {}
    for one in container.get("env") or ():
        source = one.get("valueFrom") or {}
        if "fieldRef" in source:
            path = source["fieldRef"]["fieldPath"]
            found[one["name"]] = field_of(pod, path, address=address, node_address=node_address)
        elif not source:
            found[one["name"]] = expand(one.get("value", ""), found)
    return found


def probe_url(probe: Mapping[str, Any], ports: Sequence[Mapping[str, Any]], address: str) -> str:
    """Return the URL that an httpGet probe asks, or "" if the probe is of another kind."""
    asked = probe.get("httpGet")
    if not asked:
        return ""
    port = asked["port"]
    if isinstance(port, str):
        port = next(one["containerPort"] for one in ports if one.get("name") == port)
    return f"http://{asked.get('host') or address}:{port}{asked.get('path', '/')}"
