"""The way in: play a schedule, tell its story, list the boundaries that faults can be put at."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gitlab_mesh.core.hotfix import HotfixJudge
from gitlab_mesh.core.judge.judge import Judge
from gitlab_mesh.core.judge.model import Judgement, Look
from gitlab_mesh.core.rollout import Action, Evidence, RolloutState
from gitlab_mesh.driver import feedback
from gitlab_mesh.driver.actions import Actions
from gitlab_mesh.testing.simulation.plan import Catalogue
from gitlab_mesh.testing.simulation.play import Outcome, Simulation
from gitlab_mesh.testing.simulation.schedule import SHAPES, Schedule
from gitlab_mesh.testing.simulation.script import Word
from gitlab_mesh.testing.simulation.story import Story

__all__ = ["catalogue", "run_schedule", "tell_schedule"]

_PLAYING: list[Simulation] = []


def catalogue() -> Catalogue:
    """Play each shape once and return the boundaries that it meets."""
    return Catalogue({name: run_schedule(schedule).boundaries for name, schedule in SHAPES.items()})


def run_schedule(schedule: Schedule, *, kind: type[Simulation] = Simulation) -> Outcome:
    """Play one schedule."""
    simulation = kind(schedule)
    with _probes(simulation):
        return simulation.play()


def tell_schedule(schedule: Schedule) -> tuple[Outcome, list[str]]:
    """Play one schedule and return its story, too: writes, faults and what the drivers said, in order."""
    story = Story()
    simulation = Simulation(schedule, story)
    with _probes(simulation):
        outcome = simulation.play()
    return outcome, story.lines


@contextmanager
def _probes(simulation: Simulation) -> Iterator[None]:
    """Let the simulation hear the judge's words and the names of actions; notes are sent at once, beside the driver."""
    _PLAYING.append(simulation)
    if len(_PLAYING) > 1:
        raise AssertionError("one simulation at a time")
    perform, look, alone = Actions.perform, Judge.look, HotfixJudge.look
    vars(feedback)["threading"] = _Threads
    Actions.perform = _perform_probe(perform)  # type: ignore[method-assign]
    Judge.look = _look_probe(look)  # type: ignore[method-assign]
    HotfixJudge.look = _look_probe(alone)  # type: ignore[method-assign]
    try:
        yield
    finally:
        Actions.perform, Judge.look, HotfixJudge.look = perform, look, alone  # type: ignore[method-assign]
        vars(feedback)["threading"] = threading
        _PLAYING.pop()


class _Beside:
    """Stands in for the thread that sends notes: a real one would cost more than all the rest of a schedule."""

    def __init__(self, *, target: Callable[[], None], name: str, daemon: bool) -> None:
        self._target = target

    def start(self) -> None:
        simulation = _PLAYING[0]
        simulation.beside += 1
        try:
            self._target()
        finally:
            simulation.beside -= 1

    def join(self, seconds: float) -> None:
        return

    def is_alive(self) -> bool:
        return False


class _Threads:
    """What the feedback needs of the module ``threading``."""

    Thread = _Beside
    Lock = threading.RLock


def _perform_probe(perform: Callable[..., Evidence]) -> Any:
    def probed(self: Actions, action: Action, state: RolloutState, evidence: Evidence) -> Evidence:
        run = _PLAYING[0].current()
        if run is not None:
            run.injector.action = action.verb.value
        return perform(self, action, state, evidence)

    return probed


def _look_probe(real: Callable[[Any, Look], Judgement]) -> Any:
    def probed(self: Any, look: Look) -> Judgement:
        simulation = _PLAYING[0]
        run = simulation.current()
        if run is None:
            return real(self, look)
        judgement = real(self, look) if simulation.schedule.real_judge else run.script.look(look)
        requests = float(look.canary.requests)
        simulation.look_around()
        simulation.oracles.judged(run, requests)
        if look.weight is not None:  # a window that is thrown away says nothing about the weight
            gates = (judgement.raise_gate.open, judgement.promote_gate.open)
            run.word = Word(simulation.stage.now, look.weight, requests, *gates, judgement.rejected)
        return judgement

    return probed
