"""``gitlab-mesh job status``: where a rollout is, who drives it, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.core.record import Record
from gitlab_mesh.core.report.formatting import format_percent
from gitlab_mesh.core.report.model import Outcome, Report, TableSection
from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh.job import Job, JobOption, JobResult, ServicePorts
from gitlab_mesh.ports import LeaseState

__all__ = ["JOB"]


def run(ports: ServicePorts, options: Mapping[str, Any]) -> JobResult:
    """Read record, lease and route; change nothing."""
    service = ports.service
    record, _ = ports.store.read()
    lease = ports.lock.read()
    live = _live_weight(ports)
    facts = _facts(record, lease, live)
    rows = tuple((key, value) for key, value in facts.items())
    ports.console.table(("", ""), rows)
    verdicts = tuple((metric, text) for metric, text in (record.last_verdicts if record else {}).items())
    sections = [TableSection("Status", ("What", "Value"), rows)]
    if verdicts:
        ports.console.table(("Metric", "Last verdict"), verdicts)
        sections.append(TableSection("Last verdicts", ("Metric", "Verdict"), verdicts))
    if options.get("history") and record is not None:
        releases = tuple((p.ended, p.image, p.outcome, p.reason, p.url) for p in record.history)
        columns = ("Ended", "Image", "Outcome", "Why", "Job")
        ports.console.table(columns, releases)
        sections.append(TableSection("History", columns, releases))
    step = _next_step(record, lease, service.name)
    phase = record.phase if record else "none"
    return JobResult(
        Report(
            job="status",
            service=service.name,
            namespace=service.namespace,
            outcome=Outcome.PASSED if record is None or record.finished else Outcome.RUNNING,
            headline=f"{service.name}: {phase if record and not record.finished else 'no rollout is running'}",
            next_step=step,
            facts=facts,
            sections=tuple(sections),
            dotenv={
                "MESH_SERVICE": service.name,
                "MESH_PHASE": phase,
                "MESH_OUTCOME": record.outcome if record else "none",
            },
        )
    )


def _live_weight(ports: ServicePorts) -> str:
    try:
        route = ports.router.read()
    except GitlabMeshError as error:
        return f"unknown: {error.what}"
    if route.share is None:
        return "0 % (the route has no canary)"
    mixed = "" if route.uniform else " (the moved routes differ; this is the largest)"
    return f"{format_percent(route.share)}{mixed}"


def _facts(record: Record | None, lease: LeaseState | None, live: str) -> dict[str, str]:
    holder = lease.holder if lease is not None and lease.holder else "nobody"
    if record is None:
        return {"rollout": "none was recorded yet", "weight in the route": live, "lease held by": holder}
    driver = record.driver
    facts = {
        "rollout": record.id,
        "phase": record.phase,
        "outcome": record.outcome,
        "weight in the route": live,
        "weight intended": format_percent(record.weight),
        "step": _step(record),
        "driver": f"pipeline {driver.pipeline or '–'}, job {driver.job or '–'}",
        "job": driver.url,
        "lease held by": holder,
        "image": record.image or (record.canary.image if record.canary else ""),
        "hotfix": record.hotfix,
        "waits until": record.pause_until,
        "started": record.started,
        "last written": record.updated,
        "deadline": record.deadline_text,
        "reason": record.reason,
        "last good": record.last_good.image if record.last_good else "",
    }
    return {key: value for key, value in facts.items() if value}


def _step(record: Record) -> str:
    if record.finished or record.phase not in ("step", "paused", "held"):
        return ""
    return f"{record.step + 1} of {len(record.steps)}" if record.steps else f"{record.step + 1}, within a budget"


def _next_step(record: Record | None, lease: LeaseState | None, service: str) -> str:
    back = f"to take its traffic back: `gitlab-mesh job rollback --service {service}`"
    if record is None or record.finished:
        again = f"To release: `gitlab-mesh job canary --service {service} --image IMAGE`"
        if record is not None and record.outcome == "promoted" and record.previous_template:
            return (
                f"{again}; to go back to the one before: `gitlab-mesh job rollback --service {service} --to-previous`"
            )
        return again
    if record.phase in ("paused", "held"):
        return f"To go on: `gitlab-mesh job canary --service {service} --image {record.image} --continue`; {back}"
    if record.phase == "awaiting-promotion":
        return f"Once stable runs the release: `gitlab-mesh job promote --service {service}`; {back}"
    if lease is not None and lease.holder:
        ask = f"If its job may have died: `gitlab-mesh job recover --service {service} --expired`"
        return f"{ask}; {back}"
    return f"Nobody drives it, so end it: `gitlab-mesh job recover --service {service}`"


JOB = Job(
    name="status",
    summary="Say where a rollout is, who drives it, and what to type next.",
    run=run,
    package="gitlab_mesh_jobs.status",
    options=(JobOption("history", "List the last releases too.", kind="flag"),),
)
