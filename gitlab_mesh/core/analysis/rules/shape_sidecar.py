"""Sidecar: what Istio's webhook refuses beyond the schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.names import is_dns_label
from gitlab_mesh.core.analysis.registry import object_rule
from gitlab_mesh.core.analysis.rules.fields import (
    PROTOCOLS,
    check_labels,
    host_problem,
    is_ip,
    namespaced_host_problem,
    port_problem,
)
from gitlab_mesh.core.analysis.rules.shape_destinationrule import pool_problems
from gitlab_mesh.core.analysis.rules.shape_gateway import tls_problems

__all__: list[str] = []

_REJECTED = "Istio's admission webhook refuses the object, so the change never arrives"
_HEAD = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: shop, namespace: shop}\nspec:\n"
_ENDPOINT = re.compile(r"(127\.0\.0\.1|0\.0\.0\.0|\[::1\]|\[::\]|):(\d+)")


@object_rule(
    "GM0241",
    "Sidecar listener that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("Sidecar",),
    why=_REJECTED,
    mend="hosts have the form namespace/host; only the last egress listener may go without a port",
    bad=_HEAD + "  egress: [{hosts: [shop]}]\n",
    good=_HEAD + "  egress: [{hosts: [./*]}]\n",
)
def check_sidecar(document: Document) -> Iterator[Problem]:
    """Listeners, hosts, ports, binds, outbound policy."""
    spec = document.spec
    if not any(spec.get(key) for key in ("ingress", "egress", "outboundTrafficPolicy", "inboundConnectionPool")):
        if "workloadSelector" not in spec or not spec.get("workloadSelector"):
            yield Problem(document, ("spec",), "it says nothing: ingress, egress or outboundTrafficPolicy is needed")
        else:
            yield Problem(document, ("spec",), "it selects workloads and says nothing about them")
    labels = mapping(spec.get("workloadSelector")).get("labels")
    for key in mapping(labels):
        if not key or "*" in key:
            yield Problem(document, ("spec", "workloadSelector", "labels", key), f"{key!r} is no label name")
    yield from check_labels(document, ("spec", "workloadSelector", "labels"), labels)
    yield from _ingress(document)
    yield from _egress(document)
    yield from _outbound(document)
    pool = spec.get("inboundConnectionPool")
    if isinstance(pool, dict):
        for place, message in pool_problems(pool):
            yield Problem(document, ("spec", "inboundConnectionPool", *place), message)


def _ingress(document: Document) -> Iterator[Problem]:
    seen: set[Any] = set()
    for i, listener in dicts(document.spec.get("ingress")):
        path: Path = ("spec", "ingress", i)
        port = listener.get("port")
        if isinstance(port, dict):
            number = port.get("number")
            if port_problem(number):
                yield Problem(document, (*path, "port"), port_problem(number))
            elif number in seen:
                yield Problem(document, (*path, "port", "number"), f"two ingress listeners have port {number}")
            seen.add(number)
            yield from _protocol(document, path, port)
        yield from _bind(document, path, listener)
        endpoint = listener.get("defaultEndpoint")
        if endpoint and not _endpoint_fits(str(endpoint)):
            message = f"defaultEndpoint {endpoint!r} is not 127.0.0.1:PORT, 0.0.0.0:PORT or unix:///path"
            yield Problem(document, (*path, "defaultEndpoint"), message)
        yield from _ingress_tls(document, path, listener)


def _endpoint_fits(endpoint: str) -> bool:
    if endpoint.startswith("unix://"):
        return endpoint[7:8] in ("/", "@") and not endpoint.endswith("/")
    match = _ENDPOINT.fullmatch(endpoint)
    return bool(match) and not port_problem(int(match[2])) if match else False


def _ingress_tls(document: Document, path: Path, listener: dict[str, Any]) -> Iterator[Problem]:
    pool = listener.get("connectionPool")
    if isinstance(pool, dict):
        for place, message in pool_problems(pool):
            yield Problem(document, (*path, "connectionPool", *place), message)
    tls = listener.get("tls")
    if not isinstance(tls, dict):
        return
    protocol = str(mapping(listener.get("port")).get("protocol", "")).upper()
    if protocol not in ("HTTPS", "TLS"):
        yield Problem(document, (*path, "tls"), f"tls needs a port of protocol HTTPS or TLS, not {protocol}")
    mode = tls.get("mode", "PASSTHROUGH")
    if mode in ("ISTIO_MUTUAL", "AUTO_PASSTHROUGH"):
        yield Problem(document, (*path, "tls", "mode"), f"an ingress listener cannot have tls mode {mode}")
    for key in ("credentialName", "credentialNames", "subjectAltNames", "httpsRedirect"):
        if tls.get(key):
            yield Problem(document, (*path, "tls", key), f"{key} does not work on a sidecar", at_key=True)
    if not tls.get("credentialName") and mode != "ISTIO_MUTUAL":
        for place, message in tls_problems(tls):
            yield Problem(document, (*path, "tls", *place), message)


def _protocol(document: Document, path: Path, port: dict[str, Any]) -> Iterator[Problem]:
    protocol = port.get("protocol")
    if protocol and str(protocol).upper() not in PROTOCOLS:
        yield Problem(document, (*path, "port", "protocol"), f"protocol {protocol!r} is not known")
    name = port.get("name")
    if name and not is_dns_label(str(name)):
        yield Problem(document, (*path, "port", "name"), f"{name!r} is no name for a port")


def _bind(document: Document, path: Path, listener: dict[str, Any]) -> Iterator[Problem]:
    bind = listener.get("bind")
    if bind and not is_ip(str(bind)):
        yield Problem(document, (*path, "bind"), f"{bind!r} is no address")


def _egress(document: Document) -> Iterator[Problem]:
    listeners = dicts(document.spec.get("egress"))
    seen: set[Any] = set()
    for position, (i, listener) in enumerate(listeners):
        path: Path = ("spec", "egress", i)
        port = listener.get("port")
        if not isinstance(port, dict):
            if position < len(listeners) - 1:
                message = "a listener without a port must be the last one: nothing reaches those after it"
                yield Problem(document, path, message)
        else:
            yield from _egress_port(document, path, listener, port, seen)
        if not listener.get("hosts"):
            yield Problem(document, path, "an egress listener needs at least one host")
        for h, host in texts(listener.get("hosts")):
            problem = namespaced_host_problem(host, slash_required=True, scopes=(".", "*", "~"))
            if problem:
                yield Problem(document, (*path, "hosts", h), problem)


def _egress_port(
    document: Document, path: Path, listener: dict[str, Any], port: dict[str, Any], seen: set[Any]
) -> Iterator[Problem]:
    """A port with a number is bound to an address; one without belongs to a unix socket."""
    number, bind = port.get("number", 0), str(listener.get("bind") or "")
    yield from _protocol(document, path, port)
    key = number or bind
    if number:
        if port_problem(number):
            yield Problem(document, (*path, "port"), port_problem(number))
        if bind and not is_ip(bind):
            yield Problem(document, (*path, "bind"), f"{bind!r} is no address")
    elif not bind.startswith("unix://") or not _endpoint_fits(bind):
        yield Problem(document, (*path, "port"), "a port without a number needs bind: unix:///path")
    elif listener.get("captureMode", "DEFAULT") not in ("DEFAULT", "NONE"):
        yield Problem(document, (*path, "captureMode"), "a unix socket cannot be captured by iptables")
    if key in seen:
        yield Problem(document, (*path, "port"), f"two egress listeners have {key}")
    seen.add(key)


@object_rule(
    "GM0341",
    "egress host that another one covers",
    Level.WARNING,
    istio="IST0133",
    reads=("Sidecar",),
    why="the entry adds nothing; later versions of Istio will refuse it",
    mend="remove it",
    bad=_HEAD + "  egress: [{hosts: [./*, ./shop.example.com]}]\n",
    good=_HEAD + "  egress: [{hosts: [./*]}]\n",
)
def check_duplicates(document: Document) -> Iterator[Problem]:
    """Hosts of one listener that stand twice, or beside a wildcard of their namespace."""
    for i, listener in dicts(document.spec.get("egress")):
        seen: dict[str, set[str]] = {}
        for h, text in texts(listener.get("hosts")):
            namespace, slash, host = text.partition("/")
            if not slash:
                continue
            known = seen.setdefault("" if namespace == "." else namespace, set())
            if host in known or "*" in known or (host == "*" and known):
                yield Problem(document, ("spec", "egress", i, "hosts", h), f"{text} is covered by another entry")
            known.add(host)
        if "*" in seen.get("*", ()) and len(seen) > 1:
            message = "*/* selects everything: no other hosts can be added"
            yield Problem(document, ("spec", "egress", i, "hosts"), message)


def _outbound(document: Document) -> Iterator[Problem]:
    policy = document.spec.get("outboundTrafficPolicy")
    proxy = mapping(policy).get("egressProxy")
    if not isinstance(proxy, dict):
        return
    path: Path = ("spec", "outboundTrafficPolicy", "egressProxy")
    if mapping(policy).get("mode", "REGISTRY_ONLY") != "ALLOW_ANY":
        yield Problem(document, path, "egressProxy works with mode ALLOW_ANY only")
    host = str(proxy.get("host", ""))
    if host_problem(host) or "." not in host or "*" in host:
        yield Problem(document, (*path, "host"), f"{host!r} is no whole DNS name")
    if port_problem(mapping(proxy.get("port")).get("number")):
        yield Problem(document, path, "egressProxy needs a port number")
