"""VirtualService: what Istio's webhook refuses beyond the schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.names import covers, is_dns_label, is_subdomain, overlaps
from gitlab_mesh.core.analysis.regex import regex_problem
from gitlab_mesh.core.analysis.registry import object_rule
from gitlab_mesh.core.analysis.rules.fields import (
    check_export_to,
    check_labels,
    check_string_match,
    host_problem,
    is_ip,
    is_subnet,
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


def in_mesh(document: Document) -> bool:
    """Say whether the routes hold for sidecars (gateway ``mesh``)."""
    gateways = document.spec.get("gateways")
    return not gateways or "mesh" in gateways


def gateway_problem(name: str) -> str:
    """Say what is wrong with a gateway's name in a VirtualService; empty: nothing."""
    if not name:
        return "a gateway's name must not be empty"
    if name == "mesh":
        return ""
    if "/" not in name:
        return "" if is_subdomain(name) else f"{name!r} is no gateway's name"
    parts = name.split("/")
    if len(parts) != 2 or not all(is_dns_label(part) for part in parts):
        return f"{name!r} is no gateway's name; the form is namespace/name, without wildcards"
    return ""


_HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n"
_ROUTE = "  http: [{route: [{destination: {host: shop}}]}]\n"


@object_rule(
    "GM0201",
    "VirtualService host or gateway that is no name",
    Level.ERROR,
    istio="IST0106",
    reads=("VirtualService",),
    why=_REJECTED,
    mend="write DNS names; a wildcard stands for the first label; gateways are name or namespace/name",
    bad=_HEAD + "  hosts: ['*']\n" + _ROUTE,
    good=_HEAD + "  hosts: [shop]\n" + _ROUTE,
)
def check_names(document: Document) -> Iterator[Problem]:
    """Hosts, gateways, exportTo."""
    spec = document.spec
    seen: set[str] = set()
    for i, host in texts(spec.get("hosts")):
        problem = "" if is_ip(host) else host_problem(host)
        if host == "*" and in_mesh(document):
            problem = "host * is not allowed for the mesh gateway: it would take all traffic of all sidecars"
        elif host in seen:
            problem = f"host {host} stands twice"
        elif "*" in host or any("*" in other for other in seen):
            other = next((other for other in sorted(seen) if overlaps(other, host)), "")
            problem = (
                f"host {host} and {other} overlap; in one VirtualService that counts as a duplicate" if other else ""
            )
        if problem:
            yield Problem(document, ("spec", "hosts", i), problem)
        seen.add(host)
    for i, name in texts(spec.get("gateways")):
        problem = gateway_problem(name)
        if problem:
            yield Problem(document, ("spec", "gateways", i), problem)
    if "exportTo" in spec:
        yield from check_export_to(document)


@object_rule(
    "GM0202",
    "VirtualService without a route",
    Level.ERROR,
    istio="IST0106",
    reads=("VirtualService",),
    why=_REJECTED,
    mend="give it http, tls or tcp routes, and each of them a destination",
    bad=_HEAD + "  hosts: [shop]\n",
    good=_HEAD + "  hosts: [shop]\n" + _ROUTE,
)
def check_routes(document: Document) -> Iterator[Problem]:
    """Some route must be there; a delegate has http only."""
    spec = document.spec
    if not (spec.get("http") or spec.get("tls") or spec.get("tcp")):
        yield Problem(document, ("spec",), "it has neither http nor tls nor tcp routes")
    if not spec.get("hosts"):
        if spec.get("gateways"):
            yield Problem(document, ("spec", "gateways"), "a delegate (no hosts) must not name gateways")
        for key in ("tls", "tcp"):
            if spec.get(key):
                yield Problem(document, ("spec", key), f"a delegate (no hosts) can have http routes only, no {key}")
    for key in ("tls", "tcp"):
        for i, route in dicts(spec.get(key)):
            if not route.get("route"):
                yield Problem(document, ("spec", key, i), f"this {key} route has no destination")


@object_rule(
    "GM0203",
    "http route that does nothing or two things",
    Level.ERROR,
    istio="IST0106",
    reads=("VirtualService",),
    why=_REJECTED,
    mend="keep exactly one of route, redirect, directResponse, delegate",
    bad=_HEAD + "  hosts: [shop]\n  http: [{redirect: {uri: /new}, route: [{destination: {host: shop}}]}]\n",
    good=_HEAD + "  hosts: [shop]\n  http: [{redirect: {uri: /new}}]\n",
)
def check_action(document: Document) -> Iterator[Problem]:
    """Exactly one action."""
    delegate_object = not document.spec.get("hosts")
    for i, route in dicts(document.spec.get("http")):
        path: Path = ("spec", "http", i)
        actions = [key for key in ("route", "redirect", "directResponse", "delegate") if route.get(key)]
        if not actions:
            yield Problem(document, path, "one of route, redirect, directResponse is needed")
        elif len(actions) > 1:
            yield Problem(document, (*path, actions[1]), f"{' and '.join(actions)} exclude one another", at_key=True)
        if delegate_object and "delegate" in route:
            yield Problem(document, (*path, "delegate"), "a delegate cannot delegate again")
        for key in ("rewrite", "fault", "mirror", "mirrors"):
            if route.get(key) and "redirect" in route and key != "fault":
                yield Problem(document, (*path, key), f"{key} cannot be combined with redirect", at_key=True)
            if route.get(key) and "directResponse" in route and key != "fault":
                yield Problem(document, (*path, key), f"{key} cannot be combined with directResponse", at_key=True)


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
    "GM0205",
    "match that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("VirtualService",),
    why=_REJECTED,
    mend="correct the match; patterns are RE2: no lookaround, no back references",
    bad=_HEAD
    + "  hosts: [shop]\n  http: [{match: [{uri: {regex: '/(?!admin).*'}}], route: [{destination: {host: shop}}]}]\n",
    good=_HEAD
    + "  hosts: [shop]\n  http: [{match: [{uri: {regex: '/shop/.*'}}], route: [{destination: {host: shop}}]}]\n",
)
def check_matches(document: Document) -> Iterator[Problem]:
    """Patterns, header names, ports, labels, subnets, SNI hosts."""
    for i, route in dicts(document.spec.get("http")):
        for m, match in dicts(route.get("match")):
            yield from _http_match(document, ("spec", "http", i, "match", m), match)
    hosts = [host for _, host in texts(document.spec.get("hosts"))]
    for key in ("tls", "tcp"):
        for i, route in dicts(document.spec.get(key)):
            for m, match in dicts(route.get("match")):
                yield from _l4_match(document, ("spec", key, i, "match", m), match, hosts)


def _http_match(document: Document, path: Path, match: dict[str, Any]) -> Iterator[Problem]:
    for key in ("uri", "scheme", "method", "authority"):
        if key in match:
            yield from check_string_match(document, (*path, key), match[key])
    for key in ("headers", "withoutHeaders", "queryParams"):
        for name, value in mapping(match.get(key)).items():
            if not name:
                yield Problem(document, (*path, key), "a header's name must not be empty")
            elif name.startswith(_CLAIM):
                if key != "queryParams" and not _on_gateway(document, match):
                    message = "routes by JWT claims work at gateways only; this one is for the mesh"
                    yield Problem(document, (*path, key, name), message, at_key=True)
            elif name.startswith("@request.auth"):
                yield Problem(document, (*path, key, name), f"{name} is no claim", at_key=True)
            yield from _header_value(document, (*path, key, name), value)
    yield from _common_match(document, path, match)


def _header_value(document: Document, path: Path, value: Any) -> Iterator[Problem]:
    pattern = mapping(value).get("regex")
    if isinstance(pattern, str):
        problem = regex_problem(pattern)
        if problem:
            yield Problem(document, (*path, "regex"), f"the pattern {pattern!r} {problem}")


def _on_gateway(document: Document, match: dict[str, Any]) -> bool:
    gateways = match.get("gateways") or document.spec.get("gateways") or ["mesh"]
    return all(name != "mesh" for name in gateways)


def _common_match(document: Document, path: Path, match: dict[str, Any]) -> Iterator[Problem]:
    port = match.get("port")
    if port is not None and port_problem(port):
        yield Problem(document, (*path, "port"), port_problem(port))
    for g, name in texts(match.get("gateways")):
        problem = gateway_problem(name)
        if problem:
            yield Problem(document, (*path, "gateways", g), problem)
    namespace = match.get("sourceNamespace")
    if namespace and not is_dns_label(namespace):
        yield Problem(document, (*path, "sourceNamespace"), f"{namespace!r} is no namespace")
    yield from check_labels(document, (*path, "sourceLabels"), match.get("sourceLabels"))


def _l4_match(document: Document, path: Path, match: dict[str, Any], hosts: list[str]) -> Iterator[Problem]:
    for s, sni in texts(match.get("sniHosts")):
        problem = host_problem(sni)
        if problem:
            yield Problem(document, (*path, "sniHosts", s), problem)
        elif not is_ip(sni) and not any(covers(host, sni) for host in hosts):
            message = f"SNI {sni} belongs to none of the hosts {', '.join(hosts)}"
            yield Problem(document, (*path, "sniHosts", s), message)
    if "sniHosts" in match and not match["sniHosts"]:
        yield Problem(document, (*path, "sniHosts"), "sniHosts must name at least one host")
    subnets = [(("destinationSubnets", i), item) for i, item in texts(match.get("destinationSubnets"))]
    if match.get("sourceSubnet"):
        subnets.append((("sourceSubnet", 0), match["sourceSubnet"]))
    for place, subnet in subnets:
        if not is_subnet(subnet):
            yield Problem(document, (*path, *place), f"{subnet!r} is no address and no range")
    yield from _common_match(document, path, match)


@object_rule(
    "GM0206",
    "destination or weight that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("VirtualService",),
    why=_REJECTED,
    mend="name a host, a subset (a DNS label) and a port; weights are 0 or more, and not all 0",
    bad=_HEAD + "  hosts: [shop]\n  http: [{route: [{destination: {host: shop, subset: a}, weight: 0}, "
    "{destination: {host: shop, subset: b}, weight: 0}]}]\n",
    good=_HEAD + "  hosts: [shop]\n  http: [{route: [{destination: {host: shop, subset: a}, weight: 90}, "
    "{destination: {host: shop, subset: b}, weight: 10}]}]\n",
)
def check_destinations(document: Document) -> Iterator[Problem]:
    """Destinations of routes and mirrors, weights."""
    for key in ("http", "tls", "tcp"):
        for i, route in dicts(document.spec.get(key)):
            path: Path = ("spec", key, i)
            places: list[tuple[Path, Any]] = [
                (("route", d, "destination"), item.get("destination")) for d, item in dicts(route.get("route"))
            ]
            places.append((("mirror",), route.get("mirror")))
            places += [(("mirrors", d, "destination"), m.get("destination")) for d, m in dicts(route.get("mirrors"))]
            for place, destination in places:
                if isinstance(destination, dict):
                    yield from _destination(document, (*path, *place), destination)
            yield from _weights(document, path, dicts(route.get("route")))


def _destination(document: Document, path: Path, destination: dict[str, Any]) -> Iterator[Problem]:
    host = destination.get("host")
    if isinstance(host, str):
        problem = host_problem(host) or ("a destination cannot be *" if host == "*" else "")
        if problem:
            yield Problem(document, (*path, "host"), problem)
    subset = destination.get("subset")
    if subset and not is_dns_label(str(subset)):
        yield Problem(document, (*path, "subset"), f"subset {subset!r} is no DNS label")
    port = destination.get("port")
    if isinstance(port, dict) and port_problem(port.get("number")):
        yield Problem(document, (*path, "port"), f"port: {port_problem(port.get('number'))}")


def _weights(document: Document, path: Path, routes: list[tuple[int, dict[str, Any]]]) -> Iterator[Problem]:
    weights = [(d, item.get("weight", 0)) for d, item in routes]
    for d, weight in weights:
        if weight < 0:
            yield Problem(document, (*path, "route", d, "weight"), f"weight {weight} is negative")
    if len(weights) > 1 and sum(weight for _, weight in weights) == 0:
        yield Problem(document, (*path, "route"), f"{len(weights)} destinations, and the sum of their weights is 0")


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
