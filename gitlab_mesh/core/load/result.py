"""What a load run measured: counts, times by kind of request, slices of time, and whether to believe them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from gitlab_mesh.core.load.histogram import Histogram
from gitlab_mesh.core.load.slices import Slices
from gitlab_mesh.errors import UsageError

__all__ = ["QUANTILES", "SCHEMA", "Answers", "KindResult", "LoadResult", "join_results", "parse_result"]

SCHEMA = 1
"""Of the raw file; raised when a reader of the former one would misread the new one."""

QUANTILES: Mapping[str, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


@dataclass(slots=True)
class Answers:
    """Answers of one origin: how many, and how many of them were errors (5xx)."""

    requests: int = 0
    errors: int = 0


@dataclass(slots=True)
class KindResult:
    """One kind of request.

    Attributes:
        name: Of the kind.
        requests: That ended, in an answer or an error.
        errors: Class of error → count.
        latency: Of all answers, and of requests that were given up with their whole waiting time; from the
            intended send to the last byte.
        checks: Name → [passed, failed].
    """

    name: str
    requests: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    latency: Histogram = field(default_factory=Histogram)
    checks: dict[str, list[int]] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Requests that ended in an error of any class."""
        return sum(self.errors.values())

    def merge(self, other: KindResult) -> None:
        """Add what another run measured of the same kind."""
        self.requests += other.requests
        self.latency.merge(other.latency)
        for name, count in other.errors.items():
            self.errors[name] = self.errors.get(name, 0) + count
        for name, (passed, failed) in other.checks.items():
            mine = self.checks.setdefault(name, [0, 0])
            mine[0] += passed
            mine[1] += failed


@dataclass(slots=True)
class LoadResult:
    """What was measured so far, or at the end.

    Classes of errors: ``connect`` (refused, unreachable, too slow), ``tls``, ``reset`` (closed before the answer was
    whole), ``timeout``, ``unsent`` (given up before one of our connections was free), ``protocol`` (not HTTP),
    ``oversize`` (the body has no end), ``http_5xx``, ``proxy_5xx`` (a proxy on the way answered), ``status`` and
    ``check`` (an answer that the checks refuse).

    Attributes:
        planned_rate: Requests per second that the plan asked for, its mean over the run.
        kinds: By name of the kind of request.
        target: URL, without user and password.
        duration_seconds: From the first intended send to the last answer or the deadline.
        sending_seconds: From the first to the last intended send.
        planned_requests: Requests that were due.
        sent: Requests that were really sent.
        answers: Value of the origin header → its answers; "" where it was missing.
        lag: Of all sends, how late the generator itself was, with a connection free.
        slices: By the intended time.
        late_sends: Sends that the generator itself delayed by more than 20 ms.
        queued_sends: Sends that waited because all connections were in use.
        cpu_ratio: Share of one core that the generator's process used.
        limits: Why the generator, not the target, was the limit; empty: it was not.
        interrupted: The run was ended from outside.
        closed_loop: Users waited for answers, so latency counts from the real send and not from the intended one.
    """

    planned_rate: float
    kinds: dict[str, KindResult] = field(default_factory=dict)
    target: str = ""
    duration_seconds: float = 0.0
    sending_seconds: float = 0.0
    planned_requests: int = 0
    sent: int = 0
    answers: dict[str, Answers] = field(default_factory=dict)
    lag: Histogram = field(default_factory=Histogram)
    slices: Slices = field(default_factory=Slices)
    late_sends: int = 0
    queued_sends: int = 0
    cpu_ratio: float = 0.0
    limits: tuple[str, ...] = ()
    interrupted: bool = False
    closed_loop: bool = False

    @property
    def requests(self) -> int:
        """Requests that ended, in an answer or an error."""
        return sum(kind.requests for kind in self.kinds.values())

    @property
    def errors(self) -> dict[str, int]:
        """Class of error → count, over all kinds."""
        return self.total.errors

    @property
    def latency(self) -> Histogram:
        """Times of all kinds together; a copy where there are several."""
        return self.total.latency

    @property
    def total(self) -> KindResult:
        """All kinds together; a copy where there are several."""
        if len(self.kinds) == 1:
            return next(iter(self.kinds.values()))
        whole = KindResult("all")
        for kind in self.kinds.values():
            whole.merge(kind)
        return whole

    @property
    def failed(self) -> int:
        """All requests that ended in an error of any class."""
        return sum(kind.failed for kind in self.kinds.values())

    @property
    def failed_outside_application(self) -> int:
        """Failures that the application did not cause by an answer of its own."""
        own = ("http_5xx", "status", "check")
        return self.failed - sum(self.errors.get(name, 0) for name in own)

    @property
    def achieved_rate(self) -> float:
        """Requests really sent per second of sending."""
        return self.sent / self.sending_seconds if self.sending_seconds > 0 else 0.0

    @property
    def generator_limited(self) -> bool:
        """True: the numbers say more about the generator than about the target."""
        return bool(self.limits)

    def merge(self, other: LoadResult) -> None:
        """Add a shard that ran beside this one: counts and buckets add up, rates too, times overlap."""
        self.planned_rate += other.planned_rate
        self.planned_requests += other.planned_requests
        for name, kind in other.kinds.items():
            self.kinds.setdefault(name, KindResult(name)).merge(kind)
        self.duration_seconds = max(self.duration_seconds, other.duration_seconds)
        self.sending_seconds = max(self.sending_seconds, other.sending_seconds)
        self.sent += other.sent
        for origin, answers in other.answers.items():
            mine = self.answers.setdefault(origin, Answers())
            mine.requests += answers.requests
            mine.errors += answers.errors
        self.lag.merge(other.lag)
        self.slices.merge(other.slices)
        self.late_sends += other.late_sends
        self.queued_sends += other.queued_sends
        self.cpu_ratio = max(self.cpu_ratio, other.cpu_ratio)
        self.limits = (*self.limits, *other.limits)
        self.interrupted = self.interrupted or other.interrupted
        self.closed_loop = self.closed_loop or other.closed_loop

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, with the raw histograms: the raw file, and the lines of the load process."""
        total = self.total
        return {
            "schema": SCHEMA,
            "target": self.target,
            "requests": total.requests,
            "failed": total.failed,
            "errors": dict(total.errors),
            "answers": {
                name: {"requests": value.requests, "errors": value.errors} for name, value in self.answers.items()
            },
            "latency_seconds": describe_latency(total.latency),
            "planned_rate": self.planned_rate,
            "achieved_rate": self.achieved_rate,
            "duration_seconds": self.duration_seconds,
            "sending_seconds": self.sending_seconds,
            "planned_requests": self.planned_requests,
            "sent": self.sent,
            "late_sends": self.late_sends,
            "queued_sends": self.queued_sends,
            "cpu_ratio": self.cpu_ratio,
            "limits": list(self.limits),
            "interrupted": self.interrupted,
            "closed_loop": self.closed_loop,
            "lag_p99_seconds": self.lag.quantile(0.99),
            "lag": self.lag.to_json(),
            "kinds": [
                {
                    "name": kind.name,
                    "requests": kind.requests,
                    "errors": dict(kind.errors),
                    "checks": {name: list(pair) for name, pair in kind.checks.items()},
                    "histogram": kind.latency.to_json(),
                }
                for kind in self.kinds.values()
            ],
            **self.slices.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` returned; ``parse_result`` tells people what is wrong."""
        result = cls(float(value["planned_rate"]), target=str(value["target"]))
        for kind in value["kinds"]:
            checks = {name: [int(passed), int(failed)] for name, (passed, failed) in kind["checks"].items()}
            latency = Histogram.from_json(kind["histogram"])
            errors = {str(name): int(count) for name, count in kind["errors"].items()}
            result.kinds[kind["name"]] = KindResult(kind["name"], int(kind["requests"]), errors, latency, checks)
        for name in ("duration_seconds", "sending_seconds", "cpu_ratio"):
            setattr(result, name, float(value[name]))
        for name in ("planned_requests", "sent", "late_sends", "queued_sends"):
            setattr(result, name, int(value[name]))
        result.answers = {name: Answers(one["requests"], one["errors"]) for name, one in value["answers"].items()}
        result.lag = Histogram.from_json(value["lag"])
        result.slices = Slices.from_json(value)
        result.limits = tuple(str(limit) for limit in value["limits"])
        result.interrupted = bool(value["interrupted"])
        result.closed_loop = bool(value.get("closed_loop"))  # younger than the schema
        return result


def describe_latency(latency: Histogram) -> dict[str, float]:
    """Return the quantiles, mean and maximum in seconds."""
    found = {name: latency.quantile(share) for name, share in QUANTILES.items()}
    return {**found, "max": latency.maximum_seconds, "mean": latency.mean_seconds}


def parse_result(value: Any, name: str) -> LoadResult:
    """Read a raw file's JSON.

    Raises:
        UsageError: It is none, or of another version; ``name`` says which.
    """
    try:
        if value["schema"] != SCHEMA:
            raise UsageError(f"{name} has schema {value['schema']}; this gitlab-mesh reads {SCHEMA}")
        return LoadResult.from_json(value)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
        raise UsageError(
            f"{name} is no result of load-check", why=f"{type(error).__name__}: {error}",
            hint="it writes one to load.json in its output directory",
        ) from error  # fmt: skip


def join_results(results: Sequence[LoadResult]) -> LoadResult:
    """Join the shards of one load exactly.

    Raises:
        UsageError: There is none, or they loaded different targets.
    """
    if not results:
        raise UsageError("there is no result to join")
    targets = sorted({result.target for result in results})
    if len(targets) > 1:
        raise UsageError(
            f"these results are about different targets: {', '.join(targets)}", why="only shards of one load add up"
        )
    joined = LoadResult(0.0, target=targets[0])
    for result in results:
        joined.merge(result)
    return joined
