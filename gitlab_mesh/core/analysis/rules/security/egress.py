"""What leaves the mesh: TLS towards others, and where requests may go at all."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.names import covers
from gitlab_mesh.core.analysis.places import field_rule
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.rules.shape_destinationrule import traffic_policies

__all__: list[str] = []

_SEPARATION = ("OWASP API7:2023", "NSA-CISA Kubernetes Hardening: network separation")


def _rule(tls: str) -> str:
    return example(
        "DestinationRule", f"host: pay.example.com, trafficPolicy: {{tls: {{mode: SIMPLE, {tls}}}}}", name="pay"
    )


def _entry(spec: str, host: str = "pay.example.com") -> str:
    return example("ServiceEntry", f"hosts: ['{host}'], {spec}", name="pay")


@object_rule(
    "GM2401",
    "TLS that verifies nothing",
    Level.ERROR,
    suite="security",
    reads=("DestinationRule",),
    references=("CWE-295",),
    why="whoever is on the way can answer in the server's name",
    mend="remove insecureSkipVerify; name caCertificates and subjectAltNames",
    bad=_rule("insecureSkipVerify: true"),
    good=_rule("caCertificates: system"),
)
def check_skip_verify(document: Document) -> Iterator[Problem]:
    """InsecureSkipVerify."""
    for path, policy in traffic_policies(document):
        if mapping(policy.get("tls")).get("insecureSkipVerify") is True:
            yield Problem(document, (*path, "tls", "insecureSkipVerify"), "the server's certificate is not verified")


@object_rule(
    "GM2404",
    "certificate of any server accepted",
    Level.INFO,
    suite="security",
    profile="strict",
    reads=("DestinationRule",),
    references=("CWE-297",),
    why="whoever has some certificate of that authority can answer; which name is checked is left to defaults",
    mend="name subjectAltNames, or sni",
    bad=_rule("caCertificates: /etc/ca.pem"),
    good=_rule("caCertificates: /etc/ca.pem, subjectAltNames: [pay.example.com]"),
)
def check_names(document: Document) -> Iterator[Problem]:
    """SIMPLE and MUTUAL that name no server."""
    for path, policy in traffic_policies(document):
        tls = mapping(policy.get("tls"))
        named = tls.get("subjectAltNames") or tls.get("sni") or tls.get("insecureSkipVerify")
        if tls.get("mode") in ("SIMPLE", "MUTUAL") and not named:
            yield Problem(document, (*path, "tls"), "neither subjectAltNames nor sni say which server is meant")


field_rule(
    "GM2402",
    "egress to anywhere",
    Level.WARNING,
    "spec.outboundTrafficPolicy.mode outboundTrafficPolicy.mode spec.meshConfig.outboundTrafficPolicy.mode",
    lambda value: "every host may be called" if value == "ALLOW_ANY" else "",
    suite="security",
    reads=("Sidecar", "MeshConfig", "IstioOperator"),
    references=_SEPARATION,
    why="a taken-over pod can send data anywhere",
    mend="set outboundTrafficPolicy REGISTRY_ONLY, and name what is needed as ServiceEntry",
    bad=example("Sidecar", "outboundTrafficPolicy: {mode: ALLOW_ANY}"),
    good=example("Sidecar", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"),
)

_HTTP = "ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS"
_TLS = "ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS"


def _external(mesh: Mesh) -> Iterator[tuple[Document, int, str]]:
    """Yield (ServiceEntry, index, host) of hosts outside of the mesh."""
    for document in mesh.of("ServiceEntry"):
        if document.spec.get("location", "MESH_EXTERNAL") == "MESH_EXTERNAL":
            for i, host in texts(document.spec.get("hosts")):
                yield document, i, host


@rule(
    "GM2406",
    "plain HTTP to the outside",
    Level.WARNING,
    suite="security",
    reads=("ServiceEntry", "DestinationRule"),
    references=("CWE-319", "OWASP API10:2023"),
    why="requests to others cross the internet readable, and anybody on the way can answer them",
    mend="call https, or let the proxy add TLS: targetPort 443 and a DestinationRule with tls.mode SIMPLE",
    bad=_entry(_HTTP),
    good=_entry(_HTTP) + _rule("caCertificates: system"),
)
def check_plain(mesh: Mesh) -> Iterator[Problem]:
    """HTTP ports of external hosts to which no DestinationRule adds TLS."""
    secured = [
        str(document.spec.get("host"))
        for document in mesh.of("DestinationRule")
        if any(
            mapping(policy.get("tls")).get("mode") in ("SIMPLE", "MUTUAL") for _, policy in traffic_policies(document)
        )
    ]
    for document, i, host in _external(mesh):
        if _is_local(document):
            continue
        ports = [mapping(port) for port in document.spec.get("ports") or ()]
        plain = [port for port in ports if str(port.get("protocol", "")).upper() in ("HTTP", "HTTP2", "GRPC")]
        if plain and not any(covers(pattern, host) for pattern in secured):
            message = f"port {plain[0].get('number')} of {host} is called without TLS"
            yield Problem(document, ("spec", "hosts", i), message)


def _is_local(entry: Document) -> bool:
    """Say whether all of its endpoints are in the pod itself: an authorizer as a second container, say."""
    addresses = [str(item.get("address")) for _, item in dicts(entry.spec.get("endpoints"))]
    return bool(addresses) and all(address.startswith(("127.", "::1", "unix:")) for address in addresses)


_THROUGH = example(
    "VirtualService",
    "hosts: [pay.example.com], gateways: [mesh, egress], tls: [{match: [{port: 443, sniHosts: [pay.example.com]}], "
    "route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local}}]}]",
    name="pay",
)


@rule(
    "GM2407",
    "outside called by every pod itself",
    Level.INFO,
    suite="security",
    profile="strict",
    reads=("ServiceEntry", "VirtualService"),
    references=_SEPARATION,
    why="no one place sees or limits what leaves; a network policy cannot tell who is allowed",
    mend="route it through an egress gateway, and let only that leave the cluster",
    bad=_entry(_TLS),
    good=_entry(_TLS) + _THROUGH,
)
def check_egress_gateway(mesh: Mesh) -> Iterator[Problem]:
    """External hosts that no VirtualService leads through a gateway."""
    led = {
        host
        for document in mesh.of("VirtualService")
        if any(name != "mesh" for _, name in texts(document.spec.get("gateways")))
        for _, host in texts(document.spec.get("hosts"))
    }
    for document, i, host in _external(mesh):
        if not any(covers(pattern, host) for pattern in led):
            yield Problem(document, ("spec", "hosts", i), f"no VirtualService leads {host} through an egress gateway")
