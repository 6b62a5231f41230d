"""The rollout machine: ``decide_next(state, evidence, now) -> Action`` is the only place that chooses.

Actions are data; ``gitlab_mesh.driver`` performs them and folds each result into the state with ``advance``.
Time is the driver's monotonic clock in seconds; wall clocks do not exist here. The way out (weight 0, drain,
delete, restore, close) is the same for a promotion, a rollback, a signal and a recovery: it only asks what is
still to be undone, so it is safe to run twice.
"""

from gitlab_mesh.core.rollout.decide import decide_next
from gitlab_mesh.core.rollout.evidence import Drift, Evidence
from gitlab_mesh.core.rollout.fold import advance, after_failure
from gitlab_mesh.core.rollout.model import Action, Done, End, Phase, Plan, Ramp, RolloutState, Step, Verb
from gitlab_mesh.core.rollout.way_out import GONE_SECONDS, closing_phase, worst_seconds

__all__ = [
    "GONE_SECONDS",
    "Action",
    "Done",
    "Drift",
    "End",
    "Evidence",
    "Phase",
    "Plan",
    "Ramp",
    "RolloutState",
    "Step",
    "Verb",
    "advance",
    "after_failure",
    "closing_phase",
    "decide_next",
    "worst_seconds",
]
