"""Label and field selectors of list and watch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.resources import Resource
from gitlab_mesh.sandbox.apiserver.status import bad_request

__all__ = ["Matcher", "parse_field_selector", "parse_label_selector", "parse_selectors"]

Matcher = Callable[[Mapping[str, Any]], bool]

_KEY = r"[A-Za-z0-9][A-Za-z0-9._/-]*"
_SET = re.compile(rf"^({_KEY})\s+(in|notin)\s*\(([^)]*)\)$")
_EQUAL = re.compile(rf"^({_KEY})\s*(==|=|!=)\s*([A-Za-z0-9._-]*)$")
_COMPARED = re.compile(rf"^({_KEY})\s*([<>])\s*(-?\d+)$")
_EXISTS = re.compile(rf"^(!?)\s*({_KEY})$")
_FIELD = re.compile(r"^([A-Za-z.]+)\s*(==|=|!=)\s*(.*)$")

_FIELDS = {
    "Pod": ("status.phase", "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.podIP"),
    "Event": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "type",
        "reportingComponent", "source",
    ),
    "Secret": ("type",),
    "Namespace": ("status.phase",),
    "ReplicaSet": ("status.replicas",),
}  # fmt: skip


def _split(text: str) -> list[str]:
    """Split at commas outside of parentheses."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _label_term(term: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(term):
        key, operator, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda labels: key in labels and labels[key] in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(term):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _COMPARED.match(term):
        key, operator, bound = found.groups()
        return lambda labels: _is_beyond(labels.get(key, ""), operator, int(bound))
    if found := _EXISTS.match(term):
        negated, key = found.groups()
        return lambda labels: (key in labels) is not bool(negated)
    raise bad_request(f"unable to parse requirement: found '{term}', expected: ',' or 'end of string'")


def _is_beyond(value: str, operator: str, bound: int) -> bool:
    if not value.removeprefix("-").isdigit():
        return False
    return int(value) > bound if operator == ">" else int(value) < bound


def parse_label_selector(text: str) -> Matcher:
    """Return a matcher for ``a=b,c!=d,e in (f,g),h,!i,j>5``. Raises StatusError 400."""
    terms = [_label_term(term) for term in _split(text)]

    def matches(body: Mapping[str, Any]) -> bool:
        labels = body["metadata"].get("labels") or {}
        return all(term(labels) for term in terms)

    return matches


def _field(body: Mapping[str, Any], path: str) -> str:
    value: Any = body
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if path == "source" and isinstance(value, Mapping):
        value = value.get("component")
    return "" if value is None else str(value)


def parse_field_selector(resource: Resource, text: str) -> Matcher:
    """Return a matcher for ``metadata.name=x,status.phase!=Running``. Raises StatusError 400."""
    known = ("metadata.name", "metadata.namespace", *_FIELDS.get(resource.kind, ()))
    terms: list[tuple[str, bool, str]] = []
    for term in _split(text):
        found = _FIELD.match(term)
        if not found:
            raise bad_request(f"invalid field selector: '{term}'; can't understand it")
        path, operator, value = found.groups()
        path = path.replace("regarding.", "involvedObject.")
        if path not in known:
            if resource.custom or resource.kind in _FIELDS:
                raise bad_request(f"field label not supported: {path}")
            raise bad_request(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')
        terms.append((path, operator != "!=", value))
    return lambda body: all((_field(body, path) == value) is wanted for path, wanted, value in terms)


def parse_selectors(resource: Resource, query: Mapping[str, str]) -> Matcher:
    """Return the matcher of a list or watch request."""
    matchers: list[Matcher] = []
    if query.get("labelSelector"):
        matchers.append(parse_label_selector(query["labelSelector"]))
    if query.get("fieldSelector"):
        matchers.append(parse_field_selector(resource, query["fieldSelector"]))
    return lambda body: all(matcher(body) for matcher in matchers)
