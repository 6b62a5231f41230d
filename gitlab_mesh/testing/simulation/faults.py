"""What goes wrong around each call of one driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from gitlab_mesh.errors import AccessDeniedError, ConflictError, TransientError, UsageError
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.cluster import Call
from gitlab_mesh.testing.simulation.kinds import WORLD_FAULTS, PlannedFault
from gitlab_mesh.testing.simulation.stage import Killed, Stage, StageClock

__all__ = ["Injector", "World"]

T = TypeVar("T")

_HANG, _REVOKED = 30.0, 15.0
"""Seconds that a call hangs, and that a token is not accepted."""


class World(Protocol):
    """What faults of the world are done by."""

    def disturb(self, kind: str, seconds: float) -> None:
        """Let it happen."""

    def before_version(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return the object as it was before its last change; None if it never changed."""


@dataclass
class Injector:
    """The faults of one driver.

    Attributes:
        stage: For hangs and pauses.
        world: For what happens to the world.
        clock: The driver's own, whose wall time may jump.
        job: Name of the driver's job: the first part of its boundaries.
        planned: Still to come.
        action: What the driver does now, a word of ``core.rollout.Verb``.
        seen: Calls at each boundary so far.
        happened: Boundary and kind of each fault that struck.
        race: Chance that another driver runs at a boundary.
        tell: For the story of a replay.
    """

    stage: Stage
    world: World
    clock: StageClock
    job: str
    planned: list[PlannedFault] = field(default_factory=list)
    action: str = "begin"
    seen: Counter[str] = field(default_factory=Counter)
    happened: list[tuple[str, str]] = field(default_factory=list)
    race: float = 0.0
    signal: int = 0
    tell: Callable[[str], None] | None = None
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    refused_until: dict[tuple[str, str], float] = field(default_factory=dict)
    outage_until: float = -1.0
    revoked_until: float = -1.0
    last_trouble: float = -1e9
    calls: int = 0
    calls_now: int = 0
    _now: float = -1.0
    stale_at: float = -1e9

    def call(self, call: Call, do: Callable[[], T]) -> T:
        """Do one call, with everything that happens around it."""
        boundary = f"{self.job}:{self.action}/{call.verb} {call.kind}"
        struck = self._strike(boundary)
        self._spin()
        if self.race and self.stage.draw.random() < self.race:
            self.stage.sleep(0.0)
        for fault in struck:
            self._before(fault, call)
        self._refuse(call)
        answer: T = do()
        for fault in struck:
            answer = self._after(fault, call, answer)
        return answer

    def _strike(self, boundary: str) -> list[PlannedFault]:
        number, total = self.seen[boundary], self.calls
        self.seen[boundary] += 1
        self.calls += 1
        struck = [
            fault
            for fault in self.planned
            if (fault.boundary == boundary and fault.number == number) or (not fault.boundary and fault.number == total)
        ]
        for fault in struck:
            self.planned.remove(fault)
            self.happened.append((boundary, fault.kind))
            if self.tell is not None:
                self.tell(f"FAULT {fault.kind} ({fault.seconds:g} s) at {boundary}")
        return struck

    def _spin(self) -> None:
        """Notice a driver that asks and asks while no time passes."""
        if self._now != self.stage.now:
            self._now, self.calls_now = self.stage.now, 0
        self.calls_now += 1
        if self.calls_now > 4000 and self.stage.current is not None:
            self.stage.overrun.append(self.stage.current)
            raise Killed

    def _before(self, fault: PlannedFault, call: Call) -> None:
        what = f"{call.kind} {call.namespace}/{call.name}: {fault.kind}"
        match fault.kind:
            case "kill-before":
                raise Killed
            case "conflict":
                raise ConflictError(f"{what}: somebody else changed it")
            case "throttled":
                self._trouble()
                raise TransientError(f"{what} (HTTP 429)")
            case "server-error":
                self._trouble()
                raise TransientError(f"{what} (HTTP 503)")
            case "hang":
                self.stage.pause(_HANG)
                self._trouble()
                raise TransientError(f"{what}: no answer in {_HANG:.0f} s")
            case "pause":
                self.stage.pause(fault.seconds)
            case "outage":
                self.outage_until = self.stage.now + fault.seconds
            case "unauthorized":
                self.revoked_until = self.stage.now + _REVOKED
            case "unauthorized-for-good":
                self.revoked_until = float("inf")
            case "forbidden":
                self.forbidden.add((call.verb, call.kind))
            case "refused":
                self.refused_until[call.verb, call.kind] = self.stage.now + fault.seconds
            case "refused-for-good":
                self.refused_until[call.verb, call.kind] = float("inf")
            case "sigterm":
                self.signal = 15
            case "clock-jump":
                self.clock.offset += self.stage.draw.choice((-600.0, 600.0))
            case _:
                if fault.kind in WORLD_FAULTS:
                    self.world.disturb(fault.kind, fault.seconds)

    def _refuse(self, call: Call) -> None:
        if self.stage.now < self.outage_until:
            self._trouble()
            raise TransientError(f"{call.kind} {call.namespace}/{call.name}: connection refused")
        if self.stage.now < self.revoked_until:
            self._trouble()
            raise AccessDeniedError(f"{call.kind} {call.namespace}/{call.name}: HTTP 401")
        if (call.verb, call.kind) in self.forbidden:
            self._trouble()
            raise AccessDeniedError(f"{call.kind} {call.namespace}/{call.name}: no right to {call.verb}")
        if self.stage.now < self.refused_until.get((call.verb, call.kind), -1.0):
            self._trouble()
            raise UsageError(f"{call.kind} {call.namespace}/{call.name}: admission refuses {call.verb} (HTTP 400)")

    def _after(self, fault: PlannedFault, call: Call, answer: Any) -> Any:
        match fault.kind:
            case "kill-after":
                raise Killed
            case "answer-lost":
                self._trouble()
                raise TransientError(f"{call.kind} {call.namespace}/{call.name}: connection reset")
            case "hang-after":
                self.stage.pause(_HANG)
                self._trouble()
                raise TransientError(f"{call.kind} {call.namespace}/{call.name}: no answer in {_HANG:.0f} s")
            case "stale-read":
                self.stale_at = self.stage.now
                return self._stale(call, answer)
            case _:
                return answer

    def _stale(self, call: Call, answer: Any) -> Any:
        """Return what an API server that lags behind would have said."""
        if isinstance(answer, dict):
            return self.world.before_version(call.kind, call.namespace, call.name) or answer
        if isinstance(answer, list):
            return [
                self.world.before_version(call.kind, item["metadata"].get("namespace", ""), item["metadata"]["name"])
                or item
                for item in answer
            ]
        return answer

    def _trouble(self) -> None:
        self.last_trouble = self.stage.now
