"""The rollout machine: ``decide_next(state, evidence, now) -> Action`` is the only place that chooses.

Actions are data; ``gitlab_mesh.driver`` performs them and folds each result into the state with ``advance``.
Time is the driver's monotonic clock in seconds; wall clocks do not exist here. The way out (weight 0, drain,
delete, restore, close) is the same for a promotion, a rollback, a signal and a recovery: it only asks what is
still to be undone, so it is safe to run twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from gitlab_mesh.core.judge.model import Judgement, SideHealth, VerdictKind
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.workload import needed_replicas

__all__ = [
    "GONE_SECONDS",
    "Action",
    "Done",
    "Drift",
    "End",
    "Evidence",
    "Phase",
    "Plan",
    "RolloutState",
    "Step",
    "Verb",
    "advance",
    "after_failure",
    "closing_phase",
    "decide_next",
    "worst_seconds",
]


_LAST_WORDS = 3
"""How often more weight 0 is written than any other weight."""

GONE_SECONDS = 60.0
"""Longest wait for scaled-down pods to end; Kubernetes' default grace period is 30 s. Then the Deployment is deleted
anyway: its pods get no requests any more, and a node that is lost must not keep the lock."""


class Phase(StrEnum):
    """Where a rollout is; log, note, record and ``status`` use these words."""

    PREFLIGHT = "preflight"
    LOCK = "lock"
    DEPLOY = "deploy"
    SMOKE = "smoke"
    STEP = "step"
    PAUSED = "paused"
    AWAITING_PROMOTION = "awaiting-promotion"
    PROMOTE = "promote"
    ROLL_BACK = "roll-back"
    CLEAN_UP = "clean-up"
    HELD = "held"
    DONE = "done"


class Verb(StrEnum):
    """What an action does."""

    PREFLIGHT = "preflight"
    LOCK = "lock"
    PREPARE = "prepare"
    DEPLOY = "deploy"
    AWAIT_CANARY = "await-canary"
    SMOKE = "smoke"
    SCALE = "scale"
    SET_WEIGHT = "set-weight"
    LOOK = "look"
    CONFIRM = "confirm"
    NEXT_STEP = "next-step"
    PAUSE = "pause"
    REASSERT = "reassert"
    BEGIN_PROMOTION = "begin-promotion"
    PATCH_STABLE = "patch-stable"
    AWAIT_STABLE = "await-stable"
    REVERT_STABLE = "revert-stable"
    END = "end"
    DRAIN = "drain"
    SCALE_DOWN = "scale-down"
    AWAIT_GONE = "await-gone"
    DELETE = "delete"
    RESTORE = "restore"
    CLOSE = "close"
    RELEASE = "release"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Step:
    """One weight step: the canary's share (0–1), the shortest time at it, and whether to pause before it."""

    share: float
    bake_seconds: float
    pause: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What the rollout means to do; seconds are monotonic durations."""

    steps: tuple[Step, ...]
    stable_replicas: int
    deadline_seconds: float
    ready_seconds: float
    confirm_seconds: float
    drain_seconds: float
    promote: str = "image"  # or "external"
    hold_inconclusive: bool = False
    reassert: int = 2
    enforce: bool = True
    first: bool = False
    hotfix: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """Why and how it ends."""

    outcome: Outcome
    reason: str
    signal: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """What has been achieved and what is left to undo; each flag is set by the action that did it."""

    locked: bool = False
    prepared: bool = False
    deployed: bool = False
    ready: bool = False
    smoked: bool = False
    confirmed: bool = False
    stable_patched: bool = False
    stable_ready: bool = False
    drained: bool = False
    scaled_down: bool = False
    gone: bool = False
    deleted: bool = False
    restored: bool = False
    closed: bool = False
    released: bool = False


@dataclass(frozen=True, slots=True)
class RolloutState:
    """Where the rollout is.

    Attributes:
        plan: See ``Plan``.
        phase: See ``Phase``.
        started: When it began.
        since: When the current phase, step or wait began.
        step: Index into ``plan.steps``.
        written: Share of the canary that our last write left in the route; 0 before the first.
        replicas: Canary replicas asked for last.
        reasserted: How often a foreign weight was overwritten.
        continued: Index of the last step whose pause is over.
        exposed: Whether the canary ever had a weight above 0.
        late_looks: Looks at the drain that ended after its time, in a row.
        end: Set once it is on the way out.
    """

    plan: Plan
    phase: Phase = Phase.PREFLIGHT
    started: float = 0.0
    since: float = 0.0
    step: int = 0
    written: float = 0.0
    replicas: int = 0
    reasserted: int = 0
    continued: int = -1
    exposed: bool = False
    late_looks: int = 0
    done: Done = field(default_factory=Done)
    end: End | None = None

    def with_(self, **changes: object) -> RolloutState:
        """Return a copy with the changes."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def pause_due(self) -> bool:
        """Whether the rollout must wait for a person before the current step's weight is written."""
        step = self.plan.steps[self.step]
        return step.pause and self.continued < self.step and self.written != step.share


@dataclass(frozen=True, slots=True)
class Drift:
    """The route is not as we wrote it: who wrote it, and the share that is there now (None: not ours to read)."""

    writer: str
    share: float | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known now; everything is optional, and what is missing never opens a gate.

    Attributes:
        judgement: The judge's word at the last look at this weight.
        contradicts: Whether the observed share contradicts the written weight; None: too few requests to say.
        canary: Health of the canary.
        stable: Health of stable.
        drift: A foreign write that was found.
        lost_lock: Somebody else holds the lease or the fence; the text says who.
        signal: Number of the signal that asks us to end.
        canary_flat: Whether the canary's requests have gone flat since weight 0; None: nobody can tell.
        canary_gone: Whether no pod of the canary is left.
        canary_down: Whether no pod of the canary is ready; None: nobody looked.
        stable_down: The same for stable.
    """

    judgement: Judgement | None = None
    contradicts: bool | None = None
    canary: SideHealth | None = None
    stable: SideHealth | None = None
    drift: Drift | None = None
    lost_lock: str = ""
    signal: int = 0
    canary_flat: bool | None = None
    canary_gone: bool = False
    canary_down: bool | None = None
    stable_down: bool | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """What to do next.

    ``share``, ``replicas`` and ``end`` are given where the verb needs them; ``why`` is the log's sentence.
    """

    verb: Verb
    why: str = ""
    share: float = 0.0
    replicas: int = 0
    end: End | None = None


def decide_next(state: RolloutState, evidence: Evidence, now: float) -> Action:
    """Choose the next action; the same inputs give the same action."""
    if evidence.lost_lock:
        # Whoever took over writes now; a single patch of ours more could be the one that hurts (S4).
        return Action(Verb.FINISH, end=End(Outcome.FAILED, evidence.lost_lock))
    if state.end is not None:
        return _way_out(state, state.end, evidence, now)
    end = _reason_to_end(state, evidence, now)
    if end is not None:
        return Action(Verb.END, end.reason, end=end)
    match state.phase:
        case Phase.PREFLIGHT:
            return Action(Verb.PREFLIGHT)
        case Phase.LOCK:
            return Action(Verb.LOCK)
        case Phase.DEPLOY:
            return _deploy(state, evidence)
        case Phase.SMOKE:
            return Action(Verb.SMOKE)
        case Phase.STEP:
            return _step(state, evidence, now)
        case Phase.PROMOTE:
            return _promote(state, evidence, now)
        case Phase.ROLL_BACK | Phase.CLEAN_UP | Phase.PAUSED | Phase.HELD | Phase.AWAITING_PROMOTION | Phase.DONE:
            # A rollout found in one of these without a reason: a net or a person ends it.
            return Action(Verb.END, end=End(Outcome.ROLLED_BACK, "ended on request"))


def _reason_to_end(state: RolloutState, evidence: Evidence, now: float) -> End | None:
    if state.done.stable_ready:
        return End(Outcome.PROMOTED, "every critical metric passed; stable runs the release")
    if evidence.signal:
        return End(Outcome.INTERRUPTED, f"signal {evidence.signal} ended the job", evidence.signal)
    if state.phase in (Phase.PREFLIGHT, Phase.LOCK):
        return None
    canary = evidence.canary
    if state.done.deployed and canary is not None and canary.reason and not state.done.stable_patched:
        return End(Outcome.REJECTED, f"the canary does not run: {canary.reason}")
    judgement = evidence.judgement
    if state.phase is Phase.STEP and state.plan.enforce and judgement is not None and judgement.rejected:
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


def worst_seconds(plan: Plan) -> float:
    """Return the longest time from the lock to a safe end, with the API server answering.

    The deadline counts until stable is given the new template; then stable may take its time to become ready, the
    canary to drain, and its pods to end.
    """
    return plan.deadline_seconds + plan.ready_seconds + plan.drain_seconds + GONE_SECONDS


def _at_deadline(state: RolloutState, judgement: Judgement | None) -> End:
    missing = [verdict for verdict in judgement.verdicts if verdict.kind is VerdictKind.NO_DATA] if judgement else []
    spent = _spent(state)
    if missing or judgement is None:
        what = ", ".join(verdict.metric for verdict in missing) or "every metric"
        return End(Outcome.NO_DATA, f"no data for {what} at the deadline, {spent}")
    return End(Outcome.INCONCLUSIVE, f"not enough evidence at the deadline, {spent}: {judgement.promote_gate.reason}")


def _deploy(state: RolloutState, evidence: Evidence) -> Action:
    plan = state.plan
    if not state.done.prepared and not plan.first:
        return Action(Verb.PREPARE, "the route names its subsets before a canary pod exists")
    if not state.done.deployed:
        share = plan.steps[0].share if plan.steps else 1.0
        return Action(Verb.DEPLOY, replicas=needed_replicas(plan.stable_replicas, share))
    return Action(Verb.AWAIT_CANARY)


def _step(state: RolloutState, evidence: Evidence, now: float) -> Action:
    plan, step = state.plan, state.plan.steps[state.step]
    replicas = needed_replicas(plan.stable_replicas, step.share)
    if state.pause_due:
        return Action(Verb.PAUSE, f"pause before step {state.step + 1}")
    if state.replicas < replicas:
        return Action(Verb.SCALE, f"{step.share:.2%} needs {replicas} pods", replicas=replicas)
    canary = evidence.canary
    if state.written != step.share:
        if canary is None or canary.ready < max(canary.desired, 1):
            return Action(Verb.AWAIT_CANARY, "capacity before weight")
        return Action(Verb.SET_WEIGHT, f"step {state.step + 1} of {len(plan.steps)}", share=step.share)
    if evidence.drift is not None:
        return _on_drift(state, evidence.drift, step.share)
    if not state.done.confirmed:
        if evidence.contradicts is False or (evidence.contradicts is None and evidence.judgement is not None):
            return Action(Verb.CONFIRM, "the observed share does not contradict the weight")
        if now - state.since > plan.confirm_seconds:
            reason = f"the observed share contradicts {step.share:.2%} for {plan.confirm_seconds:.0f} s"
            return Action(Verb.END, reason, end=End(Outcome.INCONCLUSIVE, reason))
        return Action(Verb.LOOK)
    judgement = evidence.judgement
    if judgement is None or now - state.since < step.bake_seconds:
        return Action(Verb.LOOK)
    if state.step + 1 < len(plan.steps):
        if judgement.raise_gate.open or not plan.enforce:
            return Action(Verb.NEXT_STEP, judgement.raise_gate.reason)
        return Action(Verb.LOOK)
    if judgement.promote_gate.open or not plan.enforce:
        return Action(Verb.BEGIN_PROMOTION, judgement.reason)
    return Action(Verb.LOOK)


def _on_drift(state: RolloutState, drift: Drift, share: float) -> Action:
    if drift.share is None or state.reasserted >= state.plan.reassert:
        reason = f"{drift.writer or 'somebody'} changed the route's weights {state.reasserted + 1} times"
        return Action(Verb.END, reason, end=End(Outcome.FAILED, reason))
    return Action(Verb.REASSERT, f"{drift.writer or 'somebody'} wrote {drift.share:.2%}", share=share)


def _promote(state: RolloutState, evidence: Evidence, now: float) -> Action:
    """Canary to 100 %, then stable's new template, then back: a broken new stable never gets traffic (S9)."""
    plan, done = state.plan, state.done
    if state.replicas < plan.stable_replicas:
        return Action(Verb.SCALE, "all of the traffic needs all of the pods", replicas=plan.stable_replicas)
    canary, stable = evidence.canary, evidence.stable
    if state.written != 1.0:
        if canary is None or canary.ready < max(canary.desired, 1):
            return Action(Verb.AWAIT_CANARY, "capacity before weight")
        return Action(Verb.SET_WEIGHT, "the canary carries everything while stable is replaced", share=1.0)
    if evidence.drift is not None and not done.stable_ready:
        return _on_drift(state, evidence.drift, 1.0)
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


def _way_out(state: RolloutState, end: End, evidence: Evidence, now: float) -> Action:
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
            reason = f"weight 0 is written, but the canary still gets requests after {plan.drain_seconds:.0f} s"
            return Action(Verb.FINISH, end=End(Outcome.UNSAFE, f"{reason}; it is kept"))
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
            phase = Phase.ROLL_BACK if state.end is not None else state.phase
            again = state.end is not None and state.written == 0
            return state.with_(
                reasserted=state.reasserted + again,
                written=action.share,
                exposed=state.exposed or action.share > 0,
                since=now,
                phase=phase,
                done=did(confirmed=False, drained=False),
            )
        case Verb.REASSERT:
            return state.with_(reasserted=state.reasserted + 1, since=now, done=did(confirmed=False))
        case Verb.CONFIRM:
            return state.with_(done=did(confirmed=True), since=now)
        case Verb.PAUSE:
            reason = f"paused by plan before step {state.step + 1} ({state.plan.steps[state.step].share:.2%})"
            return state.with_(phase=Phase.PAUSED, since=now, end=End(Outcome.PAUSED, reason))
        case Verb.NEXT_STEP:
            return state.with_(step=state.step + 1, since=now, done=did(confirmed=False))
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
            drained = evidence.canary_flat is True or (
                evidence.canary_flat is None and now - state.since >= state.plan.drain_seconds
            )
            late = state.late_looks + 1 if now - state.since > state.plan.drain_seconds else 0
            return state.with_(done=did(drained=drained), phase=Phase.ROLL_BACK, late_looks=late)
        case Verb.SCALE_DOWN:
            return state.with_(done=did(scaled_down=True), phase=Phase.CLEAN_UP, since=now)
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
