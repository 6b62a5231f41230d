"""What each verb of the rollout machine does to the world: the table from verb to action."""

from __future__ import annotations

from collections.abc import Callable

from gitlab_mesh.core.rollout import Action, Evidence, RolloutState, Verb
from gitlab_mesh.driver import beginning, ending, looking, replacing, weighing
from gitlab_mesh.driver.run import Run

__all__ = ["Actions"]


class Actions(Run):
    """Performs single actions."""

    def perform(self, action: Action, state: RolloutState, evidence: Evidence) -> Evidence:
        """Perform one action and return the evidence after it.

        Raises:
            GitlabMeshError: It could not be done; the state then stays as it was.
        """
        performers: dict[Verb, Callable[[Run, Action, RolloutState], Evidence | None]] = {
            Verb.PREFLIGHT: beginning.check,
            Verb.LOCK: beginning.lock,
            Verb.PREPARE: beginning.prepare,
            Verb.DEPLOY: beginning.deploy,
            Verb.AWAIT_CANARY: looking.await_pods,
            Verb.AWAIT_STABLE: looking.await_pods,
            Verb.AWAIT_GONE: looking.await_pods,
            Verb.SMOKE: beginning.smoke,
            Verb.SCALE: beginning.scale_canary,
            Verb.SET_WEIGHT: weighing.set_weight,
            Verb.REASSERT: weighing.set_weight,
            Verb.LOOK: looking.look,
            Verb.DRAIN: looking.drain,
            Verb.NEXT_STEP: _next_step,
            Verb.PAUSE: _pause,
            Verb.END: ending.note_end,
            Verb.PATCH_STABLE: replacing.patch_stable,
            Verb.REVERT_STABLE: replacing.revert_stable,
            Verb.SCALE_DOWN: ending.scale_down,
            Verb.DELETE: ending.delete,
            Verb.RESTORE: ending.restore,
            Verb.CLOSE: ending.close,
            Verb.RELEASE: ending.give_back,
        }
        performer = performers.get(action.verb)
        return (performer(self, action, state) if performer else None) or evidence


def _next_step(run: Run, action: Action, state: RolloutState) -> None:
    run.checkpoint = run.ports.clock.monotonic()
    run.ledger.write(step=state.step + 1, **run.judged())


def _pause(run: Run, action: Action, state: RolloutState) -> None:
    run.ledger.write(step=state.step, pause_step=state.step, **run.judged())
