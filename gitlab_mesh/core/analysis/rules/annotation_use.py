"""Annotations of Istio on Kubernetes' objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Unpack

from gitlab_mesh.core.analysis.examples import example, pod_example
from gitlab_mesh.core.analysis.mesh import SYSTEM_NAMESPACES
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.names import nearest
from gitlab_mesh.core.analysis.registry import Facts, object_rule
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
_Judge = Callable[[str, str, Any], "tuple[str, str] | None"]
"""(kind that it would work on, annotation, value) → (what is wrong, how to mend it), or None."""


def _annotations(document: Document) -> Iterator[tuple[Path, str, str, Any]]:
    """Yield (path, kind it would work on, annotation, value); templates count as pods."""
    if document.namespace in SYSTEM_NAMESPACES or document.name in SYSTEM_NAMESPACES:
        return
    places: list[tuple[Path, str, dict[str, Any]]] = [
        (("metadata", "annotations"), document.kind, document.annotations)
    ]
    if document.kind == "Deployment":
        template = mapping(mapping(document.spec.get("template")).get("metadata"))
        places.append((("spec", "template", "metadata", "annotations"), "Pod", mapping(template.get("annotations"))))
    for path, kind, notes in places:
        for key, value in notes.items():
            if kind != "Pod" or key not in _SET_BY_CNI or not _by_cni(document):
                yield (*path, key), kind, key, value


def _by_cni(document: Document) -> bool:
    return any(item.get("name") == "istio-validation" for _, item in dicts(document.spec.get("initContainers")))


def _annotation_rule(
    code: str, title: str, level: Level, judge: _Judge, *, at_key: bool = True, **facts: Unpack[Facts]
) -> None:
    def each(document: Document) -> Iterator[Problem]:
        for path, kind, key, value in _annotations(document):
            found = judge(kind, key, value)
            if found:
                yield Problem(document, path, *found, at_key=at_key)

    object_rule(code, title, level, **facts)(each)


def _pod(note: str) -> str:
    return pod_example(annotations=note, labels="")


def _service(note: str) -> str:
    return example("Service", "ports: [{port: 80, name: http}]", annotations=note)


def _fits(kind: str, key: str) -> bool:
    known = ANNOTATIONS.get(key)
    return known is not None and (kind in known.kinds or "Any" in known.kinds)


def _place(kind: str, key: str, value: Any) -> tuple[str, str] | None:
    if key not in ANNOTATIONS or _fits(kind, key):
        return None
    return f"{key} works on {', '.join(ANNOTATIONS[key].kinds)}, not on {kind}", ""


def _name(kind: str, key: str, value: Any) -> tuple[str, str] | None:
    domain = key.partition("/")[0]
    if key in ANNOTATIONS or not (domain == "istio.io" or domain.endswith(".istio.io")):
        return None
    near = nearest(key, list(ANNOTATIONS))
    return f"Istio has no annotation {key}", f"did you mean {near}?" if near else ""


def _value(kind: str, key: str, value: Any) -> tuple[str, str] | None:
    check = ANNOTATIONS[key].check if _fits(kind, key) else None
    problem = check(str(value)) if check else ""
    return (f"{key} is {str(value)!r}: {problem}", "") if problem else None


def _deprecated(kind: str, key: str, value: Any) -> tuple[str, str] | None:
    return (f"{key} is deprecated", "") if key in ANNOTATIONS and ANNOTATIONS[key].deprecated else None


def _alpha(kind: str, key: str, value: Any) -> tuple[str, str] | None:
    return (f"{key} is an alpha feature", "") if key in ANNOTATIONS and ANNOTATIONS[key].alpha else None


_annotation_rule(
    "GM0107",
    "annotation on the wrong kind of object",
    Level.WARNING,
    _place,
    istio="IST0107",
    reads=_KINDS,
    why="Istio does not look for it there: it has no effect",
    mend="move it; what is for pods belongs into spec.template.metadata of a Deployment",
    bad=_service("sidecar.istio.io/proxyCPU: 100m"),
    good=_pod("sidecar.istio.io/proxyCPU: 100m"),
)
_annotation_rule(
    "GM0108",
    "unknown annotation of Istio",
    Level.WARNING,
    _name,
    istio="IST0108",
    reads=_KINDS,
    why="Istio does not know it: it has no effect",
    mend="correct its name",
    bad=_service("networking.istio.io/exportT: '*'"),
    good=_service("networking.istio.io/exportTo: '*'"),
)
_annotation_rule(
    "GM0125",
    "annotation with an invalid value",
    Level.WARNING,
    _value,
    at_key=False,
    istio="IST0125",
    reads=_KINDS,
    why="injection fails, or the default is used",
    mend="correct the value",
    bad=_pod("status.sidecar.istio.io/port: http"),
    good=_pod("status.sidecar.istio.io/port: '15020'"),
)
_annotation_rule(
    "GM0135",
    "deprecated annotation",
    Level.INFO,
    _deprecated,
    istio="IST0135",
    reads=_KINDS,
    why="a later version of Istio will not read it any more",
    mend="for sidecar.istio.io/inject use the label of that name; others moved to proxy.istio.io/config",
    bad=_pod("sidecar.istio.io/inject: 'true'"),
    good=_pod("proxy.istio.io/config: '{}'"),
)
_annotation_rule(
    "GM0136",
    "alpha annotation",
    Level.INFO,
    _alpha,
    istio="IST0136",
    reads=_KINDS,
    why="alpha features change without notice",
    mend="use it knowingly",
    bad=_pod("sidecar.istio.io/proxyCPU: 100m"),
    good=_pod("proxy.istio.io/config: '{}'"),
)
