"""From the judge's numbers to verdicts, gates and sentences that a tired person understands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite, log

from gitlab_mesh.core.judge.evidence import Standing
from gitlab_mesh.core.judge.forecast import requests_needed
from gitlab_mesh.core.judge.ledger import Ledger
from gitlab_mesh.core.judge.limit import Limit
from gitlab_mesh.core.judge.model import Forecast, Gate, Importance, Judgement, Verdict, VerdictKind
from gitlab_mesh.core.judge.track import Track
from gitlab_mesh.core.judge.user import UserTrack
from gitlab_mesh.core.report.formatting import format_count, format_percent, format_seconds

__all__ = ["judgement_of"]

_CALM = 10.0


def judgement_of(ledger: Ledger, parts: Mapping[str, float], standing: Standing) -> Judgement:
    """Say what is known now.

    Args:
        ledger: Everything learned so far.
        parts: Evidence by metric (``weighing.weigh``).
        standing: Where the judge stands.
    """
    evidence = sum(parts.values())
    reject_at = 1.0 / ledger.settings.false_rollback
    worst = max(parts, key=lambda name: parts[name]) if evidence >= reject_at else ""
    verdicts = [_errors(ledger, worst in ("errors", "outage"))]
    if ledger.baseline.histogram is not None or ledger.latency is not None:
        verdicts.append(_latency(ledger, worst == "latency"))
    if ledger.slo is not None:
        verdicts.append(_slo(ledger, ledger.slo[1], worst == "slo"))
    verdicts += [_user(ledger, track, worst == "user") for track in ledger.user]
    verdicts.append(_share(ledger))
    if ledger.crash:
        verdicts.append(Verdict("pods", VerdictKind.BREACH, reason=ledger.crash))
    breaches = [
        verdict
        for verdict in verdicts
        if verdict.kind is VerdictKind.BREACH and verdict.importance is not Importance.INFORMATIONAL
    ]
    limit = _weight_limit(ledger, standing)
    forecast = _forecast(ledger)
    promote = _promote_gate(ledger, verdicts, standing, forecast)
    if breaches:
        reason = breaches[0].reason
    elif promote.open:
        reason = "every critical metric passed"
    else:
        reason = promote.reason
    return Judgement(
        verdicts=tuple(verdicts),
        raise_gate=_raise_gate(ledger, verdicts, standing, limit),
        promote_gate=promote,
        rejected=bool(breaches),
        reason=reason,
        forecast=forecast,
        weight_limit=limit,
    )


def _percent(share: float | None) -> str:
    return "nothing" if share is None else format_percent(share)


def _describe(track: Track, what: str) -> str:
    return (
        f"{what}: canary {_percent(track.canary)} of {format_count(round(track.canary_n))} requests, "
        f"stable {_percent(track.stable)} of {format_count(round(track.stable_n))}"
    )


def _compared(ledger: Ledger, track: Track, what: str, breach: bool) -> tuple[VerdictKind, str]:
    numbers = _describe(track, what)
    if breach:
        return VerdictKind.BREACH, f"{numbers}; worse than tolerated"
    if track.canary_n == 0 or track.stable_n == 0:
        side = "the canary" if track.canary_n == 0 else "stable"
        why = f" ({ledger.problems[0]})" if ledger.problems else ""
        return VerdictKind.NO_DATA, f"{what}: no requests of {side} were counted{why}"
    if track.fine.log_wealth >= log(1.0 / ledger.settings.false_promotion):
        return VerdictKind.PASS, f"{numbers}; within the margin"
    return VerdictKind.UNDECIDED, f"{numbers}; not enough requests to tell yet"


def _verdict_of(track: Track, name: str, kind: VerdictKind, reason: str) -> Verdict:
    canary, stable = track.canary, track.stable
    return Verdict(
        metric=name,
        kind=kind,
        stable=stable,
        canary=canary,
        effect=canary - stable if canary is not None and stable is not None else None,
        low=track.excess.low,
        high=track.excess.high,
        stable_n=int(track.stable_n),
        canary_n=int(track.canary_n),
        reason=reason,
    )


def _errors(ledger: Ledger, breach: bool) -> Verdict:
    kind, reason = _compared(ledger, ledger.errors, "errors", breach)
    if breach and ledger.startup.running:
        reason = f"{_describe(ledger.errors, 'errors')}; more than any cold start has"
    return _verdict_of(ledger.errors, "errors", kind, reason)


def _latency(ledger: Ledger, breach: bool) -> Verdict:
    if ledger.layout_problem:
        return Verdict("latency", VerdictKind.ERROR, reason=ledger.layout_problem)
    if not ledger.latency:
        why = (
            "stable's latencies say nothing yet"
            if ledger.latency is None
            else "no bound of its buckets tells slow from usual"
        )
        return Verdict("latency", VerdictKind.NO_DATA, reason=f"latency: {why}")
    if breach:
        bound, track = max(ledger.latency, key=lambda pair: pair[1].worse.log_wealth)
    else:
        needed = [pair for pair in ledger.latency if pair[0].required] or list(ledger.latency)
        bound, track = min(needed, key=lambda pair: pair[1].fine.log_wealth)
    label = f"slower than {format_seconds(bound.seconds)}"
    kind, reason = _compared(ledger, track, label, breach)
    return replace(_verdict_of(track, "latency", kind, reason), label=label)


def _slo(ledger: Ledger, below: Limit, breach: bool) -> Verdict:
    limit = ledger.settings.max_error_ratio or 0.0
    track = ledger.errors
    numbers = f"SLO: canary {_percent(track.canary)} errors of {format_count(round(track.canary_n))} requests"
    passed = below.log_wealth >= log(1.0 / ledger.settings.false_promotion)
    if breach:
        kind, word = VerdictKind.BREACH, f"above {_percent(limit)}, and stable is not"
    elif track.canary_n == 0:
        kind, word = VerdictKind.NO_DATA, "nothing counted"
    elif passed:
        kind, word = VerdictKind.PASS, f"below {_percent(limit)}"
    else:
        kind, word = VerdictKind.UNDECIDED, f"not yet shown to be below {_percent(limit)}"
    return Verdict("slo", kind, canary=track.canary, canary_n=int(track.canary_n), reason=f"{numbers}; {word}")


def _user(ledger: Ledger, track: UserTrack, breach: bool) -> Verdict:
    metric = track.metric
    numbers = f"{metric.name}: canary {track.canary}, stable {track.stable}, {track.readings} readings"
    passed = track.log_fine >= log(1.0 / ledger.settings.false_promotion)
    informational = metric.importance is Importance.INFORMATIONAL
    counted = [other for other in ledger.user if other.metric.importance is not Importance.INFORMATIONAL]
    worst = max(counted, key=lambda other: other.log_worse, default=None)
    worse_alone = informational and track.log_worse >= log(1.0 / ledger.settings.false_rollback)
    if (breach and track is worst) or worse_alone:
        kind, word = VerdictKind.BREACH, "worse than tolerated"
    elif track.problem or not track.readings:
        kind, word = VerdictKind.NO_DATA, track.problem or "no reading yet"
    elif passed:
        kind, word = VerdictKind.PASS, "within the tolerance"
    else:
        kind, word = VerdictKind.UNDECIDED, "not enough readings to tell yet"
    effect = track.canary - track.stable if track.canary is not None and track.stable is not None else None
    return Verdict(
        metric.name, kind, metric.importance, metric.kind, track.stable, track.canary, effect,
        reason=f"{numbers}; {word}",
    )  # fmt: skip


def _share(ledger: Ledger) -> Verdict:
    share, seen = ledger.share, ledger.share.observed
    numbers = f"the canary gets {_percent(seen)} of the requests at weight {_percent(ledger.weight)}"
    if share.evidence >= share.limit:
        kind, word = VerdictKind.ERROR, "the routing does not do what it was told"
    elif seen is None:
        kind, word = VerdictKind.UNDECIDED, "nothing to compare yet"
    else:
        kind, word = VerdictKind.PASS, "as told"
    return Verdict("share", kind, canary=seen, stable=ledger.weight, reason=f"{numbers}; {word}")


def _weight_limit(ledger: Ledger, standing: Standing) -> float | None:
    """Largest share at which one reaction time costs at most the budget, whatever the data still allow."""
    if ledger.rps <= 0.0:
        return None
    harm = standing.recent if standing.evidence >= _CALM else 0.0
    harm = max(harm, standing.excess)
    return min(1.0, ledger.settings.bad_request_budget / (ledger.rps * ledger.settings.reaction_seconds * harm))


def _raise_gate(ledger: Ledger, verdicts: list[Verdict], standing: Standing, limit: float | None) -> Gate:
    bad = [verdict for verdict in verdicts if verdict.kind in (VerdictKind.BREACH, VerdictKind.ERROR)]
    if bad:
        return Gate(False, bad[0].reason)
    if ledger.problems:
        return Gate(False, f"the last look brought no complete data: {ledger.problems[0]}")
    if ledger.step_requests < ledger.settings.min_requests:
        return Gate(False, f"{ledger.step_requests} of {ledger.settings.min_requests} canary requests at this weight")
    if standing.misrouted:
        return Gate(False, "the share of requests that reaches the canary does not fit its weight yet")
    if standing.doubtful:
        return Gate(False, "the canary looks worse than stable; the weight stays until that is settled")
    if limit is not None and limit < min(1.0, 2.0 * ledger.weight):
        return Gate(
            False,
            f"up to {_percent(standing.excess)} more errors cannot be excluded yet; the budget allows {limit:.2%}",
        )
    return Gate(True, "no breach, and further harm is within the budget")


def _promote_gate(ledger: Ledger, verdicts: list[Verdict], standing: Standing, forecast: Forecast | None) -> Gate:
    for kind in (VerdictKind.BREACH, VerdictKind.ERROR, VerdictKind.NO_DATA):
        bad = [verdict for verdict in verdicts if verdict.kind is kind and _blocks(verdict)]
        if bad:
            return Gate(False, bad[0].reason)
    if ledger.startup.begun is None or ledger.time is None or ledger.startup.running:
        return Gate(False, "the start-up is not over")
    critical = [verdict for verdict in verdicts if verdict.importance is Importance.CRITICAL]
    open_ones = [verdict for verdict in critical if verdict.kind is VerdictKind.UNDECIDED and verdict.metric != "share"]
    if open_ones:
        more = f"; about {format_count(forecast.requests)} more canary requests" if forecast else ""
        if forecast and forecast.seconds is not None:
            more += f", {forecast.seconds / 60.0:.1f} min"
        return Gate(False, open_ones[0].reason + more)
    if standing.evidence >= _CALM:
        return Gate(False, "the canary looks worse than stable; waiting until that is settled")
    left = ledger.startup.begun + ledger.settings.bake_seconds - ledger.time
    if left > 1e-6:
        return Gate(False, f"every metric passes; {left:.0f} s of the bake are left")
    if not ledger.fresh:
        why = ledger.problems[0] if ledger.problems else "both sides must have served requests"
        return Gate(False, f"the last look brought no complete data: {why}")
    return Gate(True, "every critical metric passed")


def _blocks(verdict: Verdict) -> bool:
    if verdict.importance is Importance.CRITICAL:
        return True
    return verdict.kind is VerdictKind.BREACH and verdict.importance is Importance.NORMAL


def _forecast(ledger: Ledger) -> Forecast | None:
    if ledger.startup.begun is None or ledger.time is None or ledger.weight <= 0.0:
        return None
    level = ledger.settings.false_promotion
    needs = [requests_needed(track, ledger.weight, level) for track in ledger.required]
    most = max(needs)
    if not isfinite(most):
        return None
    left = max(ledger.startup.begun + ledger.settings.bake_seconds - ledger.time, 0.0)
    rate = ledger.rps * ledger.weight
    seconds = max(most / rate, left) if rate > 0 else None
    return Forecast(int(most + 0.999), seconds) if most > 0 or left > 0 else None
