"""Metric sources: plug-ins of the group ``gitlab_mesh.metric_sources``, each imported when it is chosen."""

from __future__ import annotations

from gitlab_mesh.adapters.metrics.plugin import MetricSourcePlugin, SourceContext
from gitlab_mesh.config.model import MetricsConfig
from gitlab_mesh.ports import MetricSource

__all__ = ["SOURCES"]


def _build_istio_proxy(config: MetricsConfig, context: SourceContext) -> MetricSource:
    from gitlab_mesh.adapters.metrics.istio_proxy import IstioProxySource

    return IstioProxySource(config, context)


def _build_prometheus(config: MetricsConfig, context: SourceContext) -> MetricSource:
    from gitlab_mesh.adapters.metrics.prometheus import PrometheusSource

    return PrometheusSource(config, context)


SOURCES = (
    MetricSourcePlugin(
        "istio-proxy", "the proxies' own counters, through the Kubernetes API (pods/proxy)", _build_istio_proxy
    ),
    MetricSourcePlugin("prometheus", "Istio's counters and any PromQL, from a Prometheus server", _build_prometheus),
)
"""What this distribution brings; a plug-in registers a tuple like it."""
