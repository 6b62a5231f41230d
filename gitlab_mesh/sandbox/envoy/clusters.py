"""DestinationRules and Services → Envoy clusters and their endpoints.

Defaults are Istio's (``pilot/pkg/networking/core/cluster_traffic_policy.go``): least request, no limits on
connections, 10 s to connect; Envoy's own success-rate ejection is off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.sandbox.envoy.fields import Fields, read_spec
from gitlab_mesh.sandbox.envoy.hosts import best_match, by_age, resolve_host
from gitlab_mesh.sandbox.envoy.labels import canonical_revision, canonical_service
from gitlab_mesh.sandbox.envoy.model import InboundPod, Json
from gitlab_mesh.sandbox.envoy.services import MeshService, cluster_name

__all__ = ["DestinationPolicy", "Subset", "inbound_cluster", "outbound_clusters", "read_destination_rules"]

_UNLIMITED = 4294967295
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_SIMPLE = {
    "UNSPECIFIED": "LEAST_REQUEST",
    "LEAST_CONN": "LEAST_REQUEST",
    "LEAST_REQUEST": "LEAST_REQUEST",
    "RANDOM": "RANDOM",
    "ROUND_ROBIN": "ROUND_ROBIN",
}


@dataclass(frozen=True, slots=True)
class Subset:
    """A subset; ``policy`` holds its own sections of Envoy cluster fields."""

    labels: Mapping[str, str]
    policy: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class DestinationPolicy:
    """All DestinationRules of one host, merged.

    Attributes:
        host: Full name, or wildcard.
        policy: Envoy cluster fields by section of ``trafficPolicy``.
        subsets: By name.
    """

    host: str
    policy: Mapping[str, Json] = field(default_factory=dict)
    subsets: Mapping[str, Subset] = field(default_factory=dict)


def read_destination_rules(bodies: Iterable[Mapping[str, Any]], warn: list[str]) -> Sequence[DestinationPolicy]:
    """Read DestinationRules; those of one host are merged as istiod does: the oldest wins, subsets are added up.

    Raises:
        UntranslatableError: A field that is not translated.
    """
    merged: dict[str, DestinationPolicy] = {}
    for body in by_age(bodies):
        rule, owner = _read_rule(body)
        before = merged.setdefault(rule.host, rule)
        if before is not rule:
            warn.append(f"{owner}: host {rule.host} has an older DestinationRule; Istio merges their subsets")
            policy = before.policy or rule.policy
            merged[rule.host] = DestinationPolicy(rule.host, policy, {**rule.subsets, **before.subsets})
    return list(merged.values())


def _read_rule(body: Mapping[str, Any]) -> tuple[DestinationPolicy, str]:
    with read_spec(body) as spec:
        host = resolve_host(spec.text("host"), body.get("metadata", {}).get("namespace", "default"))
        spec.without_export()
        policy = _read_policy(spec.child("trafficPolicy"))
        subsets: dict[str, Subset] = {}
        for one in spec.children("subsets"):
            with one:
                name = one.text("name")
                if not name or name in subsets:
                    raise one.wrong("name", "a subset needs a name of its own")
                subsets[name] = Subset(one.text_map("labels"), _read_policy(one.child("trafficPolicy")))
        return DestinationPolicy(host, policy, subsets), spec.owner


def _read_policy(policy: Fields | None) -> dict[str, Json]:
    """Return Envoy cluster fields by section; a subset's section replaces the host's as a whole, as in Istio."""
    if policy is None:
        return {}
    sections: dict[str, Json] = {}
    with policy:
        if (balancer := policy.child("loadBalancer")) is not None:
            with balancer:
                sections["loadBalancer"] = {"lb_policy": balancer.choice("simple", _SIMPLE, "LEAST_REQUEST")}
        if (pool := policy.child("connectionPool")) is not None:
            sections["connectionPool"] = _connection_pool(pool)
        if (outlier := policy.child("outlierDetection")) is not None:
            sections["outlierDetection"] = _outlier_detection(outlier)
        if (tls := policy.child("tls")) is not None:
            with tls:
                tls.choice("mode", {"DISABLE": None}, None)
    return sections


def _connection_pool(pool: Fields) -> Json:
    limits: Json = {}
    common: Json = {}
    out: Json = {}
    with pool:
        if (tcp := pool.child("tcp")) is not None:
            with tcp:
                limits["max_connections"] = tcp.integer("maxConnections")
                out["connect_timeout"] = tcp.duration("connectTimeout")
                common["max_connection_duration"] = tcp.duration("maxConnectionDuration")
                common["idle_timeout"] = tcp.duration("idleTimeout")
        if (http := pool.child("http")) is not None:
            with http:
                limits["max_pending_requests"] = http.integer("http1MaxPendingRequests")
                limits["max_requests"] = http.integer("http2MaxRequests")
                limits["max_retries"] = http.integer("maxRetries")
                common["max_requests_per_connection"] = http.integer("maxRequestsPerConnection") or None
                common["idle_timeout"] = http.duration("idleTimeout") or common.get("idle_timeout")
                http.choice("h2UpgradePolicy", {"DEFAULT": None, "DO_NOT_UPGRADE": None}, None)
    out["circuit_breakers"] = {"thresholds": [{**_no_limits(), **{k: v for k, v in limits.items() if v}}]}
    if common := {key: value for key, value in common.items() if value}:
        out["typed_extension_protocol_options"] = {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "common_http_protocol_options": common,
                "explicit_http_config": {"http_protocol_options": {}},
            }
        }
    return {key: value for key, value in out.items() if value}


def _no_limits() -> Json:
    return dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), _UNLIMITED)


def _outlier_detection(outlier: Fields) -> Json:
    out: Json = {"enforcing_success_rate": 0}
    with outlier:
        for key, envoy, enforcing in (
            ("consecutive5xxErrors", "consecutive_5xx", "enforcing_consecutive_5xx"),
            ("consecutiveGatewayErrors", "consecutive_gateway_failure", "enforcing_consecutive_gateway_failure"),
        ):
            if (count := outlier.integer(key)) is not None:
                out[envoy], out[enforcing] = count, 100 if count else 0
        local = outlier.integer("consecutiveLocalOriginFailures")
        if outlier.flag("splitExternalLocalOriginErrors"):
            out |= {"split_external_local_origin_errors": True, "enforcing_local_origin_success_rate": 0}
            if local:
                out |= {"consecutive_local_origin_failure": local, "enforcing_consecutive_local_origin_failure": 100}
        for key, envoy in (("interval", "interval"), ("baseEjectionTime", "base_ejection_time")):
            if (duration := outlier.duration(key)) is not None:
                out[envoy] = duration
        if percent := outlier.integer("maxEjectionPercent"):
            out["max_ejection_percent"] = percent
        panic = outlier.integer("minHealthPercent") or 0
    return {"outlier_detection": out, "common_lb_config": {"healthy_panic_threshold": {"value": panic}}}


def outbound_clusters(
    services: Sequence[MeshService], policies: Sequence[DestinationPolicy], pods: Sequence[InboundPod]
) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return clusters and their endpoints, for each Service, port and subset."""
    clusters: dict[str, Json] = {}
    endpoints: dict[str, Json] = {}
    for service in services:
        rule = next(iter(best_match(service.host, ((one.host, one) for one in policies))), DestinationPolicy(""))
        for port in service.ports:
            for subset, chosen in {"": Subset({}, {}), **rule.subsets}.items():
                name = cluster_name(port, subset, service.host)
                clusters[name] = _cluster(name, service, {**rule.policy, **chosen.policy})
                members = [pod for pod in pods if pod.endpoint.ready and service.selects(pod, chosen.labels)]
                endpoints[name] = {
                    "cluster_name": name,
                    "endpoints": [{"lb_endpoints": [_endpoint(pod) for pod in members]}],
                }
    return clusters, endpoints


def _cluster(name: str, service: MeshService, sections: Mapping[str, Json]) -> Json:
    cluster: Json = {
        "name": name,
        "type": "EDS",
        # One file a cluster: Envoy's file subscription for endpoints takes exactly one resource.
        "eds_cluster_config": {
            "eds_config": {"path_config_source": {"path": f"./eds.{name}.json"}, "resource_api_version": "V3"}
        },
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [_no_limits()]},
        "metadata": {
            "filter_metadata": {
                "istio": {"host": service.host, "name": service.name, "namespace": service.namespace},
            }
        },
    }
    for section in sections.values():
        cluster |= section
    return cluster


def _endpoint(pod: InboundPod) -> Json:
    at = pod.endpoint
    about = {
        "workload": at.workload,
        "namespace": at.namespace,
        "app": at.labels.get("app", ""),
        "version": at.labels.get("version", ""),
        "canonical_service": canonical_service(at.labels, at.workload),
        "canonical_revision": canonical_revision(at.labels),
    }
    return {
        "endpoint": {"address": loopback(pod.port)},
        "metadata": {"filter_metadata": {"istio": {key: value for key, value in about.items() if value}}},
    }


def inbound_cluster(pod: InboundPod) -> Json:
    """Return the cluster of one pod's own app process."""
    name = f"inbound|{pod.key}"
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "circuit_breakers": {"thresholds": [_no_limits()]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": loopback(pod.endpoint.app_port)}}]}],
        },
    }


def loopback(port: int) -> Json:
    """Return Envoy's address of a port on 127.0.0.1."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
