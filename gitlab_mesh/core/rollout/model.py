"""The words of the rollout machine: phases, verbs, plan, state, action; values without behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from gitlab_mesh.core.judge.schedule import BudgetSchedule
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.report.model import Outcome

__all__ = ["Action", "Done", "End", "Phase", "Plan", "Ramp", "RolloutState", "Step", "Verb"]


class Phase(StrEnum):
    """Where a rollout is; log, note, record and ``status`` use these words."""

    PREFLIGHT = "preflight"
    LOCK = "lock"
    DEPLOY = "deploy"
    SMOKE = "smoke"
    STEP = "step"
    PAUSED = "paused"
    WATCH = "watch"
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
    BEGIN_WATCH = "begin-watch"
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
class Ramp:
    """How weights follow the evidence: all of them with a budget schedule, those of the watch always."""

    schedule: BudgetSchedule = BudgetSchedule()
    settings: JudgeSettings = JudgeSettings()


@dataclass(frozen=True, slots=True)
class Plan:
    """What the rollout means to do; seconds are monotonic durations.

    ``watch_seconds`` is the time after the promote gate in which stable keeps ``ramp.schedule.control`` of the
    requests as control; 0: no watch. With ``budget`` the ramp chooses every weight and there are no steps.
    """

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
    watch_seconds: float = 0.0
    budget: bool = False
    ramp: Ramp = Ramp()

    @property
    def said(self) -> str:
        """How the weights are chosen, for people: "4 steps"."""
        if self.budget:
            return f"a budget of {self.ramp.settings.bad_request_budget:g} bad requests"
        return f"{len(self.steps)} steps"

    @property
    def first_share(self) -> float:
        """Share that the first pods are made for, 0–1; everything at a first release."""
        if self.budget:
            return self.ramp.schedule.first
        return self.steps[0].share if self.steps else 1.0

    @property
    def watch_share(self) -> float:
        """The canary's share in the watch, 0–1."""
        return round(1.0 - self.ramp.schedule.control, 6)


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
        step: Index into ``plan.steps``; with a budget schedule how often the weight rose.
        written: Share of the canary that our last write left in the route; 0 before the first.
        replicas: Canary replicas asked for last.
        reasserted: How often a foreign weight was overwritten.
        continued: Index of the last step whose pause is over.
        exposed: Whether the canary ever had a weight above 0.
        exposed_at: When it got its first weight.
        weighed_at: When a weight was written last.
        watched_at: When the watch's weight was written first; None before.
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
    exposed_at: float = 0.0
    weighed_at: float = 0.0
    watched_at: float | None = None
    late_looks: int = 0
    done: Done = field(default_factory=Done)
    end: End | None = None

    def with_(self, **changes: object) -> RolloutState:
        """Return a copy with the changes."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def pause_due(self) -> bool:
        """Whether the rollout must wait for a person before the current step's weight is written."""
        if self.plan.budget:
            return False
        step = self.plan.steps[self.step]
        return step.pause and self.continued < self.step and self.written != step.share

    @property
    def at_last(self) -> bool:
        """Whether the next gate is the promote gate."""
        if self.phase is not Phase.STEP:
            return True
        if self.plan.budget:
            return self.written >= self.plan.ramp.schedule.most
        return self.step + 1 == len(self.plan.steps)


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
