"""Routes with an effect on security: faults, CORS, headers, mirrors, redirects."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.places import field_rule, places
from gitlab_mesh.core.analysis.registry import object_rule, rule

__all__: list[str] = []


def _route(more: str) -> str:
    return example("VirtualService", f"hosts: [shop], http: [{{{more}, route: [{{destination: {{host: shop}}}}]}}]")


@object_rule(
    "GM2701",
    "CORS for everybody",
    Level.ERROR,
    suite="security",
    reads=("VirtualService",),
    references=("CWE-942", "OWASP API8:2023"),
    why="any web page can read answers in the name of your user",
    mend="name the origins with exact; write regexes with escaped dots",
    bad=_route("corsPolicy: {allowOrigins: [{regex: '.*'}], allowCredentials: true}"),
    good=_route("corsPolicy: {allowOrigins: [{exact: 'https://www.example.com'}], allowCredentials: true}"),
)
def check_cors(document: Document) -> Iterator[Problem]:
    """Wide origins together with credentials."""
    for i, route in dicts(document.spec.get("http")):
        cors = mapping(route.get("corsPolicy"))
        if cors.get("allowCredentials") is not True:
            continue
        for o, origin in dicts(cors.get("allowOrigins")):
            pattern = str(origin.get("regex") or "")
            wide = (
                origin.get("exact") == "*"
                or pattern in (".*", ".+", "^.*$")
                or origin.get("prefix") in ("http", "https://", "http://")
            )
            if wide or re.search(r"(?<!\\)\.(?![*+?\\])(com|org|net|io|de)", pattern):
                path: Path = ("spec", "http", i, "corsPolicy", "allowOrigins", o)
                yield Problem(document, path, "this origin fits pages of others too, and credentials are allowed")


@object_rule(
    "GM2702",
    "fault left in production",
    Level.WARNING,
    suite="security",
    reads=("VirtualService",),
    why="requests are delayed or refused on purpose",
    mend="remove the fault, or keep it in a test environment",
    bad=_route("fault: {abort: {httpStatus: 503, percentage: {value: 100}}}"),
    good=_route("timeout: 5s"),
)
def check_faults(document: Document) -> Iterator[Problem]:
    """Faults that hold for all callers."""
    for i, route in dicts(document.spec.get("http")):
        if route.get("fault") and not any(match.get("headers") for _, match in dicts(route.get("match"))):
            yield Problem(document, ("spec", "http", i, "fault"), "a fault is injected for every request", at_key=True)


_TRUSTED = frozenset({"x-forwarded-client-cert", "authorization", "x-forwarded-for", "x-envoy-external-address"})
_PROTECTING = frozenset({"strict-transport-security", "content-security-policy", "x-frame-options"})


@object_rule(
    "GM2703",
    "route that writes identity headers",
    Level.WARNING,
    suite="security",
    reads=("VirtualService",),
    references=("CWE-290",),
    why="the service behind takes the header for the caller's identity",
    mend="let the proxy write it",
    bad=_route("headers: {request: {set: {x-forwarded-client-cert: 'By=me'}}}"),
    good=_route("headers: {request: {remove: [x-internal]}}"),
)
def check_identity_headers(document: Document) -> Iterator[Problem]:
    """Set and add of headers that carry identity."""
    for i, route in dicts(document.spec.get("http")):
        request = mapping(mapping(route.get("headers")).get("request"))
        for key in ("set", "add"):
            for name in mapping(request.get(key)):
                if name.lower() in _TRUSTED:
                    path: Path = ("spec", "http", i, "headers", "request", key, name)
                    yield Problem(document, path, f"{name} is written by the route", at_key=True)


field_rule(
    "GM2707",
    "protection of browsers taken out of answers",
    Level.WARNING,
    "spec.http[].headers.response.remove[] spec.http[].route[].headers.response.remove[]",
    lambda value: f"{value} is removed" if str(value).lower() in _PROTECTING else "",
    suite="security",
    profile="strict",
    reads=("VirtualService",),
    references=("CWE-693", "OWASP API8:2023"),
    why="the browser no longer refuses plain HTTP, foreign frames or foreign scripts",
    mend="leave the header, or set a better value",
    bad=_route("headers: {response: {remove: [strict-transport-security]}}"),
    good=_route("headers: {response: {remove: [server]}}"),
)
field_rule(
    "GM2706",
    "redirect to plain HTTP",
    Level.WARNING,
    "spec.http[].redirect.scheme spec.rules[].filters[].requestRedirect.scheme",
    lambda value: "the client goes on without TLS" if value == "http" else "",
    suite="security",
    reads=("VirtualService", "HTTPRoute"),
    references=("CWE-319",),
    why="what the client sends next, cookies too, can be read and changed on the way",
    mend="redirect to https",
    bad=example("VirtualService", "hosts: [shop], http: [{redirect: {authority: www.example.com, scheme: http}}]"),
    good=example("VirtualService", "hosts: [shop], http: [{redirect: {authority: www.example.com, scheme: https}}]"),
)


@rule(
    "GM2705",
    "copies of requests for somebody else",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("VirtualService",),
    references=("CWE-200",),
    why="whole requests, with tokens and personal data, go to another namespace or out of the cluster",
    mend="mirror within the namespace only",
    bad=_route("mirror: {host: spy.other.svc.cluster.local}"),
    good=_route("mirror: {host: shop-next}"),
)
def check_mirrors(mesh: Mesh) -> Iterator[Problem]:
    """Mirrors to hosts of other namespaces, or of none."""
    for document in mesh.of("VirtualService"):
        for pattern in ("spec.http[].mirror.host", "spec.http[].mirrors[].destination.host"):
            for path, host in places(document.body, pattern):
                key = mesh.service_key(str(host), document.namespace)
                if key is None or key[0] != document.namespace:
                    where = f"namespace {key[0]}" if key else "outside of the cluster"
                    yield Problem(document, path, f"{host} is {where}: it gets a copy of every request")
