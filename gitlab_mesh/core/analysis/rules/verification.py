"""DestinationRules with TLS that verifies nothing, by the level that says it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, mapping
from gitlab_mesh.core.analysis.registry import object_rule
from gitlab_mesh.core.analysis.rules.shape_destinationrule import traffic_policies

__all__: list[str] = []


def _unverified(document: Document, wanted: Callable[[Path], bool]) -> Iterator[Problem]:
    selected = mapping(document.spec.get("workloadSelector")).get("matchLabels")
    for path, policy in traffic_policies(document):
        tls = mapping(policy.get("tls"))
        verified = tls.get("caCertificates") or (tls.get("credentialName") and selected)
        if wanted(path) and tls.get("mode") in ("SIMPLE", "MUTUAL") and not verified:
            host, port = document.spec.get("host"), mapping(policy.get("port")).get("number")
            where = host if port is None else f"port {port} of {host}"
            yield Problem(document, (*path, "tls"), f"mode {tls['mode']} to {where} verifies nothing")


def _register(code: str, istio: str, title: str, form: str, wanted: Callable[[Path], bool]) -> None:
    def shown(tls: str) -> str:
        return example("DestinationRule", f"host: pay.example.com, {form % tls}")

    @object_rule(
        code,
        title,
        Level.WARNING,
        istio=istio,
        reads=("DestinationRule",),
        why="the proxy encrypts, but takes any certificate: whoever is in between can read and answer",
        mend="name caCertificates (system, or a file), and subjectAltNames",
        bad=shown("tls: {mode: SIMPLE}"),
        good=shown("tls: {mode: SIMPLE, caCertificates: system}"),
    )
    def check(document: Document) -> Iterator[Problem]:
        return _unverified(document, wanted)


_register(
    "GM0128",
    "IST0128",
    "TLS to a server that is not verified",
    "trafficPolicy: {%s}",
    lambda path: "subsets" not in path and "portLevelSettings" not in path,
)
_register(
    "GM0129",
    "IST0129",
    "TLS on a port to a server that is not verified",
    "trafficPolicy: {portLevelSettings: [{port: {number: 443}, %s}]}",
    lambda path: "subsets" not in path and "portLevelSettings" in path,
)
_register(
    "GM1128",
    "",
    "TLS of a subset to a server that is not verified",
    "subsets: [{name: v1, trafficPolicy: {%s}}]",
    lambda path: "subsets" in path,  # Istio's own analyzer does not look there
)
