"""Several drivers on one simulated clock: each runs in a thread of its own, but only one at a time.

A driver gives the baton away when it sleeps, and at boundaries where the schedule says so. The stage then moves the
clock to whoever is due next and lets the world live through that time. Which of several drivers that are due at the
same moment goes first is drawn from the schedule's seed, so a run repeats exactly.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["Actor", "Killed", "Stage", "StageClock"]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


@dataclass
class Actor:
    """One process.

    Attributes:
        name: For messages.
        work: What it does; its result, or what it raised, is kept.
        wake: When it is due.
        started: When it began; None before.
        paused: Seconds that it stood still through no fault of its own.
        error: What escaped from ``work``.
    """

    name: str
    work: Callable[[], Any]
    wake: float
    started: float | None = None
    ended: float | None = None
    paused: float = 0.0
    result: Any = None
    error: BaseException | None = None
    thread: threading.Thread | None = None
    baton: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Stage:
    """Time, and who runs.

    Args:
        world: Lives through a stretch of time that the clock has just moved on by.
        draw: Decides ties.
        limit: Seconds after which an actor is stopped; it should have ended long ago.
    """

    def __init__(self, world: Callable[[float], None], draw: random.Random, *, limit: float = 2500.0) -> None:
        self.now = 0.0
        self.world = world
        self.draw = draw
        self.limit = limit
        self.current: Actor | None = None
        self.actors: list[Actor] = []
        self.overrun: list[Actor] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._back = threading.Semaphore(0)

    def at(self, time: float, event: Callable[[], None]) -> None:
        """Let something happen to the world at a time."""
        self._serial += 1
        heapq.heappush(self._events, (time, self._serial, event))

    def spawn(self, name: str, work: Callable[[], Any], *, delay: float = 0.0) -> Actor:
        """Let a process begin after ``delay`` seconds."""
        actor = Actor(name, work, self.now + delay)
        self.actors.append(actor)
        return actor

    def run(self) -> None:
        """Let everybody run to the end."""
        while True:
            alive = [actor for actor in self.actors if actor.ended is None]
            if not alive:
                return
            due = min(actor.wake for actor in alive)
            chosen = [actor for actor in alive if actor.wake <= max(due, self.now)]
            actor = chosen[0] if len(chosen) == 1 else self.draw.choice(chosen)
            self.pass_to(actor.wake)
            self._hand_over(actor)

    def pass_to(self, time: float) -> None:
        """Move the clock on, event by event; long waits in strides that grow."""
        stride = 2.0
        while self.now < time or (self._events and self._events[0][0] <= self.now):
            if self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
                continue
            until = min(time, self.now + stride, self._events[0][0] if self._events else time)
            stride = min(stride * 1.5, 30.0)
            seconds, self.now = until - self.now, until
            self.world(seconds)

    def sleep(self, seconds: float) -> None:
        """Wait as the current actor."""
        actor = self.current
        if actor is None:
            self.pass_to(self.now + seconds)
            return
        wake = self.now + max(seconds, 0.0)
        self._check(actor)
        if all(other.ended is not None or other is actor or other.wake > wake for other in self.actors):
            self.pass_to(wake)
            return
        actor.wake = wake
        self._give_back(actor)

    def pause(self, seconds: float) -> None:
        """Stand still as the current actor, through no fault of its own (SIGSTOP, a hanging connection)."""
        if self.current is not None:
            self.current.paused += seconds
        self.sleep(seconds)

    def _check(self, actor: Actor) -> None:
        if actor.started is not None and self.now - actor.started - actor.paused > self.limit:
            self.overrun.append(actor)
            raise Killed

    def _give_back(self, actor: Actor) -> None:
        self.current = None
        self._back.release()
        actor.baton.acquire()

    def _hand_over(self, actor: Actor) -> None:
        self.current = actor
        if actor.thread is None:
            actor.started = self.now
            actor.thread = threading.Thread(target=self._live, args=(actor,), name=actor.name, daemon=True)
            actor.thread.start()
        else:
            actor.baton.release()
        self._back.acquire()
        self.current = None

    def _live(self, actor: Actor) -> None:
        try:
            actor.result = actor.work()
        except BaseException as error:
            actor.error = error
        actor.ended = self.now
        self.current = None
        self._back.release()


class StageClock:
    """Port ``Clock`` of one process: its wall clock may be wrong, its waits are the stage's."""

    def __init__(self, stage: Stage, *, offset: float = 0.0) -> None:
        self._stage = stage
        self.offset = offset

    def monotonic(self) -> float:
        """Return seconds of the stage."""
        return self._stage.now

    def now(self) -> datetime:
        """Return the wall time as this machine believes it to be."""
        return EPOCH + timedelta(seconds=self._stage.now + self.offset)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._stage.sleep(seconds)
