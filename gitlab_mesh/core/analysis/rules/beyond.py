"""What Istio accepts and nobody means: weights, timeouts, patterns, ejection, canary coverage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.rules.route_destinations import destinations
from gitlab_mesh.core.analysis.rules.shape_destinationrule import traffic_policies

__all__ = ["seconds"]

_VS = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n  hosts: [shop]\n  http: [{%s}]\n"
_RULE = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: %s, namespace: shop}\nspec: {host: shop, %s}\n"
_TO = "route: [{destination: {host: shop}}]"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def seconds(text: Any) -> float | None:
    """Return a duration in seconds; None if it is none."""
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|ns|h|m|s)", text) if isinstance(text, str) else []
    return sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else None


@object_rule(
    "GM1101",
    "weights that do not add up to 100",
    Level.WARNING,
    reads=("VirtualService",),
    why="Istio takes them as shares of their sum: what reads as a percentage is none",
    mend="let the weights of a route add up to 100",
    bad=_VS
    % "route: [{destination: {host: shop, subset: a}, weight: 90}, {destination: {host: shop, subset: b}, weight: 20}]",
    good=_VS
    % "route: [{destination: {host: shop, subset: a}, weight: 90}, {destination: {host: shop, subset: b}, weight: 10}]",
)
def check_weights(document: Document) -> Iterator[Problem]:
    """Sums of weights; fractions such as 1:1999 are meant and left alone."""
    for key in ("http", "tls", "tcp"):
        for i, route in dicts(document.spec.get(key)):
            items = dicts(route.get("route"))
            weights = [item.get("weight", 0) for _, item in items]
            total = sum(weights)
            if len(items) > 1 and 0 < total < 1000 and total != 100:
                shown = " + ".join(str(weight) for weight in weights)
                yield Problem(document, ("spec", key, i, "route"), f"the weights are {shown} = {total}, not 100")


@object_rule(
    "GM1102",
    "one destination twice in a route",
    Level.WARNING,
    reads=("VirtualService",),
    why="both shares go to the same pods: the split splits nothing",
    mend="name the other subset, or join the weights",
    bad=_VS
    % "route: [{destination: {host: shop, subset: a}, weight: 90}, {destination: {host: shop, subset: a}, weight: 10}]",
    good=_VS
    % "route: [{destination: {host: shop, subset: a}, weight: 90}, {destination: {host: shop, subset: b}, weight: 10}]",
)
def check_repeated(document: Document) -> Iterator[Problem]:
    """Host + subset + port twice."""
    for key in ("http", "tls", "tcp"):
        for i, route in dicts(document.spec.get(key)):
            seen: set[tuple[Any, ...]] = set()
            for r, item in dicts(route.get("route")):
                target = mapping(item.get("destination"))
                word = (target.get("host"), target.get("subset"), mapping(target.get("port")).get("number"))
                if word in seen and not item.get("headers"):
                    yield Problem(
                        document,
                        ("spec", key, i, "route", r),
                        f"{word[0]} {word[1] or ''} stands twice".replace("  ", " "),
                    )
                seen.add(word)


@object_rule(
    "GM1103",
    "retries that the timeout cuts off",
    Level.WARNING,
    reads=("VirtualService",),
    why="the timeout is for all attempts together: the last attempts never happen",
    mend="let timeout be at least (attempts + 1) × perTryTimeout",
    bad=_VS % f"timeout: 3s, retries: {{attempts: 3, perTryTimeout: 2s}}, {_TO}",
    good=_VS % f"timeout: 8s, retries: {{attempts: 3, perTryTimeout: 2s}}, {_TO}",
)
def check_retries(document: Document) -> Iterator[Problem]:
    """Attempts × perTryTimeout against timeout."""
    for i, route in dicts(document.spec.get("http")):
        whole = seconds(route.get("timeout"))
        retries = mapping(route.get("retries"))
        one, attempts = seconds(retries.get("perTryTimeout")), retries.get("attempts") or 0
        if whole and one and attempts and one * attempts > whole:
            message = f"{attempts} retries of {retries['perTryTimeout']} do not fit into {route['timeout']}"
            yield Problem(document, ("spec", "http", i, "timeout"), message)


@object_rule(
    "GM1104",
    "pattern that never matches, or matches too much",
    Level.WARNING,
    reads=("VirtualService",),
    why="Envoy matches the whole text: a pattern for a part of it never applies",
    mend="write the whole: /shop/.* instead of /shop/, and .*beta.* instead of beta",
    bad=_VS % f"match: [{{uri: {{regex: 'shop/.*'}}}}], {_TO}",
    good=_VS % f"match: [{{uri: {{regex: '/shop/.*'}}}}], {_TO}",
)
def check_patterns(document: Document) -> Iterator[Problem]:
    """Uri patterns that cannot fit a path, which always begins with /."""
    for i, route in dicts(document.spec.get("http")):
        for m, match in dicts(route.get("match")):
            pattern = mapping(match.get("uri")).get("regex")
            path: Path = ("spec", "http", i, "match", m, "uri", "regex")
            if not isinstance(pattern, str):
                continue
            first = pattern.lstrip("^(").removeprefix("?:")
            if first[:1].isalnum():
                yield Problem(document, path, f"{pattern!r} can fit no path: a path begins with /")
            elif re.search(r"[^\\]\$.", pattern):
                yield Problem(document, path, f"{pattern!r} has $ before its end")


@object_rule(
    "GM1105",
    "path prefix without a boundary",
    Level.INFO,
    reads=("VirtualService",),
    why="the prefix /shop takes /shopping too",
    mend="use a prefix that ends with /, beside an exact match",
    bad=_VS % f"match: [{{uri: {{prefix: /shop}}}}], rewrite: {{uri: /}}, {_TO}",
    good=_VS % f"match: [{{uri: {{prefix: /shop/}}}}], rewrite: {{uri: /}}, {_TO}",
)
def check_boundaries(document: Document) -> Iterator[Problem]:
    """Prefixes that a rewrite to / turns into wrong paths."""
    for i, route in dicts(document.spec.get("http")):
        if mapping(route.get("rewrite")).get("uri") != "/":
            continue
        for m, match in dicts(route.get("match")):
            prefix = mapping(match.get("uri")).get("prefix")
            if isinstance(prefix, str) and not prefix.endswith("/"):
                path: Path = ("spec", "http", i, "match", m, "uri", "prefix")
                yield Problem(document, path, f"{prefix}/x becomes //x, and {prefix}x is taken too")


@object_rule(
    "GM1106",
    "route behind one that takes everything",
    Level.WARNING,
    reads=("VirtualService",),
    why="requests never come this far",
    mend="put the route without a match last",
    bad="apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n  hosts: [shop]\n"
    f"  http: [{{{_TO}}}, {{match: [{{uri: {{prefix: /a}}}}], {_TO}}}]\n",
    good="apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n  hosts: [shop]\n"
    f"  http: [{{match: [{{uri: {{prefix: /a}}}}], {_TO}}}, {{{_TO}}}]\n",
)
def check_catch_all(document: Document) -> Iterator[Problem]:
    """Routes with a match behind one without (Istio's IST0130 sees only those without)."""
    closed = -1
    for i, route in dicts(document.spec.get("http")):
        matches = dicts(route.get("match"))
        if closed >= 0 and matches:
            yield Problem(document, ("spec", "http", i), f"route #{closed} takes every request before this one")
        if not matches or any(match == {"uri": {"prefix": "/"}} for _, match in matches):
            closed = i if closed < 0 else closed


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
    """MaxEjectionPercent 100 without minHealthPercent."""
    for path, policy in traffic_policies(document):
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


@rule(
    "GM1301",
    "split that some callers bypass",
    Level.WARNING,
    reads=("VirtualService",),
    why="only callers of this VirtualService get the shares; others reach all versions through the Service",
    mend="let one VirtualService hold for mesh and gateway, or split in both",
    bad="apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {hosts: [shop.example.com], gateways: [edge], http: [{route: [{destination: {host: shop, subset: a}, weight: 90}, "
    "{destination: {host: shop, subset: b}, weight: 10}]}]}\n---\n"
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: other, namespace: shop}\n"
    "spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}]}]}\n",
    good="apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {hosts: [shop, shop.example.com], gateways: [edge, mesh], http: [{route: [{destination: {host: shop, subset: a}, weight: 90}, "
    "{destination: {host: shop, subset: b}, weight: 10}]}]}\n",
)
def check_bypass(mesh: Mesh) -> Iterator[Problem]:
    """Routes without subset to a host that another VirtualService splits."""
    split: dict[str, str] = {}
    for document in mesh.of("VirtualService"):
        for _, route in dicts(document.spec.get("http")):
            hosts = [mapping(item.get("destination")) for _, item in dicts(route.get("route"))]
            named = {mesh.fqdn(str(item.get("host")), document.namespace) for item in hosts if item.get("subset")}
            if len(hosts) > 1 and len(named) == 1:
                split.setdefault(named.pop(), document.full_name)
    if not split:
        return
    for document in mesh.of("VirtualService"):
        for path, destination, mirror in destinations(document):
            name = mesh.fqdn(str(destination.get("host")), document.namespace)
            owner = split.get(name)
            if owner and owner != document.full_name and not destination.get("subset") and not mirror:
                yield Problem(
                    document,
                    path,
                    f"{owner} splits {destination.get('host')} by subset; requests on this route are not split",
                )


@rule(
    "GM1401",
    "target port that no container opens",
    Level.INFO,
    reads=("Service", "Pod", "Deployment"),
    references=("KIA0701",),
    why="if the container does not listen there either, requests fail with 503",
    mend="correct targetPort, or declare the container's port",
    bad="apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: shop}\nspec: {selector: {app: shop}, ports: [{port: 80, name: http, targetPort: 8081}]}\n"
    "---\napiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop, labels: {app: shop}}\nspec: {containers: [{name: a, ports: [{containerPort: 8080}]}]}\n",
    good="apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: shop}\nspec: {selector: {app: shop}, ports: [{port: 80, name: http, targetPort: 8080}]}\n"
    "---\napiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop, labels: {app: shop}}\nspec: {containers: [{name: a, ports: [{containerPort: 8080}]}]}\n",
)
def check_target_ports(mesh: Mesh) -> Iterator[Problem]:
    """TargetPort against the ports of the pods' containers, where those declare any."""
    for service in mesh.of("Service"):
        selector = mapping(service.spec.get("selector"))
        if not selector:
            continue
        known: set[Any] = set()
        for pod in mesh.select(service.namespace, selector):
            for _, container in pod.containers:
                for _, item in dicts(container.get("ports")):
                    known |= {item.get("containerPort"), item.get("name")}
        known.discard(None)
        for i, port in dicts(service.spec.get("ports")):
            target = port.get("targetPort", port.get("port"))
            if known and target not in known:
                shown = ", ".join(sorted(str(item) for item in known))
                yield Problem(
                    service,
                    ("spec", "ports", i),
                    f"no container of its pods declares port {target}; they declare {shown}",
                )
