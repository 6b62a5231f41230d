"""The edge: Istio's gateways."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import example, pod_example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.names import covers
from gitlab_mesh.core.analysis.places import field_rule
from gitlab_mesh.core.analysis.registry import object_rule, rule

__all__: list[str] = []

_TRANSIT = ("OWASP API8:2023", "NSA-CISA Kubernetes Hardening: encryption in transit")


def _server(mode: str = "SIMPLE", host: str = "shop.example.com", *, version: str = "TLSV1_2", port: int = 443) -> str:
    tls = f"mode: {mode}, credentialName: tls, minProtocolVersion: {version}"
    name, protocol = ("tls", "TLS") if mode == "AUTO_PASSTHROUGH" else ("https", "HTTPS")
    tls = "mode: AUTO_PASSTHROUGH" if mode == "AUTO_PASSTHROUGH" else tls
    return f"{{port: {{number: {port}, name: {name}, protocol: {protocol}}}, hosts: ['{host}'], tls: {{{tls}}}}}"


def _gateway(*servers: str, name: str = "edge", namespace: str = "edge") -> str:
    spec = f"selector: {{istio: edge}}, servers: [{', '.join(servers)}]"
    return example("Gateway", spec, name=name, namespace=namespace)


field_rule(
    "GM2301",
    "gateway for every host",
    Level.WARNING,
    "spec.servers[].hosts[]",
    lambda value: f"host {value} takes everything" if value in ("*", "*/*") else "",
    suite="security",
    reads=("Gateway",),
    why="any VirtualService of any namespace can publish itself there",
    mend="name the hosts, with the namespaces that may use them (shop/shop.example.com)",
    bad=_gateway(_server(host="*")),
    good=_gateway(_server()),
)


@object_rule(
    "GM2302",
    "plain HTTP at the edge",
    Level.WARNING,
    suite="security",
    reads=("Gateway",),
    references=_TRANSIT,
    why="passwords and cookies cross the network readable",
    mend="set tls.httpsRedirect: true on the HTTP server, and serve HTTPS beside it",
    bad=_gateway("{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}"),
    good=_gateway(
        "{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com], tls: {httpsRedirect: true}}",
        _server(),
    ),
)
def check_plain(document: Document) -> Iterator[Problem]:
    """HTTP servers without a redirect."""
    for i, server in dicts(document.spec.get("servers")):
        protocol = str(mapping(server.get("port")).get("protocol", "")).upper()
        if protocol in ("HTTP", "HTTP2", "GRPC") and not mapping(server.get("tls")).get("httpsRedirect"):
            yield Problem(document, ("spec", "servers", i, "port", "protocol"), f"{protocol} without redirect to HTTPS")


_WEAK = re.compile(r"CBC|DES|RC4|MD5|(^|-)AES(128|256)-SHA$|-SHA$")


def _weak(value: object) -> str:
    if value in ("TLSV1_0", "TLSV1_1"):
        return f"{value} is accepted"
    return f"cipher {value} is weak" if isinstance(value, str) and _WEAK.search(value) else ""


field_rule(
    "GM2303",
    "weak TLS at the edge",
    Level.ERROR,
    "spec.servers[].tls.minProtocolVersion spec.servers[].tls.cipherSuites[]",
    _weak,
    suite="security",
    reads=("Gateway",),
    references=("CWE-326", "NIST SP 800-52r2"),
    why="old versions and ciphers can be broken",
    mend="set minProtocolVersion TLSV1_2 or TLSV1_3, and leave cipherSuites to the default",
    bad=_gateway(_server(version="TLSV1_1")),
    good=_gateway(_server()),
)
field_rule(
    "GM2304",
    "client certificates that are optional",
    Level.WARNING,
    "spec.servers[].tls.mode",
    lambda value: "client certificates are optional" if value == "OPTIONAL_MUTUAL" else "",
    suite="security",
    profile="strict",
    reads=("Gateway",),
    why="clients without a certificate are admitted too",
    mend="use MUTUAL, or check the certificate's presence in a policy",
    bad=_gateway(_server("OPTIONAL_MUTUAL")),
    good=_gateway(_server("MUTUAL")),
)


@object_rule(
    "GM2307",
    "every service of the mesh at the edge",
    Level.WARNING,
    suite="security",
    reads=("Gateway",),
    references=("OWASP API8:2023",),
    why="AUTO_PASSTHROUGH leads to any service that a client names by SNI: meant for other clusters of the mesh only",
    mend="keep it on port 15443 of an east-west gateway that the internet cannot reach, with hosts: ['*.local']",
    bad=_gateway(_server("AUTO_PASSTHROUGH", "*")),
    good=_gateway(_server("AUTO_PASSTHROUGH", "*.local", port=15443)),
)
def check_passthrough(document: Document) -> Iterator[Problem]:
    """AUTO_PASSTHROUGH on another port than Istio's own for it."""
    for i, server in dicts(document.spec.get("servers")):
        port = mapping(server.get("port")).get("number")
        if mapping(server.get("tls")).get("mode") == "AUTO_PASSTHROUGH" and port != 15443:
            path: Path = ("spec", "servers", i, "tls", "mode")
            yield Problem(document, path, f"port {port} leads to every service of the mesh")


def _tls_servers(mesh: Mesh) -> Iterator[tuple[Document, Path, object, str, str]]:
    """Yield (Gateway, path, what its port is, mode, host) of every host that is served with TLS."""
    for document in mesh.of("Gateway"):
        selector = str(sorted(mapping(document.spec.get("selector")).items()))
        for i, server in dicts(document.spec.get("servers")):
            where = (selector, mapping(server.get("port")).get("number"))
            mode = str(mapping(server.get("tls")).get("mode", ""))
            for h, host in texts(server.get("hosts")):
                yield document, ("spec", "servers", i, "hosts", h), where, mode, host.rpartition("/")[2]


@rule(
    "GM2308",
    "client certificate that a wildcard host gets around",
    Level.WARNING,
    suite="security",
    reads=("Gateway",),
    references=("CWE-287", "Istio common problems: 421 misdirected request"),
    why="a client connects to the wildcard host without a certificate and names the protected host in its request",
    mend="let a VirtualService of the wildcard server answer the protected host with 421, or use other ports",
    bad=_gateway(
        _server("MUTUAL", "admin.example.com"), _server(host="*.example.com").replace("name: https", "name: b")
    ),
    good=_gateway(
        _server("MUTUAL", "admin.example.com"), _server(host="shop.example.com").replace("name: https", "name: b")
    ),
)
def check_misdirected(mesh: Mesh) -> Iterator[Problem]:
    """Hosts with MUTUAL that a SIMPLE server of the same port covers."""
    simple = [item for item in _tls_servers(mesh) if item[3] == "SIMPLE"]
    for document, path, where, mode, host in _tls_servers(mesh):
        for other, _, place, _, pattern in simple if mode == "MUTUAL" else ():
            if place == where and covers(pattern, host):
                yield Problem(document, path, f"{other.full_name} serves {pattern} without client certificate there")
                break


@rule(
    "GM2309",
    "gateway configured from another namespace",
    Level.INFO,
    suite="security",
    profile="strict",
    reads=("Gateway", "Pod", "Deployment"),
    why="who may write Gateways in this namespace decides what those gateway pods open to the world",
    mend="keep Gateway and gateway pods in one namespace, and set PILOT_SCOPE_GATEWAY_TO_NAMESPACE",
    bad=_gateway(_server(), namespace="shop") + pod_example(labels="istio: edge", namespace="edge"),
    good=_gateway(_server()) + pod_example(labels="istio: edge", namespace="edge"),
)
def check_scope(mesh: Mesh) -> Iterator[Problem]:
    """Gateways whose pods all run elsewhere."""
    for document in mesh.of("Gateway"):
        selector = mapping(document.spec.get("selector"))
        pods = mesh.select(None, selector) if selector else []
        if pods and all(item.namespace != document.namespace for item in pods):
            yield Problem(document, ("spec", "selector"), f"its pods run in namespace {pods[0].namespace}")
