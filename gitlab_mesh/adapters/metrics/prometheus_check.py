"""Why Prometheus has no counts of stable: asked only before traffic moves, when there are none."""

from __future__ import annotations

from typing import Any

from gitlab_mesh.adapters.metrics.prometheus_api import PrometheusApi, QueryError
from gitlab_mesh.core.judge.settings import UserMetric
from gitlab_mesh.core.metrics.counts import SideTarget
from gitlab_mesh.core.metrics.istio import REQUESTS, is_host_of
from gitlab_mesh.core.metrics.promql import quote
from gitlab_mesh.errors import GitlabMeshError, NoDataError, UsageError

__all__ = ["explain_absence", "explain_bad_query"]

_NAMES = f'__name__=~"(envoy_)?{REQUESTS}"'


def explain_absence(
    api: PrometheusApi, stable: SideTarget, reporter: str, max_age: float, now: float, deadline: float
) -> GitlabMeshError:
    """Find out why: metric unknown, other labels, too old, or simply no traffic."""
    wanted = f"workload {stable.namespace}/{stable.workload}, host {stable.service_host}, reporter {reporter}"
    namespace = f"destination_workload_namespace={quote(stable.namespace)}"
    by = "reporter, destination_workload, destination_service"
    seen = _ask(api, f"count by ({by}) ({{{_NAMES},{namespace}}})", now, deadline)
    if not seen:
        anywhere = _ask(api, f"count by (destination_workload_namespace) ({{{_NAMES}}})", now, deadline)
        if not anywhere:
            return NoDataError(
                f"Prometheus {api.shown} does not know {REQUESTS}",
                why="it does not scrape the proxies, or Istio's telemetry is off",
                hint="scrape port 15020, path /stats/prometheus, of the pods (Istio's sample prometheus.yaml does)",
            )
        return NoDataError(
            f"Prometheus {api.shown} has no request to a workload of namespace {stable.namespace}",
            why=f"namespaces with requests: {_join(anywhere, 'destination_workload_namespace')}",
            hint="see that the namespace's proxies are scraped and that the service has traffic",
        )
    own = [labels for labels in seen if labels.get("destination_workload") == stable.workload]
    if not own:
        return NoDataError(
            f"Prometheus {api.shown} has no request to workload {stable.namespace}/{stable.workload}",
            why=f"workloads of the namespace with requests: {_join(seen, 'destination_workload')}",
            hint="correct workload.name in mesh.yaml, or send the service a request through its route",
        )
    fitting = [
        labels
        for labels in own
        if labels.get("reporter") == reporter and is_host_of(labels.get("destination_service", ""), stable)
    ]
    if not fitting:
        return UsageError(
            f"Prometheus {api.shown}: {REQUESTS} does not fit {wanted}",
            why=f"seen: hosts {_join(own, 'destination_service')}; reporters {_join(own, 'reporter')}",
            hint="correct host in mesh.yaml, or set metrics.reporter",
        )
    return NoDataError(
        f"Prometheus {api.shown}: no sample of {wanted} is younger than {max_age:g} s",
        why="the proxies are scraped more seldom, or no longer, or no request came from metrics.gateway",
        hint="scrape every 15 s or faster, or raise metrics.max_age",
    )


def explain_bad_query(query: UserMetric, error: QueryError) -> UsageError:
    """Say that the user's own query is wrong."""
    return UsageError(
        f"metric {query.name}: {error.what}",
        why=error.why,
        hint="try the query in Prometheus' own page; correct metrics.queries in mesh.yaml",
    )


def _ask(api: PrometheusApi, promql: str, now: float, deadline: float) -> list[dict[str, Any]]:
    result = api.query(promql, at=now, deadline=deadline).result
    return [entry.get("metric", {}) for entry in result] if isinstance(result, list) else []


def _join(series: list[dict[str, Any]], label: str) -> str:
    values = sorted({str(labels.get(label) or "(none)") for labels in series})
    return ", ".join(values[:5]) + (f" and {len(values) - 5} more" if len(values) > 5 else "")
