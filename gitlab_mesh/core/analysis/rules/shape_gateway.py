"""Gateway: what Istio's webhook refuses beyond the schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, texts
from gitlab_mesh.core.analysis.registry import object_rule
from gitlab_mesh.core.analysis.rules.fields import (
    PROTOCOLS,
    check_labels,
    is_ip,
    namespaced_host_problem,
    port_problem,
)

__all__ = ["CIPHERS", "tls_problems"]

_REJECTED = "Istio's admission webhook refuses the object, so the change never arrives"
_HEAD = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: shop, namespace: shop}\nspec:\n"
_TLS = frozenset({"HTTPS", "TLS"})
_HTTP = frozenset({"HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-WEB"})
CIPHERS = frozenset(
    [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA",
        "ECDHE-RSA-AES128-CBC-SHA256",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA",
        "AES256-SHA",
        "DES-CBC3-SHA",
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
    ]
)


@object_rule(
    "GM0221",
    "Gateway server that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("Gateway",),
    why=_REJECTED,
    mend="each server has a port with number, name and protocol, and at least one whole host",
    bad=_HEAD + "  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop]}]\n",
    good=_HEAD + "  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}]\n",
)
def check_servers(document: Document) -> Iterator[Problem]:
    """Ports, hosts, binds."""
    if not document.spec.get("servers"):
        yield Problem(document, ("spec",), "a Gateway needs at least one server")
    yield from check_labels(document, ("spec", "selector"), document.spec.get("selector"))
    names: set[str] = set()
    for i, server in dicts(document.spec.get("servers")):
        path: Path = ("spec", "servers", i)
        if not server.get("hosts"):
            yield Problem(document, path, "a server needs at least one host")
        for h, host in texts(server.get("hosts")):
            problem = namespaced_host_problem(host, slash_required=False, scopes=(".", "*"))
            if problem:
                yield Problem(document, (*path, "hosts", h), problem)
        yield from _port(document, path, server.get("port"), names)
        bind = server.get("bind")
        if bind and not is_ip(bind):
            yield Problem(document, (*path, "bind"), f"{bind!r} is no address")


def _port(document: Document, path: Path, port: Any, names: set[str]) -> Iterator[Problem]:
    if not isinstance(port, dict):
        return
    if port_problem(port.get("number")):
        yield Problem(document, (*path, "port"), port_problem(port.get("number")))
    protocol = str(port.get("protocol", "")).upper()
    if protocol not in PROTOCOLS:
        yield Problem(document, (*path, "port", "protocol"), f"protocol {port.get('protocol')!r} is not known")
    name = port.get("name")
    if not name:
        yield Problem(document, (*path, "port"), "the port has no name")
    elif name in names:
        yield Problem(document, (*path, "port", "name"), f"two servers have a port named {name}")
    names.add(str(name))


@object_rule(
    "GM0222",
    "Gateway TLS that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("Gateway",),
    why=_REJECTED,
    mend="give SIMPLE and MUTUAL a certificate (credentialName), and plain HTTP at most httpsRedirect",
    bad=_HEAD + "  servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example.com]}]\n",
    good=_HEAD + "  servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example.com], "
    "tls: {mode: SIMPLE, credentialName: shop-tls}}]\n",
)
def check_tls(document: Document) -> Iterator[Problem]:
    """TLS settings against the protocol."""
    for i, server in dicts(document.spec.get("servers")):
        path: Path = ("spec", "servers", i)
        port = server.get("port")
        protocol = str(port.get("protocol", "")).upper() if isinstance(port, dict) else ""
        tls = server.get("tls")
        if protocol in _TLS and tls is None:
            yield Problem(document, path, f"protocol {protocol} needs tls settings")
        if not isinstance(tls, dict):
            continue
        if protocol and protocol not in _TLS:
            others = [key for key, value in tls.items() if value and key != "httpsRedirect"]
            if protocol in _HTTP and others:
                message = f"a server of plain {protocol} can have httpsRedirect only, no {others[0]}"
                yield Problem(document, (*path, "tls", others[0]), message)
            elif protocol not in _HTTP:
                yield Problem(document, (*path, "tls"), f"a server of protocol {protocol} has no tls settings")
            continue
        for place, message in tls_problems(tls):
            yield Problem(document, (*path, "tls", *place), message)


def tls_problems(tls: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong with a server's TLS settings."""
    mode = tls.get("mode", "PASSTHROUGH")
    credential = tls.get("credentialName") or tls.get("credentialNames") or tls.get("tlsCertificates")
    files = [key for key in ("serverCertificate", "privateKey", "caCertificates") if tls.get(key)]
    if mode == "ISTIO_MUTUAL":
        for key in (*files, *(("credentialName",) if tls.get("credentialName") else ())):
            yield (key,), f"mode ISTIO_MUTUAL uses Istio's certificates; {key} is not allowed"
        if tls.get("subjectAltNames"):
            yield ("subjectAltNames",), "mode ISTIO_MUTUAL takes no subjectAltNames"
        return
    if mode in ("PASSTHROUGH", "AUTO_PASSTHROUGH"):
        return
    if tls.get("credentialName") and files and mode == "SIMPLE" and "serverCertificate" in files:
        yield ("serverCertificate",), "credentialName and serverCertificate exclude one another"
    if credential:
        return
    for key in ("serverCertificate", "privateKey"):
        if not tls.get(key):
            yield (), f"mode {mode} needs {key} (or credentialName)"
    if mode in ("MUTUAL", "OPTIONAL_MUTUAL") and not tls.get("caCertificates"):
        yield (), f"mode {mode} needs caCertificates (or credentialName)"


@object_rule(
    "GM0321",
    "TLS settings that are weak or ignored",
    Level.WARNING,
    istio="IST0133",
    reads=("Gateway",),
    why="Istio takes the object and leaves these settings out, or serves TLS that clients refuse",
    mend="use TLSV1_2 or newer and ciphers that Envoy knows, each once",
    bad=_HEAD + "  servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example.com], "
    "tls: {mode: SIMPLE, credentialName: shop-tls, minProtocolVersion: TLSV1_0}}]\n",
    good=_HEAD + "  servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example.com], "
    "tls: {mode: SIMPLE, credentialName: shop-tls, minProtocolVersion: TLSV1_2}}]\n",
)
def check_weak_tls(document: Document) -> Iterator[Problem]:
    """Versions, ciphers, certificates that a mode ignores."""
    for i, server in dicts(document.spec.get("servers")):
        path: Path = ("spec", "servers", i, "tls")
        tls = server.get("tls")
        if not isinstance(tls, dict):
            continue
        for key in ("minProtocolVersion", "maxProtocolVersion"):
            if tls.get(key) in ("TLSV1_0", "TLSV1_1"):
                message = f"{tls[key]} needs ciphers that are off by default"
                yield Problem(document, (*path, key), message)
        seen: set[str] = set()
        for c, cipher in texts(tls.get("cipherSuites")):
            if cipher not in CIPHERS:
                yield Problem(document, (*path, "cipherSuites", c), f"cipher {cipher} is not known and left out")
            elif cipher in seen:
                yield Problem(document, (*path, "cipherSuites", c), f"cipher {cipher} stands twice")
            seen.add(cipher)
        if tls.get("mode", "PASSTHROUGH") in ("PASSTHROUGH", "AUTO_PASSTHROUGH"):
            for key in ("serverCertificate", "privateKey", "caCertificates", "credentialName"):
                if tls.get(key) and not tls.get("httpsRedirect"):
                    message = f"mode {tls.get('mode', 'PASSTHROUGH')} does not use {key}"
                    yield Problem(document, (*path, key), message)
