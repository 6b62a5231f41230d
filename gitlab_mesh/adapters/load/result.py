"""What a load run measured: own histogram buckets that merge exactly, counts, and whether to believe them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["Answers", "Histogram", "LoadResult"]

_SUB_BITS = 7
_SUB = 1 << _SUB_BITS
_MAX_BITS = 36  # 2**36 µs is 19 hours: more than any run lasts
_SIZE = (_MAX_BITS - _SUB_BITS + 1) << _SUB_BITS


class Histogram:
    """Times in buckets: 1 µs wide below 128 µs, above that 128 buckets for each doubling.

    A quantile is at most 0.4 % away from the recorded value. 30 KB, whatever is recorded; two histograms add up to
    the one that a single generator would have had.
    """

    __slots__ = ("_counts", "count", "maximum_seconds", "total_seconds")

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * _SIZE))
        self.count = 0
        self.total_seconds = 0.0
        self.maximum_seconds = 0.0

    def record(self, seconds: float) -> None:
        """Count one time (seconds; below zero counts as zero)."""
        micros = int(seconds * 1e6)
        if micros < _SUB:
            index = max(micros, 0)
        else:
            shift = min(micros, (1 << _MAX_BITS) - 1).bit_length() - 1 - _SUB_BITS
            index = min((shift << _SUB_BITS) + (micros >> shift), _SIZE - 1)
        self._counts[index] += 1
        self.count += 1
        self.total_seconds += seconds
        if seconds > self.maximum_seconds:
            self.maximum_seconds = seconds

    def quantile(self, share: float) -> float:
        """Return the time (seconds) that ``share`` (0–1) of the values do not exceed; 0.0 if nothing was recorded."""
        if not self.count:
            return 0.0
        wanted = max(1, min(self.count, math.ceil(share * self.count - 1e-9)))
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return min(_middle(index), self.maximum_seconds)
        return self.maximum_seconds

    def merge(self, other: Histogram) -> None:
        """Add what another one recorded."""
        for index, count in enumerate(other._counts):
            if count:
                self._counts[index] += count
        self.count += other.count
        self.total_seconds += other.total_seconds
        self.maximum_seconds = max(self.maximum_seconds, other.maximum_seconds)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; only buckets in use are listed."""
        used = {str(index): count for index, count in enumerate(self._counts) if count}
        return {"buckets": used, "total_seconds": self.total_seconds, "maximum_seconds": self.maximum_seconds}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` returned."""
        histogram = cls()
        for index, count in value["buckets"].items():
            histogram._counts[int(index)] = count
            histogram.count += count
        histogram.total_seconds = value["total_seconds"]
        histogram.maximum_seconds = value["maximum_seconds"]
        return histogram


def _middle(index: int) -> float:
    """Return the middle of a bucket in seconds."""
    if index < _SUB:
        return (index + 0.5) / 1e6
    shift = (index >> _SUB_BITS) - 1
    low = (index - (shift << _SUB_BITS)) << shift
    return (low + (1 << shift) / 2) / 1e6


@dataclass(slots=True)
class Answers:
    """Answers of one origin: how many, and how many of them were errors (5xx)."""

    requests: int = 0
    errors: int = 0


@dataclass(slots=True)
class LoadResult:
    """What was measured so far, or at the end.

    Attributes:
        planned_rate: Requests per second that the plan asked for.
        duration_seconds: From the first intended send to the last answer or the deadline.
        sending_seconds: From the first to the last intended send.
        requests: Requests that ended, well or badly.
        errors: Class of error → count: ``http_5xx``, ``proxy_5xx`` (see ``LoadPlan.origin_header``), ``connect``,
            ``reset`` (the connection ended in the middle), ``timeout``, ``protocol`` (not HTTP).
        answers: Value of the origin header → its answers; "" where it was missing.
        latency: Of all answers, from the intended send to the last byte.
        lag: Of all sends, how late the generator itself was, with a connection free.
        late_sends: Sends that the generator itself delayed by more than 20 ms.
        queued_sends: Sends that waited because all connections were in use.
        limits: Why the generator, not the target, was the limit; empty: it was not.
    """

    planned_rate: float
    duration_seconds: float = 0.0
    sending_seconds: float = 0.0
    sent: int = 0
    requests: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    answers: dict[str, Answers] = field(default_factory=dict)
    latency: Histogram = field(default_factory=Histogram)
    lag: Histogram = field(default_factory=Histogram)
    late_sends: int = 0
    queued_sends: int = 0
    limits: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """All requests that ended in an error of any class."""
        return sum(self.errors.values())

    @property
    def failed_outside_application(self) -> int:
        """Failures that the application did not cause by an answer of its own."""
        return self.failed - self.errors.get("http_5xx", 0)

    @property
    def achieved_rate(self) -> float:
        """Requests really sent per second of sending."""
        return self.sent / self.sending_seconds if self.sending_seconds > 0 else 0.0

    @property
    def generator_limited(self) -> bool:
        """True: the numbers say more about the generator than about the target."""
        return bool(self.limits)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, with the raw histogram."""
        quantiles = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
        return {
            "requests": self.requests,
            "failed": self.failed,
            "errors": dict(self.errors),
            "answers": {
                name: {"requests": value.requests, "errors": value.errors} for name, value in self.answers.items()
            },
            "latency_seconds": {name: self.latency.quantile(share) for name, share in quantiles.items()}
            | {"max": self.latency.maximum_seconds},
            "planned_rate": self.planned_rate,
            "achieved_rate": self.achieved_rate,
            "duration_seconds": self.duration_seconds,
            "sending_seconds": self.sending_seconds,
            "sent": self.sent,
            "late_sends": self.late_sends,
            "queued_sends": self.queued_sends,
            "limits": list(self.limits),
            "lag_p99_seconds": self.lag.quantile(0.99),
            "histogram": self.latency.to_json(),
        }
