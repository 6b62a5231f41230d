"""Ending a rollout that somebody else drove: everything comes from the cluster, in one call, twice-safe (S2)."""

from __future__ import annotations

from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.record import Record
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout import Done, End, Phase, Plan, RolloutState
from gitlab_mesh.core.workload import template_hash
from gitlab_mesh.driver.actions import Actions
from gitlab_mesh.driver.executor import Executor
from gitlab_mesh.driver.finding import Found
from gitlab_mesh.driver.ledger import Ledger
from gitlab_mesh.driver.narrator import Narrator
from gitlab_mesh.driver.outcome import error_for, next_step_for
from gitlab_mesh.driver.snapshot import recorded_service
from gitlab_mesh.driver.taking import Patience, fend_off, take_record, take_route
from gitlab_mesh.driver.timeline import Timeline
from gitlab_mesh.driver.watch import Watch
from gitlab_mesh.driver.workloads import Written, read_workload
from gitlab_mesh.job import JobResult, ServicePorts
from gitlab_mesh.ports import LeaseState

__all__ = ["is_patched", "rebuild", "roll_back"]


def roll_back(
    ports: ServicePorts,
    found: Found,
    end: End,
    *,
    job: str = "rollback",
    seen: LeaseState | None = None,
    told: bool = False,
) -> JobResult:
    """Take over at once (weight 0 is always safe) and walk the way out; the old driver then finds the fence changed.

    What the rollout used is taken from its record, not from a ``mesh.yaml`` that may have changed since.

    Args:
        ports: Of the service.
        found: The open rollout.
        end: How and why it ends.
        job: Name of the job that does it.
        seen: The lease that was watched; taken over only if it is still exactly that. None: taken over at once.
        told: Whether a person says that every proxy follows the route.

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
    touched = patience.until_done(lambda: fend_off(ports, ledger.record))
    watch = Watch(
        ports, Timeline(), started, fence=ledger.fence, former=ledger.record.followed, told=told, replaced=touched
    )
    route = patience.until_done(lambda: take_route(ports, ledger))
    if route is not None:
        watch.written(route, route.share or 0.0)
    narrator = Narrator(
        ports, job, found.record.image, watch.timeline, started, found.record.id, found.record.driver.commit
    )
    executor = Executor(Actions(ports, ledger, watch), lambda: 0, narrator.after)
    state = patience.until_done(lambda: rebuild(ports, ledger.record, route, end, clock.monotonic(), since=touched))
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


def is_patched(ports: ServicePorts, record: Record, since: Written) -> bool:
    """Whether the stable Deployment has the release's template, as far as this rollout gave it.

    Raises:
        TransientError: It was read as it was before ``since``.
    """
    service = ports.service
    was = record.originals.get(f"Deployment/{service.namespace}/{service.stable_workload}")
    stable = read_workload(ports.cluster, service.namespace, service.stable_workload, since=since)
    if was is None or stable is None:
        return False
    return template_hash(stable.deployment["spec"]["template"]) != template_hash(was["template"])


def rebuild(
    ports: ServicePorts, record: Record, route: RouteState | None, end: End, now: float, *, since: Written
) -> RolloutState:
    """Rebuild the machine's state from what is there; what cannot be known counts as still to be undone.

    Raises:
        TransientError: Stable was read as it was before ``since``.
    """
    service = ports.service
    rollout = service.rollout
    stable = read_workload(ports.cluster, service.namespace, service.stable_workload, since=since)
    promoted = record.ending == Outcome.PROMOTED or end.outcome is Outcome.PROMOTED
    patched = is_patched(ports, record, since)
    # Its old template may be back already, but not its pods: it gets no traffic before they are (S9).
    known = f"Deployment/{service.namespace}/{service.stable_workload}" in record.originals
    share = (route.share or 0.0) if route is not None else 0.0
    unknown = share == 1.0  # whoever lost its record may have been replacing stable just then
    returning = (known or unknown) and not patched and stable is not None and not stable.is_ready
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
