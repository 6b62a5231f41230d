"""Thresholds such as ``p99 < 300ms``: parsed once, held against what was measured, each with its own verdict."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gitlab_mesh.core.judge.model import Importance, Verdict, VerdictKind
from gitlab_mesh.core.load.result import KindResult, LoadResult
from gitlab_mesh.core.report.formatting import format_count, format_value
from gitlab_mesh.errors import UsageError

__all__ = [
    "CANARY",
    "DEFAULT",
    "Threshold",
    "find_threshold_fault",
    "judge_threshold",
    "parse_threshold",
    "with_defaults",
]

CANARY = "canary"
"""The scope of what the mesh counted on the canary's side."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "%": 0.01}
_RATIOS = ("errors", "checks", "retries", "rate_limited", "circuit_breaker", "connection_failures")
_MESH_ONLY = _RATIOS[2:]
_TEXT = re.compile(
    r"(?:(?P<scope>[^.<>=]+)\.)?(?P<metric>p\d{1,2}(?:\.\d{1,3})?|max|mean|rate|requests|"
    + "|".join(_RATIOS)
    + r")\s*(?P<sign><=|>=|<|>|=)\s*(?P<value>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|%|/s)?"
)
_HINT = "write p99 < 300ms, max < 2s, errors < 1%, checks > 99%, rate > 95%, requests > 1000, or canary.p99 < 300ms"


@dataclass(frozen=True, slots=True)
class Threshold:
    """One threshold.

    Attributes:
        text: As people wrote it.
        metric: ``p99``, ``max``, ``errors``, …
        sign: ``<``, ``<=``, ``>``, ``>=`` or ``=``.
        limit: Seconds, ratio (0–1), requests per second or requests.
        unit: ``seconds``, ``ratio``, ``per_second`` or "".
        scope: Name of a kind of request, ``canary``, or "" for all.
    """

    text: str
    metric: str
    sign: str
    limit: float
    unit: str
    scope: str = ""

    @property
    def share(self) -> float | None:
        """Of a quantile: 0.99 for p99; else None."""
        return float(self.metric[1:]) / 100 if self.metric[0] == "p" else None

    def holds(self, value: float) -> bool:
        """Whether a value keeps it."""
        match self.sign:
            case "<":
                return value < self.limit
            case "<=":
                return value <= self.limit
            case ">":
                return value > self.limit
            case ">=":
                return value >= self.limit
            case _:
                return value == self.limit

    def verdict(self, kind: VerdictKind, value: float | None, n: int, reason: str) -> Verdict:
        """Build its verdict: the limit stands where stable does, the measured value where the canary does."""
        effect = None if value is None else value - self.limit
        return Verdict(
            self.text, kind, Importance.CRITICAL, self.unit, self.limit, value, effect, canary_n=n, reason=reason
        )

    def measured(self, value: float, n: int) -> Verdict:
        """Build the verdict on a value that was measured."""
        if self.holds(value):
            return self.verdict(VerdictKind.PASS, value, n, "")
        found = f"{self.metric} is {format_value(value, self.unit)}"
        return self.verdict(
            VerdictKind.BREACH, value, n, f"{found}, not {self.sign} {format_value(self.limit, self.unit)}"
        )


DEFAULT = "errors < 1%"


def parse_threshold(text: str) -> Threshold:
    """Parse one threshold.

    Raises:
        UsageError: It is none; says how one is written.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no threshold", hint=_HINT)
    scope, metric, unit = (match["scope"] or "").strip(), match["metric"], match["unit"] or ""
    value = float(match["value"]) * _UNITS.get(unit, 1.0)
    timed = metric in ("max", "mean") or metric[0] == "p"
    fits = unit in ("ms", "s", "m") if timed else unit in ("", "%", "/s") if metric == "rate" else unit in ("", "%")
    if metric == "requests":
        fits = unit == ""
    if not fits:
        raise UsageError(f"{text!r}: {metric} cannot be in {unit or 'a bare number'}", hint=_HINT)
    if metric in _RATIOS and value > 1:
        raise UsageError(f"{text!r}: {metric} is a share; {value:g} is more than all", hint=_HINT)
    if metric in _MESH_ONLY and scope != CANARY:
        raise UsageError(f"{text!r}: only the mesh knows {metric}", hint=f"write canary.{metric}")
    if scope == CANARY and metric in ("rate", "checks", "mean", "max"):
        raise UsageError(f"{text!r}: the mesh does not count {metric}", hint="the client does: leave canary. out")
    if metric == "p0" or (metric[0] == "p" and float(metric[1:]) >= 100):
        raise UsageError(f"{text!r}: quantiles lie between p0 and p100", hint=_HINT)
    name = "seconds" if timed else "ratio" if metric in _RATIOS or unit == "%" else "per_second"
    return Threshold(text.strip(), metric, match["sign"], value, "" if metric == "requests" else name, scope)


def find_threshold_fault(text: str, place: str, kinds: Collection[str]) -> str:
    """Say why a threshold cannot stand where it does; empty if it can.

    Args:
        text: The threshold.
        place: "" at the whole load, ``canary`` at the mesh's side, or the name of the request that it stands at.
        kinds: Names of the requests.
    """
    try:
        one = parse_threshold(text)
    except UsageError as error:
        return f"{error.what}; {error.hint}"
    if place == CANARY:
        return "" if one.scope == CANARY else f"{text!r} is not about the canary's side; write canary.{one.text}"
    if place and (one.scope or one.metric == "rate"):
        why = "the rate is that of the whole run" if one.metric == "rate" else "it names another scope"
        return f"{text!r} cannot stand at request {place}: {why}"
    if one.scope not in {"", CANARY, *kinds}:
        known = f"there are {', '.join(sorted(kinds))}" if kinds else "there are no requests with names"
        return f"{text!r} is about the request {one.scope!r}, which does not exist; {known}"
    return ""


def with_defaults(thresholds: Sequence[Threshold]) -> tuple[Threshold, ...]:
    """Add ``errors < 1%`` where nobody says how many errors are fine: a target that is down must not pass."""
    if any(one.metric == "errors" and not one.scope for one in thresholds):
        return tuple(thresholds)
    return (*thresholds, parse_threshold(DEFAULT))


def judge_threshold(threshold: Threshold, result: LoadResult) -> Verdict:
    """Hold a threshold against what the client measured (every scope but ``canary``)."""
    if threshold.scope and threshold.scope not in result.kinds:
        return threshold.verdict(VerdictKind.NO_DATA, None, 0, f"no request named {threshold.scope} was sent")
    kind = result.kinds[threshold.scope] if threshold.scope else result.total
    if threshold.metric == "requests":
        return threshold.measured(kind.requests, kind.requests)
    if kind.requests == 0:
        return threshold.verdict(VerdictKind.NO_DATA, None, 0, "nothing was measured")
    if threshold.metric == "rate":
        rate = result.achieved_rate / result.planned_rate if threshold.unit == "ratio" else result.achieved_rate
        return threshold.measured(rate, kind.requests)
    if threshold.metric == "errors":
        return _judge_errors(threshold, kind, limited=result.generator_limited)
    if threshold.metric == "checks":
        return _judge_checks(threshold, kind)
    return _judge_latency(threshold, kind)


def _judge_errors(threshold: Threshold, kind: KindResult, *, limited: bool) -> Verdict:
    """Where the generator was the limit, what it did not send is not held against the target."""
    unsent = kind.errors.get("unsent", 0) if limited else 0
    requests = kind.requests - unsent
    if requests == 0:
        return threshold.verdict(VerdictKind.NO_DATA, None, 0, "nothing was sent")
    found = threshold.measured((kind.failed - unsent) / requests, requests)
    if found.kind is VerdictKind.BREACH and kind.errors:
        kinds = ", ".join(f"{name} {format_count(count)}" for name, count in sorted(kind.errors.items()))
        return threshold.verdict(found.kind, found.canary, requests, f"{found.reason}: {kinds}")
    return found


def _judge_checks(threshold: Threshold, kind: KindResult) -> Verdict:
    passed = sum(pair[0] for pair in kind.checks.values())
    total = passed + sum(pair[1] for pair in kind.checks.values())
    if total == 0:
        return threshold.verdict(
            VerdictKind.NO_DATA, None, 0, "nothing was checked: no answer came, or there are no checks"
        )
    failed = ", ".join(f"{name} {format_count(pair[1])}" for name, pair in kind.checks.items() if pair[1])
    found = threshold.measured(passed / total, total)
    reason = f"{found.reason}; failed: {failed}" if found.reason and failed else found.reason
    return threshold.verdict(found.kind, found.canary, total, reason)


def _judge_latency(threshold: Threshold, kind: KindResult) -> Verdict:
    latency, share = kind.latency, threshold.share
    if latency.count == 0:
        return threshold.verdict(VerdictKind.NO_DATA, None, 0, "no request was answered")
    if share is None:
        value = latency.maximum_seconds if threshold.metric == "max" else latency.mean_seconds
        return threshold.measured(value, latency.count)
    needed = round(1 / (1 - share)) if share >= 0.5 else 2
    if latency.count < needed:
        return threshold.verdict(
            VerdictKind.UNDECIDED, latency.quantile(share), latency.count,
            f"{threshold.metric} needs at least {format_count(needed)} requests; there were {latency.count}",
        )  # fmt: skip
    return threshold.measured(latency.quantile(share), latency.count)
