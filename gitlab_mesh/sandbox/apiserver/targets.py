"""What a path of the API addresses, and how objects look in the version that it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.sandbox.apiserver.resources import Resource, find_resource

__all__ = ["Target", "from_served", "parse_target", "to_served"]

SUBRESOURCES = ("status", "scale", "proxy", "log", "finalize")


@dataclass(frozen=True, slots=True)
class Target:
    """An object, a list or a subresource.

    Attributes:
        api_version: In which the client speaks ("networking.istio.io/v1beta1").
        name: Empty for a list.
        rest: What follows ``proxy/``, with its leading slash.
    """

    resource: Resource
    api_version: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""

    @property
    def group(self) -> str:
        """API group that the client asks."""
        return self.api_version.rpartition("/")[0]


def parse_target(path: str) -> Target | None:
    """Return what the path addresses; None if the server serves nothing there."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in SUBRESOURCES):
        namespace, rest = rest[1], rest[2:]
    resource = find_resource(group, version, rest[0])
    if resource is None or (namespace and not resource.namespaced):
        return None
    name = rest[1] if len(rest) > 1 else ""
    if name and resource.namespaced and not namespace:
        return None
    subresource = rest[2] if len(rest) > 2 else ""
    if subresource and not _has_subresource(resource, subresource, len(rest)):
        return None
    below = "/" + "/".join(path.strip("/").split("/")[-(len(rest) - 3) :] if len(rest) > 3 else ())
    if subresource == "proxy" and path.endswith("/") and below != "/":
        below += "/"
    api_version = f"{group}/{version}" if group else version
    return Target(resource, api_version, namespace, name, subresource, below)


def _has_subresource(resource: Resource, subresource: str, length: int) -> bool:
    if subresource == "proxy":
        return resource.kind == "Pod"
    if length > 3:
        return False
    return {
        "status": resource.status,
        "scale": resource.scale,
        "log": resource.kind == "Pod",
        "finalize": False,
    }.get(subresource, False)


_EVENT_FIELDS = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
"""core/v1 Event → events.k8s.io/v1 Event (k8s.io/kubernetes/pkg/apis/events/v1/conversion.go)."""


def to_served(body: dict[str, Any], api_version: str) -> dict[str, Any]:
    """Return a stored object in the version that the client asked for."""
    if body.get("apiVersion") == api_version:
        return body
    if api_version == "events.k8s.io/v1":
        body = {_EVENT_FIELDS.get(key, key): value for key, value in body.items()}
    return {**body, "apiVersion": api_version}


def from_served(body: Mapping[str, Any], resource: Resource) -> dict[str, Any]:
    """Return a client's object in the version in which it is stored."""
    stored = dict(body)
    if stored.get("apiVersion") == "events.k8s.io/v1":
        back = {new: old for old, new in _EVENT_FIELDS.items()}
        stored = {back.get(key, key): value for key, value in stored.items()}
    stored["apiVersion"] = resource.api_version
    return stored
