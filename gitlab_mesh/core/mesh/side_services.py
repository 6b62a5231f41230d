"""The Services of the two sides: made by us where the user has none, recorded, and deleted at the end."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from gitlab_mesh.core.mesh.backends import BackendPair
from gitlab_mesh.core.mesh.hosts import resolve_host
from gitlab_mesh.core.mesh.pair import Json, key_of, label_of
from gitlab_mesh.errors import ConflictError, UsageError

__all__ = ["MANAGED_BY", "is_ours", "plan_services"]

MANAGED_BY = {"app.kubernetes.io/managed-by": "gitlab-mesh"}

_ALLOCATED = (
    *("clusterIP", "clusterIPs", "type", "externalName", "externalIPs", "externalTrafficPolicy"),
    *("healthCheckNodePort", "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges"),
    *("allocateLoadBalancerNodePorts",),
)
"""Fields that belong to one Service alone, or that open it to the outside; all others hold for the sides, too."""

_MESH_DOMAINS = ("istio.io", "networking.istio.io", "ambient.istio.io")


def is_ours(service: Json) -> bool:
    """Whether we made the Service."""
    labels = service["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in MANAGED_BY.items())


def plan_services(others: Mapping[str, Json], pair: BackendPair) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    """Return the Services to create, and the originals that say which are ours to delete.

    Args:
        others: Live Services and DestinationRules by "Kind/namespace/name".
        pair: The Services of the release.

    Raises:
        UsageError: The service's own Service cannot be split, or a policy of it would not hold for the sides.
        ConflictError: A Service of that name is the rest of another release.
    """
    created: list[dict[str, Any]] = []
    originals: dict[str, Any] = {}
    base = others.get(f"Service/{pair.namespace}/{pair.service}")
    for name, value in pair.sides:
        if name == pair.service:
            continue
        live = others.get(f"Service/{pair.namespace}/{name}")
        if live is None:
            body = _side_service(_require_base(base, pair), pair, name, value)
            created.append(body)
            originals[key_of(body)] = {"created": True}
        elif is_ours(live):
            _require_selector(live, _require_base(base, pair), pair, value)
            originals[key_of(live)] = {"created": True}
        elif (live.get("spec", {}).get("selector") or {}).get(pair.label) != value:
            raise UsageError(
                f"{label_of(live)} is yours, but does not select {pair.label}={value}",
                why="each side of a release needs a Service that selects its pods and no others",
                hint=f"add {pair.label}: {value} to its selector, or name other sides in mesh.yaml: subsets: "
                "{stable: …, canary: …}",
            )
    if originals:
        _refuse_policies(others, pair)
    return tuple(created), originals


def _require_base(base: Json | None, pair: BackendPair) -> Json:
    name = f"Service {pair.namespace}/{pair.service}"
    if base is None:
        raise UsageError(f"{name} does not exist", hint="set services.<name>.host in mesh.yaml to the right one")
    spec = base.get("spec", {})
    if not spec.get("selector") or spec.get("type") == "ExternalName":
        raise UsageError(
            f"{name} has no selector",
            why="its sides' Services are made from it, and would select nothing",
            hint=f"make Services {pair.stable} and {pair.canary} yourself, or release through a VirtualService",
        )
    return base


def _side_service(base: Json, pair: BackendPair, name: str, value: str) -> dict[str, Any]:
    if len(name) > 63:
        raise UsageError(
            f"Service {name} would have a name of {len(name)} characters",
            why="a Service's name may have 63",
            hint="name shorter sides in mesh.yaml: subsets: {stable: …, canary: …}",
        )
    metadata = base["metadata"]
    annotations = {
        key: text for key, text in (metadata.get("annotations") or {}).items() if key.partition("/")[0] in _MESH_DOMAINS
    }
    spec = {key: copy.deepcopy(item) for key, item in base["spec"].items() if key not in _ALLOCATED}
    spec["ports"] = [{key: item for key, item in port.items() if key != "nodePort"} for port in spec.get("ports") or ()]
    spec["selector"] = _selector(base, pair, value)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": pair.namespace,
            "labels": {**MANAGED_BY, **_mesh_labels(metadata.get("labels") or {})},
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": spec,
    }


def _mesh_labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key.partition("/")[0] in _MESH_DOMAINS}


def _selector(base: Json, pair: BackendPair, value: str) -> dict[str, str]:
    return {**base["spec"]["selector"], pair.label: value}


def _require_selector(live: Json, base: Json, pair: BackendPair, value: str) -> None:
    if live["spec"].get("selector") != _selector(base, pair, value):
        raise ConflictError(
            f"{label_of(live)} is the rest of another release and selects {live['spec'].get('selector')}",
            hint=f"nothing leads there: kubectl -n {pair.namespace} delete service {live['metadata']['name']}",
        )


def _refuse_policies(others: Mapping[str, Json], pair: BackendPair) -> None:
    """A DestinationRule is for one host; nothing of it would hold for the sides' Services."""
    host = resolve_host(pair.service, pair.namespace)
    for item in others.values():
        spec = item.get("spec", {})
        if item["kind"] != "DestinationRule" or not spec.get("trafficPolicy"):
            continue
        if resolve_host(str(spec.get("host", "")), item["metadata"]["namespace"]) == host:
            raise UsageError(
                f"{label_of(item)} has a trafficPolicy, which would not hold for the sides' own Services",
                why="a DestinationRule is for one host: limits, outlier detection and TLS would be gone while the "
                "release runs",
                hint=f"make Services {pair.stable} and {pair.canary} yourself with rules of their own, or release "
                "through a VirtualService",
            )
