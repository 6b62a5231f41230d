"""The promotion: stable gets the release's template while the canary carries everything."""

from __future__ import annotations

from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout.evidence import Evidence
from gitlab_mesh.core.rollout.model import Action, End, RolloutState, Verb
from gitlab_mesh.core.rollout.raising import on_drift, raise_to

__all__ = ["promote"]


def promote(state: RolloutState, evidence: Evidence, now: float) -> Action:
    """Canary to 100 %, then stable's new template, then back: a broken new stable never gets traffic (S9)."""
    plan, done = state.plan, state.done
    stable = evidence.stable
    if evidence.drift is not None and not done.stable_ready:
        return on_drift(state, evidence.drift, state.written)
    if state.written != 1.0:
        why = "the canary carries everything while stable is replaced"
        return raise_to(state, evidence, 1.0, replicas=plan.stable_replicas, why=why)
    if not done.stable_patched:
        if not done.confirmed and now - state.since < plan.confirm_seconds and evidence.contradicts is not False:
            return Action(Verb.LOOK)
        return Action(Verb.PATCH_STABLE)
    if not done.stable_ready:
        failing = stable is not None and bool(stable.reason) and not plan.hotfix  # there the old pods fail, too
        if now - state.since <= plan.ready_seconds and not failing:
            return Action(Verb.AWAIT_STABLE)
        why = stable.reason if stable is not None and stable.reason else f"not ready after {plan.ready_seconds:.0f} s"
        return Action(Verb.END, end=End(Outcome.REJECTED, f"stable did not start with the new template: {why}"))
    raise AssertionError("stable_ready ends the rollout before this point")
