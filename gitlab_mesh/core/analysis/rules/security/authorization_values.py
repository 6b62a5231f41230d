"""Authorization: values that requests do not have, or can be written around."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.names import nearest
from gitlab_mesh.core.analysis.places import places
from gitlab_mesh.core.analysis.registry import object_rule, rule

__all__: list[str] = []

_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
_WEBDAV = ("COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND", "PROPPATCH", "PURGE", "QUERY", "REPORT", "SEARCH", "UNLOCK")
_PRACTICE = "Istio security best practices: authorization policies"


def _policy(operation: str, action: str = "ALLOW") -> str:
    return example("AuthorizationPolicy", f"action: {action}, rules: [{{to: [{{operation: {{{operation}}}}}]}}]")


@object_rule(
    "GM2103",
    "unsafe matching pattern",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("AuthorizationPolicy",),
    references=("ASM policy 1.2.3", _PRACTICE),
    why="a path can be written in several ways: an ALLOW by not…, or a DENY of single paths, lets the others through",
    mend="use ALLOW with positive lists, or DENY with not… lists",
    bad=_policy("notPaths: [/admin]"),
    good=_policy("paths: [/shop/*]"),
)
def check_patterns(document: Document) -> Iterator[Problem]:
    """ALLOW with negative, DENY with positive paths, methods and hosts."""
    action = document.spec.get("action", "ALLOW")
    keys = {"ALLOW": ("notPaths", "notMethods", "notHosts"), "DENY": ("paths",)}.get(action, ())
    for r, item in dicts(document.spec.get("rules")):
        for t, part in dicts(item.get("to")):
            for key in keys:
                if mapping(part.get("operation")).get(key):
                    path: Path = ("spec", "rules", r, "to", t, "operation", key)
                    yield Problem(document, path, f"{action} with {key}", at_key=True)


@object_rule(
    "GM2104",
    "value that is never matched",
    Level.ERROR,
    suite="security",
    reads=("AuthorizationPolicy",),
    references=("CVE-2021-31920", "CVE-2021-39155", "CVE-2021-39156", "ASM policy 1.2.2"),
    why="Istio compares normalised values: paths without //, %2f and .., upper case methods, hosts with their port",
    mend="write the normalised form",
    bad=_policy("methods: [get]"),
    good=_policy("methods: [GET]"),
)
def check_values(document: Document) -> Iterator[Problem]:
    """Methods, paths and hosts that no request has."""
    for r, item in dicts(document.spec.get("rules")):
        for t, part in dicts(item.get("to")):
            operation = mapping(part.get("operation"))
            for key in ("methods", "notMethods", "paths", "notPaths", "hosts", "notHosts"):
                for v, value in texts(operation.get(key)):
                    problem = _value_problem(key.lower().removeprefix("not"), value)
                    if problem:
                        path: Path = ("spec", "rules", r, "to", t, "operation", key, v)
                        yield Problem(document, path, f"{value!r} {problem}")


def _value_problem(kind: str, value: str) -> str:
    if kind == "methods":
        if value != value.upper():
            return "is not upper case: methods are compared as they are"
        near = nearest(value, _METHODS) if value.isalpha() and value not in (*_METHODS, *_WEBDAV) else ""
        return f"is no method; did you mean {near}?" if near else ""
    if kind == "hosts":
        return "is not lower case" if value != value.lower() else ""
    if "//" in value or "/../" in value or value.endswith("/..") or re.search(r"%2[fF]|%5[cC]", value):
        return "is not a normalised path"
    if "#" in value or "?" in value:
        return "has a query or a fragment, which is no part of the path"
    return "" if value.startswith(("/", "*", "{")) or not value else "does not begin with /"


def _denied(document: Document, key: str, negated: str) -> Iterator[tuple[Path, list[str]]]:
    """Yield every list of values that are refused: positive ones of a DENY, negative ones of an ALLOW."""
    word = {"DENY": key, "ALLOW": negated}.get(str(document.spec.get("action", "ALLOW")))
    if word:
        for path, values in places(document.body, f"spec.rules[].to[].operation.{word}"):
            if isinstance(values, list):
                yield path, [value for value in values if isinstance(value, str)]


@object_rule(
    "GM2113",
    "refused path whose sub-paths pass",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("AuthorizationPolicy",),
    references=(_PRACTICE,),
    why="/admin is refused, /admin/ and /admin/users are not: many servers answer all three alike",
    mend="refuse /admin and /admin/* both",
    bad=_policy("paths: [/admin]", "DENY"),
    good=_policy("paths: [/admin, /admin/*]", "DENY"),
)
def check_sub_paths(document: Document) -> Iterator[Problem]:
    """Exact paths without the same with /*."""
    for path, values in _denied(document, "paths", "notPaths"):
        for i, value in enumerate(values):
            covered = any(other.endswith("*") and f"{value}/".startswith(other[:-1]) for other in values)
            if value.startswith("/") and len(value) > 1 and value[-1] not in "*/" and "{" not in value and not covered:
                yield Problem(document, (*path, i), f"{value}/ is not refused")


@object_rule(
    "GM2114",
    "refused host that passes with a port",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("AuthorizationPolicy",),
    references=(_PRACTICE, "CVE-2022-21679"),
    why="a client may write the port into the Host header: shop.example.com:443 is another value",
    mend="refuse shop.example.com and shop.example.com:* both",
    bad=_policy("hosts: [shop.example.com]", "DENY"),
    good=_policy("hosts: [shop.example.com, 'shop.example.com:*']", "DENY"),
)
def check_host_ports(document: Document) -> Iterator[Problem]:
    """Hosts without the same with :*."""
    for path, values in _denied(document, "hosts", "notHosts"):
        for i, value in enumerate(values):
            if ":" not in value and "*" not in value[1:] and f"{value}:*" not in values and f"{value}*" not in values:
                yield Problem(document, (*path, i), f"{value}:443 is not refused")


@rule(
    "GM2112",
    "paths compared as they are written",
    Level.WARNING,
    suite="security",
    reads=("MeshConfig", "IstioOperator", "AuthorizationPolicy"),
    references=("CVE-2021-31920", _PRACTICE),
    why="//admin, /%61dmin and /x/../admin pass a policy about /admin, and mean /admin to the server",
    mend="set pathNormalization.normalization to DECODE_AND_MERGE_SLASHES",
    bad=_policy("paths: [/admin*]", "DENY") + "---\npathNormalization: {normalization: NONE}\n",
    good=_policy("paths: [/admin*]", "DENY") + "---\npathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}\n",
)
def check_normalization(mesh: Mesh) -> Iterator[Problem]:
    """NONE; BASE where paths are refused (it leaves // and %2f as they are)."""
    refused = next((item for item in mesh.of("AuthorizationPolicy") for _ in _denied(item, "paths", "notPaths")), None)
    for kind, prefix in (("MeshConfig", ()), ("IstioOperator", ("spec", "meshConfig"))):
        for document in mesh.of(kind):
            for path, value in places(document.body, ".".join((*prefix, "pathNormalization", "normalization"))):
                if value == "NONE":
                    yield Problem(document, path, "paths are not normalised before policies see them")
                elif value == "BASE" and refused is not None:
                    message = f"// and %2f stay as they are, and {refused.resource} refuses paths"
                    yield Problem(document, path, message, level=Level.INFO)
