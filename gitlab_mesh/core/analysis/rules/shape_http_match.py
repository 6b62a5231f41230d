"""VirtualServices that Istio refuses: what a route matches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.names import covers, is_dns_label
from gitlab_mesh.core.analysis.regex import regex_problem
from gitlab_mesh.core.analysis.registry import object_rule
from gitlab_mesh.core.analysis.rules.fields import (
    check_labels,
    check_string_match,
    is_ip,
    is_subnet,
    port_problem,
    sni_problem,
)
from gitlab_mesh.core.analysis.rules.shape_virtualservice import gateway_problem

__all__: list[str] = []

_CLAIM = "@request.auth.claims"


_REJECTED = "Istio's admission webhook refuses the object, so the change never arrives"


_HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n"


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
        problem = sni_problem(document, sni)
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
