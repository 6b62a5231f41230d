"""The way out: one way for a promotion, a rollback, a signal and a recovery; it asks what is still to be undone."""

from __future__ import annotations

from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout.evidence import Evidence
from gitlab_mesh.core.rollout.model import Action, End, Phase, Plan, RolloutState, Verb

__all__ = ["GONE_SECONDS", "closing_phase", "way_out", "worst_seconds"]

_LAST_WORDS = 3
"""How often more weight 0 is written than any other weight."""

GONE_SECONDS = 60.0
"""Longest wait for scaled-down pods to end; Kubernetes' default grace period is 30 s. Then the Deployment is deleted
anyway: its pods get no requests any more, and a node that is lost must not keep the lock."""


def way_out(state: RolloutState, end: End, evidence: Evidence, now: float) -> Action:
    """Weight 0 first; then what was made is unmade, newest first; each question is about the state, not the path."""
    plan, done = state.plan, state.done
    if end.outcome is Outcome.PAUSED or (_holds(plan, end) and state.written > 0):
        return _leave(state, end)
    if end.outcome is Outcome.DEPLOYED:
        return _leave(state, end)
    if done.stable_patched and not done.stable_ready and end.outcome is not Outcome.PROMOTED:
        # Stable is half replaced: first make it whole again, then give it traffic.
        if state.phase is Phase.PROMOTE:
            return Action(Verb.REVERT_STABLE, "stable gets its old template back before it gets traffic")
        if now - state.since <= plan.ready_seconds:
            return Action(Verb.AWAIT_STABLE)
        reason = f"{end.reason}; stable is not ready with its old template either, the canary keeps the traffic"
        return Action(Verb.FINISH, end=End(Outcome.UNSAFE, reason))
    if done.prepared and not done.restored and (state.written > 0 or evidence.drift is not None):
        if evidence.stable_down and evidence.canary_down is False and end.outcome is not Outcome.PROMOTED:
            return _stable_down(state, end, now)
        if state.written == 0 and evidence.drift is not None and state.reasserted > plan.reassert + _LAST_WORDS:
            who = evidence.drift.writer or "somebody"
            return Action(Verb.FINISH, end=End(Outcome.UNSAFE, f"{who} gives the canary weight again and again"))
        return Action(Verb.SET_WEIGHT, end.reason, share=0.0)
    if state.exposed and not done.drained:
        # Two looks past the time: the first may show what came while we stood still.
        if evidence.canary_flat is False and state.late_looks > 1:
            return _still_asked(state, evidence)
        return Action(Verb.DRAIN)
    if done.deployed:
        if not done.scaled_down:
            return Action(Verb.SCALE_DOWN, "pods end normally, endpoints first")
        if not done.gone and now - state.since <= GONE_SECONDS:
            return Action(Verb.AWAIT_GONE)
        if not done.deleted:
            return Action(Verb.DELETE)
    if done.prepared and not done.restored:
        return Action(Verb.RESTORE)
    return _leave(state, end)


def _still_asked(state: RolloutState, evidence: Evidence) -> Action:
    """Requests come past the drain time: from proxies that do not follow, or from callers that bypass the route.

    The first would lose theirs, the others would not: a pod that ends leaves the Service's endpoints first.
    """
    if evidence.follows and state.done.deployed and not state.done.scaled_down:
        return Action(Verb.SCALE_DOWN, "what still comes bypasses the route; pods end normally, endpoints first")
    waited = GONE_SECONDS if state.done.scaled_down else state.plan.drain_seconds
    lagging = evidence.pending or "the canary still gets requests"
    reason = f"weight 0 is written, but {lagging} after {waited:.0f} s"
    return Action(Verb.FINISH, end=End(Outcome.UNSAFE, f"{reason}; it is kept"))


def _stable_down(state: RolloutState, end: End, now: float) -> Action:
    """Nothing runs where the traffic should go back to: wait for it, but do not take away what still answers (S9)."""
    if state.phase is not Phase.ROLL_BACK or now - state.since <= state.plan.ready_seconds:
        return Action(Verb.AWAIT_STABLE, "no pod of stable is ready")
    reason = f"{end.reason}; no pod of stable is ready, so the canary keeps its {state.written:.0%}"
    return Action(Verb.FINISH, end=End(Outcome.UNSAFE, reason))


def _holds(plan: Plan, end: End) -> bool:
    return plan.hold_inconclusive and end.outcome is Outcome.INCONCLUSIVE


def closing_phase(state: RolloutState) -> Phase:
    """Return the phase in which the rollout is left for good, or for a later job."""
    if state.end is None or state.end.outcome in (Outcome.PAUSED, Outcome.UNSAFE):
        return state.phase
    return Phase.HELD if _holds(state.plan, state.end) and state.written > 0 else Phase.DONE


def _leave(state: RolloutState, end: End) -> Action:
    if state.done.locked and not state.done.closed:
        return Action(Verb.CLOSE, end.reason, end=end)
    if state.done.locked and not state.done.released:
        return Action(Verb.RELEASE)
    return Action(Verb.FINISH, end.reason, end=end)


def worst_seconds(plan: Plan) -> float:
    """Return the longest time from the lock to a safe end, with the API server answering.

    The deadline counts until stable is given the new template; then stable may take its time to become ready, the
    canary to drain, and its pods to end.
    """
    return plan.deadline_seconds + plan.ready_seconds + plan.drain_seconds + GONE_SECONDS
