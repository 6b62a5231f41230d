"""Counts as values: what one side of a release has served.

Counts, not rates: 3 errors of 30 and 3,000 of 30,000 requests must not weigh the same.
Latencies are seconds; Istio's millisecond buckets are converted where they are read, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Counts", "Histogram", "PodSample", "Side", "SideTarget", "Snapshot", "UserSample"]


class Side(StrEnum):
    """The two sides of a release."""

    STABLE = "stable"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Histogram:
    """A latency histogram.

    Attributes:
        upper_bounds: Upper bound of each bucket in seconds, strictly increasing; the last is ``inf``.
        counts: Requests in each bucket by itself (not cumulative), same length as ``upper_bounds``.
    """

    upper_bounds: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests that were answered (or failed to be), all at least 0.

    Attributes:
        requests: All of them, failed ones included.
        errors: Failed ones by class (``"5xx"``, ``"no-response"``); their sum is at most ``requests``.
        latency: Where the source has it.
        events: What the mesh did to requests, failed or not, by the names of ``core.metrics.istio.events_of``.
    """

    requests: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    latency: Histogram | None = None
    events: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PodSample:
    """One series' cumulative counts since its process started.

    Attributes:
        pod: Identity of the counter's owner; a new pod starts at 0.
        side: Which side's requests are counted.
        time_seconds: The sample's own time by its source's clock (Unix seconds), not when we read it.
        counts: Cumulative; may fall to 0 when the process restarts.
    """

    pod: str
    side: Side
    time_seconds: float
    counts: Counts


@dataclass(frozen=True, slots=True)
class UserSample:
    """The value of a metric that the user declared (one PromQL query), for one side or, without side, for both.

    ``value`` is whatever the source answered, NaN and ±Inf included: the core refuses them, not the adapter.
    """

    name: str
    side: Side | None
    value: float
    time_seconds: float


@dataclass(frozen=True, slots=True)
class SideTarget:
    """Whose numbers to read: one side as the cluster knows it at this moment.

    ``own_host`` is a host that leads to this side alone, where the route has one (an HTTPRoute's backends): requests
    count under it or under ``service_host``, whichever the proxy that counts has at hand.
    """

    side: Side
    namespace: str
    workload: str
    service_host: str
    subset: str
    pods: tuple[str, ...] = ()
    own_host: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one reading of a metric source brought.

    Attributes:
        samples: At most one a pod and side.
        user: The user's own metrics.
        problems: Why something is missing, one sentence each ("pod shop-canary-x: 503 from the pod proxy").
        time_seconds: When the reading began, by the clock that also stamps the samples (Unix seconds); None where
            the source cannot tell. A sample at or after it was taken after everything that the caller did before.
        unplaced: By sending pod, cumulative: requests to the service's host for which no pod was chosen (all
            ejected, a limit of the connection pool), so that nobody can tell which side they were for.
    """

    samples: tuple[PodSample, ...] = ()
    user: tuple[UserSample, ...] = ()
    problems: tuple[str, ...] = ()
    time_seconds: float | None = None
    unplaced: Mapping[str, Counts] = field(default_factory=dict)
