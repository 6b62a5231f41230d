"""Mutual TLS on the side of the client: what keeps sidecars from using it."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, mapping
from gitlab_mesh.core.analysis.places import field_rule
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.shape_destinationrule import traffic_policies

__all__: list[str] = []

_NSA = ("NSA-CISA Kubernetes Hardening: encryption in transit", "NIST SP 800-204A")


def _rule(mode: str, more: str = "") -> str:
    return example("DestinationRule", f"host: shop, trafficPolicy: {{tls: {{mode: {mode}{more}}}}}")


def _modes(mesh: Mesh) -> Iterator[tuple[Document, Path, str, str]]:
    """Yield (DestinationRule, path, host, mode) of every TLS setting for a host of the mesh.

    Istio's own namespace is none: istiod serves TLS without a sidecar.
    """
    suffix = f".svc.{mesh.options.cluster_domain}"
    istio = f".{mesh.options.root_namespace}{suffix}"
    for document in mesh.of("DestinationRule"):
        host = document.spec.get("host")
        if not isinstance(host, str):
            continue
        name = mesh.fqdn(host, document.namespace)
        if (name.endswith(suffix) and not name.endswith(istio)) or host in ("*", "*.local"):
            for path, policy in traffic_policies(document):
                mode = mapping(policy.get("tls")).get("mode")
                if isinstance(mode, str):
                    yield document, (*path, "tls", "mode"), host, mode


@rule(
    "GM2004",
    "mTLS switched off on the client's side",
    Level.ERROR,
    suite="security",
    reads=("DestinationRule",),
    why="sidecars send plaintext (or TLS without identity) to this host; under STRICT its requests fail",
    mend="remove tls, or write ISTIO_MUTUAL: Istio uses mTLS by itself where both sides can",
    references=_NSA,
    bad=_rule("DISABLE"),
    good=_rule("ISTIO_MUTUAL"),
)
def check_client_side(mesh: Mesh) -> Iterator[Problem]:
    """tls.mode DISABLE or SIMPLE to hosts of the cluster."""
    for document, path, host, mode in _modes(mesh):
        if mode in ("DISABLE", "SIMPLE"):
            yield Problem(document, path, f"requests to {host} go without mTLS ({mode})")


@rule(
    "GM2008",
    "certificates of one's own instead of Istio's",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("DestinationRule",),
    why="the caller has no identity of the mesh: policies by principal or namespace do not know it, nobody rotates it",
    mend="write ISTIO_MUTUAL, or remove tls",
    references=_NSA,
    bad=_rule("MUTUAL", ", clientCertificate: /c.pem, privateKey: /k.pem, caCertificates: /ca.pem"),
    good=_rule("ISTIO_MUTUAL"),
)
def check_own_certificates(mesh: Mesh) -> Iterator[Problem]:
    """tls.mode MUTUAL to hosts of the cluster."""
    for document, path, host, mode in _modes(mesh):
        if mode == "MUTUAL":
            yield Problem(document, path, f"requests to {host} carry a certificate that Istio did not issue")


field_rule(
    "GM2009",
    "automatic mTLS switched off",
    Level.ERROR,
    "enableAutoMtls spec.meshConfig.enableAutoMtls",
    lambda value: "sidecars send plaintext wherever no DestinationRule says ISTIO_MUTUAL" if value is False else "",
    suite="security",
    reads=("MeshConfig", "IstioOperator"),
    why="what is not configured host by host travels readable, and fails under STRICT",
    mend="remove the setting: true is the default",
    references=_NSA,
    bad="enableAutoMtls: false\ntrustDomain: cluster.local\n",
    good="enableAutoMtls: true\ntrustDomain: cluster.local\n",
)
