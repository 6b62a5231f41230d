"""Where a rollout is, in a few words: titles of the log's sections, the line that moves, the note's sentence."""

from __future__ import annotations

from gitlab_mesh.core.judge.model import Judgement
from gitlab_mesh.core.report.formatting import format_count, format_duration, format_percent
from gitlab_mesh.core.rollout import Action, Evidence, Phase, RolloutState, Verb

__all__ = ["name_phase", "say_progress", "say_where"]

_TITLES = {
    Phase.PREFLIGHT: "Preflight: what forbids to start",
    Phase.LOCK: "Lock",
    Phase.DEPLOY: "Deploy the canary",
    Phase.SMOKE: "Smoke checks, before the first user",
    Phase.PROMOTE: "Promote",
    Phase.ROLL_BACK: "All traffic on stable",
    Phase.CLEAN_UP: "Clean up",
}


def name_phase(state: RolloutState) -> tuple[str, str]:
    """Return a short name and the title of the current phase or step."""
    if state.phase is Phase.STEP:
        return _name_step(state)
    name = state.phase.value
    if state.phase is Phase.WATCH:
        control = format_percent(1.0 - state.plan.watch_share)
        return name, f"Watch: stable keeps {control} as control for {format_duration(state.plan.watch_seconds)}"
    return name, _TITLES.get(state.phase, name)


def say_where(state: RolloutState, judgement: Judgement | None, now: float) -> str:
    """Say what is going on and what is still missing."""
    step = state.phase.value
    if state.phase is Phase.STEP and not state.plan.budget:
        step = f"step {state.step + 1} of {len(state.plan.steps)}"
    judged = state.phase in (Phase.STEP, Phase.WATCH)
    return f"{step}: {_missing(state, judgement, now)}" if judged else step


def say_progress(
    state: RolloutState, action: Action, evidence: Evidence, *, served: tuple[int, int], now: float
) -> str:
    """Say what a look has seen.

    Args:
        state: Now.
        action: The look, or the wait.
        evidence: After it.
        served: Requests of stable and canary so far.
        now: Monotonic time.
    """
    if action.verb is Verb.AWAIT_CANARY or action.verb is Verb.AWAIT_STABLE:
        side = evidence.stable if action.verb is Verb.AWAIT_STABLE else evidence.canary
        return f"{side.ready} of {side.desired} pods are ready" if side else "no pod yet"
    if action.verb is Verb.AWAIT_GONE:
        return "waiting for the canary's pods to end"
    if action.verb is Verb.DRAIN:
        flat = {True: "flat", False: "still coming", None: "not known yet"}[evidence.canary_flat]
        return f"weight 0 is written; requests of the canary: {flat}"
    stable, canary = served
    waited = now - state.since
    text = f"{format_duration(waited)} at {format_percent(state.written)} · stable {format_count(stable)}"
    return f"{text}, canary {format_count(canary)} requests · {_missing(state, evidence.judgement, now)}"


def _name_step(state: RolloutState) -> tuple[str, str]:
    plan = state.plan
    if plan.budget:
        return "step", f"Step by step, within {plan.said}"
    share = plan.steps[state.step].share
    return (
        f"step-{state.step + 1}",
        f"Step {state.step + 1} of {len(plan.steps)}: {format_percent(share)} of the requests",
    )


def _missing(state: RolloutState, judgement: Judgement | None, now: float) -> str:
    if judgement is None:
        return "no evidence yet"
    if not state.done.confirmed:
        return "the observed share is being confirmed"
    gate = judgement.promote_gate if state.at_last else judgement.raise_gate
    text = gate.reason or judgement.reason
    if state.phase is Phase.WATCH and gate.open and state.watched_at is not None:
        return f"watched for {format_duration(now - state.watched_at)}: {text}"
    if judgement.forecast is not None and judgement.forecast.seconds is not None:
        text += f"; about {format_duration(judgement.forecast.seconds)} more"
    return text
