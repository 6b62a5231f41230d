"""Ending a rollout that somebody else drove: everything comes from the cluster, in one call, twice-safe (S2)."""

from __future__ import annotations

from dataclasses import dataclass

from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.record import Record
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout import Done, End, Phase, Plan, RolloutState
from gitlab_mesh.core.workload import template_hash
from gitlab_mesh.driver.actions import Actions
from gitlab_mesh.driver.executor import Executor
from gitlab_mesh.driver.ledger import Ledger
from gitlab_mesh.driver.narrator import Narrator
from gitlab_mesh.driver.outcome import error_for, next_step_for
from gitlab_mesh.driver.timeline import Timeline
from gitlab_mesh.driver.watch import Watch
from gitlab_mesh.driver.workloads import read_workload
from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.job import JobResult, ServicePorts

__all__ = ["Found", "find_rollout", "free_lock", "roll_back"]


@dataclass(frozen=True, slots=True)
class Found:
    """An unfinished rollout as the cluster tells it."""

    record: Record
    version: str


def find_rollout(ports: ServicePorts) -> Found | None:
    """Return the service's unfinished rollout, None if there is none."""
    record, version = ports.store.read()
    if record is None or record.finished:
        return None
    return Found(record, version)


def free_lock(ports: ServicePorts) -> str:
    """Free a lease that is held although no rollout is recorded (its driver died in between); say whose it was."""
    lease = ports.lock.read()
    if lease is None or not lease.holder or lease.holder == ports.driver.holder:
        return ""
    ports.lock.release(ports.lock.acquire(ports.driver, over=lease))
    return lease.holder


def roll_back(ports: ServicePorts, found: Found, end: End) -> JobResult:
    """Take over at once (weight 0 is always safe) and walk the way out; the old driver then finds the fence changed.

    Raises:
        ConflictError: Somebody else took over at the same moment.
    """
    clock = ports.clock
    started = clock.monotonic()
    if found.record.ending == Outcome.PROMOTED:
        end = End(Outcome.PROMOTED, "stable ran the release already when the job ended; the rest was tidied up")
    ledger = Ledger(ports, found.record, found.version)
    ledger.acquire(over=ports.lock.read())
    ledger.write()
    watch = Watch(ports, Timeline(), started, fence=ledger.fence)
    route = _take_route(ports, ledger)
    if route is not None:
        watch.written(route, route.share or 0.0)
    narrator = Narrator(ports, "rollback", "", watch.timeline, started, found.record.id)
    executor = Executor(Actions(ports, ledger, watch), lambda: 0, narrator.after)
    state = _rebuild(ports, ledger.record, route, end, started)
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


def _take_route(ports: ServicePorts, ledger: Ledger) -> RouteState | None:
    """Put our fence on the route; None if the route itself is gone, and with it the canary's share."""
    try:
        route = ports.router.read()
    except ObjectMissingError as error:
        ports.console.line(error.what, tone="warn")
        return None
    if route.fence is None and not ledger.record.originals:
        return route
    return ports.router.apply(ports.router.plan_take_over(route, ledger.fence))


def _rebuild(ports: ServicePorts, record: Record, route: RouteState | None, end: End, now: float) -> RolloutState:
    """Rebuild the machine's state from what is there; what cannot be known counts as still to be undone."""
    service = ports.service
    rollout = service.rollout
    stable = read_workload(ports.cluster, service.namespace, service.stable_workload)
    promoted = record.ending == Outcome.PROMOTED
    was = record.originals.get(f"Deployment/{service.namespace}/{service.stable_workload}")
    patched = stable is not None and was is not None
    if stable is not None and was is not None:
        patched = template_hash(stable.deployment["spec"]["template"]) != template_hash(was["template"])
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
        prepared=route is not None and any(not key.startswith("Deployment/") for key in record.originals),
        deployed=any(key.startswith("Deployment/") for key in record.created),
        stable_patched=patched,
        stable_ready=promoted,
    )
    phase = Phase.PROMOTE if patched and not promoted else Phase.ROLL_BACK
    return RolloutState(
        plan, phase, started=now, since=now, written=share, exposed=share > 0 or record.weight > 0, done=done, end=end
    )
