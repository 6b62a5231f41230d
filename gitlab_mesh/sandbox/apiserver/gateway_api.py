"""What the definition of Gateway API's HTTPRoute says: types that are commonly got wrong, and defaults.

Read from the ``default`` values of ``gateway.networking.k8s.io_httproutes.yaml`` (v1.6.0, standard channel).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["HTTP_ROUTE", "set_http_route_defaults"]

_REFERENCE: Any = {"group": "string", "kind": "string", "name": "string", "namespace": "string", "port": "integer"}
_FILTERS: Any = [{"type": "string", "requestMirror": {"backendRef": _REFERENCE}}]
_VALUES: Any = [{"name": "string", "type": "string", "value": "string"}]
_MATCH: Any = {
    "path": {"type": "string", "value": "string"},
    "headers": _VALUES,
    "queryParams": _VALUES,
    "method": "string",
}

HTTP_ROUTE: Any = {
    "parentRefs": [{**_REFERENCE, "sectionName": "string"}],
    "hostnames": ["string"],
    "rules": [
        {
            "name": "string",
            "matches": [_MATCH],
            "filters": _FILTERS,
            "backendRefs": [{**_REFERENCE, "weight": "integer", "filters": _FILTERS}],
            "timeouts": {"request": "string", "backendRequest": "string"},
        }
    ],
}
"""Shape of ``spec`` (see ``shapes``)."""

_PARENT = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
_BACKEND = {"group": "", "kind": "Service"}
_ROOT = {"path": {"type": "PathPrefix", "value": "/"}}


def set_http_route_defaults(spec: dict[str, Any]) -> None:
    """Fill the spec of an HTTPRoute in place, as the API server does by the definition."""
    if spec.get("rules") is None:
        spec["rules"] = [{}]
    for parent in _objects(spec.get("parentRefs")):
        _fill(parent, _PARENT)
    for rule in _objects(spec["rules"]):
        if rule.get("matches") is None:
            rule["matches"] = [{"path": dict(_ROOT["path"])}]
        for match in _objects(rule["matches"]):
            _fill(match, {"path": {}})
            if isinstance(match["path"], dict):
                _fill(match["path"], _ROOT["path"])
            for value in (*_objects(match.get("headers")), *_objects(match.get("queryParams"))):
                _fill(value, {"type": "Exact"})
        _fill_filters(rule)
        for backend in _objects(rule.get("backendRefs")):
            _fill(backend, {**_BACKEND, "weight": 1})
            _fill_filters(backend)


def _fill_filters(owner: dict[str, Any]) -> None:
    for one in _objects(owner.get("filters")):
        mirror, redirect = one.get("requestMirror"), one.get("requestRedirect")
        if isinstance(mirror, dict) and isinstance(mirror.get("backendRef"), dict):
            _fill(mirror["backendRef"], _BACKEND)
        if isinstance(redirect, dict):
            _fill(redirect, {"statusCode": 302})


def _fill(node: dict[str, Any], defaults: dict[str, Any]) -> None:
    for key, value in defaults.items():
        if node.get(key) is None:
            node[key] = dict(value) if isinstance(value, dict) else value


def _objects(items: Any) -> Iterator[dict[str, Any]]:
    for item in items or ():
        if isinstance(item, dict):
            yield item
