"""Structural schemas of CustomResourceDefinitions: as JSON Schema, as defaults, as rules.

Kubernetes' OpenAPI dialect differs from JSON Schema (Kubernetes docs, "Specifying a structural schema"): null is
pruned where it is not allowed, unknown fields are errors unless ``x-kubernetes-preserve-unknown-fields``, integers and
texts mix under ``x-kubernetes-int-or-string``, lists can be sets and maps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from gitlab_mesh.adapters.cel_rules import passes, typed
from gitlab_mesh.core.analysis.model import Path, dicts, mapping

__all__ = ["FORMATS", "cel_value", "json_schema", "repeated", "rules_of", "with_defaults"]

_COPIED = (
    *("required", "enum", "pattern", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems"),
    *("minProperties", "maxProperties", "multipleOf", "minimum", "maximum"),
)
_LIMITS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_META = ("apiVersion", "kind", "metadata")
_RESERVED = frozenset(
    re.findall(
        r"\w+",
        "true false null in as break const continue else for function if import let loop package namespace return var "
        "void while",
    )
)


FORMATS: dict[str, Any] = {
    "cidr": passes(lambda text: ip_network(text, strict=False)),
    "duration": lambda text: typed(text, "duration") is not text,
    "ipv4": passes(ip_address),
    "ipv6": passes(ip_address),
}
"""Formats that the API server checks, with its own meaning of them."""


def json_schema(node: dict[str, Any], *, root: bool = False, inside_logic: bool = False) -> dict[str, Any]:
    """Translate one node.

    Args:
        node: Of ``openAPIV3Schema``.
        root: It describes a whole object, whose apiVersion, kind and metadata are somebody else's business.
        inside_logic: Below oneOf, anyOf, allOf or not: these restrict, they do not say which fields there are.
    """
    schema: dict[str, Any] = {key: node[key] for key in _COPIED if key in node}
    for bound, strict in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if node.get(strict) is True and bound in schema:
            schema[strict] = schema.pop(bound)
    if node.get("format") in FORMATS:
        schema["format"] = node["format"]
    low, high = _LIMITS.get(str(node.get("format")), (None, None))
    if low is not None:
        schema.setdefault("minimum", low)
        schema.setdefault("maximum", high)
    kind = node.get("type")
    if node.get("x-kubernetes-int-or-string"):
        schema["type"] = ["integer", "string"]
    elif isinstance(kind, str):
        schema["type"] = [kind, "null"] if node.get("nullable") else kind
    if node.get("nullable") and "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    for word in ("oneOf", "anyOf", "allOf"):
        if node.get(word):
            schema[word] = [json_schema(item, inside_logic=True) for _, item in dicts(node[word])]
    if isinstance(node.get("not"), dict):
        schema["not"] = json_schema(node["not"], inside_logic=True)
    _add_fields(schema, node, root=root, inside_logic=inside_logic)
    return schema


def _add_fields(schema: dict[str, Any], node: dict[str, Any], *, root: bool, inside_logic: bool) -> None:
    def inner(item: dict[str, Any]) -> dict[str, Any]:
        return json_schema(item, inside_logic=inside_logic)

    properties = mapping(node.get("properties"))
    if properties:
        schema["properties"] = {key: inner(item) for key, item in properties.items() if isinstance(item, dict)}
    if root or node.get("x-kubernetes-embedded-resource"):
        schema.setdefault("properties", {}).update({key: {} for key in _META})
    if isinstance(node.get("items"), dict):
        schema["items"] = inner(node["items"])
    more = node.get("additionalProperties")
    if isinstance(more, dict):
        schema["additionalProperties"] = inner(more)
    elif properties and not inside_logic and more is None and not node.get("x-kubernetes-preserve-unknown-fields"):
        schema["additionalProperties"] = False


def _children(node: dict[str, Any], value: Any) -> Iterator[tuple[str | int, dict[str, Any], Any]]:
    """Yield (key, schema, value) of everything inside a value that the schema describes."""
    if value.__class__ is dict:
        properties, more = mapping(node.get("properties")), node.get("additionalProperties")
        for key, item in value.items():
            schema = properties.get(key, more)
            if isinstance(schema, dict):
                yield key, schema, item
    elif value.__class__ is list and isinstance(node.get("items"), dict):
        for i, item in enumerate(value):
            yield i, node["items"], item


def with_defaults(node: dict[str, Any], value: Any) -> Any:
    """Return the value as the API server stores it: null pruned where it is not allowed, defaults filled in."""
    if value.__class__ is list and isinstance(node.get("items"), dict):
        return [with_defaults(node["items"], item) for item in value]
    if value.__class__ is not dict:
        return value
    properties, more = mapping(node.get("properties")), node.get("additionalProperties")
    result: dict[str, Any] = {}
    for key, item in value.items():
        schema = properties.get(key, more)
        if isinstance(schema, dict):
            if item is None and not schema.get("nullable"):
                continue
            item = with_defaults(schema, item)
        result[key] = item
    for key, schema in properties.items():
        if key not in result and isinstance(schema, dict) and schema.get("default") is not None:
            result[key] = with_defaults(schema, schema["default"])
    return result


def repeated(node: dict[str, Any], value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield every entry that stands twice in a list that is a set, or a map by keys."""
    kind = node.get("x-kubernetes-list-type")
    if value.__class__ is list and kind in ("set", "map"):
        keys = [str(key) for key in node.get("x-kubernetes-list-map-keys") or ()]
        seen: list[Any] = []
        for i, item in enumerate(value):
            by_key = keys and item.__class__ is dict
            word = {key: item.get(key) for key in keys} if by_key else item
            if word in seen:
                shown = ", ".join(f"{key} {part}" for key, part in word.items()) if by_key else word
                yield (*path, i), f"{shown} stands twice in this list"
            seen.append(word)
    for key, schema, item in _children(node, value):
        yield from repeated(schema, item, (*path, key))


def rules_of(node: dict[str, Any], value: Any, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any], Any]]:
    """Yield (path, rule, value for ``self``) of every rule in CEL that holds for something inside a value.

    Rules about ``oldSelf`` compare with the stored object: they are for updates, and not yielded.
    """
    rules = [item for _, item in dicts(node.get("x-kubernetes-validations")) if "oldSelf" not in str(item.get("rule"))]
    if rules and value is not None:
        own = cel_value(node, value)
        yield from ((path, rule, own) for rule in rules)
    for key, schema, item in _children(node, value):
        yield from rules_of(schema, item, (*path, key))


def cel_value(node: dict[str, Any], value: Any) -> Any:
    """Return a value as rules in CEL see it: typed, known fields only, names escaped as Kubernetes does."""
    if value.__class__ is dict:
        properties = mapping(node.get("properties"))
        known = {key: (schema, item) for key, schema, item in _children(node, value)}
        if properties:
            return {_escaped(str(key)): cel_value(*pair) for key, pair in known.items() if pair[1] is not None}
        if known:
            return {str(key): cel_value(*pair) for key, pair in known.items()}
        return value
    if value.__class__ is list:
        return [cel_value(mapping(node.get("items")), item) for item in value]
    if value.__class__ is int and node.get("type") == "number":
        return float(value)
    if value.__class__ is float and node.get("type") == "integer":
        return int(value)
    return typed(value, str(node.get("format"))) if value.__class__ is str else value


def _escaped(name: str) -> str:
    """Escape a field's name (Kubernetes docs, "Escaping": ``__dot__`` and the like, words of the language)."""
    if name in _RESERVED:
        return f"__{name}__"
    for char, word in (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")):
        name = name.replace(char, word)
    return name
