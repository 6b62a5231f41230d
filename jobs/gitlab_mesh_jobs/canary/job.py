"""``gitlab-mesh job canary``: the composition of one release; decisions are made in the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gitlab_mesh.core.record import Record
from gitlab_mesh.core.report.model import Outcome, Report
from gitlab_mesh.core.rollout import End, RolloutState, worst_seconds
from gitlab_mesh.driver.actions import Actions
from gitlab_mesh.driver.executor import Executor
from gitlab_mesh.driver.finding import Found
from gitlab_mesh.driver.judging import build_judge
from gitlab_mesh.driver.ledger import Ledger
from gitlab_mesh.driver.meeting import Way, await_end, meet
from gitlab_mesh.driver.narrator import Narrator
from gitlab_mesh.driver.outcome import error_for, next_step_for
from gitlab_mesh.driver.preflight import preflight
from gitlab_mesh.driver.recovery import roll_back
from gitlab_mesh.driver.rehearsal import rehearse
from gitlab_mesh.driver.release import Release, plan_release
from gitlab_mesh.driver.resuming import already_done, resume, waiting_result
from gitlab_mesh.driver.snapshot import take_snapshot
from gitlab_mesh.driver.synthetic import SyntheticTraffic, plan_synthetic
from gitlab_mesh.driver.timeline import Timeline
from gitlab_mesh.driver.watch import Watch
from gitlab_mesh.driver.workloads import read_workload
from gitlab_mesh.errors import ConflictError, GitlabMeshError, UsageError
from gitlab_mesh.job import Job, JobOption, JobResult, ServicePorts

__all__ = ["JOB"]


def run(ports: ServicePorts, options: Mapping[str, Any]) -> JobResult:
    """Release ``--image`` or ``--manifest`` as a canary, or go on with the release that a lost job began.

    Raises:
        GitlabMeshError: Before anything was touched.
    """
    service = ports.service
    stable = read_workload(ports.cluster, service.namespace, service.stable_workload)
    release = plan_release(
        service,
        stable,
        image=options.get("image"),
        manifest=options.get("manifest"),
        again=bool(options.get("again")),
        hotfix=str(options.get("hotfix") or ""),
    )
    if options.get("dry_run"):
        route, warnings = preflight(ports, release)
        return rehearse(ports, release, route, warnings)
    plan = plan_synthetic(ports, options.get("load_max_rps"))
    traffic = SyntheticTraffic(ports, plan)
    result = _meet_open(ports, release, traffic, continues=bool(options.get("continue")))
    if result is not None:
        return result
    done = already_done(ports, release)
    return done if done is not None else _begin(ports, release, traffic)


def _meet_open(
    ports: ServicePorts, release: Release, traffic: SyntheticTraffic, *, continues: bool
) -> JobResult | None:
    """Do what is to be done about an open rollout; None: there is none any more, a new one may begin."""
    record, version = ports.store.read()
    if record is None or record.finished:
        if continues:
            raise UsageError("there is no rollout to continue", hint="without --continue a new one begins")
        return None
    found: Found | None = Found(record, version)
    rollout = ports.service.rollout
    meeting = meet(record, ports.driver, release=release.hash, on_newer=rollout.on_newer, continues=continues)
    ports.console.line(meeting.why)
    if meeting.way is Way.LEAVE:
        return waiting_result(ports, record)
    if meeting.way is Way.RESUME:
        with traffic:
            resumed = resume(ports, release, Found(record, version), continues=continues)
        return _conclude(ports, *resumed)
    if meeting.way is Way.WAIT:
        left = ports.remaining_seconds
        patience = rollout.deadline if left is None else left - worst_seconds(release.plan)
        found = await_end(ports, record, seconds=patience)
    if found is None:
        return None
    ended = roll_back(ports, found, End(Outcome.ROLLED_BACK, meeting.why), job="canary")
    mine = found.record.ending == Outcome.PROMOTED and found.record.release == release.hash
    return ended if ended.error is not None or mine else None


def _begin(ports: ServicePorts, release: Release, traffic: SyntheticTraffic) -> JobResult:
    clock, service = ports.clock, ports.service
    started = clock.monotonic()
    before, version = ports.store.read()
    rollout = f"{service.name}-{clock.now():%Y%m%d%H%M%S}-{ports.driver.job or 'local'}"
    ledger = Ledger(ports, _new_record(ports, release, before, rollout), version)
    watch = Watch(ports, Timeline(), started, judge=build_judge(service, release.hotfix))
    narrator = Narrator(ports, "canary", release.image, watch.timeline, started, rollout)
    narrator.hotfix = release.hotfix
    executor = Executor(Actions(ports, ledger, watch, release), ports.signal, narrator.after)
    state = RolloutState(release.plan, started=started, since=started)
    narrator.section(state)
    try:
        with traffic:
            state, end = executor.run(state)
    finally:
        narrator.close()
    return _conclude(ports, narrator, executor, state, end)


def _new_record(ports: ServicePorts, release: Release, before: Record | None, rollout: str) -> Record:
    service, stable = ports.service, release.stable
    return Record(
        id=rollout,
        service=service.name,
        namespace=service.namespace,
        fence=before.fence if before else 0,
        driver=ports.driver,
        phase="lock",
        followed=0.0,
        pipeline=ports.driver.pipeline,
        steps=tuple(step.share for step in release.plan.steps),
        image=release.image,
        release=release.hash,
        hotfix=release.hotfix,
        settings=take_snapshot(service),
        stable=stable.identity if stable else None,
        last_good=before.last_good if before else None,
        rejected_digests=before.rejected_digests if before else (),
        previous_template=before.previous_template if before else {},
        history=before.history if before else (),
    )


def _conclude(ports: ServicePorts, narrator: Narrator, executor: Executor, state: RolloutState, end: End) -> JobResult:
    if executor.error is not None and end.outcome is Outcome.FAILED:
        end = replace(end, reason=executor.error.what)
    state = _as_it_is(ports, state)
    error = error_for(end, executor.error, service=ports.service.name)
    report: Report = narrator.report(
        state,
        end,
        exit_code=error.exit_code if error else 0,
        next_step=next_step_for(end, ports.service.name, narrator.what, lost=isinstance(error, ConflictError)),
    )
    narrator.conclude(report)
    samples = "".join(executor.actions.watch.samples)
    return JobResult(report, error, files={"samples.jsonl": samples} if samples else {})


def _as_it_is(ports: ServicePorts, state: RolloutState) -> RolloutState:
    """Say the weight that is in the route now: who took over may have changed what we wrote last."""
    if not state.written:
        return state
    try:
        route = ports.router.read()
    except GitlabMeshError:
        return state
    return state.with_(written=route.share or 0.0)


JOB = Job(
    name="canary",
    summary="Release step by step; evidence decides; a bad release is taken back by itself.",
    run=run,
    note=True,
    package="gitlab_mesh_jobs.canary",
    options=(
        JobOption("image", "Image to release, for example registry.example/shop:1.5.0."),
        JobOption("manifest", "File with the whole Deployment to release instead of an image.", kind="deployment"),
        JobOption("dry-run", "Print the exact patches and the plan in time; write nothing.", kind="flag"),
        JobOption("again", "Release it although a verdict rejected it before.", kind="flag"),
        JobOption("load-max-rps", "Refuse synthetic traffic of a higher rate."),
        JobOption("continue", "Go on with a rollout that is paused or held.", kind="flag"),
        JobOption(
            "hotfix",
            "Why this release must out although stable is broken or a freeze holds: nothing is compared with stable, "
            "absolute limits and readiness still hold.",
        ),
    ),
)
