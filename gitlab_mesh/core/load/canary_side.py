"""What the mesh itself counted on the canary's side, held against thresholds: the client sees only an average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from gitlab_mesh.core.judge.model import Importance, Verdict, VerdictKind
from gitlab_mesh.core.load.thresholds import Threshold
from gitlab_mesh.core.metrics.counts import Counts, Histogram
from gitlab_mesh.core.report.formatting import format_count, format_percent, format_seconds

__all__ = ["CanarySide", "judge_canary"]

_SENDER_ONLY = "only the sender's proxy sees it, and nobody said which that is: set metrics.gateway in mesh.yaml"


@dataclass(frozen=True, slots=True)
class CanarySide:
    """What was counted during the run; everybody's requests, not the load's alone.

    Attributes:
        sender: By the proxies that sent to the canary: one a request, whatever was retried; None: not readable.
        receiver: By the canary's own proxies: one an attempt; None: not readable.
        unplaced: To the service's host, refused by the senders before any pod was chosen: every pod ejected or a limit
            of the connection pool reached. Nobody can tell whose they were; they are held against the canary.
        stable_requests: That stable got meanwhile.
        share: Of the route's requests that the canary should get (0–1); None: unknown.
        problem: Why the counts are not complete; empty: they are.
    """

    sender: Counts | None
    receiver: Counts | None
    stable_requests: int
    unplaced: Counts = Counts()
    share: float | None = None
    problem: str = ""

    @property
    def requests(self) -> int:
        """Requests that reached the canary."""
        return max((one.requests for one in (self.sender, self.receiver) if one is not None), default=0)


def judge_canary(side: CanarySide, thresholds: Sequence[Threshold]) -> tuple[Verdict, ...]:
    """Judge first that the load reached the canary at all, then each threshold; a missing count is never a pass."""
    reached = _judge_reached(side)
    if reached.kind is not VerdictKind.PASS:
        return (reached, *(one.verdict(VerdictKind.NO_DATA, None, 0, reached.reason) for one in thresholds))
    return (reached, *(_judge(side, threshold) for threshold in thresholds))


def _judge_reached(side: CanarySide) -> Verdict:
    def verdict(kind: VerdictKind, reason: str = "") -> Verdict:
        value = None if kind is VerdictKind.NO_DATA else float(side.requests)
        return Verdict(
            "requests that reached the canary", kind, Importance.CRITICAL, "", 1.0, value, canary_n=side.requests,
            reason=reason,
        )  # fmt: skip

    if side.sender is None and side.receiver is None:
        return verdict(VerdictKind.NO_DATA, side.problem or "nobody counted")
    if side.problem:
        return verdict(VerdictKind.NO_DATA, side.problem)
    if side.requests == 0:
        weight = "" if side.share is None else f"; its weight in the route is {format_percent(side.share)}"
        stable = format_count(side.stable_requests)
        return verdict(VerdictKind.BREACH, f"nothing reached the canary, stable got {stable} requests{weight}")
    return verdict(VerdictKind.PASS)


def _judge(side: CanarySide, threshold: Threshold) -> Verdict:
    sender, receiver = side.sender, side.receiver
    match threshold.metric:
        case "requests":
            return threshold.measured(side.requests, side.requests)
        case "errors":
            return _judge_errors(side, threshold)
        case "retries":
            if sender is None or receiver is None:
                return threshold.verdict(VerdictKind.NO_DATA, None, 0, _SENDER_ONLY)
            more = max(receiver.requests - sender.requests, 0)
            return threshold.measured(more / max(sender.requests, 1), sender.requests)
        case "rate_limited":
            counts = sender or receiver or Counts()
            return threshold.measured(counts.events.get("rate_limited", 0) / max(counts.requests, 1), counts.requests)
        case "circuit_breaker" | "connection_failures":
            if sender is None:
                return threshold.verdict(VerdictKind.NO_DATA, None, 0, _SENDER_ONLY)
            return _judge_event(threshold, sender, side.unplaced)
        case _:
            return _judge_latency(sender or receiver or Counts(), threshold)


def _judge_event(threshold: Threshold, sender: Counts, unplaced: Counts) -> Verdict:
    nowhere = unplaced.events.get(threshold.metric, 0)
    total = max(sender.requests + nowhere, 1)
    found = threshold.measured((sender.events.get(threshold.metric, 0) + nowhere) / total, total)
    if not nowhere or found.kind is not VerdictKind.BREACH:
        return found
    said = f"{found.reason}; {format_count(nowhere)} of them were refused before a pod of either side was chosen"
    return threshold.verdict(found.kind, found.canary, total, said)


def _judge_errors(side: CanarySide, threshold: Threshold) -> Verdict:
    """The worse of both views: the sender misses what a retry hid, the receiver what never arrived."""
    views = [
        (sum(counts.errors.values()) / counts.requests, counts, name)
        for counts, name in ((side.sender, "the sender's proxies"), (side.receiver, "the canary's own proxies"))
        if counts is not None and counts.requests
    ]
    ratio, counts, name = max(views, key=lambda view: view[0])
    found = threshold.measured(ratio, counts.requests)
    if found.kind is not VerdictKind.BREACH:
        return found
    kinds = ", ".join(f"{kind} {format_count(count)}" for kind, count in counts.errors.items())
    return threshold.verdict(found.kind, ratio, counts.requests, f"{found.reason}, counted by {name}: {kinds}")


def _judge_latency(counts: Counts, threshold: Threshold) -> Verdict:
    """Hold a quantile against buckets: what lies inside the limit's own bucket is unknown, and is said so."""
    histogram, share = counts.latency, threshold.share
    total = sum(histogram.counts) if histogram else 0
    if histogram is None or share is None or total == 0:
        return threshold.verdict(VerdictKind.NO_DATA, None, 0, "the mesh counted no latency")
    needed = round(1 / (1 - share)) if share >= 0.5 else 2
    if total < needed:
        few = f"{threshold.metric} needs at least {format_count(needed)} requests; the canary got {format_count(total)}"
        return threshold.verdict(VerdictKind.UNDECIDED, None, total, few)
    low, high = _quantile_between(histogram, share)
    value = high if isfinite(high) else low
    upper = threshold.sign in ("<", "<=")  # the bucket holds times above its lower border, up to its upper one
    if (high <= threshold.limit) if upper else (low >= threshold.limit):
        return threshold.verdict(VerdictKind.PASS, value, total, "")
    between = f"{threshold.metric} lies between {format_seconds(low)} and {format_seconds(high)}"
    if low < threshold.limit < high:
        said = f"{between}, the borders of the mesh's own bucket; choose one of them as the limit"
        return threshold.verdict(VerdictKind.UNDECIDED, value, total, said)
    return threshold.verdict(VerdictKind.BREACH, value, total, f"{between}, by the mesh's own buckets")


def _quantile_between(histogram: Histogram, share: float) -> tuple[float, float]:
    total, seen, before = sum(histogram.counts), 0, 0.0
    for bound, count in zip(histogram.upper_bounds, histogram.counts, strict=True):
        seen += count
        if seen >= share * total:
            return before, bound
        before = bound
    return before, histogram.upper_bounds[-1]
