"""What Envoy counts: Istio's two metrics, with Istio's labels, by the stats access logger.

Names and values as in istio/proxy's ``istio_stats.cc`` and
https://istio.io/latest/docs/reference/config/metrics/. Two tags are ours: the emulated proxy that counted, because
one Envoy plays them all, and who sent the request. ``telemetry`` takes them out again.
"""

from __future__ import annotations

from collections.abc import Mapping

from gitlab_mesh.sandbox.envoy.labels import UNKNOWN, canonical_revision, canonical_service
from gitlab_mesh.sandbox.envoy.model import InboundPod, Json, ProxyPod
from gitlab_mesh.sandbox.envoy.services import MeshService

__all__ = [
    "HISTOGRAM_BUCKETS",
    "PROXY_TAG",
    "SOURCE_HEADER",
    "SOURCE_KEY",
    "SOURCE_METADATA",
    "SOURCE_TAG",
    "access_log",
    "destination_tags",
    "source_labels",
    "source_tags",
    "stats_config",
]

PROXY_TAG = "emulated_proxy"
SOURCE_TAG = "emulated_source"
SOURCE_HEADER = "x-gitlab-mesh-emulated-source"
SOURCE_METADATA = "gitlab_mesh"
SOURCE_KEY = "source"

HISTOGRAM_BUCKETS = (
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000),
    *(300_000, 600_000, 1_800_000, 3_600_000),
)
"""Upper bounds in milliseconds: Envoy's defaults, which Istio uses."""

_PREFIX = "istio"


def source_labels(pod: ProxyPod | None) -> dict[str, str]:
    """Return the labels about the sender; all unknown if it is not a proxy of the mesh."""
    if pod is None:
        pod = ProxyPod(UNKNOWN, UNKNOWN, UNKNOWN, {"app": UNKNOWN})
    return {
        "source_workload": pod.workload,
        "source_workload_namespace": pod.namespace,
        "source_app": pod.labels.get("app", UNKNOWN),
        "source_version": pod.labels.get("version", UNKNOWN),
        "source_canonical_service": canonical_service(pod.labels, pod.workload),
        "source_canonical_revision": canonical_revision(pod.labels),
        "source_cluster": UNKNOWN if pod.workload == UNKNOWN else "Kubernetes",
    }


def source_tags(pod: ProxyPod) -> dict[str, str]:
    """Return the tags at the sender; what is known about the destination comes with the host that Envoy chose."""
    host = "%METADATA(UPSTREAM_HOST:istio:{})%"
    service = "%METADATA(CLUSTER:istio:{})%"
    return {
        "reporter": "source",
        **source_labels(pod),
        "destination_workload": host.format("workload"),
        "destination_workload_namespace": host.format("namespace"),
        "destination_app": host.format("app"),
        "destination_version": host.format("version"),
        "destination_canonical_service": host.format("canonical_service"),
        "destination_canonical_revision": host.format("canonical_revision"),
        "destination_service": service.format("host"),
        "destination_service_name": service.format("name"),
        "destination_service_namespace": host.format("namespace"),
        # With a sidecar the sender does not judge this; Istio leaves it to the receiver.
        "connection_security_policy": UNKNOWN,
        **_answer(f"{pod.namespace}/{pod.name}"),
    }


def destination_tags(pod: InboundPod, service: MeshService | None) -> dict[str, str]:
    """Return the tags at the receiver; ``service`` is the one that selects the pod."""
    at = pod.endpoint
    canonical = canonical_service(at.labels, at.workload)
    return {
        "reporter": "destination",
        SOURCE_TAG: f"%DYNAMIC_METADATA({SOURCE_METADATA}:{SOURCE_KEY})%",
        "destination_workload": at.workload,
        "destination_workload_namespace": at.namespace,
        "destination_app": at.labels.get("app") or UNKNOWN,
        "destination_version": at.labels.get("version") or UNKNOWN,
        "destination_canonical_service": canonical,
        "destination_canonical_revision": canonical_revision(at.labels),
        "destination_service": service.host if service else canonical,
        "destination_service_name": service.name if service else canonical,
        "destination_service_namespace": at.namespace,
        # The emulated mesh has no mutual TLS, and says so.
        "connection_security_policy": "none",
        **_answer(pod.key),
    }


def _answer(proxy: str) -> dict[str, str]:
    return {
        "request_protocol": "http",
        "response_code": "%RESPONSE_CODE%",
        "response_flags": "%RESPONSE_FLAGS%",
        PROXY_TAG: proxy,  # last: the statistic's full name then ends with it, and can be filtered by it
    }


def access_log(tags: Mapping[str, str]) -> Json:
    """Return the access logger that counts."""
    listed = [{"name": name, "value_format": value} for name, value in tags.items()]
    return {
        "name": "envoy.access_loggers.stats",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config",
            "stats_scope": {"prefix": _PREFIX},
            "counters": [{"stat": {"name": "requests_total", "tags": listed}, "value_fixed": 1}],
            "histograms": [
                {
                    "stat": {"name": "request_duration_milliseconds", "tags": listed},
                    "unit": "Milliseconds",
                    "value_format": "%DURATION%",
                }
            ],
        },
    }


def stats_config() -> Json:
    """Return the bootstrap's ``stats_config``; buckets by prefix, as a statistic's full name ends with its tags."""
    match = {"prefix": f"{_PREFIX}.request_duration_milliseconds"}
    return {"histogram_bucket_settings": [{"match": match, "buckets": list(HISTOGRAM_BUCKETS)}]}
