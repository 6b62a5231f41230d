"""PromQL that we need: selectors of raw cumulative series, and the user's own queries with their blanks filled in.

Never ``rate`` and never ``sum``: both lose the samples' own times, and with them resets and staleness.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from gitlab_mesh.core.metrics.counts import SideTarget
from gitlab_mesh.core.metrics.istio import METRIC_NAMES
from gitlab_mesh.errors import UsageError

__all__ = [
    "is_per_side",
    "quote",
    "quote_any_of",
    "render_counts_query",
    "render_range",
    "render_up_query",
    "render_user_query",
]

_BLANK = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_BLANKS = ("side", "workload", "namespace")
_REGEX_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")


def quote(text: str) -> str:
    """Render a label value as a PromQL string, escaped as Go does it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def quote_any_of(values: Collection[str]) -> str:
    """Render a value for ``=~`` that matches exactly these (Prometheus anchors it at both ends)."""
    return quote("|".join(_escape(value) for value in sorted(values)))


def _escape(text: str) -> str:
    """Escape for RE2, the dialect of ``=~``."""
    return _REGEX_SPECIAL.sub(r"\\\1", text)


def render_range(seconds: float) -> str:
    """Render a duration for a range selector, in whole milliseconds, at least one."""
    return f"{max(1, round(seconds * 1000))}ms"


def render_counts_query(
    targets: Sequence[SideTarget], *, reporter: str, window_seconds: float, source_namespace: str = ""
) -> str:
    """Render the query for requests and latency buckets of all targets at once.

    One query, so that both metrics come from the same scrapes; a range selector, because only its answer has the
    samples' own times (an instant vector carries the time of the evaluation).

    Args:
        targets: The sides; one query serves them all, the labels tell them apart.
        reporter: "source" or "destination".
        window_seconds: How old a sample may be.
        source_namespace: Only requests from this namespace (the gateway's); empty: from anywhere.
    """
    workloads = {target.workload for target in targets}
    if reporter == "source":
        workloads |= {"unknown", "-", ""}  # requests that reached no host
    matchers = [
        f"__name__=~{quote_any_of(METRIC_NAMES)}",
        f"reporter={quote(reporter)}",
        f"destination_workload=~{quote_any_of(workloads)}",
    ]
    if reporter == "source":
        written = (host for target in targets for host in (target.service_host, target.own_host) if host)
        hosts = {host.split(".")[0] for host in written}
        matchers.append("destination_service=~" + quote("|".join(f"{_escape(host)}([.].*)?" for host in sorted(hosts))))
    else:
        namespaces = {target.namespace for target in targets}
        matchers.append(f"destination_workload_namespace=~{quote_any_of(namespaces)}")
    if source_namespace:
        matchers.append(f"source_workload_namespace={quote(source_namespace)}")
    return f"{{{','.join(matchers)}}}[{render_range(window_seconds)}]"


def render_up_query(pods: Collection[str], *, pod_label: str, window_seconds: float) -> str:
    """Render the query for Prometheus' own ``up`` of these pods: was the pod scraped although it has no series?"""
    return f"up{{{pod_label}=~{quote_any_of(pods)}}}[{render_range(window_seconds)}]"


def is_per_side(query: str) -> bool:
    """Say whether a user's query is asked once a side (it names ``{{ side }}`` or ``{{ workload }}``) or once."""
    return any(match.group(1) in ("side", "workload") for match in _BLANK.finditer(query))


def render_user_query(query: str, target: SideTarget) -> str:
    """Fill ``{{ side }}``, ``{{ workload }}`` and ``{{ namespace }}`` in; values are escaped for use in a string.

    Raises:
        UsageError: Another blank is asked for.
    """
    values = {"side": target.side.value, "workload": target.workload, "namespace": target.namespace}

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            raise UsageError(
                f"query has the blank {{{{ {name} }}}}",
                why=f"known are {', '.join(f'{{{{ {blank} }}}}' for blank in _BLANKS)}",
                hint=f"the query: {query}",
            )
        return quote(values[name])[1:-1]

    return _BLANK.sub(fill, query)
