"""Routes that Istio accepts and nobody means: weights, retries, patterns, order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import object_rule

__all__ = ["seconds"]

_VS = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n  hosts: [shop]\n  http: [{%s}]\n"


_TO = "route: [{destination: {host: shop}}]"


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def seconds(text: Any) -> float | None:
    """Return a duration in seconds; None if it is none."""
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|ns|h|m|s)", text) if isinstance(text, str) else []
    return sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else None


@object_rule(
    "GM1101",
    "weights that do not add up to 100",
    Level.WARNING,
    reads=("VirtualService",),
    why="Istio takes them as shares of their sum: what reads as a percentage is none",
    mend="let the weights of a route add up to 100",
    bad=_VS
    % "route: [{destination: {host: shop, subset: a}, weight: 90}, {destination: {host: shop, subset: b}, weight: 20}]",
    good=_VS
    % "route: [{destination: {host: shop, subset: a}, weight: 90}, {destination: {host: shop, subset: b}, weight: 10}]",
)
def check_weights(document: Document) -> Iterator[Problem]:
    """Sums of weights; fractions such as 1:1999 are meant and left alone."""
    for key in ("http", "tls", "tcp"):
        for i, route in dicts(document.spec.get(key)):
            items = dicts(route.get("route"))
            weights = [item.get("weight", 0) for _, item in items]
            total = sum(weights)
            if len(items) > 1 and 0 < total < 1000 and total != 100:
                shown = " + ".join(str(weight) for weight in weights)
                yield Problem(document, ("spec", key, i, "route"), f"the weights are {shown} = {total}, not 100")


@object_rule(
    "GM1102",
    "one destination twice in a route",
    Level.WARNING,
    reads=("VirtualService",),
    why="both shares go to the same pods: the split splits nothing",
    mend="name the other subset, or join the weights",
    bad=_VS
    % "route: [{destination: {host: shop, subset: a}, weight: 90}, {destination: {host: shop, subset: a}, weight: 10}]",
    good=_VS
    % "route: [{destination: {host: shop, subset: a}, weight: 90}, {destination: {host: shop, subset: b}, weight: 10}]",
)
def check_repeated(document: Document) -> Iterator[Problem]:
    """Host + subset + port twice."""
    for key in ("http", "tls", "tcp"):
        for i, route in dicts(document.spec.get(key)):
            seen: set[tuple[Any, ...]] = set()
            for r, item in dicts(route.get("route")):
                target = mapping(item.get("destination"))
                word = (target.get("host"), target.get("subset"), mapping(target.get("port")).get("number"))
                if word in seen and not item.get("headers"):
                    yield Problem(
                        document,
                        ("spec", key, i, "route", r),
                        f"{word[0]} {word[1] or ''} stands twice".replace("  ", " "),
                    )
                seen.add(word)


@object_rule(
    "GM1103",
    "retries that the timeout cuts off",
    Level.WARNING,
    reads=("VirtualService",),
    why="the timeout is for all attempts together: the last attempts never happen",
    mend="let timeout be at least (attempts + 1) × perTryTimeout",
    bad=_VS % f"timeout: 3s, retries: {{attempts: 3, perTryTimeout: 2s}}, {_TO}",
    good=_VS % f"timeout: 8s, retries: {{attempts: 3, perTryTimeout: 2s}}, {_TO}",
)
def check_retries(document: Document) -> Iterator[Problem]:
    """Attempts × perTryTimeout against timeout."""
    for i, route in dicts(document.spec.get("http")):
        whole = seconds(route.get("timeout"))
        retries = mapping(route.get("retries"))
        one, attempts = seconds(retries.get("perTryTimeout")), retries.get("attempts") or 0
        if whole and one and attempts and one * attempts > whole:
            message = f"{attempts} retries of {retries['perTryTimeout']} do not fit into {route['timeout']}"
            yield Problem(document, ("spec", "http", i, "timeout"), message)


@object_rule(
    "GM1104",
    "pattern that never matches, or matches too much",
    Level.WARNING,
    reads=("VirtualService",),
    why="Envoy matches the whole text: a pattern for a part of it never applies",
    mend="write the whole: /shop/.* instead of /shop/, and .*beta.* instead of beta",
    bad=_VS % f"match: [{{uri: {{regex: 'shop/.*'}}}}], {_TO}",
    good=_VS % f"match: [{{uri: {{regex: '/shop/.*'}}}}], {_TO}",
)
def check_patterns(document: Document) -> Iterator[Problem]:
    """Uri patterns that cannot fit a path, which always begins with /."""
    for i, route in dicts(document.spec.get("http")):
        for m, match in dicts(route.get("match")):
            pattern = mapping(match.get("uri")).get("regex")
            path: Path = ("spec", "http", i, "match", m, "uri", "regex")
            if not isinstance(pattern, str):
                continue
            first = pattern.lstrip("^(").removeprefix("?:")
            if first[:1].isalnum():
                yield Problem(document, path, f"{pattern!r} can fit no path: a path begins with /")
            elif re.search(r"[^\\]\$.", pattern):
                yield Problem(document, path, f"{pattern!r} has $ before its end")


@object_rule(
    "GM1105",
    "path prefix without a boundary",
    Level.INFO,
    reads=("VirtualService",),
    why="the prefix /shop takes /shopping too",
    mend="use a prefix that ends with /, beside an exact match",
    bad=_VS % f"match: [{{uri: {{prefix: /shop}}}}], rewrite: {{uri: /}}, {_TO}",
    good=_VS % f"match: [{{uri: {{prefix: /shop/}}}}], rewrite: {{uri: /}}, {_TO}",
)
def check_boundaries(document: Document) -> Iterator[Problem]:
    """Prefixes that a rewrite to / turns into wrong paths."""
    for i, route in dicts(document.spec.get("http")):
        if mapping(route.get("rewrite")).get("uri") != "/":
            continue
        for m, match in dicts(route.get("match")):
            prefix = mapping(match.get("uri")).get("prefix")
            if isinstance(prefix, str) and not prefix.endswith("/"):
                path: Path = ("spec", "http", i, "match", m, "uri", "prefix")
                yield Problem(document, path, f"{prefix}/x becomes //x, and {prefix}x is taken too")


@object_rule(
    "GM1106",
    "route behind one that takes everything",
    Level.WARNING,
    reads=("VirtualService",),
    why="requests never come this far",
    mend="put the route without a match last",
    bad="apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n  hosts: [shop]\n"
    f"  http: [{{{_TO}}}, {{match: [{{uri: {{prefix: /a}}}}], {_TO}}}]\n",
    good="apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n  hosts: [shop]\n"
    f"  http: [{{match: [{{uri: {{prefix: /a}}}}], {_TO}}}, {{{_TO}}}]\n",
)
def check_catch_all(document: Document) -> Iterator[Problem]:
    """Routes with a match behind one without (Istio's IST0130 sees only those without)."""
    closed = -1
    for i, route in dicts(document.spec.get("http")):
        matches = dicts(route.get("match"))
        if closed >= 0 and matches:
            yield Problem(document, ("spec", "http", i), f"route #{closed} takes every request before this one")
        if not matches or any(match == {"uri": {"prefix": "/"}} for _, match in matches):
            closed = i if closed < 0 else closed
