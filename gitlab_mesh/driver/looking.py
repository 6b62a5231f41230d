"""Actions that only look: at counts, at pods that start or end, at a canary that drains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gitlab_mesh.core.rollout import Action, Evidence, RolloutState, Verb
from gitlab_mesh.driver.run import POLL_SECONDS, Run
from gitlab_mesh.errors import TransientError

__all__ = ["await_pods", "drain", "look"]


def look(run: Run, action: Action, state: RolloutState) -> Evidence:
    """Take one look and keep what the judge says."""
    run.ledger.wait(run.ports.service.rollout.look_interval)
    evidence = _abortable(run, state, run.watch.look)
    if evidence.drift is not None:
        evidence = replace(evidence, lost_lock=run.ledger.taken_by())
    judgement = evidence.judgement
    if judgement is not None:
        run.ledger.record = run.ledger.record.with_(
            last_verdicts={verdict.metric: f"{verdict.kind}: {verdict.reason}" for verdict in judgement.verdicts}
        )
        if not judgement.rejected:  # weight 0 first
            _keep_judged(run)
    return evidence


def _keep_judged(run: Run) -> None:
    """Write down what the judge knows once in a lease's time: so much is looked at again after a lost runner."""
    now = run.ports.clock.monotonic()
    if now - run.checkpoint < run.ports.service.rollout.lease:
        return
    run.checkpoint = now
    try:
        run.ledger.write(**run.judged())
    except TransientError as error:
        run.ports.console.line(f"the record could not be written: {error.what}", tone="warn")


def drain(run: Run, action: Action, state: RolloutState) -> Evidence:
    """Look whether the canary still gets requests."""
    run.ports.clock.sleep(min(POLL_SECONDS, run.ports.service.rollout.look_interval))
    return run.watch.look_at_drain()


def await_pods(run: Run, action: Action, state: RolloutState) -> Evidence:
    """Look at the pods; wait a moment where they are not there yet."""
    evidence = _abortable(run, state, lambda: _pods(run, state))
    if action.verb is Verb.AWAIT_STABLE and state.end is None:
        evidence = run.watch.look_at_route(evidence)
    waiting = action.verb is Verb.AWAIT_GONE and not evidence.canary_gone
    side = evidence.stable if action.verb is Verb.AWAIT_STABLE else evidence.canary
    if action.verb is not Verb.AWAIT_GONE:
        asked = state.replicas if action.verb is Verb.AWAIT_CANARY else 1
        waiting = side is None or side.ready < max(1, asked, side.desired)  # scaled down by somebody: still wait
    if waiting:
        run.ledger.wait(min(POLL_SECONDS, run.ports.service.rollout.look_interval))
    return evidence


def _abortable(run: Run, state: RolloutState, read: Callable[[], Evidence]) -> Evidence:
    """Read; on the way in a signal ends the reading at once, on the way out nothing does."""
    if state.end is not None:
        return read()
    return run.ports.signal.abortable(read) or Evidence()


def _pods(run: Run, state: RolloutState) -> Evidence:
    evidence = run.watch.look_at_pods()
    if state.plan.first:  # the one Deployment of a first release plays the canary until it is proven
        evidence = replace(evidence, canary=evidence.stable)
    return evidence
