"""AuthorizationPolicy: what Istio's webhook refuses beyond the schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.registry import object_rule
from gitlab_mesh.core.analysis.rules.fields import check_selector, check_target_refs, is_subnet, port_problem

__all__: list[str] = []

_REJECTED = "Istio's admission webhook refuses the policy: it protects nothing"
_HEAD = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: shop, namespace: shop}\nspec:\n"
DRY_RUN = "istio.io/dry-run"
_SOURCE = [
    "principals",
    "notPrincipals",
    "requestPrincipals",
    "notRequestPrincipals",
    "namespaces",
    "notNamespaces",
    "ipBlocks",
    "notIpBlocks",
    "remoteIpBlocks",
    "notRemoteIpBlocks",
    "serviceAccounts",
    "notServiceAccounts",
    "trustDomains",
    "notTrustDomains",
]
_OPERATION = ["hosts", "notHosts", "ports", "notPorts", "methods", "notMethods", "paths", "notPaths"]
_PLAIN_KEYS = frozenset(
    [
        "source.namespace",
        "source.principal",
        "source.serviceAccount",
        "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "connection.sni",
    ]
)
_ADDRESS_KEYS = frozenset({"source.ip", "remote.ip", "destination.ip"})
_MAP_KEYS = ("request.headers", "request.auth.claims")


@object_rule(
    "GM0251",
    "AuthorizationPolicy action without what it needs",
    Level.ERROR,
    istio="IST0106",
    reads=("AuthorizationPolicy",),
    why=_REJECTED,
    mend="DENY and CUSTOM need rules; CUSTOM needs a provider, and nothing else may have one",
    bad=_HEAD + "  action: DENY\n",
    good=_HEAD + "  action: DENY\n  rules: [{to: [{operation: {methods: [DELETE]}}]}]\n",
)
def check_action(document: Document) -> Iterator[Problem]:
    """Action, provider, dry run, selector, targets."""
    spec = document.spec
    action = spec.get("action", "ALLOW")
    rules = spec.get("rules")
    if action in ("DENY", "CUSTOM") and not rules:
        yield Problem(document, ("spec",), f"{action} without rules matches no request: it means nothing")
    provider = mapping(spec.get("provider")).get("name")
    if action == "CUSTOM" and not provider:
        yield Problem(document, ("spec",), "action CUSTOM needs provider.name")
    if action != "CUSTOM" and spec.get("provider") is not None:
        yield Problem(document, ("spec", "provider"), f"action {action} has no provider; only CUSTOM has")
    yield from _dry_run(document, action)
    yield from check_selector(
        document, ("spec", "selector", "matchLabels"), mapping(spec.get("selector")).get("matchLabels")
    )
    yield from check_target_refs(document)


def _dry_run(document: Document, action: str) -> Iterator[Problem]:
    value = document.annotations.get(DRY_RUN)
    if value is None:
        return
    path: Path = ("metadata", "annotations", DRY_RUN)
    if str(value).lower() not in ("true", "false", "1", "0", "t", "f"):
        yield Problem(document, path, f"{DRY_RUN} is {value!r}; it must be true or false")
    elif action not in ("ALLOW", "DENY"):
        yield Problem(document, path, f"a dry run works with ALLOW and DENY, not with {action}")


@object_rule(
    "GM0252",
    "AuthorizationPolicy rule that is empty or no valid match",
    Level.ERROR,
    istio="IST0106",
    reads=("AuthorizationPolicy",),
    why=_REJECTED,
    mend="leave out what shall match everything; an empty list or text is refused",
    bad=_HEAD + "  rules: [{from: [{source: {}}]}]\n",
    good=_HEAD + "  rules: [{from: [{source: {namespaces: [web]}}]}]\n",
)
def check_rules(document: Document) -> Iterator[Problem]:
    """from, to, when."""
    custom = document.spec.get("action") == "CUSTOM"
    for i, item in dicts(document.spec.get("rules")):
        path: Path = ("spec", "rules", i)
        for key, inner, fields in (("from", "source", _SOURCE), ("to", "operation", _OPERATION)):
            yield from _parts(document, (*path, key), item.get(key), inner, fields)
        for w, condition in dicts(item.get("when")):
            yield from _condition(document, (*path, "when", w), condition)
        if custom:
            yield from _custom(document, path, item)


def _parts(document: Document, path: Path, parts: Any, inner: str, fields: list[str]) -> Iterator[Problem]:
    if parts is None:
        return
    if not parts:
        yield Problem(document, path, f"{path[-1]} is there, but empty")
    for i, part in dicts(parts):
        value = part.get(inner)
        if not isinstance(value, dict) or not any(value.get(field) is not None for field in fields):
            yield Problem(document, (*path, i), f"{inner} is missing or says nothing")
            continue
        for field in fields:
            if field in value:
                yield from _values(document, (*path, i, inner, field), field, value[field])


def _values(document: Document, path: Path, field: str, values: Any) -> Iterator[Problem]:
    if values is not None and not values:
        yield Problem(document, path, f"{field} is there, but empty")
    for i, text in texts(values):
        problem = ""
        if not text:
            problem = f"{field} has an empty entry"
        elif "IpBlocks" in field or field == "ipBlocks" or field == "remoteIpBlocks":
            problem = "" if is_subnet(text) else f"{text!r} is no address and no range"
        elif field in ("ports", "notPorts"):
            problem = port_problem(int(text)) if text.isdigit() else f"{text!r} is no port number"
        elif field in ("paths", "notPaths"):
            problem = _path_problem(text)
        elif field in ("serviceAccounts", "notServiceAccounts") and (
            text.count("/") > 1 or "*" in text or text.startswith("/") or text.endswith("/")
        ):
            problem = f"{text!r} is no service account; write namespace/name"
        if problem:
            yield Problem(document, (*path, i), problem)


def _path_problem(path: str) -> str:
    """Path templates: ``{*}`` is one segment, ``{**}`` any number, last; they do not mix with ``*``."""
    if "{" not in path and "}" not in path:
        return ""
    if not re.search(r"\{\*{1,2}\}", path):
        return f"{path!r}: only {{*}} and {{**}} may stand in braces"
    for segment in path.split("/"):
        if segment not in ("{*}", "{**}") and re.search(r"[*{}]", segment):
            return f"{path!r}: {segment!r} mixes a template with something else; a template is a whole segment"
    return f"{path!r}: {{**}} must be the last operator" if "{" in path.partition("{**}")[2] else ""


def _condition(document: Document, path: Path, condition: dict[str, Any]) -> Iterator[Problem]:
    key = str(condition.get("key", ""))
    values, excluded = condition.get("values"), condition.get("notValues")
    if not values and not excluded:
        yield Problem(document, path, f"{key or 'the condition'} needs values or notValues")
    name, bracket, rest = key.partition("[")
    known = key in _PLAIN_KEYS or key in _ADDRESS_KEYS or key == "destination.port"
    if (
        bracket
        and rest.endswith("]")
        and rest != "]"
        and (name in _MAP_KEYS or name.startswith("experimental.envoy.filters."))
    ):
        known = True
    if key.startswith("experimental.envoy.filters.") and not bracket:
        known = True
    if not known:
        message = f"the key {key!r} is not known"
        yield Problem(document, (*path, "key"), message, "see Istio's list of authorization conditions")
    for field, items in (("values", values), ("notValues", excluded)):
        for i, text in texts(items):
            problem = "" if text else f"{field} has an empty entry"
            if key in _ADDRESS_KEYS and text and not is_subnet(text):
                problem = f"{text!r} is no address and no range"
            elif key == "destination.port" and port_problem(int(text) if text.isdigit() else text):
                problem = f"{text!r} is no port number"
            if problem:
                yield Problem(document, (*path, field, i), problem)


def _custom(document: Document, path: Path, item: dict[str, Any]) -> Iterator[Problem]:
    """The external authorizer is asked before the JWT is known, so these cannot be matched."""
    for i, part in dicts(item.get("from")):
        for field in ("requestPrincipals", "notRequestPrincipals"):
            if mapping(part.get("source")).get(field):
                message = f"{field} cannot be used with CUSTOM"
                yield Problem(document, (*path, "from", i, "source", field), message)
    for i, condition in dicts(item.get("when")):
        if str(condition.get("key", "")).startswith("request.auth."):
            yield Problem(document, (*path, "when", i, "key"), f"{condition['key']} cannot be used with CUSTOM")
