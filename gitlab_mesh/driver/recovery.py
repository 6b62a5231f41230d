"""Ending a rollout that somebody else drove: everything comes from the cluster, in one call, twice-safe (S2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gitlab_mesh.core.mesh.route import FENCE_ANNOTATION, RouteState
from gitlab_mesh.core.record import Record
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout import Done, End, Phase, Plan, RolloutState
from gitlab_mesh.core.workload import ROLLOUT_ID, template_hash
from gitlab_mesh.driver.actions import Actions
from gitlab_mesh.driver.executor import WAY_OUT_PATIENCE_SECONDS, Executor
from gitlab_mesh.driver.ledger import Ledger
from gitlab_mesh.driver.narrator import Narrator
from gitlab_mesh.driver.outcome import error_for, next_step_for
from gitlab_mesh.driver.snapshot import recorded_service, take_snapshot
from gitlab_mesh.driver.timeline import Timeline
from gitlab_mesh.driver.watch import Watch
from gitlab_mesh.driver.workloads import read_workload
from gitlab_mesh.errors import (
    AccessDeniedError,
    ConflictError,
    ObjectMissingError,
    TransientError,
    UnsafeError,
    UsageError,
)
from gitlab_mesh.job import JobResult, ServicePorts
from gitlab_mesh.ports import LeaseState

__all__ = [
    "Found",
    "Patience",
    "fend_off",
    "find_rollout",
    "free_lock",
    "is_patched",
    "rebuild",
    "roll_back",
    "take_record",
    "take_route",
]

T = TypeVar("T")

TAKEN_OVER = "gitlab-mesh.dev/taken-over"
"""Annotation on the stable Deployment or the DestinationRule for the moment of a takeover; see ``fend_off``."""


@dataclass(frozen=True, slots=True)
class Found:
    """An unfinished rollout as the cluster tells it."""

    record: Record
    version: str


def find_rollout(ports: ServicePorts) -> Found | None:
    """Return the service's unfinished rollout, None if there is none.

    A route that carries our fence although no record is open has lost its record: what can be known is made of the
    fence itself, so that traffic can be taken back.
    """
    record, version = ports.store.read()
    if record is not None and not record.finished:
        return Found(record, version)
    orphan = _find_orphan(ports)
    if orphan is None:
        return None
    if ports.store.read()[1] != version:  # a driver began while we looked: its fence is no orphan's
        return find_rollout(ports)
    kept = {} if record is None else {"last_good": record.last_good, "history": record.history}
    return Found(orphan.with_(**kept), version)


def _find_orphan(ports: ServicePorts) -> Record | None:
    try:
        route = ports.router.read()
    except (ObjectMissingError, UsageError):  # nothing that could carry a fence, or nothing that is configured
        return None
    rollout, _, number = (route.fence or "").rpartition("/")
    if not rollout or not number.isdecimal():
        return None
    service = ports.service
    key = f"Deployment/{service.namespace}/{service.canary_workload}"
    canary = read_workload(ports.cluster, service.namespace, service.canary_workload)
    ours = canary is not None and (canary.deployment["metadata"].get("annotations") or {}).get(ROLLOUT_ID) == rollout
    ports.console.line(f"the route carries the fence {route.fence}, but its record is gone", tone="warn")
    names = tuple(key.split("/")[2] for key in route.objects if key.startswith("VirtualService/"))
    return Record(
        id=rollout,
        service=service.name,
        namespace=service.namespace,
        fence=int(number),
        driver=ports.driver,
        phase="step",
        weight=route.share or 0.0,
        originals=_without_canary_weight(route),
        created=(key,) if ours else (),
        settings=take_snapshot(service, names),
    )


def _without_canary_weight(route: RouteState) -> dict[str, object]:
    """What is left to put back when nobody knows how the route was before: no weight for the canary, no fence."""
    found: dict[str, object] = {}
    for key, item in route.objects.items():
        if key.startswith("VirtualService/"):
            others = set(item["metadata"].get("annotations") or {}) - {FENCE_ANNOTATION}
            found[key] = {"http": {}, "had_annotations": bool(others)}
    return found


def free_lock(ports: ServicePorts) -> str:
    """Free a lease that is held although no rollout is recorded (its driver died in between); say whose it was."""
    lease = ports.lock.read()
    if lease is None or not lease.holder:
        return ""
    ports.lock.release(ports.lock.acquire(ports.driver, over=lease))
    return lease.holder


def roll_back(
    ports: ServicePorts, found: Found, end: End, *, job: str = "rollback", seen: LeaseState | None = None
) -> JobResult:
    """Take over at once (weight 0 is always safe) and walk the way out; the old driver then finds the fence changed.

    What the rollout used is taken from its record, not from a ``mesh.yaml`` that may have changed since.

    Args:
        ports: Of the service.
        found: The open rollout.
        end: How and why it ends.
        job: Name of the job that does it.
        seen: The lease that was watched; taken over only if it is still exactly that. None: taken over at once.

    Raises:
        ConflictError: Somebody else took over at the same moment.
    """
    ports = ports.for_service(recorded_service(found.record, ports.service))
    clock = ports.clock
    started = clock.monotonic()
    ledger = Ledger(ports, found.record, found.version)
    patience = Patience(ports, started)
    patience.until_done(lambda: take_record(ports, ledger, seen))
    if ledger.record.ending == Outcome.PROMOTED and end.outcome is not Outcome.PROMOTED:
        end = End(Outcome.PROMOTED, "stable ran the release already when the job ended; the rest was tidied up")
    patience.until_done(lambda: fend_off(ports, ledger.record))
    watch = Watch(ports, Timeline(), started, fence=ledger.fence, former=_former_share(ports, ledger.record))
    route = patience.until_done(lambda: take_route(ports, ledger))
    if route is not None:
        watch.written(route, route.share or 0.0)
    narrator = Narrator(
        ports, job, found.record.image, watch.timeline, started, found.record.id, found.record.driver.commit
    )
    executor = Executor(Actions(ports, ledger, watch), lambda: 0, narrator.after)
    state = patience.until_done(lambda: rebuild(ports, ledger.record, route, end, clock.monotonic()))
    narrator.section(state)
    try:
        state, end = executor.run(state)
    finally:
        narrator.close()
    error = error_for(end, executor.error, service=ports.service.name)
    report = narrator.report(
        state, end, exit_code=error.exit_code if error else 0, next_step=next_step_for(end, ports.service.name, "")
    )
    narrator.conclude(report)
    return JobResult(report, error)


def _former_share(ports: ServicePorts, record: Record) -> float | None:
    """What the canary had at most before weight 0, where that is written already; None if nobody knows."""
    if f"Deployment/{ports.service.namespace}/{ports.service.stable_workload}" in record.originals:
        return 1.0
    return record.steps[record.step] if 0 <= record.step < len(record.steps) else None


def take_record(
    ports: ServicePorts, ledger: Ledger, seen: LeaseState | None = None, changes: Mapping[str, Any] | None = None
) -> None:
    """Take the lease, then the record; what its driver wrote between our reading and its end is adopted.

    With the lease in hand nobody else may begin, and the driver before stops at its next heartbeat. So a record that
    changed meanwhile is read again instead of leaving the traffic where it is with no driver at all.

    Raises:
        ConflictError: Somebody else took over at the same moment.
    """
    if ledger.lease is None:
        now = ports.lock.read()
        watched = seen is not None and (now is None or now.holder != ports.driver.holder)
        ledger.acquire(over=seen if watched else now)
    for _ in range(5):
        try:
            ledger.write(**(changes or {}))
            return
        except ConflictError:
            if ledger.lease is not None:
                ledger.lease = ports.lock.renew(ledger.lease)
            record, version = ports.store.read()
            if record is not None and record.finished:
                ledger.release()
                raise ConflictError(f"rollout {record.id} ended meanwhile: {record.outcome}") from None
            if record is not None:
                fence = max(ledger.record.fence, record.fence + 1)
                ledger.record = record.with_(fence=fence, driver=ports.driver)
            ledger.version = version
    ledger.write(**(changes or {}))


def fend_off(ports: ServicePorts, record: Record) -> None:
    """Let a write of the driver before fail that is planned, recorded and not yet done.

    Preparation, promotion and its revocation test the resourceVersion that their object had before the record was
    written; so a write that changes nothing for good, made after we took the record over, is enough. Whether theirs
    came first is seen afterwards. The VirtualService needs none: it gets our fence.
    """
    service = ports.service
    stable = f"Deployment/{service.namespace}/{service.stable_workload}"
    if stable in record.originals:
        _touch(ports, record, stable)
    if record.phase == "deploy":
        for key, was in record.originals.items():
            if key.startswith("DestinationRule/") and not was.get("created"):
                _touch(ports, record, key)


def _touch(ports: ServicePorts, record: Record, key: str) -> None:
    kind, namespace, name = key.split("/")
    where = (kind, namespace, name)
    try:
        annotations = ports.cluster.get(*where)["metadata"].get("annotations")
        touched = {**(annotations or {}), TAKEN_OVER: f"{record.id}/{record.fence}"}
        ports.cluster.patch(*where, [{"op": "add", "path": "/metadata/annotations", "value": touched}])
        kept = {key: value for key, value in touched.items() if key != TAKEN_OVER}
        back = {"op": "add", "path": "/metadata/annotations", "value": kept}
        if not kept:
            back = {"op": "remove", "path": "/metadata/annotations"}
        still = {"op": "test", "path": "/metadata/annotations", "value": touched}
        ports.cluster.patch(*where, [still, back])
    except ObjectMissingError:
        return


@dataclass(frozen=True, slots=True)
class Patience:
    """Tries what stands between us and weight 0 again while the API fails, and says 23 when it gives up.

    Attributes:
        ports: Of the job.
        since: Monotonic time of the job's start.
    """

    ports: ServicePorts
    since: float

    def until_done(self, work: Callable[[], T]) -> T:
        """Do the work.

        Raises:
            ConflictError: Somebody else took over.
            UnsafeError: It could not be done in ``WAY_OUT_PATIENCE_SECONDS``.
        """
        clock = self.ports.clock
        while True:
            try:
                return work()
            except (TransientError, AccessDeniedError) as error:
                waited = clock.monotonic() - self.since
                if waited > WAY_OUT_PATIENCE_SECONDS:
                    raise UnsafeError(
                        f"the rollback could not begin: {error.what}",
                        why=f"tried for {waited:.0f} s; the canary may still have its weight",
                        hint=next_step_for(End(Outcome.UNSAFE, ""), self.ports.service.name, ""),
                    ) from error
                self.ports.console.line(f"{error.what}; trying again", tone="warn")
                clock.sleep(min(5.0, 0.2 + waited / 4))


def take_route(ports: ServicePorts, ledger: Ledger) -> RouteState | None:
    """Put our fence on the route; None if the route itself is gone, and with it the canary's share."""
    try:
        route = ports.router.read()
    except ObjectMissingError as error:
        ports.console.line(error.what, tone="warn")
        return None
    if route.fence is None and not ledger.record.originals:
        return route
    return ports.router.apply(ports.router.plan_take_over(route, ledger.fence))


def is_patched(ports: ServicePorts, record: Record) -> bool:
    """Whether the stable Deployment has the release's template, as far as this rollout gave it."""
    service = ports.service
    was = record.originals.get(f"Deployment/{service.namespace}/{service.stable_workload}")
    stable = read_workload(ports.cluster, service.namespace, service.stable_workload)
    if was is None or stable is None:
        return False
    return template_hash(stable.deployment["spec"]["template"]) != template_hash(was["template"])


def rebuild(ports: ServicePorts, record: Record, route: RouteState | None, end: End, now: float) -> RolloutState:
    """Rebuild the machine's state from what is there; what cannot be known counts as still to be undone."""
    service = ports.service
    rollout = service.rollout
    stable = read_workload(ports.cluster, service.namespace, service.stable_workload)
    promoted = record.ending == Outcome.PROMOTED or end.outcome is Outcome.PROMOTED
    patched = is_patched(ports, record)
    # Its old template may be back already, but not its pods: it gets no traffic before they are (S9).
    known = f"Deployment/{service.namespace}/{service.stable_workload}" in record.originals
    returning = known and not patched and stable is not None and not stable.is_ready
    share = (route.share or 0.0) if route is not None else 0.0
    plan = Plan(
        steps=(),
        stable_replicas=stable.desired if stable else 1,
        deadline_seconds=rollout.deadline,
        ready_seconds=rollout.ready_deadline,
        confirm_seconds=rollout.confirm_deadline,
        drain_seconds=rollout.drain,
    )
    done = Done(
        locked=True,
        prepared=any(not key.startswith("Deployment/") for key in record.originals),
        deployed=any(key.startswith("Deployment/") for key in record.created),
        stable_patched=patched or returning,
        stable_ready=promoted,
    )
    phase = Phase.PROMOTE if patched and not promoted else Phase.ROLL_BACK
    # Exposed in any case: that weight 0 is written does not say that proxies follow it already.
    return RolloutState(plan, phase, started=now, since=now, written=share, exposed=True, done=done, end=end)
