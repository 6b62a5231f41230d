"""Shares that follow the evidence: ``core.judge.schedule`` says how much, this says when it is asked."""

from __future__ import annotations

from gitlab_mesh.core.mesh.weights import MIN_SHARE
from gitlab_mesh.core.rollout.model import Evidence, RolloutState

__all__ = ["watch_share"]

_WORTH_A_WRITE = 0.8
"""Less is taken back only in pieces of a fifth: each write costs the window of counts that it interrupts."""


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
