"""Gateway: workloads, ports, certificates, conflicts with other Gateways."""

from __future__ import annotations

import base64
import binascii
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.certificates import certificate_fault
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.references import NOT_READ, missing
from gitlab_mesh.core.analysis.rules.route_gateways import gateway_selector
from gitlab_mesh.core.analysis.workloads import Workload, matches

__all__: list[str] = []

_GATEWAY = (
    "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: edge}\n"
    "spec: {selector: {istio: edge}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, "
    "hosts: [shop.example.com], tls: {mode: SIMPLE, credentialName: shop-tls}}]}\n"
)
_POD = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: edge, namespace: edge, labels: {istio: edge}}\n"
_SERVICE = (
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: edge, namespace: edge}\n"
    "spec: {selector: {istio: edge}, ports: [{port: 443, targetPort: 443, name: https}]}\n"
)


@rule(
    "GM0183",
    "Gateway that no pod serves",
    Level.ERROR,
    istio="IST0101",
    reads=("Gateway", "Pod", "Deployment"),
    also=(NOT_READ,),
    why="the servers of this Gateway listen nowhere",
    mend="correct spec.selector: it must match the labels of the gateway's pods",
    bad=_GATEWAY.replace("istio: edge", "istio: egde") + _POD,
    good=_GATEWAY + _POD,
)
def check_workload(mesh: Mesh) -> Iterator[Problem]:
    """The selector picks pods."""
    proxies = any("istio" in item.labels for item in mesh.workloads)
    for document in mesh.of("Gateway"):
        selector = gateway_selector(document)
        if not mesh.select(None, selector):
            shown = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
            yield missing(mesh, document, ("spec", "selector"), f"no pod has the labels {shown}", surely=proxies)


def _service_ports(mesh: Mesh, workloads: list[Workload]) -> set[int] | None:
    """Return the ports of the pods that Services open; None if no Service selects them."""
    ports: set[int] | None = None
    for service in mesh.of("Service"):
        selector = mapping(service.spec.get("selector"))
        if not selector:
            continue
        for workload in workloads:
            if workload.namespace == service.namespace and matches(selector, workload.labels):
                ports = ports or set()
                for port in mesh.service_ports(service):
                    if port.get("protocol", "TCP") in ("", "TCP", "HTTP"):
                        ports |= _targets(port, workload)
                break
    return ports


def _targets(port: dict[str, Any], workload: Workload) -> set[int]:
    target = port.get("targetPort")
    if isinstance(target, int) and target:
        return {target, port.get("port", 0)}  # Istio leads a server's port through the Service's own mapping too
    if isinstance(target, str):
        named = {
            item["containerPort"]
            for _, container in workload.containers
            for _, item in dicts(container.get("ports"))
            if item.get("name") == target and isinstance(item.get("containerPort"), int)
        }
        return named or {port.get("port", 0)}
    return {port.get("port", 0)}


@rule(
    "GM0162",
    "Gateway port that its Service does not open",
    Level.WARNING,
    istio="IST0162",
    reads=("Gateway", "Service", "Pod", "Deployment"),
    why="the gateway listens, but nobody reaches this port through its Service",
    mend="add a port with this targetPort to the Service of the gateway, or correct the number",
    bad=_GATEWAY.replace("number: 443", "number: 8443") + _POD + _SERVICE,
    good=_GATEWAY + _POD + _SERVICE,
)
def check_ports(mesh: Mesh) -> Iterator[Problem]:
    """Server ports against the target ports of the Services that select the gateway's pods."""
    for document in mesh.of("Gateway"):
        workloads = mesh.select(None, gateway_selector(document))
        ports = _service_ports(mesh, workloads) if workloads else None
        if ports is None:
            continue
        for i, server in dicts(document.spec.get("servers")):
            number = mapping(server.get("port")).get("number")
            if isinstance(number, int) and number not in ports:
                shown = ", ".join(str(port) for port in sorted(ports))
                message = f"no Service of the gateway's pods leads to port {number}; they lead to {shown}"
                yield Problem(document, ("spec", "servers", i, "port", "number"), message)


@rule(
    "GM0145",
    "Gateways that take the same host and port",
    Level.ERROR,
    istio="IST0145",
    reads=("Gateway", "Pod", "Deployment"),
    why="one pod can serve only one of them; which one depends on their age",
    mend="merge the servers, or give them different hosts, ports or pods",
    bad=_GATEWAY + "---\n" + _GATEWAY.replace("name: edge,", "name: other,"),
    good=_GATEWAY + "---\n" + _GATEWAY.replace("name: edge,", "name: other,").replace("shop.example", "pay.example"),
)
def check_conflicts(mesh: Mesh) -> Iterator[Problem]:
    """The same pods, port, bind and host in two Gateways."""
    claims: dict[tuple[Any, ...], list[tuple[Document, Path]]] = defaultdict(list)
    clashes: dict[tuple[Any, ...], tuple[Document, Path, Any, list[str], set[str]]] = {}
    for document in mesh.of("Gateway"):
        for i, server in dicts(document.spec.get("servers")):
            number = mapping(server.get("port")).get("number")
            for h, host in texts(server.get("hosts")):
                claims[number, server.get("bind", ""), host].append((document, ("spec", "servers", i, "hosts", h)))
    for (number, _, host), found in claims.items():
        if len({item.full_name for item, _ in found}) < 2:
            continue
        for document, path in found:
            own = document.full_name
            others = {
                item.full_name for item, _ in found if item.full_name != own and _share_pods(mesh, document, item)
            }
            if others:
                entry = clashes.setdefault((id(document), path[:3]), (document, path, number, [], set()))
                entry[3].append(host)
                entry[4].update(others)
    for document, path, number, hosts, names in clashes.values():
        server = document.spec["servers"][path[2]]
        plain = str(mapping(server.get("port")).get("protocol", "")).upper() in ("HTTP", "HTTP2", "GRPC")
        message = f"{', '.join(hosts)} on port {number} is taken by {', '.join(sorted(names))} too, on the same pods"
        # plain HTTP servers of one port are merged, so their routes still work
        yield Problem(document, path, message, level=Level.WARNING if plain else None)


def _share_pods(mesh: Mesh, one: Document, other: Document) -> bool:
    first, second = gateway_selector(one), gateway_selector(other)
    if first == second:
        return True
    pods = {id(item) for item in mesh.select(None, first)}
    return any(id(item) in pods for item in mesh.select(None, second))


@rule(
    "GM0138",
    "one certificate on several Gateways",
    Level.WARNING,
    istio="IST0138",
    reads=("Gateway",),
    why="a browser reuses an HTTP/2 connection for all hosts of the certificate and gets 404 from the other Gateway",
    mend="serve the hosts from one Gateway, or give each its own certificate",
    bad=_GATEWAY + "---\n" + _GATEWAY.replace("name: edge,", "name: other,").replace("shop.example", "pay.example"),
    good=_GATEWAY
    + "---\n"
    + _GATEWAY.replace("name: edge,", "name: other,")
    .replace("shop.example", "pay.example")
    .replace("shop-tls", "pay-tls"),
)
def check_certificates(mesh: Mesh) -> Iterator[Problem]:
    """A credential, or certificate and key files, used by Gateways whose selectors overlap."""
    users: dict[tuple[str, ...], list[tuple[Document, Path]]] = defaultdict(list)
    for document in mesh.of("Gateway"):
        for i, server in dicts(document.spec.get("servers")):
            tls = mapping(server.get("tls"))
            path: Path = ("spec", "servers", i, "tls")
            if tls.get("credentialName"):
                users["credential", str(tls["credentialName"])].append((document, (*path, "credentialName")))
            elif tls.get("serverCertificate") and tls.get("privateKey"):
                files = ("files", str(tls["serverCertificate"]), str(tls["privateKey"]))
                users[files].append((document, (*path, "serverCertificate")))
    for key, found in users.items():
        for document, path in found:
            selector = gateway_selector(document)
            others = sorted(
                {
                    item.full_name
                    for item, _ in found
                    if item is not document and matches(selector, gateway_selector(item))
                }
            )
            if others:
                yield Problem(document, path, f"certificate {key[1]} is served by {', '.join(others)} too")


@rule(
    "GM0184",
    "certificate Secret that does not exist",
    Level.ERROR,
    istio="IST0101",
    reads=("Gateway", "Secret", "Pod", "Deployment"),
    also=(NOT_READ,),
    why="the listener has no certificate: the gateway refuses every TLS connection",
    mend="create the Secret in the namespace of the gateway's pods",
    bad=_GATEWAY.replace("shop-tls", "shpo-tls")
    + _POD
    + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, namespace: edge}\n",
    good=_GATEWAY + _POD + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, namespace: edge}\n",
)
def check_secrets(mesh: Mesh) -> Iterator[Problem]:
    """CredentialName against the Secrets beside the gateway's pods."""
    secrets = {(item.namespace, item.name) for item in mesh.of("Secret")}
    for document, path, name, namespace in _credentials(mesh):
        if name.startswith(("kubernetes://", "configmap://")) or (namespace, name) in secrets:
            continue
        surely = any(space == namespace for space, _ in secrets)
        message = f"Secret {namespace}/{name} does not exist"
        yield missing(mesh, document, path, message, surely=surely)


def _credentials(mesh: Mesh) -> Iterator[tuple[Document, Path, str, str]]:
    for document in mesh.of("Gateway"):
        workloads = mesh.select(None, gateway_selector(document))
        namespace = workloads[0].namespace if workloads else ""
        if not workloads:
            continue
        for i, server in dicts(document.spec.get("servers")):
            tls = mapping(server.get("tls"))
            if tls.get("credentialName") and tls.get("mode", "PASSTHROUGH") != "ISTIO_MUTUAL":
                yield document, ("spec", "servers", i, "tls", "credentialName"), str(tls["credentialName"]), namespace


@rule(
    "GM0161",
    "certificate Secret that cannot be used",
    Level.ERROR,
    istio="IST0161",
    reads=("Gateway", "Secret", "Pod", "Deployment"),
    why="the gateway cannot load the certificate and refuses every TLS connection",
    mend="store certificate and key as PEM in tls.crt and tls.key",
    bad=_GATEWAY
    + _POD
    + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, namespace: edge}\ndata: {tls.crt: aGVsbG8=, tls.key: aGVsbG8=}\n",
    good=_GATEWAY + _POD + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, namespace: edge}\n",
)
def check_certificate_content(mesh: Mesh) -> Iterator[Problem]:
    """Certificate and key in the Secret."""
    secrets = {(item.namespace, item.name): item for item in mesh.of("Secret")}
    for document, path, name, namespace in _credentials(mesh):
        secret = secrets.get((namespace, name))
        if secret is not None:
            problem = _certificate_problem(secret, mesh.options.today)
            if problem:
                yield Problem(document, path, f"Secret {namespace}/{name} {problem}")


_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+?)-----END \1-----")
_CERTIFICATE, _KEY = ("tls.crt", "cert"), ("tls.key", "key")


def _certificate_problem(secret: Document, today: str) -> str:
    """Say why a Secret is no certificate that can be served; a Secret without content is left alone."""
    data, plain = mapping(secret.body.get("data")), mapping(secret.body.get("stringData"))
    if not data and not plain:
        return ""  # repositories rarely hold the content
    blocks: list[bytes] = []
    for names, word in ((_CERTIFICATE, "CERTIFICATE"), (_KEY, "PRIVATE KEY")):
        name = next((item for item in names if data.get(item) or plain.get(item)), "")
        if not name:
            return f"has no {names[0]}"
        content = plain[name].encode() if isinstance(plain.get(name), str) else _decode(data.get(name))
        found = _PEM.search(content or b"")
        block = _decode(re.sub(rb"\s", b"", found[2]).decode()) if found else None
        if not found or not found[1].decode().endswith(word) or block is None:
            return f"has a {name} that is no PEM {word.lower()}"
        blocks.append(block)
    try:
        return certificate_fault(blocks[0], blocks[1], today)
    except (IndexError, ValueError):
        return "has a certificate that cannot be decoded"


def _decode(text: Any) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        return None
