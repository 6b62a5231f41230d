"""EnvoyFilter patches that depend on order, or do nothing where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Level, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import rule

__all__: list[str] = []

_HEAD = "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: shop, namespace: shop}\nspec:\n"
_RELATIVE = frozenset({"INSERT_BEFORE", "INSERT_AFTER", "REMOVE", "REPLACE"})
_NO_EFFECT = frozenset({"ROUTE_CONFIGURATION", "HTTP_ROUTE"})
_REPLACEABLE = frozenset({"HTTP_FILTER", "NETWORK_FILTER", "VIRTUAL_HOST"})
_PATCH = "  configPatches: [{applyTo: %s, match: {%s}, patch: {operation: %s, value: {name: x}}}]\n"


def _patches(mesh: Mesh, found: Callable[[dict[str, Any], str, str], str]) -> Iterator[Problem]:
    for document in mesh.of("EnvoyFilter"):
        for i, item in dicts(document.spec.get("configPatches")):
            operation, kind = str(mapping(item.get("patch")).get("operation")), str(item.get("applyTo"))
            message = found(document.spec, operation, kind)
            if message:
                yield Problem(document, ("spec", "configPatches", i, "patch", "operation"), message)


def _depends_on_order(mesh: Mesh, *, versioned: bool) -> Iterator[Problem]:
    """Patches relative to others, without a priority; one finding an object.

    REMOVE and REPLACE count only where Istio applies them.
    """
    for document in mesh.of("EnvoyFilter"):
        if document.spec.get("priority"):
            continue
        for i, item in dicts(document.spec.get("configPatches")):
            operation, kind = str(mapping(item.get("patch")).get("operation")), str(item.get("applyTo"))
            ignored = (operation == "REPLACE" and kind not in _REPLACEABLE) or (
                operation == "REMOVE" and kind in _NO_EFFECT
            )
            if operation not in _RELATIVE or ignored:
                continue
            proxy = mapping(mapping(item.get("match")).get("proxy"))
            if bool(proxy.get("proxyVersion")) == versioned:
                message = f"{operation} depends on the order of the filters, and the EnvoyFilter has no priority"
                yield Problem(document, ("spec", "configPatches", i, "patch", "operation"), message)
                break


@rule(
    "GM0151",
    "patch that depends on the order of EnvoyFilters",
    Level.WARNING,
    istio="IST0151",
    reads=("EnvoyFilter",),
    why="if the filter that it refers to comes later, nothing is patched",
    mend="set spec.priority, or use INSERT_FIRST or ADD",
    bad=_HEAD + _PATCH % ("HTTP_FILTER", "context: GATEWAY", "INSERT_BEFORE"),
    good=_HEAD + "  priority: 10\n" + _PATCH % ("HTTP_FILTER", "context: GATEWAY", "INSERT_BEFORE"),
)
def check_relative(mesh: Mesh) -> Iterator[Problem]:
    """Relative operations without priority."""
    return _depends_on_order(mesh, versioned=False)


@rule(
    "GM0155",
    "patch that depends on order and proxy version",
    Level.WARNING,
    istio="IST0155",
    reads=("EnvoyFilter",),
    why="during an upgrade the filter that it refers to may not be there: nothing is patched",
    mend="set spec.priority, or use INSERT_FIRST or ADD",
    bad=_HEAD + _PATCH % ("HTTP_FILTER", "proxy: {proxyVersion: '^1\\.30.*'}", "INSERT_AFTER"),
    good=_HEAD + "  priority: 10\n" + _PATCH % ("HTTP_FILTER", "proxy: {proxyVersion: '^1\\.30.*'}", "INSERT_AFTER"),
)
def check_versioned(mesh: Mesh) -> Iterator[Problem]:
    """Relative operations without priority that are limited to a proxy version."""
    return _depends_on_order(mesh, versioned=True)


@rule(
    "GM0152",
    "REPLACE where it is not possible",
    Level.ERROR,
    istio="IST0152",
    reads=("EnvoyFilter",),
    why="Istio ignores the patch",
    mend="use MERGE, or apply it to HTTP_FILTER or NETWORK_FILTER",
    bad=_HEAD + _PATCH % ("CLUSTER", "context: GATEWAY", "REPLACE"),
    good=_HEAD + _PATCH % ("CLUSTER", "context: GATEWAY", "MERGE"),
)
def check_replace(mesh: Mesh) -> Iterator[Problem]:
    """REPLACE on anything but filters."""

    def found(spec: dict[str, Any], operation: str, kind: str) -> str:
        return f"REPLACE does nothing on {kind}" if operation == "REPLACE" and kind not in _REPLACEABLE else ""

    return _patches(mesh, found)


@rule(
    "GM0153",
    "ADD where it is ignored",
    Level.ERROR,
    istio="IST0153",
    reads=("EnvoyFilter",),
    why="Istio ignores the patch",
    mend="use MERGE, or INSERT_FIRST for a route",
    bad=_HEAD + _PATCH % ("ROUTE_CONFIGURATION", "context: GATEWAY", "ADD"),
    good=_HEAD + _PATCH % ("ROUTE_CONFIGURATION", "context: GATEWAY", "MERGE"),
)
def check_add(mesh: Mesh) -> Iterator[Problem]:
    """ADD on route configurations and routes."""

    def found(spec: dict[str, Any], operation: str, kind: str) -> str:
        return f"ADD is ignored on {kind}" if operation == "ADD" and kind in _NO_EFFECT else ""

    return _patches(mesh, found)


@rule(
    "GM0154",
    "REMOVE where it is ignored",
    Level.ERROR,
    istio="IST0154",
    reads=("EnvoyFilter",),
    why="Istio ignores the patch",
    mend="remove what made the route instead",
    bad=_HEAD + "  configPatches: [{applyTo: HTTP_ROUTE, patch: {operation: REMOVE}}]\n",
    good=_HEAD + "  priority: 10\n  configPatches: [{applyTo: HTTP_FILTER, patch: {operation: REMOVE}}]\n",
)
def check_remove(mesh: Mesh) -> Iterator[Problem]:
    """REMOVE on route configurations and routes."""

    def found(spec: dict[str, Any], operation: str, kind: str) -> str:
        return f"REMOVE is ignored on {kind}" if operation == "REMOVE" and kind in _NO_EFFECT else ""

    return _patches(mesh, found)
