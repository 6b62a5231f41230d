"""The way in: the canary is made, and each step holds or goes on; capacity comes before weight."""

from __future__ import annotations

from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout.model import Action, Drift, End, Evidence, RolloutState, Verb
from gitlab_mesh.core.workload import needed_replicas

__all__ = ["deploy", "on_drift", "step"]


def deploy(state: RolloutState, evidence: Evidence) -> Action:
    """Route first, then the canary, then its pods."""
    plan = state.plan
    if not state.done.prepared and not plan.first:
        return Action(Verb.PREPARE, "the route names its subsets before a canary pod exists")
    if not state.done.deployed:
        share = plan.steps[0].share if plan.steps else 1.0
        return Action(Verb.DEPLOY, replicas=needed_replicas(plan.stable_replicas, share))
    return Action(Verb.AWAIT_CANARY)


def step(state: RolloutState, evidence: Evidence, now: float) -> Action:
    """Capacity, weight, confirmation, bake; then the gate that opens the next step or the promotion."""
    plan, here = state.plan, state.plan.steps[state.step]
    replicas = needed_replicas(plan.stable_replicas, here.share)
    if state.pause_due:
        return Action(Verb.PAUSE, f"pause before step {state.step + 1}")
    if state.replicas < replicas:
        return Action(Verb.SCALE, f"{here.share:.2%} needs {replicas} pods", replicas=replicas)
    canary = evidence.canary
    if state.written != here.share:
        if canary is None or canary.ready < max(canary.desired, 1):
            return Action(Verb.AWAIT_CANARY, "capacity before weight")
        return Action(Verb.SET_WEIGHT, f"step {state.step + 1} of {len(plan.steps)}", share=here.share)
    if evidence.drift is not None:
        return on_drift(state, evidence.drift, here.share)
    if not state.done.confirmed:
        if evidence.contradicts is False or (evidence.contradicts is None and evidence.judgement is not None):
            return Action(Verb.CONFIRM, "the observed share does not contradict the weight")
        if now - state.since > plan.confirm_seconds:
            reason = f"the observed share contradicts {here.share:.2%} for {plan.confirm_seconds:.0f} s"
            return Action(Verb.END, reason, end=End(Outcome.INCONCLUSIVE, reason))
        return Action(Verb.LOOK)
    judgement = evidence.judgement
    if judgement is None or now - state.since < here.bake_seconds:
        return Action(Verb.LOOK)
    if state.step + 1 < len(plan.steps):
        if judgement.raise_gate.open or not plan.enforce:
            return Action(Verb.NEXT_STEP, judgement.raise_gate.reason)
        return Action(Verb.LOOK)
    if judgement.promote_gate.open or not plan.enforce:
        return Action(Verb.BEGIN_PROMOTION, judgement.reason)
    return Action(Verb.LOOK)


def on_drift(state: RolloutState, drift: Drift, share: float) -> Action:
    """Write our weight again a bounded number of times, then stop safely (S6)."""
    if drift.share is None or state.reasserted >= state.plan.reassert:
        reason = f"{drift.writer or 'somebody'} changed the route's weights {state.reasserted + 1} times"
        return Action(Verb.END, reason, end=End(Outcome.FAILED, reason))
    return Action(Verb.REASSERT, f"{drift.writer or 'somebody'} wrote {drift.share:.2%}", share=share)
