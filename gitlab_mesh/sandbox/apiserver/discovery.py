"""Discovery: which groups, versions and kinds there are, and the OpenAPI (v3) that kubectl asks for.

kubectl validates by a schema if the server publishes one, and lets the server validate if the server's OpenAPI says
that writes take ``fieldValidation``. This server publishes the second and no schemas, so what is valid is decided by
the server alone. ``openapi_v2`` has the older form.
"""

from __future__ import annotations

from typing import Any

from gitlab_mesh.sandbox.apiserver.resources import RESOURCES, Resource

__all__ = ["VERSION", "answer_discovery", "served_resources"]

VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0+gitlab-mesh-sandbox",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def served_resources() -> dict[str, dict[str, list[Resource]]]:
    """Return what is served by group and version, preferred version first."""
    served: dict[str, dict[str, list[Resource]]] = {}
    for resource in RESOURCES:
        for version in resource.versions:
            served.setdefault(resource.group, {}).setdefault(version, []).append(resource)
        for alias in resource.aliases:
            served.setdefault(alias, {}).setdefault("v1", []).append(resource)
    return served


def answer_discovery(path: str) -> dict[str, Any] | None:
    """Return the answer for a discovery path, None if it is none."""
    parts = path.strip("/").split("/")
    served = served_resources()
    if parts == ["version"]:
        return VERSION
    if parts == ["api"]:
        addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}
    if parts == ["apis"]:
        groups = [_group(name, list(versions)) for name, versions in served.items() if name]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    if parts == ["api", "v1"]:
        return _resource_list("v1", served[""]["v1"])
    if parts[0] == "apis" and len(parts) == 2 and parts[1] in served:
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[1], list(served[parts[1]]))}
    if parts[0] == "apis" and len(parts) == 3 and parts[2] in served.get(parts[1], {}):
        return _resource_list(f"{parts[1]}/{parts[2]}", served[parts[1]][parts[2]])
    if parts[:2] == ["openapi", "v3"]:
        return _openapi_v3(parts[2:], served)
    return None


def _group(name: str, versions: list[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resource_list(group_version: str, resources: list[Resource]) -> dict[str, Any]:
    listed: list[dict[str, Any]] = []
    for resource in resources:
        about: dict[str, Any] = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": ["create"] if resource.review else _VERBS,
        }
        if resource.short_names:
            about["shortNames"] = list(resource.short_names)
        if resource.categories:
            about["categories"] = list(resource.categories)
        listed.append(about)
        listed += _subresources(resource)
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed}


def _subresources(resource: Resource) -> list[dict[str, Any]]:
    def about(name: str, kind: str, verbs: list[str], **more: str) -> dict[str, Any]:
        base = {"singularName": "", "namespaced": resource.namespaced, "kind": kind, "verbs": verbs}
        return {"name": f"{resource.plural}/{name}", **base, **more}

    found: list[dict[str, Any]] = []
    if resource.status:
        found.append(about("status", resource.kind, ["get", "patch", "update"]))
    if resource.scale:
        found.append(about("scale", "Scale", ["get", "patch", "update"], group="autoscaling", version="v1"))
    if resource.kind == "Pod":
        found.append(about("log", "Pod", ["get"]))
        found.append(about("proxy", "PodProxyOptions", ["create", "delete", "get", "patch", "update"]))
    return found


def _openapi_v3(rest: list[str], served: dict[str, dict[str, list[Resource]]]) -> dict[str, Any] | None:
    names = {
        f"apis/{group}/{version}" if group else f"api/{version}": (group, version)
        for group, versions in served.items()
        for version in versions
    }
    if not rest:
        return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}?hash=0"} for name in names}}
    name = "/".join(rest)
    if name not in names:
        return None
    group, version = names[name]
    paths: dict[str, Any] = {}
    for resource in served[group][version]:
        place = "namespaces/{namespace}/" if resource.namespaced else ""
        paths[f"/{name}/{place}{resource.plural}/{{name}}"] = {"patch": _patch_operation(resource, group, version)}
    return {
        "openapi": "3.0.0",
        "info": {"title": "gitlab-mesh sandbox", "version": VERSION["gitVersion"]},
        "paths": paths,
        "components": {"schemas": {}},
    }


def _patch_operation(resource: Resource, group: str, version: str) -> dict[str, Any]:
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    return {
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names],
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": {"group": group, "kind": resource.kind, "version": version},
    }
