"""IstioOperator: names, tags and settings that istioctl takes in silence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.names import is_dns_label, nearest
from gitlab_mesh.core.analysis.places import field_rule, places
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.istio_schema.catalog import UNKNOWN_KIND, kinds_of_group
from gitlab_mesh.core.istio_schema.istiod_settings import ISTIOD_SETTINGS

__all__ = ["KINDS", "install", "list_components"]

KINDS = ("IstioOperator",)


def install(spec: str, *, kind: str = "IstioOperator") -> str:
    """Return an IstioOperator for the examples of rules."""
    return example("IstioOperator", spec, name="mesh", namespace="istio-system").replace("IstioOperator", kind)


@object_rule(
    "GM0025",
    "kind that the API group does not have",
    Level.ERROR,
    reads=(UNKNOWN_KIND,),
    why="the API server refuses it; istioctl install takes any kind for IstioOperator and says nothing",
    mend="correct the kind",
    bad=install("profile: minimal", kind="IstioOperater"),
    good=install("profile: minimal"),
)
def check_kind(document: Document) -> Iterator[Problem]:
    """Objects of Istio's groups whose kind nobody knows."""
    known, kind = kinds_of_group(document.api_version), str(document.body.get("kind"))
    near = nearest(kind, known)
    hint = f"did you mean {near}?" if near else f"it has {', '.join(known)}"
    yield Problem(document, ("kind",), f"{document.api_version.partition('/')[0]} has no kind {kind}", hint)


field_rule(
    "GM1701",
    "image tag that YAML reads as a number",
    Level.ERROR,
    "spec.tag spec.components.base|pilot|cni|ztunnel.tag spec.components.ingressGateways|egressGateways[].tag "
    "spec.values.global|pilot|cni.tag",
    lambda value: f"the tag is the number {value}: the image is …:{value}" if isinstance(value, float) else "",
    reads=KINDS,
    why="1.30 without quotes is 1.3: another version is installed, or none",
    mend='put it in quotes: "1.30"',
    bad=install("tag: 1.30"),
    good=install("tag: '1.30.0'"),
)
field_rule(
    "GM1702",
    "revision that is no name",
    Level.ERROR,
    "spec.revision spec.values.revision spec.values.global.revision",
    lambda value: f"{value!r} is no DNS label" if isinstance(value, str) and value and not is_dns_label(value) else "",
    reads=KINDS,
    why="it becomes part of the names of Kubernetes objects, and the API server refuses them",
    mend="write lower case letters, digits and dashes: 1-30-1, canary",
    bad=install("revision: Canary"),
    good=install("revision: canary"),
)


def list_components(document: Document) -> Iterator[tuple[Path, str, dict[str, Any], list[str]]]:
    """Yield (path, name of its workload, component, containers) of each component with a Deployment."""
    components = mapping(document.spec.get("components"))
    revision = str(document.spec.get("revision") or "")
    pilot = components.get("pilot")
    if isinstance(pilot, dict):
        istiod = f"istiod-{revision}" if revision and revision != "default" else "istiod"
        yield ("spec", "components", "pilot"), istiod, pilot, ["discovery"]
    for key in ("ingressGateways", "egressGateways"):
        for i, gateway in dicts(components.get(key)):
            yield ("spec", "components", key, i), str(gateway.get("name") or ""), gateway, ["istio-proxy"]


_NAMED = frozenset({"Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Service"})


_CONTAINER = re.compile(r"containers\.\[name:([^\]]+)\]")


def _overlay(name: str, container: str) -> str:
    patch = f"{{path: 'spec.template.spec.containers.[name:{container}].imagePullPolicy', value: Always}}"
    overlay = f"{{kind: Deployment, name: {name}, patches: [{patch}]}}"
    return install(f"components: {{pilot: {{k8s: {{overlays: [{overlay}]}}}}}}")


@object_rule(
    "GM1703",
    "overlay that matches nothing",
    Level.WARNING,
    reads=KINDS,
    why="istioctl leaves it out and says nothing: what it should change is not changed",
    mend="name the object as it is rendered: istioctl manifest generate -f FILE",
    bad=_overlay("pilot", "discovery"),
    good=_overlay("istiod", "discovery"),
)
def check_overlays(document: Document) -> Iterator[Problem]:
    """Names of objects and containers that the component does not have."""
    for path, name, component, containers in list_components(document):
        for i, overlay in dicts(mapping(component.get("k8s")).get("overlays")):
            place: Path = (*path, "k8s", "overlays", i)
            kind, wanted = overlay.get("kind"), overlay.get("name")
            if kind in _NAMED and name and wanted != name:
                yield Problem(document, (*place, "name"), f"there is no {kind} {wanted}", f"did you mean {name}?")
            for p, patch in dicts(overlay.get("patches")) if kind == "Deployment" else ():
                found = _CONTAINER.search(str(patch.get("path")))
                if found and found[1] not in containers:
                    text = f"{name or 'the Deployment'} has no container {found[1]}"
                    yield Problem(document, (*place, "patches", p, "path"), text, f"did you mean {containers[0]}?")


@object_rule(
    "GM1704",
    "setting that istiod does not know",
    Level.WARNING,
    reads=KINDS,
    why="istiod reads environment variables by name and leaves all others alone: the setting has no effect",
    mend="correct the name",
    bad=install("values: {pilot: {env: {PILOT_ENABLE_ANALISIS: 'true'}}}"),
    good=install("values: {pilot: {env: {PILOT_ENABLE_ANALYSIS: 'true'}}}"),
)
def check_settings(document: Document) -> Iterator[Problem]:
    """Names that are close to one that istiod reads; others may be for somebody else (proxies, Go)."""
    names = [((*path, key), str(key)) for path, env in places(document.body, "spec.values.pilot.env") for key in env]
    names += [(path, str(name)) for path, name in places(document.body, "spec.components.pilot.k8s.env[].name")]
    for path, name in names:
        near = nearest(name, sorted(ISTIOD_SETTINGS)) if name not in ISTIOD_SETTINGS else ""
        if near and len(near) > 8:
            yield Problem(document, path, f"istiod reads no variable {name}", f"did you mean {near}?", at_key=True)


_TWO = "components: {ingressGateways: [{name: %s, enabled: true}, {name: %s, enabled: true}]}"


@object_rule(
    "GM1708",
    "values for every gateway",
    Level.WARNING,
    reads=KINDS,
    why="values.gateways.istio-ingressgateway holds for all ingress gateways, whatever their names",
    mend="set it per gateway: components.ingressGateways[].k8s",
    bad=install(_TWO % ("edge", "inner") + ", values: {gateways: {istio-ingressgateway: {type: NodePort}}}"),
    good=install(_TWO % ("edge", "inner")),
)
def check_gateway_values(document: Document) -> Iterator[Problem]:
    """Values of the one gateway where there are several, or one of another name."""
    components = mapping(document.spec.get("components"))
    for key, word in (("ingressGateways", "istio-ingressgateway"), ("egressGateways", "istio-egressgateway")):
        names = [str(item.get("name")) for _, item in dicts(components.get(key)) if item.get("enabled") is not False]
        for path, _ in places(document.body, f"spec.values.gateways.{word}"):
            if len(names) > 1 or (names and names != [word]):
                yield Problem(document, path, f"it holds for {', '.join(names)}", at_key=True)


@object_rule(
    "GM1709",
    "gateway without a name of its own",
    Level.ERROR,
    reads=KINDS,
    why="objects without a name are refused; of two with one name, one overwrites the other",
    mend="give each gateway a name",
    bad=install(_TWO % ("edge", "edge")),
    good=install(_TWO % ("edge", "inner")),
)
def check_gateway_names(document: Document) -> Iterator[Problem]:
    """Gateways without name, two of one name in one namespace."""
    seen: set[tuple[str, str]] = set()
    for path, name, component, _ in list_components(document):
        if path[2] == "pilot":
            continue
        key = (name, str(component.get("namespace") or ""))
        if not name:
            yield Problem(document, path, "the gateway has no name")
        elif key in seen:
            yield Problem(document, (*path, "name"), f"there is a gateway {name} already")
        seen.add(key)


@rule(
    "GM1710",
    "two IstioOperators in one file",
    Level.ERROR,
    reads=KINDS,
    why="istioctl takes one a file and refuses two",
    mend="write them into files of their own",
    bad=install("profile: minimal") + install("profile: minimal").replace("name: mesh", "name: edge"),
    good=install("profile: minimal"),
)
def check_count(mesh: Mesh) -> Iterator[Problem]:
    """IstioOperators by file."""
    counts = Counter(document.file for document in mesh.of("IstioOperator"))
    seen: set[str] = set()
    for document in mesh.of("IstioOperator"):
        if counts[document.file] > 1 and document.file in seen:
            yield Problem(document, ("metadata", "name"), "there is another IstioOperator in this file")
        seen.add(document.file)
