"""``gitlab-mesh job promote``: after ``promote: external``, verify what stable runs, then move traffic back to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.core.record import Record
from gitlab_mesh.core.report.model import Outcome, Report
from gitlab_mesh.core.resume import promoted_problem
from gitlab_mesh.core.rollout import End
from gitlab_mesh.driver.finding import find_rollout
from gitlab_mesh.driver.recovery import roll_back
from gitlab_mesh.driver.workloads import read_workload
from gitlab_mesh.errors import ConflictError, PolicyRefusedError
from gitlab_mesh.job import Job, JobResult, ServicePorts

__all__ = ["JOB"]

POLL_SECONDS = 2.0


def run(ports: ServicePorts, options: Mapping[str, Any]) -> JobResult:
    """End a rollout that awaits its promotion; twice-safe.

    Raises:
        PolicyRefusedError: Nothing awaits a promotion, or stable does not run the release.
    """
    found = find_rollout(ports)
    if found is None:
        record, _ = ports.store.read()
        if record is not None and record.outcome == Outcome.PROMOTED:
            return _nothing(ports, record)
        raise PolicyRefusedError(
            f"no release of {ports.service.name} awaits its promotion",
            why="none is open" if record is None else f"the last one ended as {record.outcome}",
            hint="promote: external and gitlab-mesh job canary come first",
        )
    record = found.record
    if record.phase != "awaiting-promotion" and record.ending != Outcome.PROMOTED:
        raise ConflictError(
            f"rollout {record.id} is in phase {record.phase}, it does not await a promotion",
            hint=f"gitlab-mesh job status --service {ports.service.name}",
        )
    _await_release(ports, record)
    return roll_back(ports, found, End(Outcome.PROMOTED, "stable runs the proven release"), job="promote")


def _await_release(ports: ServicePorts, record: Record) -> None:
    """Wait until all of stable's pods run the images that were proven, at most ``rollout.ready_deadline``.

    Raises:
        PolicyRefusedError: They do not; at once where waiting changes nothing (another image).
    """
    service, clock = ports.service, ports.clock
    until = clock.monotonic() + service.rollout.ready_deadline
    while True:
        stable = read_workload(ports.cluster, service.namespace, service.stable_workload)
        canary = read_workload(ports.cluster, service.namespace, service.canary_workload)
        problem, may_pass = promoted_problem(record.canary, canary, stable)
        if not problem:
            return
        if not may_pass or clock.monotonic() >= until or ports.signal():
            raise PolicyRefusedError(
                f"{service.name} is not promoted: {problem}",
                why="traffic goes to stable only when it runs what the canary proved; the canary keeps its share",
                hint=f"deploy it (with GitOps: wait until it is synced), then run this job again; or gitlab-mesh job "
                f"rollback --service {service.name}",
            )
        ports.console.progress(problem)
        clock.sleep(POLL_SECONDS)


def _nothing(ports: ServicePorts, record: Record) -> JobResult:
    ports.console.line(f"nothing to do: rollout {record.id} is promoted", tone="good")
    service = ports.service
    return JobResult(
        Report(
            job="promote",
            service=service.name,
            namespace=service.namespace,
            outcome=Outcome.PROMOTED,
            headline=f"{service.name}: {record.image} is promoted already",
            reason=record.reason,
            dotenv={"MESH_SERVICE": service.name, "MESH_OUTCOME": Outcome.PROMOTED.value, "MESH_PHASE": "done"},
        )
    )


JOB = Job(
    name="promote",
    summary="After promote: external: verify that stable runs the proven release, move traffic to it, clean up.",
    run=run,
    note=True,
    package="gitlab_mesh_jobs.promote",
)
