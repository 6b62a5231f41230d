"""DestinationRule: what Istio's webhook refuses beyond the schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.names import is_host_label, is_subdomain
from gitlab_mesh.core.analysis.registry import object_rule
from gitlab_mesh.core.analysis.rules.fields import check_export_to, check_labels, host_problem, is_ip, port_problem

__all__ = ["pool_problems", "traffic_policies"]

_REJECTED = "Istio's admission webhook refuses the object, so the change never arrives"
_HEAD = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: shop, namespace: shop}\nspec:\n"
_Found = Iterator[tuple[Path, str]]
_MAGLEV_LIMIT = 5_000_011


def traffic_policies(document: Document) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every traffic policy with its path: top level, subsets, and their ports."""
    places: list[tuple[Path, Any]] = [(("spec", "trafficPolicy"), document.spec.get("trafficPolicy"))]
    for i, subset in dicts(document.spec.get("subsets")):
        places.append((("spec", "subsets", i, "trafficPolicy"), subset.get("trafficPolicy")))
    for path, policy in places:
        if isinstance(policy, dict):
            yield path, policy
            for p, port in dicts(policy.get("portLevelSettings")):
                yield (*path, "portLevelSettings", p), port


@object_rule(
    "GM0211",
    "DestinationRule host or subset that is no name",
    Level.ERROR,
    istio="IST0106",
    reads=("DestinationRule",),
    why=_REJECTED,
    mend="write a DNS name; subsets are DNS labels, each once",
    bad=_HEAD + "  host: shop\n  subsets: [{name: v1, labels: {v: '1'}}, {name: v1, labels: {v: '2'}}]\n",
    good=_HEAD + "  host: shop\n  subsets: [{name: v1, labels: {v: '1'}}, {name: v2, labels: {v: '2'}}]\n",
)
def check_names(document: Document) -> Iterator[Problem]:
    """Host, subsets, exportTo."""
    spec = document.spec
    host = spec.get("host")
    if isinstance(host, str) and host_problem(host):
        yield Problem(document, ("spec", "host"), host_problem(host))
    seen: set[str] = set()
    for i, subset in dicts(spec.get("subsets")):
        name = subset.get("name")
        path: Path = ("spec", "subsets", i)
        if isinstance(name, str):
            if not is_host_label(name):
                yield Problem(document, (*path, "name"), f"subset {name!r} is no DNS label")
            elif name in seen:
                yield Problem(document, (*path, "name"), f"subset {name} stands twice")
            seen.add(name)
        yield from check_labels(document, (*path, "labels"), subset.get("labels"))
    yield from check_export_to(document)
    scopes = {scope for _, scope in texts(spec.get("exportTo"))}
    if mapping(spec.get("workloadSelector")).get("matchLabels") and scopes - {".", document.namespace}:
        yield Problem(
            document, ("spec", "exportTo"), "with a workloadSelector it can be exported to its own namespace only"
        )


@object_rule(
    "GM0212",
    "traffic policy that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("DestinationRule",),
    why=_REJECTED,
    mend="write a value that Istio allows",
    bad=_HEAD + "  host: shop\n  trafficPolicy: {outlierDetection: {maxEjectionPercent: 150}}\n",
    good=_HEAD + "  host: shop\n  trafficPolicy: {outlierDetection: {maxEjectionPercent: 50}}\n",
)
def check_policies(document: Document) -> Iterator[Problem]:
    """Load balancing, connection pool, outlier detection, tunnel."""
    for path, policy in traffic_policies(document):
        at_port = "portLevelSettings" in path
        if not {key: value for key, value in policy.items() if key != "port"}:
            yield Problem(document, path, "a traffic policy needs at least one field")
        if at_port and not mapping(policy.get("port")).get("number"):
            yield Problem(document, path, "portLevelSettings must name the port: port: {number: …}")
        for key, check in _CHECKS.items():
            if isinstance(policy.get(key), dict):
                for place, message in check(policy[key]):
                    yield Problem(document, (*path, key, *place), message)


def pool_problems(value: dict[str, Any]) -> _Found:
    """Yield what is wrong with a connection pool."""
    keepalive = mapping(value.get("http")).get("http2KeepAlive")
    for key in ("interval", "timeout"):
        if isinstance(keepalive, dict) and keepalive.get(key) is None:
            yield ("http", "http2KeepAlive"), f"http2KeepAlive needs its {key}"
    if value.get("tcp") is None and value.get("http") is None:
        yield (), "a connection pool needs tcp or http"
    http, tcp = mapping(value.get("http")), mapping(value.get("tcp"))
    for part, items in (("http", http), ("tcp", tcp)):
        for key, number in items.items():
            if isinstance(number, int) and not isinstance(number, bool) and number < 0:
                yield (part, key), f"{key} must not be negative"
    if http.get("h2UpgradePolicy") == "UPGRADE" and http.get("useClientProtocol"):
        yield ("http", "useClientProtocol"), "useClientProtocol and h2UpgradePolicy UPGRADE exclude one another"


def _outliers(value: dict[str, Any]) -> _Found:
    for key in ("maxEjectionPercent", "minHealthPercent"):
        number = value.get(key)
        if isinstance(number, int) and not 0 <= number <= 100:
            yield (key,), f"{key} {number} is no percentage (0 to 100)"
    if not value.get("splitExternalLocalOriginErrors") and (value.get("consecutiveLocalOriginFailures") or 0) > 0:
        yield ("consecutiveLocalOriginFailures",), "it needs splitExternalLocalOriginErrors: true"


def _balancer(value: dict[str, Any]) -> _Found:
    hashing = value.get("consistentHash")
    if isinstance(hashing, dict):
        yield from _hashing(hashing)
    if value.get("warmupDurationSecs") or value.get("warmup"):
        simple = value.get("simple", "UNSPECIFIED")
        if hashing or simple not in ("UNSPECIFIED", "ROUND_ROBIN", "LEAST_REQUEST", "LEAST_CONN"):
            key = "warmup" if value.get("warmup") else "warmupDurationSecs"
            yield (key,), "warm up works with ROUND_ROBIN and LEAST_REQUEST only"
    locality = mapping(value.get("localityLbSetting"))
    there = [key for key in ("distribute", "failover") if locality.get(key)]
    if len(there) > 1:
        yield ("localityLbSetting",), "distribute and failover exclude one another"
    if locality.get("failoverPriority") and locality.get("distribute"):
        yield ("localityLbSetting",), "distribute and failoverPriority exclude one another"
    for path, message in _locality(locality):
        yield ("localityLbSetting", *path), message
    zone = mapping(value.get("zoneAwareLbSetting"))
    if zone and locality:
        yield ("zoneAwareLbSetting",), "zoneAwareLbSetting and localityLbSetting exclude one another"


def _hashing(value: dict[str, Any]) -> _Found:
    keys = ("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName")
    if not any(value.get(key) for key in keys):
        yield (
            ("consistentHash",),
            "consistentHash needs what to hash: a header, a cookie, the source address or a parameter",
        )
    cookie = mapping(value.get("httpCookie"))
    if "httpCookie" in value and not cookie.get("name"):
        yield ("consistentHash", "httpCookie"), "a cookie needs a name"
    size = mapping(value.get("maglev")).get("tableSize")
    if isinstance(size, int) and size and (size > _MAGLEV_LIMIT or not _is_prime(size)):
        yield ("consistentHash", "maglev", "tableSize"), f"tableSize {size} must be a prime of at most {_MAGLEV_LIMIT}"


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % i for i in range(2, int(number**0.5) + 1))


def _locality(value: dict[str, Any]) -> _Found:
    seen: set[str] = set()
    for i, item in dicts(value.get("distribute")):
        origin = item.get("from", "")
        if origin in seen:
            yield ("distribute", i, "from"), f"locality {origin} stands twice"
        seen.add(origin)
        shares = [share for share in mapping(item.get("to")).values() if isinstance(share, int)]
        if shares and sum(shares) != 100:
            yield ("distribute", i, "to"), f"the shares make {sum(shares)}, not 100"
        if any(share == 0 for share in shares):
            yield ("distribute", i, "to"), "a share of 0 is not allowed"
    for i, item in dicts(value.get("failover")):
        if item.get("from") == item.get("to"):
            yield ("failover", i), "from and to are the same region"
        if any("/" in str(item.get(key, "")) or "*" in str(item.get(key, "")) for key in ("from", "to")):
            yield ("failover", i), "failover names regions: no zones, no wildcards"


def _tunnel(value: dict[str, Any]) -> _Found:
    if value.get("protocol", "CONNECT").upper() not in ("", "CONNECT", "POST"):
        yield ("protocol",), f"protocol {value['protocol']!r} is not CONNECT or POST"
    host = value.get("targetHost")
    if isinstance(host, str) and not is_ip(host) and not is_subdomain(host):
        yield ("targetHost",), f"{host!r} is no host and no address"
    if value.get("targetPort") is not None and port_problem(value["targetPort"]):
        yield ("targetPort",), port_problem(value["targetPort"])


def _tls(value: dict[str, Any]) -> _Found:
    mode = value.get("mode")
    if mode not in ("SIMPLE", "MUTUAL"):
        return
    certificates = [key for key in ("clientCertificate", "privateKey", "caCertificates", "caCrl") if value.get(key)]
    if value.get("insecureSkipVerify"):
        for key in ("caCertificates", "subjectAltNames", *(("credentialName",) if mode == "SIMPLE" else ())):
            if value.get(key):
                yield (key,), f"{key} and insecureSkipVerify exclude one another: nothing would be verified"
    if value.get("credentialName"):
        if certificates:
            yield (certificates[0],), f"{certificates[0]} and credentialName exclude one another"
    elif mode == "MUTUAL":
        for key in ("clientCertificate", "privateKey"):
            if not value.get(key):
                yield (), f"mode MUTUAL needs {key} (or credentialName)"


_CHECKS = {
    "connectionPool": pool_problems,
    "outlierDetection": _outliers,
    "loadBalancer": _balancer,
    "tunnel": _tunnel,
    "tls": _tls,
}
