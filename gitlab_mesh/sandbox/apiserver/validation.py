"""What a real server refuses at once: wrong types, missing and immutable fields, bad names.

Three voices, as on a real server: a wrong type in a built-in kind does not decode (400), a wrong type in a custom
resource breaks its schema (422), and Istio's webhook denies what the schema cannot say (400, "admission webhook").
The shapes hold only what our kinds are commonly got wrong by; they are no full schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.resources import Resource
from gitlab_mesh.sandbox.apiserver.shapes import SHAPES, Shape
from gitlab_mesh.sandbox.apiserver.status import StatusError, bad_request, invalid

__all__ = ["validate"]

_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_SERVICE_NAME = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_LABEL_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_QUALIFIED_NAME = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name')"
)
_SERVICE_NAME_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name')"
)
_QUALIFIED_NAME_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName')"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of at most 63 alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue')"
)
_NAMES = {
    "Namespace": (_LABEL, 63, _LABEL_TEXT),
    "Service": (_SERVICE_NAME, 63, _SERVICE_NAME_TEXT),
}
"""Kinds whose names are no RFC 1123 subdomain of at most 253 characters."""

Problem = tuple[str, str]
"""Field path and the server's text."""


def validate(resource: Resource, body: Mapping[str, Any], live: Mapping[str, Any] | None) -> None:
    """Refuse a body that a real server would not store.

    Args:
        resource: Kind of the object.
        body: The object to be stored.
        live: The object that it replaces.

    Raises:
        StatusError: 400 or 422, naming the field.
    """
    _check_metadata_types(resource, body["metadata"])
    _check_types(resource, body)
    problems = [*_metadata_problems(body["metadata"], resource)]
    check = _RULES.get(resource.kind)
    if check:
        problems += check(body, live)
    if problems:
        raise invalid(resource, body["metadata"].get("name", ""), problems)
    if resource.custom:
        _check_as_istio(resource, body)


def _check_metadata_types(resource: Resource, metadata: Mapping[str, Any]) -> None:
    for field in ("labels", "annotations"):
        value = metadata.get(field)
        if value is None:
            continue
        if not isinstance(value, Mapping):
            raise _does_not_decode(resource, f"ObjectMeta.metadata.{field}", value, "map[string]string")
        for below in value.values():
            if not isinstance(below, str):
                raise _does_not_decode(resource, f"ObjectMeta.metadata.{field}", below, "string")


def _does_not_decode(resource: Resource, field: str, value: Any, wanted: str) -> StatusError:
    version = resource.versions[0]
    return bad_request(
        f'{resource.kind} in version "{version}" cannot be handled as a {resource.kind}: json: cannot unmarshal '
        f"{_json_type(value)} into Go struct field {field} of type {wanted}"
    )


def _json_type(value: Any) -> str:
    for sort, name in ((bool, "bool"), (str, "string"), (int, "number"), (float, "number"), (list, "array")):
        if isinstance(value, sort):
            return name
    return "object"


def _check_types(resource: Resource, body: Mapping[str, Any]) -> None:
    shape = SHAPES.get(resource.kind)
    if shape is None:
        return
    for path, value, wanted in _mismatches(body, shape, ""):
        if not resource.custom:
            raise _does_not_decode(resource, f"{resource.kind}.{path}", value, wanted)
        got = {"bool": "boolean", "number": "integer" if isinstance(value, int) else "number"}.get(
            _json_type(value), _json_type(value)
        )
        text = f'Invalid value: "{got}": {path} in body must be of type {wanted}: "{got}"'
        raise invalid(resource, body["metadata"].get("name", ""), [(path, text)])


def _mismatches(value: Any, shape: Shape, path: str) -> Iterator[tuple[str, Any, str]]:
    """Yield path, value and wanted type of everything that has another type than its shape."""
    if value is None:
        return
    if isinstance(shape, list):
        if not isinstance(value, list):
            yield path, value, "array"
            return
        for index, item in enumerate(value):
            yield from _mismatches(item, shape[0], f"{path}[{index}]")
    elif isinstance(shape, dict):
        if not isinstance(value, Mapping):
            yield path, value, "object"
            return
        for key, below in value.items():
            if (known := shape.get(key, shape.get("*"))) is not None:
                yield from _mismatches(below, known, f"{path}.{key}" if path else key)
    elif not _has_type(value, shape):
        yield path, value, shape


def _has_type(value: Any, wanted: str) -> bool:
    if wanted == "integer":
        # JSON has one kind of number: 5.0 is the integer 5 for a schema
        return not isinstance(value, bool) and (
            isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        )
    if wanted == "int-or-string":
        return isinstance(value, int | str) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "boolean": bool}[wanted])


def _metadata_problems(metadata: Mapping[str, Any], resource: Resource) -> Iterator[Problem]:
    name = metadata.get("name", "")
    if not name:
        yield "metadata.name", "Required value: name or generateName is required"
    else:
        pattern, length, text = _NAMES.get(resource.kind, (_SUBDOMAIN, 253, _SUBDOMAIN_TEXT))
        if len(name) > length or not pattern.match(name):
            yield "metadata.name", f'Invalid value: "{name}": {text}'
    labels = metadata.get("labels") or {}
    for field, keys in (("labels", labels), ("annotations", metadata.get("annotations") or {})):
        for key in keys:
            if not _QUALIFIED_NAME.match(key):
                yield f"metadata.{field}", f'Invalid value: "{key}": {_QUALIFIED_NAME_TEXT}'
    for value in labels.values():
        if len(value) > 63 or not _LABEL_VALUE.match(value):
            yield "metadata.labels", f'Invalid value: "{value}": {_LABEL_VALUE_TEXT}'


def _workload(body: Mapping[str, Any], live: Mapping[str, Any] | None) -> list[Problem]:
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


def _pod(body: Mapping[str, Any], live: Mapping[str, Any] | None) -> list[Problem]:
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


def _service(body: Mapping[str, Any], live: Mapping[str, Any] | None) -> list[Problem]:
    spec = body.get("spec") or {}
    if not spec.get("ports") and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        return [("spec.ports", "Required value")]
    return [
        (f"spec.ports[{index}].port", f"Invalid value: {port.get('port')}: must be between 1 and 65535, inclusive")
        for index, port in enumerate(spec.get("ports") or [])
        if not 1 <= (port.get("port") or 0) <= 65535
    ]


def _config(body: Mapping[str, Any], live: Mapping[str, Any] | None) -> list[Problem]:
    if live and live.get("immutable") and any(body.get(key) != live.get(key) for key in ("data", "binaryData")):
        return [("data", "Forbidden: field is immutable when `immutable` is set")]
    return []


def _lease(body: Mapping[str, Any], live: Mapping[str, Any] | None) -> list[Problem]:
    spec = body.get("spec") or {}
    problems: list[Problem] = []
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if duration is not None and duration <= 0:
        problems.append(("spec.leaseDurationSeconds", f"Invalid value: {duration}: must be greater than 0"))
    if transitions is not None and transitions < 0:
        problems.append(("spec.leaseTransitions", f"Invalid value: {transitions}: must be greater than or equal to 0"))
    return problems


_RULES = {
    "Deployment": _workload,
    "ReplicaSet": _workload,
    "Pod": _pod,
    "Service": _service,
    "ConfigMap": _config,
    "Secret": _config,
    "Lease": _lease,
}


def _check_as_istio(resource: Resource, body: Mapping[str, Any]) -> None:
    """Deny what Istio's validating webhook denies (pkg/config/validation of istio/istio)."""
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
