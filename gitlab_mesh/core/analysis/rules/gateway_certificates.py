"""Gateways: the certificates that they name."""

from __future__ import annotations

import base64
import binascii
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.certificates import certificate_fault
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.gateways import GATEWAY_EXAMPLE
from gitlab_mesh.core.analysis.rules.references import NOT_READ, missing
from gitlab_mesh.core.analysis.rules.route_gateways import gateway_selector
from gitlab_mesh.core.analysis.workloads import matches

__all__: list[str] = []

_POD = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: edge, namespace: edge, labels: {istio: edge}}\n"


@rule(
    "GM0138",
    "one certificate on several Gateways",
    Level.WARNING,
    istio="IST0138",
    reads=("Gateway",),
    why="a browser reuses an HTTP/2 connection for all hosts of the certificate and gets 404 from the other Gateway",
    mend="serve the hosts from one Gateway, or give each its own certificate",
    bad=GATEWAY_EXAMPLE
    + "---\n"
    + GATEWAY_EXAMPLE.replace("name: edge,", "name: other,").replace("shop.example", "pay.example"),
    good=GATEWAY_EXAMPLE
    + "---\n"
    + GATEWAY_EXAMPLE.replace("name: edge,", "name: other,")
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
    bad=GATEWAY_EXAMPLE.replace("shop-tls", "shpo-tls")
    + _POD
    + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, namespace: edge}\n",
    good=GATEWAY_EXAMPLE + _POD + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, namespace: edge}\n",
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
    bad=GATEWAY_EXAMPLE
    + _POD
    + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, namespace: edge}\ndata: {tls.crt: aGVsbG8=, tls.key: aGVsbG8=}\n",
    good=GATEWAY_EXAMPLE + _POD + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, namespace: edge}\n",
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


_CERTIFICATE, _KEY = ("tls.crt", "cert"), ("tls.key", "key")
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+?)-----END \1-----")


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
