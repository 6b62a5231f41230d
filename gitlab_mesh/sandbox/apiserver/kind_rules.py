"""What each built-in kind must hold beyond its types: required, immutable and matching fields."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.metadata_rules import LABEL, LABEL_TEXT
from gitlab_mesh.sandbox.apiserver.resources import Resource
from gitlab_mesh.sandbox.apiserver.status import bad_request

__all__ = ["Problem", "check_lease_times", "problems_of_kind"]

Body = Mapping[str, Any]
Problem = tuple[str, str]
"""Field path and the server's text."""

_CONFIG_KEY = re.compile(r"^[-._a-zA-Z0-9]+$")
_CONFIG_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_CONFIG_BYTES = 1024 * 1024
_MICRO_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$")
"""Go's layout of metav1.MicroTime: six digits, no fewer."""


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
    is_empty = not selector.get("matchLabels") and not selector.get("matchExpressions")
    if is_empty:
        problems.append(("spec.selector", "Required value"))
    if is_empty or any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        text = f"Invalid value: {_shown(labels or None)}: `selector` does not match template `labels`"
        problems.append(("spec.template.metadata.labels", text))
    if live is not None and selector != (live.get("spec") or {}).get("selector"):
        problems.append(("spec.selector", f"Invalid value: {_shown(selector)}: field is immutable"))
    return problems + _containers(template.get("spec") or {}, "spec.template.spec")


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


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
        elif not LABEL.match(name):
            problems.append((f"{at}.name", f'Invalid value: "{name}": {LABEL_TEXT}'))
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
    data = {**(body.get("data") or {}), **(body.get("binaryData") or {})}
    problems = [
        (f"data[{key}]", f'Invalid value: "{key}": {_CONFIG_KEY_TEXT}') for key in data if not _CONFIG_KEY.match(key)
    ]
    if sum(len((value or "").encode()) for value in data.values()) > _CONFIG_BYTES:
        field = "data" if body["kind"] == "Secret" else "[]"
        problems.append((field, f"Too long: may not be more than {_CONFIG_BYTES} bytes"))
    if live and live.get("immutable") and any(body.get(key) != live.get(key) for key in ("data", "binaryData")):
        problems.append(("data", "Forbidden: field is immutable when `immutable` is set"))
    return problems


def _autoscaler(body: Body, live: Body | None) -> list[Problem]:
    spec = body.get("spec") or {}
    most = spec.get("maxReplicas") or 0
    if most < 1:
        return [("spec.maxReplicas", f"Invalid value: {most}: must be greater than 0")]
    if most < (spec.get("minReplicas") or 1):
        return [("spec.maxReplicas", f"Invalid value: {most}: must be greater than or equal to `minReplicas`")]
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
    "HorizontalPodAutoscaler": _autoscaler,
}


def check_lease_times(body: Body) -> None:
    """Refuse times that are no MicroTime; a server does not even decode them. Raises StatusError 400."""
    spec = body.get("spec") or {}
    for field in ("acquireTime", "renewTime"):
        given = spec.get(field)
        if given is not None and not _MICRO_TIME.match(given):
            raise bad_request(
                f'Lease in version "v1" cannot be handled as a Lease: parsing time "\\"{given}\\"" as '
                '"\\"2006-01-02T15:04:05.000000Z07:00\\"": cannot parse'
            )
