"""Istio's request telemetry: from samples of ``istio_requests_total`` and its histogram to counts of the two sides.

Names and labels: https://istio.io/latest/docs/reference/config/metrics/. Envoy's own stats access logger writes
the same names with the prefix ``envoy_``. All labels that split a side further (callers, codes, flags) are summed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gitlab_mesh.core.metrics.counts import Counts, Histogram, Side, SideTarget
from gitlab_mesh.core.metrics.exposition import ExpositionError, Sample

__all__ = [
    "DURATION",
    "METRIC_NAMES",
    "REQUESTS",
    "IstioCounts",
    "classify",
    "events_of",
    "find_target",
    "is_host_of",
    "is_same_host",
    "read_istio",
]

REQUESTS = "istio_requests_total"
DURATION = "istio_request_duration_milliseconds_bucket"
_PREFIX = "envoy_"
METRIC_NAMES = frozenset({REQUESTS, DURATION, _PREFIX + REQUESTS, _PREFIX + DURATION})
"""The lines of a proxy's page that matter."""

_UNKNOWN = frozenset({"", "-", "unknown"})

_NO_RESPONSE_FLAGS = frozenset({"UF", "UH", "NR", "NC", "UC", "UR", "UO", "UT", "LR", "LH", "UPE", "UMSDR", "NFCF"})
"""Envoy's response flags that mean "the application gave no whole answer"
(https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage). DC is missing on purpose:
a client that hangs up in the middle of a 200 is not the application's error (one that hangs up before has code 0)."""

_CONNECTION_FLAGS = frozenset({"UF", "UC", "UH", "UR", "LR"})

_GRPC_FAILURES = frozenset({"2", "4", "12", "13", "14", "15"})
"""UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: what google.rpc.Code maps to 5xx.
The others are the caller's, as 4xx are."""


@dataclass(frozen=True, slots=True)
class IstioCounts:
    """What one owner's series say.

    Attributes:
        sides: Counts of each side that was asked for; zero where no series is.
        seen: Sides that have at least one series.
        hosts: All destination hosts of series that were looked at, for "not found" messages.
        workloads: All destination workloads ("namespace/name"), for the same.
        reporters: All reporters, for the same.
        unplaced: Requests to the sides' host that reached no pod and name no side (``Snapshot.unplaced``).
    """

    sides: Mapping[Side, Counts]
    seen: frozenset[Side] = frozenset()
    hosts: frozenset[str] = frozenset()
    workloads: frozenset[str] = frozenset()
    reporters: frozenset[str] = frozenset()
    unplaced: Counts = Counts()


@dataclass(slots=True)
class _Tally:
    """Sums of one side, while reading."""

    requests: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    buckets: dict[frozenset[tuple[str, str]], dict[float, int]] = field(default_factory=dict)


def read_istio(samples: Iterable[Sample], *, reporter: str, targets: Sequence[SideTarget]) -> IstioCounts:
    """Sum the series of one owner (one proxy's page, or one pod's series in Prometheus) by side.

    Args:
        samples: Cumulative series, in any order; other metrics are passed over.
        reporter: "source" or "destination".
        targets: The sides to look for.

    Raises:
        ExpositionError: A value is no count, the same series comes twice, ``response_code`` is missing (errors could
            not be seen then), or a histogram is broken. A wrong sum is worse than none.
    """
    tallies = {target.side: _Tally() for target in targets}
    unplaced = _Tally()
    seen: set[Side] = set()
    known: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    names: set[str] = set()
    hosts, workloads, reporters = set(), set(), set()
    for sample in samples:
        name = sample.name.removeprefix(_PREFIX)
        if name not in (REQUESTS, DURATION):
            continue
        labels = sample.labels
        hosts.add(labels.get("destination_service", ""))
        workloads.add(f"{labels.get('destination_workload_namespace', '')}/{labels.get('destination_workload', '')}")
        reporters.add(labels.get("reporter", ""))
        target = find_target(labels, reporter, targets)
        if target is None:
            if name == REQUESTS and _is_unplaced(labels, reporter, targets):
                _add_requests(unplaced, sample)
            continue
        names.add(sample.name)
        seen.add(target.side)
        if name == REQUESTS:
            identity = (sample.name, frozenset(labels.items()))
            if identity in known:
                raise ExpositionError(f"{_where(sample)} the same series comes twice")
            known.add(identity)
            _add_requests(tallies[target.side], sample)
        else:
            _add_bucket(tallies[target.side], sample)
    if REQUESTS in names and _PREFIX + REQUESTS in names:
        raise ExpositionError(
            f"both {REQUESTS} and {_PREFIX}{REQUESTS} are there: every request would count twice",
            hint="keep one: Istio's own telemetry, or the stats access logger",
        )
    sides = {
        side: Counts(
            tally.requests,
            dict(sorted(tally.errors.items())),
            _make_histogram(tally.buckets.values()),
            dict(sorted(tally.events.items())),
        )
        for side, tally in tallies.items()
    }
    nowhere = Counts(
        unplaced.requests, dict(sorted(unplaced.errors.items())), None, dict(sorted(unplaced.events.items()))
    )
    return IstioCounts(sides, frozenset(seen), frozenset(hosts), frozenset(workloads), frozenset(reporters), nowhere)


def _is_unplaced(labels: Mapping[str, str], reporter: str, targets: Sequence[SideTarget]) -> bool:
    host = labels.get("destination_service", "")
    return (
        reporter == "source" == labels.get("reporter")
        and labels.get("destination_workload", "") in _UNKNOWN
        and any(is_host_of(host, target) for target in targets)
    )


def find_target(labels: Mapping[str, str], reporter: str, targets: Sequence[SideTarget]) -> SideTarget | None:
    """Return the side that a series belongs to, or None.

    The workload and its namespace decide. A request that reached no host at all has no workload at the source
    (``unknown``): it is given to the side whose subset or whose own host it names, and to nobody if both share it.
    """
    if labels.get("reporter") != reporter:
        return None
    host = labels.get("destination_service", "")
    workload = labels.get("destination_workload", "")
    namespace = labels.get("destination_workload_namespace", "")
    fitting = [t for t in targets if host in _UNKNOWN or is_host_of(host, t)]
    if workload not in _UNKNOWN:
        fitting = [t for t in fitting if t.workload == workload and namespace in (t.namespace, "")]
    elif reporter == "source" and host not in _UNKNOWN:
        subset = labels.get("destination_subset", "")
        fitting = [t for t in fitting if subset in _UNKNOWN or t.subset == subset]
    else:
        return None
    return fitting[0] if len(fitting) == 1 else None


def is_host_of(label: str, target: SideTarget) -> bool:
    """Whether ``destination_service`` is the service's host, or the one that leads to this side alone."""
    if target.own_host and is_same_host(label, target.own_host, target.namespace):
        return True
    return is_same_host(label, target.service_host, target.namespace)


def is_same_host(label: str, host: str, namespace: str) -> bool:
    """Compare ``destination_service`` (fully qualified by Istio) with a host as routes write it.

    A host without dots is a Service of the namespace; the cluster's domain may be any.
    """
    if label == host:
        return True
    full = host if "." in host else f"{host}.{namespace}"
    if full.endswith(".svc"):
        full = full.removesuffix(".svc")
    return label == full or label == f"{full}.svc" or label.startswith(f"{full}.svc.")


def classify(labels: Mapping[str, str]) -> str:
    """Return the error class of a series: "no-response", "5xx", "grpc", or "" for none. 4xx are not errors."""
    code = labels.get("response_code", "")
    flags = labels.get("response_flags", "").split(",")
    if code == "0" or not _NO_RESPONSE_FLAGS.isdisjoint(flag.strip() for flag in flags):
        return "no-response"
    if len(code) == 3 and code.startswith("5"):
        return "5xx"
    if labels.get("request_protocol") == "grpc" and labels.get("grpc_response_status", "") in _GRPC_FAILURES:
        return "grpc"
    return ""


def events_of(labels: Mapping[str, str]) -> list[str]:
    """Return what the mesh did to the requests of a series, failed or not.

    ``rate_limited``: answered with 429, by whomever. ``circuit_breaker``: refused because a limit of the
    DestinationRule's connection pool was reached (UO). ``connection_failures``: no connection, one that broke, or no
    pod left that is not ejected (UF, UC, UH, UR, LR).
    """
    flags = {flag.strip() for flag in labels.get("response_flags", "").split(",")}
    events = ["rate_limited"] if labels.get("response_code") == "429" else []
    events += ["circuit_breaker"] if "UO" in flags else []
    return [*events, "connection_failures"] if not flags.isdisjoint(_CONNECTION_FLAGS) else events


def _add_requests(tally: _Tally, sample: Sample) -> None:
    count = _read_count(sample)
    if not sample.labels.get("response_code", "").isdigit():
        raise ExpositionError(
            f"{_where(sample)} {sample.name} has no response_code, so errors cannot be told from successes",
            hint="look for a Telemetry resource that removes the tag response_code",
        )
    tally.requests += count
    kind = classify(sample.labels)
    if kind:
        tally.errors[kind] = tally.errors.get(kind, 0) + count
    for event in events_of(sample.labels):
        tally.events[event] = tally.events.get(event, 0) + count


def _add_bucket(tally: _Tally, sample: Sample) -> None:
    text = sample.labels.get("le", "")
    try:
        bound = float(text)
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        raise ExpositionError(f"{_where(sample)} {sample.name} has the bucket bound le={text!r}")
    series = dict(sample.labels)
    del series["le"]
    buckets = tally.buckets.setdefault(frozenset(series.items()), {})
    if bound / 1000 in buckets:
        raise ExpositionError(f"{_where(sample)} the same series comes twice")
    buckets[bound / 1000] = _read_count(sample)


def _make_histogram(series: Iterable[Mapping[float, int]]) -> Histogram | None:
    """Add cumulative histograms that have the same bounds and make each bucket count for itself."""
    bounds: tuple[float, ...] = ()
    totals: list[int] = []
    for buckets in series:
        own = tuple(sorted(buckets))
        if not bounds:
            bounds, totals = own, [0] * len(own)
        if own != bounds or own[-1] != math.inf:
            raise ExpositionError(f"{DURATION}: series of one proxy have different buckets, or lack le=+Inf")
        previous = 0
        for index, bound in enumerate(own):
            if buckets[bound] < previous:
                raise ExpositionError(f"{DURATION}: le={bound * 1000:g} counts less than the bucket below it")
            totals[index] += buckets[bound] - previous
            previous = buckets[bound]
    return Histogram(bounds, tuple(totals)) if bounds else None


def _read_count(sample: Sample) -> int:
    if not (math.isfinite(sample.value) and sample.value >= 0 and sample.value.is_integer()):
        raise ExpositionError(f"{_where(sample)} {sample.name} is {sample.value}, which is not a count")
    return int(sample.value)


def _where(sample: Sample) -> str:
    return f"line {sample.line}:" if sample.line else "series:"
