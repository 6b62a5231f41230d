"""How far objects are seen: exportTo, Sidecars."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Problem, mapping, texts
from gitlab_mesh.core.analysis.names import nearest
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.rules.references import NOT_READ, missing
from gitlab_mesh.core.analysis.workloads import selector_of

__all__: list[str] = []

_EXPORTED = ("VirtualService", "DestinationRule", "ServiceEntry")


def _entry(scope: str) -> str:
    ports = "ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS"
    return example("ServiceEntry", f"hosts: [pay.example.com], {ports}, exportTo: [{scope}]", name="pay") + example(
        "Namespace", None, namespace="", name="web"
    )


@rule(
    "GM1107",
    "export to a namespace that does not exist",
    Level.WARNING,
    reads=(*_EXPORTED, "Namespace"),
    also=(NOT_READ,),
    references=("KIA0005",),
    why="nobody there sees the object, and those who were meant do not",
    mend="correct the namespace; '.' is the object's own, '*' is every one",
    bad=_entry("wbe"),
    good=_entry("web"),
)
def check_exports(mesh: Mesh) -> Iterator[Problem]:
    """Names in exportTo against the namespaces that were read, or are assumed."""
    known = {*mesh.namespaces, *mesh.options.assume_namespaces}
    for kind in _EXPORTED:
        for document in mesh.of(kind):
            for i, scope in texts(document.spec.get("exportTo")):
                if scope in (".", "*", "~", document.namespace) or scope in known or scope in mesh.service_namespaces:
                    continue
                near = nearest(scope, sorted(known))
                hint = f"did you mean {near}?" if near else ""
                message = f"namespace {scope} does not exist"
                yield missing(mesh, document, ("spec", "exportTo", i), message, surely=bool(near), hint=hint)


@rule(
    "GM1406",
    "default Sidecar of the mesh with a selector",
    Level.WARNING,
    reads=("Sidecar", "Pod", "Deployment"),
    references=("KIA1006",),
    why="in the root namespace only a Sidecar without selector is the mesh's default; this one holds for pods there",
    mend="remove the selector, or move it into the namespace of the pods",
    bad=example(
        "Sidecar", "workloadSelector: {labels: {app: shop}}, egress: [{hosts: [./*]}]", namespace="istio-system"
    ),
    good=example("Sidecar", "egress: [{hosts: [./*]}]", namespace="istio-system"),
)
def check_default(mesh: Mesh) -> Iterator[Problem]:
    """Sidecars of the root namespace that select no pod that was read there."""
    for document in mesh.within("Sidecar", mesh.options.root_namespace):
        selector = selector_of(document)
        if selector and not mesh.select(document.namespace, selector):
            yield Problem(document, ("spec", "workloadSelector"), "no pod of the root namespace has these labels")


@object_rule(
    "GM1407",
    "outbound policy that says nothing",
    Level.WARNING,
    reads=("Sidecar",),
    references=("KIA1007",),
    why="an empty outboundTrafficPolicy is REGISTRY_ONLY: hosts that nobody registered cannot be called any more",
    mend="write the mode: ALLOW_ANY or REGISTRY_ONLY",
    bad=example("Sidecar", "outboundTrafficPolicy: {}"),
    good=example("Sidecar", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"),
)
def check_outbound(document: Document) -> Iterator[Problem]:
    """OutboundTrafficPolicy without mode."""
    policy = document.spec.get("outboundTrafficPolicy")
    if isinstance(policy, dict) and not mapping(policy).get("mode"):
        yield Problem(
            document, ("spec", "outboundTrafficPolicy"), "no mode is written: it is REGISTRY_ONLY", at_key=True
        )
