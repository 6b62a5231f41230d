"""What each kind must hold beyond its types: required, immutable and matching fields.

Istio's kinds are judged in the voice of Istio's validating webhook, the others in that of the API server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.resources import Resource
from gitlab_mesh.sandbox.apiserver.status import bad_request

__all__ = ["Problem", "check_as_istio", "problems_of_kind"]

Body = Mapping[str, Any]
Problem = tuple[str, str]
"""Field path and the server's text."""

_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")


def problems_of_kind(resource: Resource, body: Body, live: Body | None) -> list[Problem]:
    """Return what is wrong with an object whose types are right.

    Args:
        resource: Kind of the object.
        body: The object to be stored.
        live: The object that it replaces.
    """
    check = _RULES.get(resource.kind)
    return check(body, live) if check else []


def _workload(body: Body, live: Body | None) -> list[Problem]:
    spec = body.get("spec") or {}
    selector = spec.get("selector") or {}
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    problems: list[Problem] = []
    if (spec.get("replicas") or 0) < 0:
        problems.append(("spec.replicas", f"Invalid value: {spec['replicas']}: must be greater than or equal to 0"))
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        problems.append(("spec.selector", "Required value"))
    elif any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        shown = ", ".join(f"{key}={value}" for key, value in labels.items())
        problems.append(
            (
                "spec.template.metadata.labels",
                f"Invalid value: {{{shown}}}: `selector` does not match template `labels`",
            )
        )
    if live is not None and selector != (live.get("spec") or {}).get("selector"):
        problems.append(("spec.selector", "Invalid value: field is immutable"))
    return problems + _containers(template.get("spec") or {}, "spec.template.spec")


def _pod(body: Body, live: Body | None) -> list[Problem]:
    return _containers(body.get("spec") or {}, "spec")


def _containers(spec: Mapping[str, Any], path: str) -> list[Problem]:
    problems: list[Problem] = []
    containers = spec.get("containers") or []
    if not containers:
        problems.append((f"{path}.containers", "Required value"))
    names: set[str] = set()
    for index, container in enumerate(containers):
        at = f"{path}.containers[{index}]"
        name = container.get("name") or ""
        if not name:
            problems.append((f"{at}.name", "Required value"))
        elif not _LABEL.match(name):
            problems.append((f"{at}.name", f'Invalid value: "{name}": a lowercase RFC 1123 label is needed'))
        elif name in names:
            problems.append((f"{at}.name", f'Duplicate value: "{name}"'))
        names.add(name)
        if not container.get("image"):
            problems.append((f"{at}.image", "Required value"))
    return problems


def _service(body: Body, live: Body | None) -> list[Problem]:
    spec = body.get("spec") or {}
    if not spec.get("ports") and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        return [("spec.ports", "Required value")]
    return [
        (f"spec.ports[{index}].port", f"Invalid value: {port.get('port')}: must be between 1 and 65535, inclusive")
        for index, port in enumerate(spec.get("ports") or [])
        if not 1 <= (port.get("port") or 0) <= 65535
    ]


def _config(body: Body, live: Body | None) -> list[Problem]:
    if live and live.get("immutable") and any(body.get(key) != live.get(key) for key in ("data", "binaryData")):
        return [("data", "Forbidden: field is immutable when `immutable` is set")]
    return []


def _lease(body: Body, live: Body | None) -> list[Problem]:
    spec = body.get("spec") or {}
    problems: list[Problem] = []
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if duration is not None and duration <= 0:
        problems.append(("spec.leaseDurationSeconds", f"Invalid value: {duration}: must be greater than 0"))
    if transitions is not None and transitions < 0:
        problems.append(("spec.leaseTransitions", f"Invalid value: {transitions}: must be greater than or equal to 0"))
    return problems


def _event(body: Body, live: Body | None) -> list[Problem]:
    about = (body.get("involvedObject") or {}).get("namespace", "")
    if about != body["metadata"]["namespace"] and (about or body["metadata"]["namespace"] != "default"):
        return [("involvedObject.namespace", f'Invalid value: "{about}": does not match event.namespace')]
    return []


_RULES: dict[str, Callable[[Body, Body | None], list[Problem]]] = {
    "Event": _event,
    "Deployment": _workload,
    "ReplicaSet": _workload,
    "Pod": _pod,
    "Service": _service,
    "ConfigMap": _config,
    "Secret": _config,
    "Lease": _lease,
}


def check_as_istio(resource: Resource, body: Body) -> None:
    """Deny what Istio's validating webhook denies (pkg/config/validation of istio/istio). Raises StatusError 400."""
    spec = body.get("spec") or {}
    problems: list[str] = []
    if resource.kind == "VirtualService":
        if not spec.get("hosts"):
            problems.append("virtual service must have at least one host")
        if not any(spec.get(protocol) for protocol in ("http", "tls", "tcp")):
            problems.append("http, tcp or tls must be provided in virtual service")
        for protocol in ("http", "tls", "tcp"):
            for rule in spec.get(protocol) or []:
                problems += _route_problems(rule.get("route") or [])
    elif resource.kind == "DestinationRule" and not spec.get("host"):
        problems.append("host cannot be empty")
    if problems:
        raise bad_request(
            'admission webhook "validation.istio.io" denied the request: configuration is invalid: '
            + "; ".join(problems)
        )


def _route_problems(routes: list[Mapping[str, Any]]) -> list[str]:
    problems = [f"weight {route['weight']} < 0" for route in routes if (route.get("weight") or 0) < 0]
    problems += ["destination host cannot be empty" for route in routes
                 if not (route.get("destination") or {}).get("host")]  # fmt: skip
    if len(routes) > 1 and not problems and sum(route.get("weight") or 0 for route in routes) == 0:
        problems.append("total destination weight = 0")
    return problems
