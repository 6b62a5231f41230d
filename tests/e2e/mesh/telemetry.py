"""Istio's request metrics from a plain Envoy: EnvoyFilters that add the stats access logger. Pure.

Istio's own Envoy has an extension for them (istio.stats), which the Envoy of the tests lacks. Its stats access logger
counts the same requests with the same labels, as far as Envoy knows them; the names have Envoy's prefix
(``envoy_istio_requests_total``), which the metric sources of gitlab-mesh know. Labels:
https://istio.io/latest/docs/reference/config/metrics/
"""

from __future__ import annotations

from typing import Any

__all__ = ["telemetry_objects"]

_HCM = "envoy.filters.network.http_connection_manager"
_HCM_TYPE = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_LOGGER_TYPE = "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config"

_SERVICE = "xds.cluster_metadata.filter_metadata['istio']['services'][0]"
_HOST = "xds.upstream_host_metadata.filter_metadata['istio']['workload']"
"""Of istiod, on every endpoint: "workload;namespace;canonical service;canonical revision;cluster"."""


def _node(path: str) -> str:
    return f"%CEL(xds.node.metadata{path})%"


def _host_part(index: int) -> str:
    """Return one of the parts of ``_HOST``; Envoy's CEL has no ``split``, but RE2."""
    return f"%CEL(re.extract({_HOST}, '^{'[^;]*;' * index}([^;]*).*', '\\\\1'))%"


_ANSWER = {
    "destination_service": f"%CEL({_SERVICE}['host'])%",
    "destination_service_name": f"%CEL({_SERVICE}['name'])%",
    "request_protocol": "http",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
}

_AT_DESTINATION = {
    "reporter": "destination",
    "source_principal": "%DOWNSTREAM_PEER_URI_SAN%",
    "destination_principal": "%DOWNSTREAM_LOCAL_URI_SAN%",
    "destination_workload": _node("['WORKLOAD_NAME']"),
    "destination_workload_namespace": _node("['NAMESPACE']"),
    "destination_version": _node("['LABELS']['version']"),
    "connection_security_policy": "%CEL(connection.mtls ? 'mutual_tls' : 'none')%",
    **_ANSWER,
}

_AT_SOURCE = {
    "reporter": "source",
    "source_workload": _node("['WORKLOAD_NAME']"),
    "source_workload_namespace": _node("['NAMESPACE']"),
    "destination_principal": "%UPSTREAM_PEER_URI_SAN%",
    "destination_workload": _host_part(0),
    "destination_workload_namespace": _host_part(1),
    "destination_canonical_service": _host_part(2),
    "destination_canonical_revision": _host_part(3),
    "destination_subset": "%CLUSTER_METADATA(istio:subset)%",
    "connection_security_policy": "unknown",
    **_ANSWER,
}


def telemetry_objects(namespace: str = "istio-system") -> list[dict[str, Any]]:
    """Return the EnvoyFilters of the root namespace: all sidecars and gateways count."""
    return [
        _filter(namespace, "SIDECAR_INBOUND", _AT_DESTINATION),
        _filter(namespace, "SIDECAR_OUTBOUND", _AT_SOURCE),
        _filter(namespace, "GATEWAY", _AT_SOURCE),
    ]


def _filter(namespace: str, context: str, tags: dict[str, str]) -> dict[str, Any]:
    listed = [{"name": name, "value_format": value} for name, value in tags.items()]
    logger = {
        "@type": _LOGGER_TYPE,
        "stat_prefix": "istio",
        "counters": [{"value_fixed": 1, "stat": {"name": "requests_total", "tags": listed}}],
        "histograms": [
            {
                "unit": "Milliseconds",
                "value_format": "%DURATION%",
                "stat": {"name": "request_duration_milliseconds", "tags": listed},
            }
        ],
    }
    added = {"@type": _HCM_TYPE, "access_log": [{"name": "envoy.access_loggers.stats", "typed_config": logger}]}
    patch = {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": context, "listener": {"filterChain": {"filter": {"name": _HCM}}}},
        "patch": {"operation": "MERGE", "value": {"typed_config": added}},
    }
    name = "request-metrics-" + context.lower().replace("_", "-")
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"configPatches": [patch]},
    }
