"""The one executor: performs what ``core.rollout.decide_next`` chose, through ports, and chooses nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gitlab_mesh.core.report.model import Outcome, Tone
from gitlab_mesh.core.rollout import (
    Action,
    End,
    Evidence,
    Phase,
    RolloutState,
    Verb,
    advance,
    after_failure,
    closing_phase,
    decide_next,
)
from gitlab_mesh.driver.actions import Actions
from gitlab_mesh.errors import (
    AccessDeniedError,
    ConflictError,
    GitlabMeshError,
    ReleaseRejectedError,
    TransientError,
)
from gitlab_mesh.ports import SignalCheck

__all__ = ["Executor", "Progress"]

Progress = Callable[[RolloutState, Action, Evidence], None]
"""Told after each action, for log and note; must not raise."""

WAY_OUT_PATIENCE_SECONDS = 180.0
"""How long the way out is tried again while the API fails: an API server's restart takes less."""

_SAFE_TO_REPEAT = (
    Verb.PREPARE,
    Verb.LOOK,
    Verb.AWAIT_CANARY,
    Verb.PATCH_STABLE,
    Verb.AWAIT_STABLE,
    Verb.DRAIN,
    Verb.AWAIT_GONE,
)


@dataclass
class Executor:
    """Runs one rollout to its end.

    Attributes:
        actions: Performs single actions.
        signal: Asks whether a signal came.
        progress: Told after each action.
        error: The error that ended the rollout, if one did: it owns the exit code.
    """

    actions: Actions
    signal: SignalCheck
    progress: Progress
    error: GitlabMeshError | None = None
    _failing_since: float | None = None
    _given_up: End | None = None

    def run(self, state: RolloutState) -> tuple[RolloutState, End]:
        """Decide and perform until the machine says finish; return the last state and how it ended.

        Raises:
            GitlabMeshError: Before anything was touched.
        """
        clock, ledger = self.actions.ports.clock, self.actions.ledger
        evidence = Evidence()
        while True:
            lost = evidence.lost_lock or ledger.heartbeat()
            if lost and self.error is None:
                lost = self._lost_to() or lost  # the record says best who it was
            evidence = replace(evidence, signal=self.signal(), lost_lock=lost)
            if lost and self.error is None:
                self.error = ConflictError(lost, hint="another driver owns the rollout now; we write nothing more")
            action = decide_next(state, evidence, clock.monotonic())
            if action.verb is Verb.FINISH:
                end = action.end or state.end or End(Outcome.FAILED, "nothing left to do")
                self._note_unsafe(state, end)
                return state, end
            try:
                evidence = self._perform(action, state, evidence)
            except GitlabMeshError as error:
                state = self._failed(state, action, error)
                if self._given_up is not None:
                    self._note_unsafe(state, self._given_up)
                    return state, self._given_up
                evidence = replace(evidence, judgement=None, drift=None)
                continue
            self._failing_since = None
            state = self._settle(advance(state, action, evidence, clock.monotonic()), action)
            self._tell(state, action, evidence)
            if action.verb in (Verb.SET_WEIGHT, Verb.REASSERT, Verb.NEXT_STEP):
                # What was seen under another weight says nothing about this one.
                evidence = replace(
                    evidence, judgement=None, standing=None, contradicts=None, drift=None, canary_flat=None
                )

    def _perform(self, action: Action, state: RolloutState, evidence: Evidence) -> Evidence:
        try:
            return self.actions.perform(action, state, evidence)
        except GitlabMeshError:
            raise
        except Exception as error:  # a bug of ours must not leave traffic where it is either
            raise GitlabMeshError(
                f"{action.verb}: {type(error).__name__}: {error}", hint="this is a bug, please report it"
            ) from error

    def _tell(self, state: RolloutState, action: Action, evidence: Evidence) -> None:
        try:
            self.progress(state, action, evidence)
        except Exception as error:  # S10: not even a bug in a note may stand between a bad release and weight 0
            self.actions.ports.console.line(f"the log or the note could not be written: {error!r}", tone="warn")

    def _with_recorded(self, state: RolloutState) -> RolloutState:
        """What the record says was begun, by this job or by the one before, is to be undone."""
        record = self.actions.ledger.record
        made = any(key.startswith("Deployment/") for key in record.created)
        done = replace(
            state.done,
            prepared=state.done.prepared or bool(record.originals),
            deployed=state.done.deployed or made,
        )
        return state.with_(done=done)

    def _settle(self, state: RolloutState, action: Action) -> RolloutState:
        if action.verb is Verb.END and action.end is not None:
            state = self._with_recorded(state)
            tone = Tone.GOOD if action.end.outcome is Outcome.PROMOTED else Tone.BAD
            self.actions.watch.timeline.mark(self.actions.elapsed(), action.end.outcome.value, tone)
        return state

    def _failed(self, state: RolloutState, action: Action, error: GitlabMeshError) -> RolloutState:
        now = self.actions.ports.clock.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if state.end is None:
            return self._failed_way_in(state, action, error, now)
        return self._failed_way_out(state, state.end, action, error, now)

    def _failed_way_in(self, state: RolloutState, action: Action, error: GitlabMeshError, now: float) -> RolloutState:
        console, clock = self.actions.ports.console, self.actions.ports.clock
        patience = self.actions.ports.service.rollout.lease
        begun = state.phase not in (Phase.PREFLIGHT, Phase.LOCK)
        # Preflight proved the rights; an API server that has just started denies everything until it has read Roles.
        retry = isinstance(error, TransientError) or action.verb in _SAFE_TO_REPEAT
        retry = retry or (begun and isinstance(error, AccessDeniedError))
        if retry and now - (self._failing_since or now) < patience and not self.signal():
            console.line(f"{action.verb}: {error.what}; trying again", tone="warn")
            clock.sleep(min(2.0, self.actions.ports.service.rollout.look_interval))
            return state
        if not begun:
            self.actions.ledger.abandon()
            raise error
        outcome = Outcome.REJECTED if isinstance(error, ReleaseRejectedError) else Outcome.FAILED
        self.error = error
        self._failing_since = None
        self.actions.doubtful = action.verb is Verb.SET_WEIGHT
        console.line(f"{action.verb}: {error.what}", tone="bad")
        return self._with_recorded(after_failure(state, action).with_(end=End(outcome, error.what)))

    def _failed_way_out(
        self, state: RolloutState, end: End, action: Action, error: GitlabMeshError, now: float
    ) -> RolloutState:
        clock, console = self.actions.ports.clock, self.actions.ports.console
        lost = self._lost_to() if isinstance(error, ConflictError) else ""
        if lost:
            self.error = ConflictError(lost, hint="another driver owns the rollout now; we write nothing more")
            self._given_up = End(Outcome.FAILED, lost)
            return state
        if now - (self._failing_since or now) < WAY_OUT_PATIENCE_SECONDS:
            console.line(f"{action.verb}: {error.what}; trying again", tone="warn")
            clock.sleep(min(5.0, 0.2 + (now - (self._failing_since or now)) / 4))
            return state
        self.error = self.error or error
        if state.written > 0:
            self._given_up = End(Outcome.UNSAFE, f"weight 0 could not be written: {error.what}")
            return state
        left = f"weight 0 is written, but not everything was cleaned up: {error.what}"
        console.line(left, tone="bad")
        self._given_up = replace(end, reason=f"{end.reason}; {left}")
        return state

    def _lost_to(self) -> str:
        try:
            return self.actions.lost_to()
        except GitlabMeshError:  # nobody can tell now; it is asked again at the next failure
            return ""

    def _note_unsafe(self, state: RolloutState, end: End) -> None:
        """Leave word in the record that the rollout is not finished, for ``recover`` and for people."""
        if end.outcome is not Outcome.UNSAFE or not state.done.locked:
            return
        try:
            self.actions.ledger.write(phase=closing_phase(state).value, reason=end.reason)
        except GitlabMeshError as error:
            self.actions.ports.console.line(f"the record could not be written: {error.what}", tone="bad")
