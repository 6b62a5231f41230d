"""DestinationRules whose failover between localities cannot happen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import object_rule

__all__ = ["fails_over"]

_DEFAULT_EJECTION = 10
"""``maxEjectionPercent`` where nothing is said (Istio reference, OutlierDetection)."""


def _rule(detection: str) -> str:
    balancer = "loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}"
    return example("DestinationRule", f"host: shop, trafficPolicy: {{{balancer}{detection}}}")


def fails_over(policy: dict[str, Any]) -> bool:
    """Say whether a traffic policy asks for failover between localities."""
    setting = mapping(mapping(policy.get("loadBalancer")).get("localityLbSetting"))
    return setting.get("enabled") is not False and bool(setting.get("failover") or setting.get("failoverPriority"))


def _levels(document: Document) -> Iterator[tuple[Path, dict[str, Any], dict[str, Any]]]:
    """Yield (path, what the level says, what holds there); a subset takes from above what it does not say."""
    top = mapping(document.spec.get("trafficPolicy"))
    yield ("spec", "trafficPolicy"), top, top
    for i, subset in dicts(document.spec.get("subsets")):
        own = mapping(subset.get("trafficPolicy"))
        yield ("spec", "subsets", i, "trafficPolicy"), own, {**top, **own}


@object_rule(
    "GM1204",
    "failover without outlier detection",
    Level.WARNING,
    reads=("DestinationRule",),
    why="without it Envoy takes every locality for healthy: requests go to all of them, and never fail over",
    mend="add outlierDetection, with maxEjectionPercent: 100",
    bad=_rule(""),
    good=_rule(", outlierDetection: {consecutive5xxErrors: 5, maxEjectionPercent: 100}"),
)
def check_detection(document: Document) -> Iterator[Problem]:
    """Failover and failoverPriority where nothing ejects pods."""
    for path, own, effective in _levels(document):
        if fails_over(own) and not isinstance(effective.get("outlierDetection"), dict):
            place: Path = (*path, "loadBalancer", "localityLbSetting")
            yield Problem(document, place, "no outlierDetection holds here", at_key=True)


@object_rule(
    "GM1205",
    "failover that keeps bad pods",
    Level.WARNING,
    reads=("DestinationRule",),
    why="Envoy fails over as far as pods are ejected: with at most 10 % of them (the default), 90 % keep getting requests",
    mend="set maxEjectionPercent: 100",
    bad=_rule(", outlierDetection: {consecutive5xxErrors: 5}"),
    good=_rule(", outlierDetection: {consecutive5xxErrors: 5, maxEjectionPercent: 100}"),
)
def check_ejection(document: Document) -> Iterator[Problem]:
    """MaxEjectionPercent below 100 beside a failover."""
    for path, own, effective in _levels(document):
        detection = effective.get("outlierDetection")
        most = mapping(detection).get("maxEjectionPercent", _DEFAULT_EJECTION)
        if fails_over(own) and isinstance(detection, dict) and isinstance(most, int) and most < 100:
            at = (*path, "outlierDetection") if "outlierDetection" in own else path
            yield Problem(document, at, f"at most {most} % of the pods of a locality are ejected", at_key=True)
