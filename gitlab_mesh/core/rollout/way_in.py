"""The way in: the canary is made, each step holds or goes on, what is proven may be watched before it is promoted."""

from __future__ import annotations

from gitlab_mesh.core.rollout.evidence import Evidence
from gitlab_mesh.core.rollout.model import Action, RolloutState, Verb
from gitlab_mesh.core.rollout.raising import bring, may_promote
from gitlab_mesh.core.rollout.ramp import next_share, watch_share
from gitlab_mesh.core.workload import needed_replicas

__all__ = ["deploy", "step", "watch"]


def deploy(state: RolloutState, evidence: Evidence) -> Action:
    """Route first, then the canary, then its pods."""
    plan = state.plan
    if not state.done.prepared and not plan.first:
        return Action(Verb.PREPARE, "the route names its subsets before a canary pod exists")
    if not state.done.deployed:
        return Action(Verb.DEPLOY, replicas=needed_replicas(plan.stable_replicas, plan.first_share))
    return Action(Verb.AWAIT_CANARY)


def step(state: RolloutState, evidence: Evidence, now: float) -> Action:
    """Capacity, weight, confirmation, bake; then the gate that opens the next step, the watch or the promotion."""
    if state.plan.budget:
        return _climb(state, evidence, now)
    if state.pause_due:
        return Action(Verb.PAUSE, f"pause before step {state.step + 1}")
    plan, here = state.plan, state.plan.steps[state.step]
    replicas = needed_replicas(plan.stable_replicas, here.share)
    why = f"step {state.step + 1} of {len(plan.steps)}"
    missing = bring(state, evidence, now, here.share, replicas=replicas, why=why)
    if missing is not None:
        return missing
    judgement = evidence.judgement
    if judgement is None or now - state.since < here.bake_seconds:
        return Action(Verb.LOOK)
    if not state.at_last:
        may_rise = judgement.raise_gate.open or not plan.enforce
        return Action(Verb.NEXT_STEP if may_rise else Verb.LOOK, judgement.raise_gate.reason)
    return _proven(state, judgement.reason) if may_promote(state, evidence) else Action(Verb.LOOK)


def _climb(state: RolloutState, evidence: Evidence, now: float) -> Action:
    """Each look chooses the next share within the budget of bad requests; a raise needs the raise gate, too."""
    plan, found = state.plan, next_share(state, evidence, now)
    if found is None:
        return Action(Verb.LOOK, "the traffic is measured: the first share follows from it")
    share, why = found
    replicas = needed_replicas(plan.stable_replicas, share)
    missing = bring(state, evidence, now, share, replicas=replicas, why=why)
    if missing is not None:
        return missing
    settled = state.at_last and now - state.weighed_at >= plan.ramp.schedule.dwell_seconds
    if settled and evidence.judgement is not None and may_promote(state, evidence):
        return _proven(state, evidence.judgement.reason)
    return Action(Verb.LOOK)


def _proven(state: RolloutState, why: str) -> Action:
    return Action(Verb.BEGIN_WATCH if state.plan.watch_seconds > 0 else Verb.BEGIN_PROMOTION, why)


def watch(state: RolloutState, evidence: Evidence, now: float) -> Action:
    """Most users have the release, stable keeps a little as control; the same rule goes on judging (holdback).

    At the first doubt stable gets requests back, so that the next looks are decisive; the release gets them back only
    through the promote gate.
    """
    plan, judgement, passed = state.plan, evidence.judgement, may_promote(state, evidence)
    share = watch_share(state, evidence, now)
    why = f"watch: stable keeps {1.0 - share:.2%} as control"
    missing = bring(state, evidence, now, share, replicas=plan.stable_replicas, why=why)
    if missing is not None:
        return missing
    over = state.watched_at is not None and now - state.watched_at >= plan.watch_seconds
    enough = min(plan.watch_share, plan.ramp.schedule.most)  # a small doubt may hold the share there for long
    if judgement is not None and passed and over and share >= enough:
        return Action(Verb.BEGIN_PROMOTION, judgement.reason)
    return Action(Verb.LOOK)
