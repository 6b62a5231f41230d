"""The rollout machine: what it may choose, under any evidence (S1, S3, S8, S9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.judge.model import Gate, Importance, Judgement, SideHealth, Verdict, VerdictKind
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout import (
    Action,
    Done,
    Drift,
    End,
    Evidence,
    Phase,
    Plan,
    RolloutState,
    Step,
    Verb,
    advance,
    decide_next,
)

PLAN = Plan(
    steps=(Step(0.1, 10), Step(0.5, 10)),
    stable_replicas=3,
    deadline_seconds=600,
    ready_seconds=60,
    confirm_seconds=30,
    drain_seconds=20,
)
READY = SideHealth(desired=3, ready=3)
OPEN, SHUT = Gate(open=True), Gate(open=False, reason="needs more")


def judged(*, up: bool = False, promote: bool = False, rejected: bool = False, missing: bool = False) -> Judgement:
    kind = VerdictKind.NO_DATA if missing else VerdictKind.UNDECIDED
    verdicts = (Verdict("errors", kind, Importance.CRITICAL),)
    return Judgement(verdicts, OPEN if up else SHUT, OPEN if promote else SHUT, rejected, "because")


GOOD = Evidence(judged(up=True, promote=True), contradicts=False, canary=READY, stable=READY, canary_gone=True)
World = Callable[[RolloutState, Action, float], Evidence]


def drive(world: World, state: RolloutState, *, tick: float = 5.0) -> tuple[RolloutState, Action, list[Action]]:
    """Run the machine against a world until it finishes."""
    now, evidence, actions = 0.0, Evidence(), []
    for _ in range(2000):
        action = decide_next(state, evidence, now)
        actions.append(action)
        if action.verb is Verb.FINISH:
            return state, action, actions
        if action.verb in (Verb.LOOK, Verb.DRAIN, Verb.AWAIT_CANARY, Verb.AWAIT_STABLE, Verb.AWAIT_GONE):
            now += tick
        evidence = world(state, action, now)
        state = advance(state, action, evidence, now)
    raise AssertionError(f"did not finish: {state}")


def verbs(actions: list[Action]) -> list[Verb]:
    return [action.verb for action in actions]


def test_a_good_release_is_promoted_and_leaves_nothing() -> None:
    state, last, actions = drive(lambda *_: replace(GOOD, canary_flat=True), RolloutState(PLAN))
    assert last.end is not None
    assert last.end.outcome is Outcome.PROMOTED
    shares = [action.share for action in actions if action.verb is Verb.SET_WEIGHT]
    assert shares == [0.1, 0.5, 1.0, 0.0]
    order = verbs(actions)
    assert order.index(Verb.PREPARE) < order.index(Verb.DEPLOY) < order.index(Verb.SMOKE) < order.index(Verb.SET_WEIGHT)
    assert order.index(Verb.PATCH_STABLE) < order.index(Verb.AWAIT_STABLE) < order.index(Verb.DRAIN)
    assert order[-5:] == [Verb.DELETE, Verb.RESTORE, Verb.CLOSE, Verb.RELEASE, Verb.FINISH]
    assert state.written == 0


def test_capacity_comes_before_weight() -> None:
    _, _, actions = drive(lambda *_: replace(GOOD, canary_flat=True), RolloutState(PLAN))
    replicas = 0
    for action in actions:
        if action.verb in (Verb.DEPLOY, Verb.SCALE):
            replicas = action.replicas
        if action.verb is Verb.SET_WEIGHT:
            assert replicas >= PLAN.stable_replicas * action.share


def test_a_gate_that_shuts_while_pods_start_holds_the_weight() -> None:
    """The look at which more pods were asked for was good; the ones until they are ready are not."""

    def world(state: RolloutState, action: Action, now: float) -> Evidence:
        waiting = state.step == 1 and state.written == 0.1
        judgement = judged() if waiting else judged(up=True, promote=True)
        return replace(GOOD, judgement=judgement, canary_flat=True)

    _, last, actions = drive(world, RolloutState(PLAN))
    assert 0.5 not in {action.share for action in actions}
    assert last.end is not None
    assert last.end.outcome is Outcome.INCONCLUSIVE


def test_a_rejected_release_gets_weight_zero_first() -> None:
    def world(state: RolloutState, action: Action, now: float) -> Evidence:
        bad = state.written > 0 and state.phase is Phase.STEP
        return replace(GOOD, judgement=judged(rejected=bad, up=True), canary_flat=True)

    _, last, actions = drive(world, RolloutState(PLAN))
    assert last.end is not None
    assert last.end.outcome is Outcome.REJECTED
    order = verbs(actions)
    after = order[order.index(Verb.END) + 1 :]
    assert after[0] is Verb.SET_WEIGHT
    assert after[1] is Verb.DRAIN
    assert Verb.PATCH_STABLE not in order


@pytest.mark.parametrize(
    ("judgement", "outcome"),
    [
        (judged(), Outcome.INCONCLUSIVE),
        (judged(missing=True), Outcome.NO_DATA),
        (None, Outcome.NO_DATA),
    ],
)
def test_without_evidence_the_deadline_ends_it(judgement: Judgement | None, outcome: Outcome) -> None:
    plan = replace(PLAN, confirm_seconds=1e9)
    _, last, actions = drive(lambda *_: replace(GOOD, judgement=judgement, canary_flat=True), RolloutState(plan))
    assert last.end is not None
    assert last.end.outcome is outcome
    assert max(action.share for action in actions) == 0.1


def test_inconclusive_may_hold_by_policy() -> None:
    plan = replace(PLAN, hold_inconclusive=True)
    state, last, _ = drive(lambda *_: replace(GOOD, judgement=judged(), canary_flat=True), RolloutState(plan))
    assert (state.written, state.phase) == (0.1, Phase.HELD)
    assert last.end is not None
    assert last.end.outcome is Outcome.INCONCLUSIVE


def test_a_canary_that_still_gets_requests_is_kept_and_a_person_is_called() -> None:
    def world(state: RolloutState, action: Action, now: float) -> Evidence:
        rejected = state.written > 0
        return replace(GOOD, judgement=judged(rejected=rejected), canary_flat=False)

    state, last, actions = drive(world, RolloutState(PLAN))
    assert last.end is not None
    assert last.end.outcome is Outcome.UNSAFE
    assert state.written == 0
    assert Verb.DELETE not in verbs(actions)
    assert Verb.SCALE_DOWN not in verbs(actions)


@pytest.mark.parametrize("follows", [True, False, None])
def test_requests_that_never_end_are_unsafe_and_only_what_bypasses_the_route_loses_its_pods(
    follows: bool | None,
) -> None:
    end = End(Outcome.ROLLED_BACK, "on request")
    done = Done(locked=True, prepared=True, deployed=True)
    state = RolloutState(PLAN, Phase.ROLL_BACK, written=0.5, exposed=True, done=done, end=end)
    _, last, actions = drive(lambda *_: replace(GOOD, canary_flat=False, follows=follows), state)
    assert last.end is not None
    assert last.end.outcome is Outcome.UNSAFE
    assert (Verb.SCALE_DOWN in verbs(actions)) is (follows is True)
    assert Verb.DELETE not in verbs(actions)


def test_unknown_drain_waits_out_its_time() -> None:
    state = RolloutState(PLAN, Phase.ROLL_BACK, written=0.5, exposed=True, done=Done(True, True, True))
    state = state.with_(end=End(Outcome.ROLLED_BACK, "asked"))
    _, _, actions = drive(lambda *_: replace(GOOD, canary_flat=None), state)
    assert verbs(actions).count(Verb.DRAIN) == PLAN.drain_seconds / 5 + 2


def test_a_drain_that_could_not_be_watched_is_looked_at_before_it_ends() -> None:
    seen = []

    def world(state: RolloutState, action: Action, now: float) -> Evidence:
        if action.verb is Verb.DRAIN:
            seen.append(action)
        # The first look comes after the time, as the API server was away: it only begins to count.
        return replace(GOOD, canary_flat={0: None, 1: None, 2: False, 3: False}.get(len(seen), True))

    state = RolloutState(PLAN, Phase.ROLL_BACK, written=0.5, exposed=True, done=Done(True, True, True))
    _, last, actions = drive(world, state.with_(end=End(Outcome.ROLLED_BACK, "asked")), tick=21.0)
    assert Verb.SCALE_DOWN not in verbs(actions)
    assert last.end is not None
    assert last.end.outcome is Outcome.UNSAFE


def test_stable_that_does_not_start_never_gets_traffic() -> None:
    def world(state: RolloutState, action: Action, now: float) -> Evidence:
        broken = state.done.stable_patched and state.end is None
        return replace(GOOD, stable=SideHealth(3, 2 if broken else 3), canary_flat=True)

    _, last, actions = drive(world, RolloutState(PLAN))
    assert last.end is not None
    assert last.end.outcome is Outcome.REJECTED
    order = verbs(actions)
    weights = [index for index, action in enumerate(actions) if action.verb is Verb.SET_WEIGHT]
    assert actions[weights[-1]].share == 0
    assert order.index(Verb.REVERT_STABLE) < weights[-1]


def test_stable_broken_for_good_keeps_the_canary_and_says_so() -> None:
    def world(state: RolloutState, action: Action, now: float) -> Evidence:
        return replace(GOOD, stable=SideHealth(3, 0 if state.done.stable_patched else 3), canary_flat=True)

    state, last, actions = drive(world, RolloutState(PLAN))
    assert last.end is not None
    assert last.end.outcome is Outcome.UNSAFE
    assert state.written == 1.0
    assert Verb.DELETE not in verbs(actions)


def test_foreign_weights_are_reasserted_a_bounded_number_of_times() -> None:
    def world(state: RolloutState, action: Action, now: float) -> Evidence:
        drift = Drift("argocd", 0.0) if state.written > 0 and action.verb is Verb.LOOK else None
        return replace(GOOD, judgement=None, drift=drift, canary_flat=True)

    _, last, actions = drive(world, RolloutState(PLAN))
    assert verbs(actions).count(Verb.REASSERT) == PLAN.reassert
    assert last.end is not None
    assert last.end.outcome is Outcome.FAILED
    assert "argocd" in last.end.reason


def waiting_for_pods(phase: Phase, *, step: int, written: float, plan: Plan = PLAN) -> RolloutState:
    done = Done(locked=True, prepared=True, deployed=True, ready=True, smoked=True)
    return RolloutState(plan, phase, step=step, written=written, replicas=3, exposed=True, done=done)


@pytest.mark.parametrize(
    ("phase", "step", "written", "watched", "again"),
    [
        (Phase.STEP, 1, 0.1, 0.0, (Phase.STEP, 0)),
        (Phase.STEP, 1, 0.5, 0.0, (Phase.STEP, 1)),
        (Phase.PROMOTE, 1, 0.5, 0.0, (Phase.STEP, 1)),
        (Phase.PROMOTE, 1, 0.95, 60.0, (Phase.WATCH, 1)),
        (Phase.PROMOTE, 1, 1.0, 0.0, (Phase.PROMOTE, 1)),
    ],
)
def test_what_a_gate_allowed_before_a_foreign_write_is_void(
    phase: Phase, step: int, written: float, watched: float, again: tuple[Phase, int]
) -> None:
    state = waiting_for_pods(phase, step=step, written=written, plan=replace(PLAN, watch_seconds=watched))
    drifted = replace(GOOD, judgement=None, drift=Drift("kustomize-controller", 0.0))
    action = decide_next(state, drifted, 5.0)
    assert (action.verb, action.share) == (Verb.REASSERT, written)
    state = advance(state, action, drifted, 5.0)
    assert (state.phase, state.step, state.reasserted) == (*again, 1)
    action = decide_next(state, replace(GOOD, judgement=judged(), contradicts=None), 6.0)
    assert action.verb is not Verb.SET_WEIGHT


def test_a_lost_lock_stops_every_write() -> None:
    state = RolloutState(PLAN, Phase.STEP, written=0.1, done=Done(True, True, True, True, True, True))
    action = decide_next(state, Evidence(lost_lock="pipeline 8 took over"), 1.0)
    assert action.verb is Verb.FINISH


def test_a_first_release_is_deployed_without_a_canary() -> None:
    plan = replace(PLAN, steps=(), first=True)
    _, last, actions = drive(lambda *_: GOOD, RolloutState(plan))
    assert last.end is not None
    assert last.end.outcome is Outcome.DEPLOYED
    assert Verb.SET_WEIGHT not in verbs(actions)
    assert Verb.DELETE not in verbs(actions)


def test_a_first_release_that_never_becomes_ready_is_removed() -> None:
    plan = replace(PLAN, steps=(), first=True)
    never = replace(GOOD, canary=SideHealth(3, 0))
    _, last, actions = drive(lambda *_: never, RolloutState(plan))
    assert last.end is not None
    assert last.end.outcome is Outcome.REJECTED
    assert Verb.DELETE in verbs(actions)


health = st.builds(
    SideHealth,
    desired=st.integers(1, 3),
    ready=st.integers(0, 3),
    reason=st.sampled_from(["", "", "", "CrashLoopBackOff"]),
)
judgements = st.none() | st.builds(
    judged, up=st.booleans(), promote=st.booleans(), rejected=st.booleans(), missing=st.booleans()
)
evidences = st.builds(
    Evidence,
    judgement=judgements,
    contradicts=st.sampled_from([None, False, True]),
    canary=st.none() | health,
    stable=st.none() | health,
    drift=st.none() | st.builds(Drift, st.just("x"), st.sampled_from([None, 0.0, 0.3])),
    signal=st.sampled_from([0] * 20 + [15]),
    canary_flat=st.sampled_from([True, False, None]),
    canary_gone=st.booleans(),
)


@given(script=st.lists(evidences, min_size=1, max_size=40), hold=st.booleans(), external=st.booleans())
def test_any_evidence_ends_in_a_named_state_and_no_gate_is_passed(
    script: list[Evidence], hold: bool, external: bool
) -> None:
    plan = replace(PLAN, hold_inconclusive=hold, promote="external" if external else "image")
    index = 0

    def world(state: RolloutState, action: Action, now: float) -> Evidence:
        nonlocal index
        index += 1
        if index > 400:  # in the end the world calms down, as the machine's deadlines expect
            return replace(GOOD, canary_flat=True)
        return script[index % len(script)]

    now, evidence, state = 0.0, Evidence(), RolloutState(plan)
    for _ in range(3000):
        action = decide_next(state, evidence, now)
        if action.verb is Verb.FINISH:
            break
        judgement = evidence.judgement
        if action.verb is Verb.NEXT_STEP:
            assert judgement is not None
            assert judgement.raise_gate.open
            assert not judgement.rejected
        if action.verb is Verb.BEGIN_PROMOTION:
            assert judgement is not None
            assert judgement.promote_gate.open
            assert not judgement.rejected
        if action.verb is Verb.SET_WEIGHT and action.share > state.written:
            assert state.end is None
            assert state.phase in (Phase.STEP, Phase.PROMOTE)
        if action.verb is Verb.DELETE:
            assert state.written == 0
        now += 5.0 if action.verb in (Verb.LOOK, Verb.DRAIN) or action.verb.value.startswith("await") else 0.1
        evidence = world(state, action, now)
        state = advance(state, action, evidence, now)
    else:
        raise AssertionError(f"did not finish: {state}")
    end = action.end or state.end
    assert end is not None
    if end.outcome in (Outcome.UNSAFE, Outcome.PAUSED) or state.phase is Phase.HELD:
        return
    assert state.written == 0
    assert state.done.restored or not state.done.prepared
    assert state.done.released or not state.done.locked
