"""Answers of Prometheus as values: real samples with their own times, grouped by whose counters they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.core.metrics.exposition import Sample
from gitlab_mesh.errors import TransientError

__all__ = ["POD_LABELS", "Owner", "Series", "group_by_owner", "parse_matrix", "parse_value"]

POD_LABELS = ("pod", "kubernetes_pod_name", "pod_name")
"""Where scrape configurations put the pod's name: operator and Istio's sample, older samples."""

_NAMESPACE_LABELS = ("namespace", "kubernetes_namespace", "pod_namespace")
_TARGET_LABELS = frozenset({"job", "instance", "endpoint", "container", "cluster", "tenant_id", "receive"})
"""Labels of the scrape, not of the request: one pod's series have one value of each, or the pod is there twice."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels (``__name__`` among them) and its last real sample."""

    labels: Mapping[str, str]
    time_seconds: float
    value: float


@dataclass(frozen=True, slots=True)
class Owner:
    """All series of one pod (or scrape target), as one scrape saw them.

    Attributes:
        name: Pod, or instance where there is no pod label.
        namespace: Of the pod, where a label says it.
        time_seconds: Of the newest scrape.
        samples: The series of that scrape only: one that the newest scrape lacks is gone (the proxy restarted).
        duplicate: Why these are several copies of one pod's series; empty: they are not.
        jobs: Scrape jobs.
    """

    name: str
    namespace: str
    time_seconds: float
    samples: tuple[Sample, ...] = field(repr=False, default=())
    duplicate: str = ""
    jobs: frozenset[str] = frozenset()


def parse_matrix(result: Any) -> list[Series]:
    """Parse the result of a range selector; series without samples are left out.

    Raises:
        TransientError: It is not what the API promises.
    """
    try:
        series = []
        for entry in result:
            values = entry.get("values") or []
            if values:
                moment, text = values[-1]
                series.append(Series({str(k): str(v) for k, v in entry["metric"].items()}, float(moment), float(text)))
        return series
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TransientError("Prometheus' answer is no matrix", why=f"{type(error).__name__}: {error}") from error


def parse_value(result_type: str, result: Any) -> tuple[list[tuple[float, float]], str]:
    """Parse the result of an instant query.

    Returns:
        (time, value) of each series, and, if there are several, their labels as text.

    Raises:
        TransientError: It is neither a scalar nor a vector, or not well formed.
    """
    try:
        if result_type == "scalar":
            moment, text = result
            return [(float(moment), float(text))], ""
        if result_type == "vector":
            values = [(float(entry["value"][0]), float(entry["value"][1])) for entry in result]
            return values, "; ".join(_show_labels(entry["metric"]) for entry in result[:3])
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise TransientError("Prometheus' answer is no value", why=f"{type(error).__name__}: {error}") from error
    raise TransientError(f"Prometheus answered a {result_type}; one value is needed")


def group_by_owner(series: Iterable[Series]) -> tuple[list[Owner], list[str]]:
    """Group series by pod, or by instance where they carry no pod.

    Returns:
        The owners in order, and problems. Series that name neither are somebody's sum: nobody could see a restart in
        them, so they are not used.
    """
    groups: dict[tuple[str, str], list[Series]] = {}
    homeless = 0
    for one in series:
        name = _first(one.labels, POD_LABELS)
        namespace = _first(one.labels, _NAMESPACE_LABELS) if name else ""
        name = name or one.labels.get("instance", "")
        if name:
            groups.setdefault((namespace, name), []).append(one)
        else:
            homeless += 1
    problems = []
    if homeless:
        problems.append(
            f"{homeless} series of Prometheus have neither a pod nor an instance label; "
            "sums over pods cannot be used: query the Prometheus that scrapes the proxies"
        )
    return [_make_owner(*key, groups[key]) for key in sorted(groups)], problems


def _make_owner(namespace: str, name: str, series: Sequence[Series]) -> Owner:
    newest = max(one.time_seconds for one in series)
    return Owner(
        name,
        namespace,
        newest,
        tuple(
            Sample(one.labels.get("__name__", ""), one.labels, one.value, one.time_seconds)
            for one in series
            if one.time_seconds == newest
        ),
        _find_duplicate(series),
        frozenset(one.labels.get("job", "") for one in series),
    )


def _find_duplicate(series: Sequence[Series]) -> str:
    """Name the first scrape label that has several values among one pod's series."""
    labels = {label for one in series for label in one.labels}
    for label in sorted(labels):
        if label in _TARGET_LABELS or "replica" in label or "prometheus" in label:
            values = sorted({one.labels.get(label, "(none)") for one in series})
            if len(values) > 1:
                return f"{label}={', '.join(values[:4])}"
    return ""


def _first(labels: Mapping[str, str], names: Sequence[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _show_labels(metric: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(metric.items())) + "}"
