"""From the judge's numbers to verdicts, gates and sentences that a tired person understands."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite, log
from typing import TYPE_CHECKING

from gitlab_mesh.core.judge.forecast import requests_needed
from gitlab_mesh.core.judge.model import Forecast, Gate, Importance, Judgement, Verdict, VerdictKind
from gitlab_mesh.core.report.formatting import format_count, format_percent, format_seconds

if TYPE_CHECKING:
    from gitlab_mesh.core.judge.judge import Judge
    from gitlab_mesh.core.judge.limit import Limit
    from gitlab_mesh.core.judge.track import Track
    from gitlab_mesh.core.judge.user import UserTrack

__all__ = ["judgement_of"]

_CALM = 10.0


def judgement_of(judge: Judge) -> Judgement:
    """Say what the judge knows now."""
    parts = judge.evidence_by_metric()
    evidence = sum(parts.values())
    reject_at = 1.0 / judge.settings.false_rollback
    worst = max(parts, key=lambda name: parts[name]) if evidence >= reject_at else ""
    verdicts = [_errors(judge, worst in ("errors", "outage"))]
    if judge.baseline.histogram is not None or judge.latency is not None:
        verdicts.append(_latency(judge, worst == "latency"))
    if judge.slo is not None:
        verdicts.append(_slo(judge, judge.slo[1], worst == "slo"))
    verdicts += [_user(judge, track, worst == "user") for track in judge.user]
    verdicts.append(_share(judge))
    if judge.crash:
        verdicts.append(Verdict("pods", VerdictKind.BREACH, reason=judge.crash))
    breaches = [
        verdict
        for verdict in verdicts
        if verdict.kind is VerdictKind.BREACH and verdict.importance is not Importance.INFORMATIONAL
    ]
    limit = _weight_limit(judge)
    forecast = _forecast(judge)
    promote = _promote_gate(judge, verdicts, forecast)
    if breaches:
        reason = breaches[0].reason
    elif promote.open:
        reason = "every critical metric passed"
    else:
        reason = promote.reason
    return Judgement(
        verdicts=tuple(verdicts),
        raise_gate=_raise_gate(judge, verdicts, limit),
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


def _compared(judge: Judge, track: Track, what: str, breach: bool) -> tuple[VerdictKind, str]:
    numbers = _describe(track, what)
    if breach:
        return VerdictKind.BREACH, f"{numbers}; worse than tolerated"
    if track.canary_n == 0 or track.stable_n == 0:
        side = "the canary" if track.canary_n == 0 else "stable"
        why = f" ({judge.problems[0]})" if judge.problems else ""
        return VerdictKind.NO_DATA, f"{what}: no requests of {side} were counted{why}"
    if track.fine.log_wealth >= log(1.0 / judge.settings.false_promotion):
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


def _errors(judge: Judge, breach: bool) -> Verdict:
    kind, reason = _compared(judge, judge.errors, "errors", breach)
    if breach and judge.startup.running:
        reason = f"{_describe(judge.errors, 'errors')}; more than any cold start has"
    return _verdict_of(judge.errors, "errors", kind, reason)


def _latency(judge: Judge, breach: bool) -> Verdict:
    if judge.layout_problem:
        return Verdict("latency", VerdictKind.ERROR, reason=judge.layout_problem)
    if not judge.latency:
        why = "stable's latencies say nothing yet" if judge.latency is None else "stable's histogram is empty"
        return Verdict("latency", VerdictKind.NO_DATA, reason=f"latency: {why}")
    if breach:
        bound, track = max(judge.latency, key=lambda pair: pair[1].worse.log_wealth)
    else:
        needed = [pair for pair in judge.latency if pair[0].required] or list(judge.latency)
        bound, track = min(needed, key=lambda pair: pair[1].fine.log_wealth)
    label = f"slower than {format_seconds(bound.seconds)}"
    kind, reason = _compared(judge, track, label, breach)
    return replace(_verdict_of(track, "latency", kind, reason), label=label)


def _slo(judge: Judge, below: Limit, breach: bool) -> Verdict:
    limit = judge.settings.max_error_ratio or 0.0
    track = judge.errors
    numbers = f"SLO: canary {_percent(track.canary)} errors of {format_count(round(track.canary_n))} requests"
    passed = below.log_wealth >= log(1.0 / judge.settings.false_promotion)
    if breach:
        kind, word = VerdictKind.BREACH, f"above {_percent(limit)}, and stable is not"
    elif track.canary_n == 0:
        kind, word = VerdictKind.NO_DATA, "nothing counted"
    elif passed:
        kind, word = VerdictKind.PASS, f"below {_percent(limit)}"
    else:
        kind, word = VerdictKind.UNDECIDED, f"not yet shown to be below {_percent(limit)}"
    return Verdict("slo", kind, canary=track.canary, canary_n=int(track.canary_n), reason=f"{numbers}; {word}")


def _user(judge: Judge, track: UserTrack, breach: bool) -> Verdict:
    metric = track.metric
    numbers = f"{metric.name}: canary {track.canary}, stable {track.stable}, {track.readings} readings"
    passed = track.log_fine >= log(1.0 / judge.settings.false_promotion)
    worst = max(judge.user, key=lambda other: other.log_worse)
    if breach and track is worst:
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


def _share(judge: Judge) -> Verdict:
    share, seen = judge.share, judge.share.observed
    numbers = f"the canary gets {_percent(seen)} of the requests at weight {_percent(judge.weight)}"
    if share.evidence >= share.limit:
        kind, word = VerdictKind.ERROR, "the routing does not do what it was told"
    elif seen is None:
        kind, word = VerdictKind.UNDECIDED, "nothing to compare yet"
    else:
        kind, word = VerdictKind.PASS, "as told"
    return Verdict("share", kind, canary=seen, stable=judge.weight, reason=f"{numbers}; {word}")


def _weight_limit(judge: Judge) -> float | None:
    """Largest share at which one reaction time costs at most the budget, whatever the data still allow."""
    if judge.rps <= 0.0:
        return None
    standing = judge.standing
    harm = standing.recent if standing.evidence >= _CALM else 0.0
    harm = max(harm, standing.excess)
    return min(1.0, judge.settings.bad_request_budget / (judge.rps * judge.settings.reaction_seconds * harm))


def _raise_gate(judge: Judge, verdicts: list[Verdict], limit: float | None) -> Gate:
    bad = [verdict for verdict in verdicts if verdict.kind in (VerdictKind.BREACH, VerdictKind.ERROR)]
    if bad:
        return Gate(False, bad[0].reason)
    if judge.step_requests < judge.settings.min_requests:
        return Gate(False, f"{judge.step_requests} of {judge.settings.min_requests} canary requests at this weight")
    standing = judge.standing
    if standing.doubtful:
        return Gate(False, "the canary looks worse than stable; the weight stays until that is settled")
    if limit is not None and limit < min(1.0, 2.0 * judge.weight):
        return Gate(
            False,
            f"up to {_percent(standing.excess)} more errors cannot be excluded yet; the budget allows {limit:.2%}",
        )
    return Gate(True, "no breach, and further harm is within the budget")


def _promote_gate(judge: Judge, verdicts: list[Verdict], forecast: Forecast | None) -> Gate:
    for kind in (VerdictKind.BREACH, VerdictKind.ERROR, VerdictKind.NO_DATA):
        bad = [verdict for verdict in verdicts if verdict.kind is kind and _blocks(verdict)]
        if bad:
            return Gate(False, bad[0].reason)
    if judge.startup.begun is None or judge.time is None or judge.startup.running:
        return Gate(False, "the start-up is not over")
    critical = [verdict for verdict in verdicts if verdict.importance is Importance.CRITICAL]
    open_ones = [verdict for verdict in critical if verdict.kind is VerdictKind.UNDECIDED and verdict.metric != "share"]
    if open_ones:
        more = f"; about {format_count(forecast.requests)} more canary requests" if forecast else ""
        if forecast and forecast.seconds is not None:
            more += f", {forecast.seconds / 60.0:.1f} min"
        return Gate(False, open_ones[0].reason + more)
    if judge.standing.evidence >= _CALM:
        return Gate(False, "the canary looks worse than stable; waiting until that is settled")
    left = judge.startup.begun + judge.settings.bake_seconds - judge.time
    if left > 1e-6:
        return Gate(False, f"every metric passes; {left:.0f} s of the bake are left")
    if not judge.fresh:
        why = judge.problems[0] if judge.problems else "both sides must have served requests"
        return Gate(False, f"the last look brought no complete data: {why}")
    return Gate(True, "every critical metric passed")


def _blocks(verdict: Verdict) -> bool:
    if verdict.importance is Importance.CRITICAL:
        return True
    return verdict.kind is VerdictKind.BREACH and verdict.importance is Importance.NORMAL


def _forecast(judge: Judge) -> Forecast | None:
    if judge.startup.begun is None or judge.time is None or judge.weight <= 0.0:
        return None
    level = judge.settings.false_promotion
    needs = [requests_needed(track, judge.weight, level) for track in judge.required]
    most = max(needs)
    if not isfinite(most):
        return None
    left = max(judge.startup.begun + judge.settings.bake_seconds - judge.time, 0.0)
    rate = judge.rps * judge.weight
    seconds = max(most / rate, left) if rate > 0 else None
    return Forecast(int(most + 0.999), seconds) if most > 0 or left > 0 else None
