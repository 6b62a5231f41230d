"""DestinationRules that Istio accepts and nobody means: two for one host, ejection of everything, empty subsets."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.rules.failover import fails_over
from gitlab_mesh.core.analysis.rules.shape_destinationrule import traffic_policies

__all__: list[str] = []

_RULE = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: %s, namespace: shop}\nspec: {host: shop, %s}\n"


@rule(
    "GM1201",
    "several DestinationRules for one host",
    Level.WARNING,
    reads=("DestinationRule",),
    why="subsets are joined, but of the traffic policies only the first one holds",
    mend="merge them into one",
    bad=_RULE % ("a", "trafficPolicy: {loadBalancer: {simple: RANDOM}}")
    + "---\n"
    + _RULE % ("b", "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}"),
    good=_RULE % ("a", "trafficPolicy: {loadBalancer: {simple: RANDOM}}"),
)
def check_rules(mesh: Mesh) -> Iterator[Problem]:
    """Two rules with a traffic policy, or the same subset, for one host."""
    seen: dict[tuple[str, str, str], str] = {}
    for document in mesh.of("DestinationRule"):
        host = document.spec.get("host")
        if not isinstance(host, str) or mapping(document.spec.get("workloadSelector")):
            continue
        scope = ",".join(sorted(word for _, word in texts(document.spec.get("exportTo")))) or "*"
        name = mesh.fqdn(host, document.namespace)
        words = ["policy"] if document.spec.get("trafficPolicy") else []
        words += [f"subset {item.get('name')}" for _, item in dicts(document.spec.get("subsets"))]
        for word in words:
            key = (name, scope + ("" if scope == "*" else document.namespace), word)
            if key in seen and seen[key] != document.full_name:
                what = "a traffic policy" if word == "policy" else word
                yield Problem(document, ("spec", "host"), f"{seen[key]} has {what} for {host} already")
            seen.setdefault(key, document.full_name)


@object_rule(
    "GM1202",
    "outlier detection that may eject everything",
    Level.WARNING,
    reads=("DestinationRule",),
    why="one bad dependency ejects all pods: Envoy then answers 503, or ignores the ejection",
    mend="keep maxEjectionPercent at 50 or less, or set minHealthPercent",
    bad=_RULE % ("a", "trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5, maxEjectionPercent: 100}}"),
    good=_RULE % ("a", "trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5, maxEjectionPercent: 50}}"),
)
def check_ejection(document: Document) -> Iterator[Problem]:
    """MaxEjectionPercent 100 without minHealthPercent, where no other locality takes over."""
    policies = list(traffic_policies(document))
    for path, policy in () if any(fails_over(item) for _, item in policies) else policies:
        detection = mapping(policy.get("outlierDetection"))
        if detection.get("maxEjectionPercent") == 100 and not detection.get("minHealthPercent"):
            place: Path = (*path, "outlierDetection", "maxEjectionPercent")
            yield Problem(document, place, "all pods may be ejected at once")


@object_rule(
    "GM1203",
    "subset without labels",
    Level.WARNING,
    reads=("DestinationRule",),
    references=("KIA0209",),
    why="it is the whole service: a split between subsets does not split by version",
    mend="give the subset the label that tells the versions apart",
    bad=_RULE % ("a", "subsets: [{name: v1}]"),
    good=_RULE % ("a", "subsets: [{name: v1, labels: {version: v1}}]"),
)
def check_subset_labels(document: Document) -> Iterator[Problem]:
    """Subsets that select every pod."""
    for i, subset in dicts(document.spec.get("subsets")):
        if not subset.get("labels") and not subset.get("trafficPolicy"):
            yield Problem(
                document, ("spec", "subsets", i), f"subset {subset.get('name')} selects every pod of the host"
            )
