"""IstioOperator: limits of replicas that istioctl takes in silence."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, mapping
from gitlab_mesh.core.analysis.places import places
from gitlab_mesh.core.analysis.registry import object_rule
from gitlab_mesh.core.analysis.rules.installation import KINDS, install, list_components

__all__: list[str] = []


def _ingress(spec: str) -> str:
    return install(f"components: {{ingressGateways: [{{name: edge, enabled: true, k8s: {{{spec}}}}}]}}")


@object_rule(
    "GM1705",
    "fewest replicas above the most",
    Level.ERROR,
    reads=KINDS,
    why="istioctl renders it, the API server refuses the HorizontalPodAutoscaler, the rest is installed",
    mend="let minReplicas be at most maxReplicas",
    bad=_ingress("hpaSpec: {minReplicas: 7, maxReplicas: 5}"),
    good=_ingress("hpaSpec: {minReplicas: 2, maxReplicas: 5}"),
)
def check_limits(document: Document) -> Iterator[Problem]:
    """The hpaSpec, autoscaleMin and autoscaleMax."""
    pairs = [(("k8s", "hpaSpec"), "minReplicas", "maxReplicas")]
    found = [
        ((*path, *place), mapping(mapping(component.get(place[0])).get(place[1])), low, high)
        for path, _, component, _ in list_components(document)
        for place, low, high in pairs
    ]
    found += [
        (path, mapping(value), "autoscaleMin", "autoscaleMax")
        for pattern in ("spec.values.pilot", "spec.values.gateways{}")
        for path, value in places(document.body, pattern)
    ]
    for path, limits, low, high in found:
        least, most = limits.get(low), limits.get(high)
        if isinstance(least, int) and isinstance(most, int) and least > most:
            yield Problem(document, (*path, low), f"{low} {least} is more than {high} {most}")


def _autoscaled(document: Document, path: Path) -> bool:
    """Say whether a component has an autoscaler: Istio's charts switch it on unless values say no."""
    values = mapping(document.spec.get("values"))
    section = mapping(values.get("pilot"))
    if path[2] != "pilot":
        word = "istio-ingressgateway" if path[2] == "ingressGateways" else "istio-egressgateway"
        section = mapping(mapping(values.get("gateways")).get(word))
    return section.get("autoscaleEnabled") is not False


@object_rule(
    "GM1706",
    "replicas that the autoscaler overrules",
    Level.WARNING,
    reads=KINDS,
    why="with autoscaling on, its minimum (1) holds: one replica runs, and no PodDisruptionBudget is rendered",
    mend="set hpaSpec.minReplicas (or autoscaleMin), or autoscaleEnabled: false",
    bad=_ingress("replicaCount: 3"),
    good=_ingress("replicaCount: 3, hpaSpec: {minReplicas: 3, maxReplicas: 5}"),
)
def check_replicas(document: Document) -> Iterator[Problem]:
    """ReplicaCount or a disruption budget beside an autoscaler whose minimum is 1."""
    values = mapping(document.spec.get("values"))
    for path, name, component, _ in list_components(document):
        resources = mapping(component.get("k8s"))
        section = mapping(values.get("pilot")) if path[2] == "pilot" else {}
        least = mapping(resources.get("hpaSpec")).get("minReplicas", section.get("autoscaleMin", 1))
        if not _autoscaled(document, path) or not isinstance(least, int):
            continue
        count = resources.get("replicaCount")
        if isinstance(count, int) and count > least:
            text = f"{name or 'the gateway'} has an autoscaler with at least {least}: {count} replicas are not kept"
            yield Problem(document, (*path, "k8s", "replicaCount"), text)
        if resources.get("podDisruptionBudget") and least < 2:
            text = "no PodDisruptionBudget is rendered while one replica is enough"
            yield Problem(document, (*path, "k8s", "podDisruptionBudget"), text, at_key=True)


@object_rule(
    "GM1707",
    "two limits for one autoscaler",
    Level.WARNING,
    reads=KINDS,
    why="hpaSpec holds, the limits in values do not",
    mend="keep one of the two",
    bad=install("components: {pilot: {k8s: {hpaSpec: {minReplicas: 2}}}}, values: {pilot: {autoscaleMin: 3}}"),
    good=install("components: {pilot: {k8s: {hpaSpec: {minReplicas: 2}}}}"),
)
def check_two_limits(document: Document) -> Iterator[Problem]:
    """The hpaSpec of istiod beside values.pilot.autoscaleMin and autoscaleMax."""
    pilot = mapping(mapping(document.spec.get("components")).get("pilot"))
    if mapping(pilot.get("k8s")).get("hpaSpec"):
        for path, value in places(document.body, "spec.values.pilot.autoscaleMin|autoscaleMax"):
            yield Problem(document, path, f"hpaSpec overrules {path[-1]} {value}", at_key=True)
