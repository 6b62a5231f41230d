"""Going on with the rollout of a job that was lost: identities verified, the judge's memory restored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gitlab_mesh.core.record import Record
from gitlab_mesh.core.report.model import Outcome, Report
from gitlab_mesh.core.resume import BEFORE_TRAFFIC, identity_problem, resumed_state
from gitlab_mesh.core.rollout import End, RolloutState
from gitlab_mesh.driver.actions import Actions
from gitlab_mesh.driver.executor import Executor
from gitlab_mesh.driver.finding import Found
from gitlab_mesh.driver.judging import JudgeLike, build_judge, load_judge
from gitlab_mesh.driver.ledger import Ledger
from gitlab_mesh.driver.narrator import Narrator
from gitlab_mesh.driver.preflight import check_rights, check_time
from gitlab_mesh.driver.recovery import is_patched, rebuild
from gitlab_mesh.driver.release import Release
from gitlab_mesh.driver.taking import Patience, fend_off, take_record, take_route
from gitlab_mesh.driver.timeline import Timeline
from gitlab_mesh.driver.watch import Watch
from gitlab_mesh.driver.workloads import Written, read_workload
from gitlab_mesh.errors import ConflictError, UsageError
from gitlab_mesh.job import JobResult, ServicePorts

__all__ = ["already_done", "resume", "waiting_result"]


def resume(
    ports: ServicePorts, release: Release, found: Found, *, continues: bool = False
) -> tuple[Narrator, Executor, RolloutState, End]:
    """Take the rollout over (fence + 1) and run it to its end.

    What cannot be verified (another stable, another canary, a judge's state that does not fit) ends it: weight 0
    first, then everything else, and the error says what was different.

    Raises:
        GitlabMeshError: Before anything was touched.
    """
    check_rights(ports, ports.service)
    check_time(ports, release)
    started = ports.clock.monotonic()
    record = found.record
    ledger = Ledger(ports, record, found.version)
    changes: dict[str, Any] = {"continued": record.pause_step, "pause_step": -1} if continues else {}
    deadline = ports.clock.now() + timedelta(seconds=release.plan.deadline_seconds)
    changes |= {
        "phase": "step" if record.waits else record.phase,
        "pause_until": "",
        "deadline_text": deadline.isoformat(timespec="seconds"),
    }
    patience = Patience(ports, started)
    patience.until_done(lambda: take_record(ports, ledger, changes=changes))
    touched = patience.until_done(lambda: fend_off(ports, ledger.record))
    watch = Watch(ports, Timeline(), started, fence=ledger.fence, former=ledger.record.followed, replaced=touched)
    route = patience.until_done(lambda: take_route(ports, ledger))
    if route is not None:
        watch.written(route, route.share or 0.0)
    # Nobody else drives now: what is still to be read is read until it answers.
    problem, judge = patience.until_done(lambda: _verify(ports, release, ledger.record, touched))
    state: RolloutState | str = problem
    if not problem:
        service = ports.service
        canary = patience.until_done(lambda: read_workload(ports.cluster, service.namespace, service.canary_workload))
        state = resumed_state(
            release.plan,
            ledger.record,
            share=(route.share or 0.0) if route is not None else 0.0,
            patched=patience.until_done(lambda: is_patched(ports, ledger.record, touched)),
            replicas=canary.desired if canary else 0,
            now=started,
            judged=judge.time or 0.0,
        )
    watch.resume(judge)
    narrator = Narrator(ports, "canary", release.image, watch.timeline, started, record.id)
    narrator.hotfix = record.hotfix
    executor = Executor(Actions(ports, ledger, watch, release), ports.signal, narrator.after)
    if isinstance(state, str):
        end = End(Outcome.FAILED, f"the rollout cannot go on: {state}")
        executor.error = ConflictError(end.reason, hint="traffic is back on stable; retry the job to begin anew")
        state = patience.until_done(lambda: rebuild(ports, ledger.record, route, end, started, since=touched))
    else:
        ports.console.line(f"resumed in phase {state.phase}, step {state.step + 1}, canary {state.written:.2%}")
    narrator.section(state)
    try:
        state, end = executor.run(state)
    finally:
        narrator.close()
    return narrator, executor, state, end


def _verify(ports: ServicePorts, release: Release, record: Record, since: Written) -> tuple[str, JudgeLike]:
    """Return why the rollout is not the one that was judged ("" if it is), and the judge."""
    service = ports.service
    fresh = build_judge(service, record.hotfix)
    if record.phase in BEFORE_TRAFFIC:
        return "", fresh
    canary = read_workload(ports.cluster, service.namespace, service.canary_workload)
    problem = identity_problem("the canary", record.canary, canary.identity if canary else None)
    if not problem and not is_patched(ports, record, since):
        stable = release.stable.identity if release.stable else None
        problem = identity_problem("stable", record.stable, stable)
    if problem:
        return problem, fresh
    try:
        return "", load_judge(service, record.hotfix, record.judge_state)
    except UsageError as error:
        return f"{error.what}: {error.why}", fresh


def already_done(ports: ServicePorts, release: Release) -> JobResult | None:
    """Return success without work if this very pipeline promoted this very release before (a retried job)."""
    record, _ = ports.store.read()
    if record is None or record.outcome not in (Outcome.PROMOTED, Outcome.DEPLOYED):
        return None
    same = record.driver.pipeline == ports.driver.pipeline and bool(ports.driver.pipeline)
    if not (same and release.hash == record.release and release.runs):
        return None
    reason = f"rollout {record.id} of this pipeline promoted it already; stable runs it"
    ports.console.line(f"nothing to do: {reason}", tone="good")
    return JobResult(_report(ports, record, Outcome(record.outcome), "done", reason))


def waiting_result(ports: ServicePorts, record: Record) -> JobResult:
    """Return success for a rollout that waits by plan."""
    return JobResult(_report(ports, record, Outcome.PAUSED, record.phase, record.reason))


def _report(ports: ServicePorts, record: Record, outcome: Outcome, phase: str, reason: str) -> Report:
    service = ports.service
    return Report(
        job="canary",
        service=service.name,
        namespace=service.namespace,
        outcome=outcome,
        headline=f"{service.name}: {record.image} is {outcome.value}",
        reason=reason,
        facts={"image": record.image, "rollout": record.id},
        dotenv={
            "MESH_SERVICE": service.name,
            "MESH_OUTCOME": outcome.value,
            "MESH_PHASE": phase,
            "MESH_WEIGHT": f"{record.weight * 100:g}",
            "MESH_IMAGE": record.image,
            "MESH_ROLLOUT": record.id,
        },
    )
