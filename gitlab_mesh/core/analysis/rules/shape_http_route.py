"""VirtualServices that Istio refuses: what a route of HTTP does to requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.regex import regex_problem
from gitlab_mesh.core.analysis.registry import object_rule
from gitlab_mesh.core.analysis.rules.fields import (
    port_problem,
)

__all__: list[str] = []

_CLAIM = "@request.auth.claims"


_REJECTED = "Istio's admission webhook refuses the object, so the change never arrives"


_RETRY_ON = frozenset(
    [
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "envoy-ratelimited",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    ]
)


_HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n"


@object_rule(
    "GM0204",
    "http route with a value that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("VirtualService",),
    why=_REJECTED,
    mend="write a value that Istio allows",
    bad=_HEAD + "  hosts: [shop]\n  http: [{fault: {abort: {httpStatus: 99, percentage: {value: 5}}}, "
    "route: [{destination: {host: shop}}]}]\n",
    good=_HEAD + "  hosts: [shop]\n  http: [{fault: {abort: {httpStatus: 503, percentage: {value: 5}}}, "
    "route: [{destination: {host: shop}}]}]\n",
)
def check_http_values(document: Document) -> Iterator[Problem]:
    """Redirects, faults, retries, mirrors, CORS, rewrites."""
    for i, route in dicts(document.spec.get("http")):
        for path, message in _route_values(route):
            yield Problem(document, ("spec", "http", i, *path), message)


def _route_values(route: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    for key, check in _VALUES.items():
        value = route.get(key)
        if isinstance(value, dict):
            for path, message in check(value):
                yield (key, *path), message
    if route.get("mirror") is not None and route.get("mirrors"):
        yield ("mirrors",), "mirror and mirrors exclude one another"
    percent = route.get("mirrorPercent", route.get("mirror_percent"))
    if isinstance(percent, int) and not 0 <= percent <= 100:
        yield ("mirrorPercent",), f"mirrorPercent {percent} is not between 0 and 100"
    for i, mirror in dicts(route.get("mirrors")):
        for path, message in _percentage(mirror, "percentage"):
            yield ("mirrors", i, *path), message
    for path, message in _percentage(route, "mirrorPercentage"):
        yield path, message
    if "rewrite" in route and mapping(route["rewrite"]).get("authority") and _sets_authority(route):
        yield ("headers",), "the authority is set by rewrite and by headers: keep one"
    match = [mapping(item).get("uri") for _, item in dicts(route.get("match"))]
    prefix = mapping(route.get("redirect")).get("prefixRewrite")
    if prefix is not None and not all(mapping(uri).get("prefix") is not None for uri in match):
        yield ("redirect", "prefixRewrite"), "prefixRewrite needs matches by prefix"


def _sets_authority(route: dict[str, Any]) -> bool:
    request = mapping(mapping(route.get("headers")).get("request"))
    return any(name.lower() in (":authority", "host") for key in ("set", "add") for name in mapping(request.get(key)))


def _percentage(value: dict[str, Any], key: str) -> Iterator[tuple[Path, str]]:
    number = mapping(value.get(key)).get("value")
    if isinstance(number, (int, float)) and not 0 <= number <= 100:
        yield (key, "value"), f"{number} is no percentage (0 to 100)"


def _redirect(value: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    keys = ("uri", "authority", "scheme", "redirectCode", "port", "derivePort", "prefixRewrite")
    if not any(value.get(key) for key in keys):
        yield (), "redirect must say where to: uri, authority, scheme, port or redirectCode"
    code = value.get("redirectCode")
    if code and not 300 <= code <= 399:
        yield ("redirectCode",), f"{code} is no redirect (301, 302, 303, 307, 308)"
    if value.get("scheme") not in (None, "", "http", "https"):
        yield ("scheme",), f"scheme {value['scheme']!r} is not http or https"
    if value.get("port") is not None and port_problem(value["port"]):
        yield ("port",), port_problem(value["port"])


def _direct_response(value: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    status = value.get("status")
    if isinstance(status, int) and not 200 <= status <= 599:
        yield ("status",), f"status {status} is not between 200 and 599"
    size = len(str(mapping(value.get("body")).get("string", "")).encode())
    if size > 1024 * 1024:
        yield ("body", "string"), "the body is larger than 1 MiB"


def _rewrite(value: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    regex = value.get("uriRegexRewrite")
    if not any(value.get(key) for key in ("uri", "authority", "uriRegexRewrite")):
        yield (), "rewrite must say what: uri, uriRegexRewrite or authority"
    if value.get("uri") and regex:
        yield ("uriRegexRewrite",), "uri and uriRegexRewrite exclude one another"
    if isinstance(regex, dict):
        for key in ("match", "rewrite"):
            if not regex.get(key):
                yield ("uriRegexRewrite",), f"uriRegexRewrite needs {key}"
        problem = regex_problem(str(regex.get("match", "")))
        if problem:
            yield ("uriRegexRewrite", "match"), f"the pattern {regex['match']!r} {problem}"


def _fault(value: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    delay, abort = value.get("delay"), value.get("abort")
    if not delay and not abort:
        yield (), "fault needs abort or delay"
    if isinstance(delay, dict):
        for path, message in _percentage(delay, "percentage"):
            yield ("delay", *path), message
        if not delay.get("fixedDelay"):
            yield ("delay",), "delay needs fixedDelay"
        if isinstance(delay.get("percent"), int) and not 0 <= delay["percent"] <= 100:
            yield ("delay", "percent"), f"{delay['percent']} is no percentage (0 to 100)"
    if isinstance(abort, dict):
        for path, message in _percentage(abort, "percentage"):
            yield ("abort", *path), message
        status = abort.get("httpStatus")
        if isinstance(status, int) and not 200 <= status <= 599:
            yield ("abort", "httpStatus"), f"{status} is no status that can be answered (200 to 599)"
        if not any(abort.get(key) for key in ("httpStatus", "grpcStatus", "http2Error")):
            yield ("abort",), "abort needs httpStatus or grpcStatus"


def _retries(value: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    attempts = value.get("attempts", 0)
    if attempts < 0:
        yield ("attempts",), "attempts must not be negative"
    if not attempts:
        for key in ("perTryTimeout", "retryOn"):
            if value.get(key):
                yield (key,), f"{key} is set, but attempts is 0, which switches retries off"
    for word in str(value.get("retryOn") or "").split(","):
        word = word.strip()
        if word and word.lower() not in _RETRY_ON and not (word.isdigit() and 100 <= int(word) <= 599):
            yield ("retryOn",), f"{word!r} is no retry condition"


_METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"])


def _cors(value: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    for i, origin in dicts(value.get("allowOrigins")):
        if not any(origin.get(key) for key in ("exact", "prefix", "regex")):
            yield ("allowOrigins", i), "an origin needs exact, prefix or regex"
        problem = regex_problem(str(origin.get("regex", "")))
        if problem:
            yield ("allowOrigins", i, "regex"), f"the pattern {origin['regex']!r} {problem}"
    for i, method in texts(value.get("allowMethods")):
        if method not in _METHODS and method != "*":
            yield ("allowMethods", i), f"{method!r} is no HTTP method (upper case)"
    for key in ("allowHeaders", "exposeHeaders"):
        for i, name in texts(value.get(key)):
            if not name:
                yield (key, i), "a header's name must not be empty"
    age = value.get("maxAge")
    if isinstance(age, str) and re.search(r"(ms|us|ns)$|\.\d*[1-9]\d*s$", age):
        yield ("maxAge",), "maxAge counts whole seconds"


_VALUES = {
    "redirect": _redirect,
    "directResponse": _direct_response,
    "rewrite": _rewrite,
    "fault": _fault,
    "retries": _retries,
    "corsPolicy": _cors,
}


@object_rule(
    "GM0207",
    "header operation that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("VirtualService",),
    why=_REJECTED,
    mend="name headers; a percent sign that is meant as such is written twice",
    bad=_HEAD
    + "  hosts: [shop]\n  http: [{headers: {request: {set: {x-share: 50%}}}, route: [{destination: {host: shop}}]}]\n",
    good=_HEAD + "  hosts: [shop]\n  http: [{headers: {request: {set: {x-share: 50%%}}}, "
    "route: [{destination: {host: shop}}]}]\n",
)
def check_headers(document: Document) -> Iterator[Problem]:
    """Names and values of header operations."""
    for i, route in dicts(document.spec.get("http")):
        places: list[tuple[Path, Any]] = [((), route.get("headers"))]
        places += [(("route", d), item.get("headers")) for d, item in dicts(route.get("route"))]
        for path, headers in places:
            if not isinstance(headers, dict):
                continue
            for side in ("request", "response"):
                whole: Path = ("spec", "http", i, *path, "headers", side)
                yield from _operations(document, whole, mapping(headers.get(side)))


def _operations(document: Document, path: Path, operations: dict[str, Any]) -> Iterator[Problem]:
    for key in ("set", "add"):
        for name, value in mapping(operations.get(key)).items():
            if not name or name.startswith(_CLAIM):
                yield Problem(document, (*path, key, name), f"{name!r} is no header's name", at_key=True)
            if isinstance(value, str) and _broken_format(value):
                yield Problem(document, (*path, key, name), f"{value!r}: a single % begins a variable of Envoy's")
    for i, name in texts(operations.get("remove")):
        if not name or name.startswith(_CLAIM):
            yield Problem(document, (*path, "remove", i), f"{name!r} is no header's name")


def _broken_format(value: str) -> bool:
    """Envoy's header formatter: ``%%`` is a percent sign, everything else between two ``%`` is a command."""
    rest = re.sub(r"%[A-Z0-9_]+(\([^%]*\))?(:\d+)?%", "", value.replace("%%", ""))
    return "%" in rest
