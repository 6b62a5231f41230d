"""What a performed action, or one that failed for good, makes of the state."""

from __future__ import annotations

from dataclasses import replace

from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout.evidence import Evidence
from gitlab_mesh.core.rollout.model import Action, Done, End, Phase, RolloutState, Verb
from gitlab_mesh.core.rollout.way_out import GONE_SECONDS, closing_phase

__all__ = ["advance", "after_failure"]


def advance(state: RolloutState, action: Action, evidence: Evidence, now: float) -> RolloutState:
    """Fold a performed action into the state. Only called when the action succeeded."""
    done = state.done

    def did(**flags: bool) -> Done:
        return replace(done, **flags)

    match action.verb:
        case Verb.PREFLIGHT:
            return state.with_(phase=Phase.LOCK, since=now)
        case Verb.LOCK:
            return state.with_(phase=Phase.DEPLOY, since=now, done=did(locked=True))
        case Verb.PREPARE:
            return state.with_(done=did(prepared=True), since=now)
        case Verb.DEPLOY:
            return state.with_(done=did(deployed=True), since=now, replicas=action.replicas)
        case Verb.AWAIT_CANARY:
            return _after_await_canary(state, evidence, now)
        case Verb.SMOKE:
            return _after_smoke(state, now)
        case Verb.SCALE:
            return state.with_(replicas=action.replicas)
        case Verb.SET_WEIGHT:
            return _after_weight(state, action, now)
        case Verb.REASSERT:
            again = _where_judged(state)
            return again.with_(reasserted=state.reasserted + 1, since=now, done=did(confirmed=False))
        case Verb.CONFIRM:
            return state.with_(done=did(confirmed=True), since=now)
        case Verb.PAUSE:
            reason = f"paused by plan before step {state.step + 1} ({state.plan.steps[state.step].share:.2%})"
            return state.with_(phase=Phase.PAUSED, since=now, end=End(Outcome.PAUSED, reason))
        case Verb.NEXT_STEP:
            return state.with_(step=state.step + 1, since=now, done=did(confirmed=False))
        case Verb.BEGIN_WATCH:
            return state.with_(phase=Phase.WATCH, since=now)
        case Verb.BEGIN_PROMOTION:
            if state.plan.promote == "external":
                end = End(Outcome.PAUSED, "the release is proven; the project deploys stable, then job promote ends it")
                return state.with_(phase=Phase.AWAITING_PROMOTION, since=now, end=end)
            return state.with_(phase=Phase.PROMOTE, since=now)
        case Verb.PATCH_STABLE:
            return state.with_(done=did(stable_patched=True), since=now)
        case Verb.REVERT_STABLE:
            return state.with_(phase=Phase.ROLL_BACK, since=now)
        case Verb.AWAIT_STABLE:
            if not done.stable_patched:  # on the way out: stable must run before it gets its traffic back
                begun = {} if state.phase is Phase.ROLL_BACK else {"phase": Phase.ROLL_BACK, "since": now}
                return state.with_(**begun)
            ready = evidence.stable is not None and evidence.stable.ready >= evidence.stable.desired
            return state.with_(done=did(stable_ready=ready))
        case Verb.END:
            return state.with_(end=action.end)
        case Verb.DRAIN:
            # Nobody can tell: only after two looks past the time, as the first may just begin to count.
            silent = evidence.canary_flat is None and state.late_looks > 0
            drained = evidence.canary_flat is True or (silent and now - state.since >= state.plan.drain_seconds)
            limit = GONE_SECONDS if done.scaled_down else state.plan.drain_seconds
            late = state.late_looks + 1 if now - state.since > limit else 0
            phase = Phase.CLEAN_UP if done.scaled_down else Phase.ROLL_BACK
            return state.with_(done=did(drained=drained), phase=phase, late_looks=late)
        case Verb.SCALE_DOWN:
            return state.with_(done=did(scaled_down=True), phase=Phase.CLEAN_UP, since=now, late_looks=0)
        case Verb.AWAIT_GONE:
            return state.with_(done=did(gone=evidence.canary_gone))
        case Verb.DELETE:
            return state.with_(done=did(deleted=True))
        case Verb.RESTORE:
            return state.with_(done=did(restored=True))
        case Verb.CLOSE:
            return state.with_(done=did(closed=True), phase=closing_phase(state))
        case Verb.RELEASE:
            return state.with_(done=did(released=True))
        case Verb.LOOK | Verb.FINISH:
            return state


def after_failure(state: RolloutState, action: Action) -> RolloutState:
    """Fold in an action that failed for good: what it may have done counts as done, so that it is undone.

    The answer of a write may be lost although the write was applied; who then believes in the old state would skip
    weight 0, or delete a canary that serves requests.
    """
    done = state.done
    match action.verb:
        case Verb.PREPARE:
            return state.with_(done=replace(done, prepared=True))
        case Verb.DEPLOY:
            return state.with_(done=replace(done, deployed=True))
        case Verb.SET_WEIGHT | Verb.REASSERT if action.share > 0:
            return state.with_(written=max(state.written, action.share), exposed=True)
        case Verb.PATCH_STABLE:
            return state.with_(done=replace(done, stable_patched=True))
        case _:
            return state


def _after_weight(state: RolloutState, action: Action, now: float) -> RolloutState:
    again = state.end is not None and state.written == 0
    rises = state.plan.budget and state.phase is Phase.STEP and action.share > state.written > 0
    first_watch = state.phase is Phase.WATCH and state.watched_at is None and state.end is None
    return state.with_(
        reasserted=state.reasserted + again,
        written=action.share,
        step=state.step + rises,
        exposed=state.exposed or action.share > 0,
        exposed_at=state.exposed_at if state.exposed else now,
        weighed_at=now,
        watched_at=now if first_watch else state.watched_at,
        since=now,
        phase=Phase.ROLL_BACK if state.end is not None else state.phase,
        done=replace(state.done, confirmed=False, drained=False),
    )


def _where_judged(state: RolloutState) -> RolloutState:
    """Go back to where the weight that is in force is judged: what a gate allowed before a foreign write is void (S1).

    Only a raise that was still waiting, for its pods as a rule, is affected. A pause that is over is not repeated.
    """
    plan = state.plan
    if state.phase is Phase.PROMOTE and state.written < 1.0:
        return state.with_(phase=Phase.WATCH if plan.watch_seconds > 0 else Phase.STEP)
    if state.phase is not Phase.STEP or plan.budget or state.step == 0:
        return state
    return state.with_(step=state.step - (state.written < plan.steps[state.step].share))


def _after_await_canary(state: RolloutState, evidence: Evidence, now: float) -> RolloutState:
    ready = evidence.canary is not None and 0 < evidence.canary.desired <= evidence.canary.ready
    if not ready or state.phase is not Phase.DEPLOY:
        return state
    return state.with_(phase=Phase.SMOKE, since=now, done=replace(state.done, ready=True))


def _after_smoke(state: RolloutState, now: float) -> RolloutState:
    done = replace(state.done, smoked=True)
    if state.plan.first:
        reason = "first release: there was no stable to compare with; it runs and answers"
        return state.with_(done=done, end=End(Outcome.DEPLOYED, reason))
    return state.with_(phase=Phase.STEP, since=now, done=done)
