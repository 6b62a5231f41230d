"""How lists and maps of the API merge and are owned: the merge keys that the real schemas declare.

Facts: ``x-kubernetes-list-map-keys``, ``x-kubernetes-list-type``, ``x-kubernetes-patch-merge-key`` and
``x-kubernetes-patch-strategy`` of Kubernetes' OpenAPI for the kinds served here. Lists that are not named here
(tolerations, args, command, rules of policies) are atomic in both senses: a write replaces them whole.
Custom resources of Istio declare none, so their lists are atomic: whoever writes a weight owns all of ``spec.http``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.resources import Resource

__all__ = ["SET", "item_key", "list_keys", "map_is_atomic", "patch_merge_key"]

SET = ("",)
"""Keys of a list of plain values where each value is owned on its own."""

_METADATA_LISTS = {"ownerReferences": ("uid",), "finalizers": SET}
_BUILTIN_LISTS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "containerStatuses": (),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "conditions": ("type",),
    "podIPs": ("ip",),
    "secrets": ("name",),
}
_PORTS = {"Service": ("port", "protocol"), "": ("containerPort", "protocol")}
_PATCH_ONLY_FIRST = {"topologySpreadConstraints": "topologyKey"}
_ATOMIC_MAPS = {"selector", "nodeSelector", "labelSelector", "podSelector", "namespaceSelector", "involvedObject"}


def list_keys(resource: Resource, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys that tell the items of the list at ``path`` apart; () if the list is atomic.

    Args:
        resource: Kind of the object.
        path: Field names from the root, without list items.
    """
    field = path[-1] if path else ""
    if path[:1] == ("metadata",) and len(path) == 2:
        return _METADATA_LISTS.get(field, ())
    if resource.custom:
        return ()
    if field == "ports":
        if resource.kind == "Service":
            return _PORTS["Service"]
        return _PORTS[""] if any(part.endswith("ontainers") for part in path) else ()
    return _BUILTIN_LISTS.get(field, ())


def map_is_atomic(resource: Resource, path: tuple[str, ...]) -> bool:
    """Tell whether the map at ``path`` is owned as a whole (selectors)."""
    return not resource.custom and len(path) > 1 and path[-1] in _ATOMIC_MAPS


def item_key(item: Any, keys: tuple[str, ...]) -> tuple[Any, ...]:
    """Return what identifies an item among its siblings; ``protocol`` is TCP unless it says otherwise."""
    if keys == SET or not isinstance(item, Mapping):
        return (item,)
    return tuple(item.get(key, "TCP" if key == "protocol" else None) for key in keys)


def patch_merge_key(resource: Resource, path: tuple[str, ...]) -> str:
    """Return the one key by which a strategic merge patch finds items; empty if the list is replaced."""
    keys = list_keys(resource, path)
    return _PATCH_ONLY_FIRST.get(path[-1] if path else "", keys[0] if keys else "")
