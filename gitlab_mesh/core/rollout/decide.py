"""The only place that chooses: ``decide_next``; what ends a rollout is asked before what goes on."""

from __future__ import annotations

from gitlab_mesh.core.judge.model import Judgement, VerdictKind
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout.evidence import Evidence
from gitlab_mesh.core.rollout.model import Action, End, Phase, RolloutState, Verb
from gitlab_mesh.core.rollout.promotion import promote
from gitlab_mesh.core.rollout.way_in import deploy, step, watch
from gitlab_mesh.core.rollout.way_out import way_out

__all__ = ["decide_next"]


def decide_next(state: RolloutState, evidence: Evidence, now: float) -> Action:
    """Choose the next action; the same inputs give the same action."""
    if evidence.lost_lock:
        # Whoever took over writes now; a single patch of ours more could be the one that hurts (S4).
        return Action(Verb.FINISH, end=End(Outcome.FAILED, evidence.lost_lock))
    if state.end is not None:
        return way_out(state, state.end, evidence, now)
    end = _reason_to_end(state, evidence, now)
    if end is not None:
        return Action(Verb.END, end.reason, end=end)
    match state.phase:
        case Phase.PREFLIGHT:
            return Action(Verb.PREFLIGHT)
        case Phase.LOCK:
            return Action(Verb.LOCK)
        case Phase.DEPLOY:
            return deploy(state, evidence)
        case Phase.SMOKE:
            return Action(Verb.SMOKE)
        case Phase.STEP:
            return step(state, evidence, now)
        case Phase.WATCH:
            return watch(state, evidence, now)
        case Phase.PROMOTE:
            return promote(state, evidence, now)
        case Phase.ROLL_BACK | Phase.CLEAN_UP | Phase.PAUSED | Phase.HELD | Phase.AWAITING_PROMOTION | Phase.DONE:
            # A rollout found in one of these without a reason: a net or a person ends it.
            return Action(Verb.END, end=End(Outcome.ROLLED_BACK, "ended on request"))


def _reason_to_end(state: RolloutState, evidence: Evidence, now: float) -> End | None:
    if state.done.stable_ready:
        why = "every critical metric passed" if state.plan.enforce else "the judge only reported"
        return End(Outcome.PROMOTED, f"{why}; stable runs the release")
    if evidence.signal:
        return End(Outcome.INTERRUPTED, f"signal {evidence.signal} ended the job", evidence.signal)
    if state.phase in (Phase.PREFLIGHT, Phase.LOCK):
        return None
    canary = evidence.canary
    if state.done.deployed and canary is not None and canary.reason and not state.done.stable_patched:
        return End(Outcome.REJECTED, f"the canary does not run: {canary.reason}")
    judgement = evidence.judgement
    compared = state.phase in (Phase.STEP, Phase.WATCH) or (state.phase is Phase.PROMOTE and state.written < 1.0)
    if compared and state.plan.enforce and judgement is not None and judgement.rejected:
        return End(Outcome.REJECTED, judgement.reason)
    if state.written > 0 and evidence.canary_down and not state.done.stable_patched:
        return End(Outcome.INCONCLUSIVE, "no pod of the canary is ready any more; its users would get errors")
    waited = now - state.since
    if (
        state.phase is Phase.DEPLOY
        and state.done.deployed
        and not state.done.ready
        and waited > state.plan.ready_seconds
    ):
        ready = f"{canary.ready} of {canary.desired} pods" if canary else "no pod"
        return End(Outcome.REJECTED, f"the canary never became ready: {ready} after {waited:.0f} s")
    if now - state.started > state.plan.deadline_seconds and not state.done.stable_patched:
        if state.phase is Phase.PROMOTE:
            return End(Outcome.INCONCLUSIVE, f"not promoted before the deadline: {_spent(state)}")
        return _at_deadline(state, judgement)
    return None


def _spent(state: RolloutState) -> str:
    return f"after {state.plan.deadline_seconds:.0f} s"


def _at_deadline(state: RolloutState, judgement: Judgement | None) -> End:
    missing = [verdict for verdict in judgement.verdicts if verdict.kind is VerdictKind.NO_DATA] if judgement else []
    spent = _spent(state)
    if missing or judgement is None:
        what = ", ".join(verdict.metric for verdict in missing) or "every metric"
        return End(Outcome.NO_DATA, f"no data for {what} at the deadline, {spent}")
    return End(Outcome.INCONCLUSIVE, f"not enough evidence at the deadline, {spent}: {judgement.promote_gate.reason}")
