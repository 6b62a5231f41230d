"""Defaults that a real server writes into objects at creation, as far as our jobs and kubectl look at them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.gateway_api import set_http_route_defaults
from gitlab_mesh.sandbox.apiserver.resources import Resource

__all__ = ["set_defaults"]


def set_defaults(resource: Resource, body: dict[str, Any], live: Mapping[str, Any] | None, *, number: int) -> None:
    """Fill ``body``, whose types are right, in place.

    Args:
        resource: Kind of the object.
        body: The object to be stored; ours alone.
        live: The object that it replaces.
        number: Any number that differs for each object; becomes the cluster IP of a Service.
    """
    spec = body.get("spec")
    if resource.kind == "Deployment" and isinstance(spec, dict):
        _deployment(spec)
    elif resource.kind == "ReplicaSet" and isinstance(spec, dict):
        _default(spec, "replicas", 1)
        _pod_spec((spec.get("template") or {}).get("spec"))
    elif resource.kind == "Pod":
        _pod_spec(spec)
    elif resource.kind == "Service" and isinstance(spec, dict):
        _service(spec, (live or {}).get("spec") or {}, number)
    elif resource.kind == "HTTPRoute" and isinstance(spec, dict):
        set_http_route_defaults(spec)
    elif resource.kind == "Secret":
        _secret(body)
    elif resource.kind == "Namespace":
        body["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = body["metadata"].get("name", "")
        _default(body, "spec", {"finalizers": ["kubernetes"]})


def _default(node: dict[str, Any], key: str, value: Any) -> None:
    if node.get(key) is None:
        node[key] = value


def _deployment(spec: dict[str, Any]) -> None:
    _default(spec, "replicas", 1)
    _default(spec, "revisionHistoryLimit", 10)
    _default(spec, "progressDeadlineSeconds", 600)
    _default(spec, "strategy", {})
    strategy = spec["strategy"]
    if isinstance(strategy, dict):
        _default(strategy, "type", "RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            _default(strategy, "rollingUpdate", {})
            if isinstance(strategy["rollingUpdate"], dict):
                _default(strategy["rollingUpdate"], "maxSurge", "25%")
                _default(strategy["rollingUpdate"], "maxUnavailable", "25%")
    template = spec.get("template")
    if isinstance(template, dict):
        _pod_spec(template.get("spec"))


def _pod_spec(spec: Any) -> None:
    if not isinstance(spec, dict):
        return
    _default(spec, "restartPolicy", "Always")
    _default(spec, "terminationGracePeriodSeconds", 30)
    _default(spec, "dnsPolicy", "ClusterFirst")
    _default(spec, "schedulerName", "default-scheduler")
    _default(spec, "securityContext", {})
    for container in spec.get("containers") or []:
        if not isinstance(container, dict):
            continue
        image = str(container.get("image") or "")
        untagged = ":" not in image.rsplit("/", 1)[-1] and "@" not in image
        _default(container, "imagePullPolicy", "Always" if untagged or image.endswith(":latest") else "IfNotPresent")
        _default(container, "resources", {})
        _default(container, "terminationMessagePath", "/dev/termination-log")
        _default(container, "terminationMessagePolicy", "File")
        for port in container.get("ports") or []:
            if isinstance(port, dict):
                _default(port, "protocol", "TCP")


def _service(spec: dict[str, Any], old: Mapping[str, Any], number: int) -> None:
    _default(spec, "type", "ClusterIP")
    _default(spec, "sessionAffinity", "None")
    if spec["type"] != "ExternalName" and not spec.get("clusterIP"):
        spec["clusterIP"] = old.get("clusterIP") or f"10.96.{number // 250 % 250}.{number % 250 + 1}"
        spec["clusterIPs"] = [spec["clusterIP"]]
    for port in spec.get("ports") or []:
        if isinstance(port, dict):
            _default(port, "protocol", "TCP")
            _default(port, "targetPort", port.get("port"))


def _secret(body: dict[str, Any]) -> None:
    _default(body, "type", "Opaque")
    plain = body.pop("stringData", None)
    if plain:
        data = dict(body.get("data") or {})
        data.update({key: base64.b64encode(value.encode()).decode() for key, value in plain.items()})
        body["data"] = data
