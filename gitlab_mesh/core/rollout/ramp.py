"""Shares that follow the evidence: ``core.judge.schedule`` says how much, this says when it is asked."""

from __future__ import annotations

from gitlab_mesh.core.judge.evidence import Standing
from gitlab_mesh.core.judge.schedule import first_weight
from gitlab_mesh.core.mesh.weights import MIN_SHARE
from gitlab_mesh.core.report.formatting import format_percent
from gitlab_mesh.core.rollout.evidence import Evidence
from gitlab_mesh.core.rollout.model import RolloutState

__all__ = ["next_share", "watch_share", "written_share"]

_WORTH_A_WRITE = 0.8
"""Less is taken back only in pieces of a fifth: each write costs the window of counts that it interrupts."""


def next_share(state: RolloutState, evidence: Evidence, now: float) -> tuple[float, str] | None:
    """Return the canary's share for the time until the next look, and why; None: the traffic is not known yet."""
    if state.written == 0:
        return _first_share(state, evidence, now)
    plan, standing = state.plan, evidence.standing
    if standing is None or evidence.judgement is None or standing.rps <= 0:
        return state.written, ""
    forecast = evidence.judgement.forecast
    share = plan.ramp.schedule.next_weight(
        state.written,
        standing,
        plan.ramp.settings,
        elapsed=now - state.exposed_at,
        since_change=now - state.weighed_at,
        needed=float(forecast.requests) if forecast is not None else None,
    )
    if share > state.written and not state.done.confirmed:
        return state.written, ""
    if _WORTH_A_WRITE * state.written < share <= state.written:
        return state.written, ""
    return written_share(share, evidence.grain), _say(state, standing, share)


def _first_share(state: RolloutState, evidence: Evidence, now: float) -> tuple[float, str] | None:
    plan = state.plan
    if evidence.rate is None:
        if now - state.since <= plan.confirm_seconds:
            return None
        return written_share(0.0, evidence.grain), "nobody can tell how much traffic there is: the smallest share"
    settings = plan.ramp.settings
    share = first_weight(evidence.rate, settings, plan.ramp.schedule)
    why = f"at {evidence.rate:.3g} requests/s an outage of the first {_blind(state):.0f} s costs "
    cost = evidence.rate * share * _blind(state)
    return written_share(
        share, evidence.grain
    ), f"{why}{_round(cost)} bad requests (budget {settings.bad_request_budget:g})"


def _blind(state: RolloutState) -> float:
    settings = state.plan.ramp.settings
    return settings.startup_seconds + settings.reaction_seconds


def _round(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}"


def _say(state: RolloutState, standing: Standing, share: float) -> str:
    settings = state.plan.ramp.settings
    if share < state.written:
        return "the canary looks worse than stable: a smaller share confirms it at less harm"
    cost = standing.rps * share * settings.reaction_seconds * standing.excess
    doubt = f"up to {format_percent(standing.excess)} more errors cannot be excluded"
    return (
        f"{doubt}: {settings.reaction_seconds:.0f} s of them cost {_round(cost)} bad requests "
        f"(budget {settings.bad_request_budget:g})"
    )


def watch_share(state: RolloutState, evidence: Evidence, now: float) -> float:
    """Return the canary's share in the watch, 0–1, as far as the evidence goes now."""
    plan, standing = state.plan, evidence.standing
    if state.watched_at is None:
        return written_share(plan.watch_share, evidence.grain)
    if standing is None or evidence.judgement is None or not plan.enforce:
        return state.written
    share = plan.ramp.schedule.watch_weight(
        state.written,
        standing,
        plan.ramp.settings,
        elapsed=now - state.exposed_at,
        since_change=now - state.weighed_at,
    )
    if _WORTH_A_WRITE * state.written < share <= state.written:
        return state.written
    return written_share(share, evidence.grain)


def written_share(share: float, grain: int) -> float:
    """Return the nearest share that weights with the sum ``grain`` can express, never 0."""
    least = max(1, round(MIN_SHARE * grain))
    return max(least, round(share * grain)) / grain
