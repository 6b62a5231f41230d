"""EnvoyFilter patches that depend on order, or do nothing where they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Unpack

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import Facts, object_rule

__all__: list[str] = []

_RELATIVE = frozenset({"INSERT_BEFORE", "INSERT_AFTER", "REMOVE", "REPLACE"})
_ROUTES = frozenset({"ROUTE_CONFIGURATION", "HTTP_ROUTE"})
_REPLACEABLE = frozenset({"HTTP_FILTER", "NETWORK_FILTER", "VIRTUAL_HOST"})
_WITHOUT_EFFECT = {
    "REPLACE": lambda kind: kind not in _REPLACEABLE,
    "ADD": lambda kind: kind in _ROUTES,
    "REMOVE": lambda kind: kind in _ROUTES,
}


class _Patch(NamedTuple):
    path: Path
    operation: str
    kind: str
    versioned: bool

    @property
    def ignored(self) -> bool:
        """Whether Istio does not apply this operation to this kind."""
        test = _WITHOUT_EFFECT.get(self.operation)
        return test is not None and test(self.kind)


def _patches(document: Document) -> Iterator[_Patch]:
    for i, item in dicts(document.spec.get("configPatches")):
        proxy: dict[str, Any] = mapping(mapping(item.get("match")).get("proxy"))
        path: Path = ("spec", "configPatches", i, "patch", "operation")
        operation = str(mapping(item.get("patch")).get("operation"))
        yield _Patch(path, operation, str(item.get("applyTo")), bool(proxy.get("proxyVersion")))


def _filter(kind: str, operation: str, match: str = "context: GATEWAY", *, priority: str = "") -> str:
    patch = f"{{applyTo: {kind}, match: {{{match}}}, patch: {{operation: {operation}, value: {{name: x}}}}}}"
    return example("EnvoyFilter", f"{priority}configPatches: [{patch}]")


def _order_rule(code: str, title: str, *, versioned: bool, **facts: Unpack[Facts]) -> None:
    """Register a rule about patches relative to others in an EnvoyFilter without priority; one finding an object."""

    def each(document: Document) -> Iterator[Problem]:
        for patch in _patches(document) if not document.spec.get("priority") else ():
            if patch.operation in _RELATIVE and not patch.ignored and patch.versioned == versioned:
                text = f"{patch.operation} depends on the order of the filters, and the EnvoyFilter has no priority"
                yield Problem(document, patch.path, text)
                return

    object_rule(code, title, Level.WARNING, **facts)(each)


def _effect_rule(code: str, title: str, operation: str, text: str, **facts: Unpack[Facts]) -> None:
    """Register a rule about one operation where Istio does not apply it."""

    def each(document: Document) -> Iterator[Problem]:
        for patch in _patches(document):
            if patch.operation == operation and patch.ignored:
                yield Problem(document, patch.path, f"{operation} {text} on {patch.kind}")

    object_rule(code, title, Level.ERROR, **facts)(each)


for _code, _istio, _title, _why, _match, _versioned in (
    (
        "GM0151",
        "IST0151",
        "patch that depends on the order of EnvoyFilters",
        "if the filter that it refers to comes later, nothing is patched",
        "context: GATEWAY",
        False,
    ),
    (
        "GM0155",
        "IST0155",
        "patch that depends on order and proxy version",
        "during an upgrade the filter that it refers to may not be there: nothing is patched",
        "proxy: {proxyVersion: '^1\\.30.*'}",
        True,
    ),
):
    _order_rule(
        _code,
        _title,
        versioned=_versioned,
        istio=_istio,
        reads=("EnvoyFilter",),
        why=_why,
        mend="set spec.priority, or use INSERT_FIRST or ADD",
        bad=_filter("HTTP_FILTER", "INSERT_BEFORE", _match),
        good=_filter("HTTP_FILTER", "INSERT_BEFORE", _match, priority="priority: 10, "),
    )

for _code, _istio, _title, _operation, _text, _mend, _bad, _good in (
    (
        "GM0152",
        "IST0152",
        "REPLACE where it is not possible",
        "REPLACE",
        "does nothing",
        "use MERGE, or apply it to HTTP_FILTER or NETWORK_FILTER",
        ("CLUSTER", "REPLACE"),
        ("CLUSTER", "MERGE"),
    ),
    (
        "GM0153",
        "IST0153",
        "ADD where it is ignored",
        "ADD",
        "is ignored",
        "use MERGE, or INSERT_FIRST for a route",
        ("ROUTE_CONFIGURATION", "ADD"),
        ("ROUTE_CONFIGURATION", "MERGE"),
    ),
    (
        "GM0154",
        "IST0154",
        "REMOVE where it is ignored",
        "REMOVE",
        "is ignored",
        "remove what made the route instead",
        ("HTTP_ROUTE", "REMOVE"),
        ("HTTP_FILTER", "REMOVE"),
    ),
):
    _effect_rule(
        _code,
        _title,
        _operation,
        _text,
        istio=_istio,
        reads=("EnvoyFilter",),
        why="Istio ignores the patch",
        mend=_mend,
        bad=_filter(*_bad),
        good=_filter(*_good, priority="priority: 10, "),
    )
