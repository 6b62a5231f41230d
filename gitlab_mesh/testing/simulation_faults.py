"""What can go wrong around one call to the cluster, and how a driver of the simulation meets it.

A *boundary* is one call in one action: ``canary:set-weight/patch VirtualService``. A fault happens before the call
(it is then not done) or after it (it is done, but its answer is lost), or it happens to the world at that moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from gitlab_mesh.core.mesh.route import Operation
from gitlab_mesh.errors import AccessDeniedError, ConflictError, TransientError
from gitlab_mesh.ports import AccessRule, HttpAnswer, Object
from gitlab_mesh.testing.cluster import Call
from gitlab_mesh.testing.simulation_stage import Killed, Stage

T = TypeVar("T")

__all__ = [
    "CALL_FAULTS",
    "READ_FAULTS",
    "WORLD_FAULTS",
    "WRITE_FAULTS",
    "FaultyCluster",
    "Injector",
    "PlannedFault",
    "kinds_for",
]

CALL_FAULTS = (
    "kill-before",
    "kill-after",
    "throttled",
    "server-error",
    "outage",
    "hang",
    "pause",
    "unauthorized",
    "unauthorized-for-good",
    "sigterm",
)
"""For every call."""
WRITE_FAULTS = ("answer-lost", "hang-after", "conflict", "forbidden")
READ_FAULTS = ("stale-read",)
WORLD_FAULTS = (
    "foreign-weight",
    "foreign-spec",
    "foreign-annotation",
    "foreign-fields",
    "gitops",
    "delete-virtualservice",
    "delete-destinationrule",
    "delete-canary",
    "delete-stable",
    "delete-record",
    "delete-lease",
    "second-pipeline",
    "person-rollback",
    "same-job-again",
    "after-script",
    "clock-jump",
    "metrics-dead",
    "metrics-stale",
    "metrics-nan",
    "metrics-two-series",
    "stable-dies",
    "canary-flaps",
    "pods-stuck",
    "gitlab-down",
)
"""Done to the world before the call."""

SHORT_OUTAGE, LONG_OUTAGE, HANG, REVOKED = 8.0, 400.0, 30.0, 15.0


def kinds_for(verb: str) -> tuple[str, ...]:
    """Return the kinds of fault that a call of this verb can meet."""
    reads = verb in ("get", "list")
    return (*CALL_FAULTS, *(READ_FAULTS if reads else WRITE_FAULTS), *WORLD_FAULTS)


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault of a schedule.

    Attributes:
        kind: One of the words above.
        boundary: Where; empty: at the ``number``-th call of the driver, whatever it is.
        number: Which of the calls at this boundary, from 0.
        seconds: How long it lasts, where it lasts.
    """

    kind: str
    boundary: str = ""
    number: int = 0
    seconds: float = 0.0


class World(Protocol):
    """What faults of the world are done by."""

    def disturb(self, kind: str, seconds: float, injector: Injector) -> None:
        """Let it happen."""

    def before_version(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return the object as it was before its last change; None if it never changed."""


@dataclass
class Injector:
    """The faults of one driver.

    Attributes:
        stage: For hangs and pauses.
        world: For what happens to the world.
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
    job: str
    planned: list[PlannedFault] = field(default_factory=list)
    action: str = "begin"
    seen: Counter[str] = field(default_factory=Counter)
    happened: list[tuple[str, str]] = field(default_factory=list)
    race: float = 0.0
    signal: int = 0
    tell: Callable[[str], None] | None = None
    forbidden: set[tuple[str, str]] = field(default_factory=set)
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
                self.stage.pause(HANG)
                self._trouble()
                raise TransientError(f"{what}: no answer in {HANG:.0f} s")
            case "pause":
                self.stage.pause(fault.seconds)
            case "outage":
                self.outage_until = self.stage.now + fault.seconds
            case "unauthorized":
                self.revoked_until = self.stage.now + REVOKED
            case "unauthorized-for-good":
                self.revoked_until = float("inf")
            case "forbidden":
                self.forbidden.add((call.verb, call.kind))
            case "sigterm":
                self.signal = 15
            case _:
                if fault.kind in WORLD_FAULTS:
                    self.world.disturb(fault.kind, fault.seconds, self)

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

    def _after(self, fault: PlannedFault, call: Call, answer: Any) -> Any:
        match fault.kind:
            case "kill-after":
                raise Killed
            case "answer-lost":
                self._trouble()
                raise TransientError(f"{call.kind} {call.namespace}/{call.name}: connection reset")
            case "hang-after":
                self.stage.pause(HANG)
                self._trouble()
                raise TransientError(f"{call.kind} {call.namespace}/{call.name}: no answer in {HANG:.0f} s")
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


class FaultyCluster:
    """The ports ``Cluster``, ``PodProxy`` and ``Access`` in front of any other, with an injector around each call.

    Args:
        inner: Does the calls; implements all three ports.
        injector: Of the driver.
        pods: Where ``inner`` is not the pod proxy, too.
        access: Where ``inner`` does not answer access reviews, too.
    """

    def __init__(self, inner: Any, injector: Injector, *, pods: Any = None, access: Any = None) -> None:
        self._inner = inner
        self._pods = pods or inner
        self._access = access or inner
        self.injector = injector

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """See the port."""
        return self._do("get", kind, namespace, name, lambda: self._inner.get(kind, namespace, name))

    def list(self, kind: str, namespace: str, *, label_selector: str = "") -> list[Object]:
        """See the port."""
        return self._do(
            "list", kind, namespace, "", lambda: self._inner.list(kind, namespace, label_selector=label_selector)
        )

    def create(self, body: Object, *, dry_run: bool = False) -> Object:
        """See the port."""
        return self._write("create", body, lambda: self._inner.create(body, dry_run=dry_run))

    def update(self, body: Object) -> Object:
        """See the port."""
        return self._write("update", body, lambda: self._inner.update(body))

    def patch(
        self, kind: str, namespace: str, name: str, operations: Sequence[Operation], *, dry_run: bool = False
    ) -> Object:
        """See the port."""
        return self._do(
            "patch",
            kind,
            namespace,
            name,
            lambda: self._inner.patch(kind, namespace, name, operations, dry_run=dry_run),
        )

    def delete(self, kind: str, namespace: str, name: str, *, uid: str | None = None) -> None:
        """See the port."""
        self._do("delete", kind, namespace, name, lambda: self._inner.delete(kind, namespace, name, uid=uid))

    def get_path(self, namespace: str, pod: str, port: int, path: str, *, timeout: float) -> HttpAnswer:
        """See the port."""

        def ask() -> HttpAnswer:
            found: HttpAnswer = self._pods.get_path(namespace, pod, port, path, timeout=timeout)
            return found

        return self._do("get", "Pod/proxy", namespace, pod, ask)

    def denied(self, rules: Iterable[AccessRule]) -> Rules:
        """See the port."""
        return self._do("create", "SelfSubjectAccessReview", "", "", lambda: self._access.denied(rules))

    def _write(self, verb: str, body: Object, do: Callable[[], Object]) -> Object:
        metadata = body["metadata"]
        return self._do(verb, body["kind"], metadata.get("namespace", ""), metadata.get("name", ""), do)

    def _do(self, verb: str, kind: str, namespace: str, name: str, do: Callable[[], T]) -> T:
        return self.injector.call(Call(verb, kind, namespace, name), do)


Rules = list[AccessRule]
