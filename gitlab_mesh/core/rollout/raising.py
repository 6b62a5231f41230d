"""Bringing the canary to a share: capacity before weight; a weight counts once requests do not contradict it."""

from __future__ import annotations

from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout.evidence import Drift, Evidence
from gitlab_mesh.core.rollout.model import Action, End, Phase, RolloutState, Verb

__all__ = ["bring", "may_promote", "on_drift", "raise_to"]


def bring(
    state: RolloutState, evidence: Evidence, now: float, share: float, *, replicas: int, why: str
) -> Action | None:
    """Return what is still to do until the canary has its share, confirmed; None: nothing.

    Args:
        state: Now.
        evidence: Now.
        now: Monotonic time.
        share: Wanted, 0–1.
        replicas: Canary pods that the share needs.
        why: For the log.
    """
    if evidence.drift is not None and state.written > 0:
        return on_drift(state, evidence.drift, state.written)
    if share > state.written:
        return raise_to(state, evidence, share, replicas=replicas, why=why)
    if share < state.written:
        return Action(Verb.SET_WEIGHT, why, share=share)
    if state.done.confirmed:
        return None
    if evidence.contradicts is False or (evidence.contradicts is None and evidence.judgement is not None):
        return Action(Verb.CONFIRM, "the observed share does not contradict the weight")
    if now - state.since > state.plan.confirm_seconds:
        lagging = evidence.pending or f"the observed share contradicts {share:.2%}"
        reason = f"{lagging} for {state.plan.confirm_seconds:.0f} s"
        return Action(Verb.END, reason, end=End(Outcome.INCONCLUSIVE, reason))
    return Action(Verb.LOOK)


def raise_to(state: RolloutState, evidence: Evidence, share: float, *, replicas: int, why: str) -> Action:
    """Pods first, then the weight (S9). Where users have the canary already, it is looked at while they start."""
    if state.replicas < replicas:
        return Action(Verb.SCALE, f"{share:.2%} needs {replicas} pods", replicas=replicas)
    canary = evidence.canary
    if canary is None or canary.ready < max(canary.desired, replicas, 1):  # ``desired`` may be of before the scaling
        return Action(Verb.LOOK if state.written > 0 else Verb.AWAIT_CANARY, "capacity before weight")
    if state.written > 0 and _is_shut(state, evidence):
        return Action(Verb.LOOK, "the gate shut while the pods started")
    return Action(Verb.SET_WEIGHT, why, share=share)


def _is_shut(state: RolloutState, evidence: Evidence) -> bool:
    """Whether the last look takes back what the one before allowed (S1)."""
    judgement = evidence.judgement
    if judgement is None or not state.plan.enforce:
        return False
    gate = judgement.raise_gate if state.phase is Phase.STEP else judgement.promote_gate
    return not gate.open


def may_promote(state: RolloutState, evidence: Evidence) -> bool:
    """Whether the promote gate is open at the last look; a judge that only reports holds nothing up."""
    judgement = evidence.judgement
    return judgement is not None and (judgement.promote_gate.open or not state.plan.enforce)


def on_drift(state: RolloutState, drift: Drift, share: float) -> Action:
    """Write our weight again a bounded number of times, then stop safely (S6)."""
    if drift.share is None or state.reasserted >= state.plan.reassert:
        reason = f"{drift.writer or 'somebody'} changed the route's weights {state.reasserted + 1} times"
        return Action(Verb.END, reason, end=End(Outcome.FAILED, reason))
    return Action(Verb.REASSERT, f"{drift.writer or 'somebody'} wrote {drift.share:.2%}", share=share)
