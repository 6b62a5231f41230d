"""Annotations of Istio on Kubernetes' objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.mesh import SYSTEM_NAMESPACES, Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.names import nearest
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.annotation_table import ANNOTATIONS

__all__: list[str] = []

_KINDS = ("Namespace", "Service", "Pod", "Deployment")
_SET_BY_CNI = frozenset(
    {
        "sidecar.istio.io/interceptionMode",
        "traffic.sidecar.istio.io/includeInboundPorts",
        "traffic.sidecar.istio.io/excludeInboundPorts",
        "traffic.sidecar.istio.io/includeOutboundIPRanges",
    }
)
_POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop, annotations: {%s}}\n"
_SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: shop, annotations: {%s}}\nspec: {ports: [{port: 80, name: http}]}\n"


def _is_ours(key: str) -> bool:
    domain = key.partition("/")[0]
    return domain == "istio.io" or domain.endswith(".istio.io")


def _all(mesh: Mesh) -> Iterator[tuple[Document, Path, str, str, Any]]:
    """Yield (object, path, kind it would work on, annotation, value); templates count as pods."""
    for kind in _KINDS:
        for document in mesh.of(kind):
            if document.namespace in SYSTEM_NAMESPACES or document.name in SYSTEM_NAMESPACES:
                continue
            places: list[tuple[Path, str, dict[str, Any]]] = [(("metadata", "annotations"), kind, document.annotations)]
            if kind == "Deployment":
                template = mapping(mapping(document.spec.get("template")).get("metadata"))
                places.append(
                    (("spec", "template", "metadata", "annotations"), "Pod", mapping(template.get("annotations")))
                )
            for path, place, notes in places:
                for key, value in notes.items():
                    if place == "Pod" and key in _SET_BY_CNI and _by_cni(document):
                        continue
                    yield document, (*path, key), place, key, value


def _by_cni(document: Document) -> bool:
    return any(item.get("name") == "istio-validation" for _, item in dicts(document.spec.get("initContainers")))


@rule(
    "GM0107",
    "annotation on the wrong kind of object",
    Level.WARNING,
    istio="IST0107",
    reads=_KINDS,
    why="Istio does not look for it there: it has no effect",
    mend="move it; what is for pods belongs into spec.template.metadata of a Deployment",
    bad=_SERVICE % "sidecar.istio.io/proxyCPU: 100m",
    good=_POD % "sidecar.istio.io/proxyCPU: 100m",
)
def check_places(mesh: Mesh) -> Iterator[Problem]:
    """Known annotations on kinds on which they do not work."""
    for document, path, kind, key, _ in _all(mesh):
        known = ANNOTATIONS.get(key)
        if known and kind not in known.kinds and "Any" not in known.kinds:
            yield Problem(document, path, f"{key} works on {', '.join(known.kinds)}, not on {kind}", at_key=True)


@rule(
    "GM0108",
    "unknown annotation of Istio",
    Level.WARNING,
    istio="IST0108",
    reads=_KINDS,
    why="Istio does not know it: it has no effect",
    mend="correct its name",
    bad=_SERVICE % "networking.istio.io/exportT: '*'",
    good=_SERVICE % "networking.istio.io/exportTo: '*'",
)
def check_names(mesh: Mesh) -> Iterator[Problem]:
    """Names in Istio's domain that Istio does not have."""
    for document, path, _, key, _ in _all(mesh):
        if key not in ANNOTATIONS and _is_ours(key):
            near = nearest(key, list(ANNOTATIONS))
            yield Problem(
                document, path, f"Istio has no annotation {key}", f"did you mean {near}?" if near else "", at_key=True
            )


@rule(
    "GM0125",
    "annotation with an invalid value",
    Level.WARNING,
    istio="IST0125",
    reads=_KINDS,
    why="injection fails, or the default is used",
    mend="correct the value",
    bad=_POD % "status.sidecar.istio.io/port: http",
    good=_POD % "status.sidecar.istio.io/port: '15020'",
)
def check_values(mesh: Mesh) -> Iterator[Problem]:
    """Values of known annotations on the right kind."""
    for document, path, kind, key, value in _all(mesh):
        known = ANNOTATIONS.get(key)
        if not known or not known.check or (kind not in known.kinds and "Any" not in known.kinds):
            continue
        problem = known.check(str(value))
        if problem:
            yield Problem(document, path, f"{key} is {str(value)!r}: {problem}")


@rule(
    "GM0135",
    "deprecated annotation",
    Level.INFO,
    istio="IST0135",
    reads=_KINDS,
    why="a later version of Istio will not read it any more",
    mend="for sidecar.istio.io/inject use the label of that name; others moved to proxy.istio.io/config",
    bad=_POD % "sidecar.istio.io/inject: 'true'",
    good=_POD % "proxy.istio.io/config: '{}'",
)
def check_deprecated(mesh: Mesh) -> Iterator[Problem]:
    """Annotations that are on their way out."""
    for document, path, _, key, _ in _all(mesh):
        known = ANNOTATIONS.get(key)
        if known and known.deprecated:
            yield Problem(document, path, f"{key} is deprecated", at_key=True)


@rule(
    "GM0136",
    "alpha annotation",
    Level.INFO,
    istio="IST0136",
    reads=_KINDS,
    why="alpha features change without notice",
    mend="use it knowingly",
    bad=_POD % "sidecar.istio.io/proxyCPU: 100m",
    good=_POD % "proxy.istio.io/config: '{}'",
)
def check_alpha(mesh: Mesh) -> Iterator[Problem]:
    """Annotations of alpha features (not in Istio's default set either)."""
    for document, path, _, key, _ in _all(mesh):
        known = ANNOTATIONS.get(key)
        if known and known.alpha:
            yield Problem(document, path, f"{key} is an alpha feature", at_key=True)
