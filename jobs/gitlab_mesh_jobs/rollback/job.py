"""``gitlab-mesh job rollback``: end a rollout from the cluster alone: weight 0 first, then everything else.

It needs the Kubernetes API and the record, never GitLab, never the metric source (S3): counts only shorten the wait
for the drain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.core.report.model import Outcome, Report
from gitlab_mesh.core.rollout import End
from gitlab_mesh.driver.finding import Found, find_rollout, free_lock
from gitlab_mesh.driver.meeting import await_end
from gitlab_mesh.driver.recovery import roll_back
from gitlab_mesh.driver.returning import to_previous
from gitlab_mesh.errors import ConflictError
from gitlab_mesh.job import Job, JobOption, JobResult, ServicePorts

__all__ = ["JOB"]


def run(ports: ServicePorts, options: Mapping[str, Any]) -> JobResult:
    """Take the service's traffic back to stable, whoever drives; twice-safe.

    With ``--to-previous`` a finished promotion is taken back: stable gets the pod template of the release before.
    """
    if options.get("to_previous"):
        return to_previous(ports, str(options.get("reason") or ""))
    found = find_rollout(ports)
    if found is None:
        freed = "" if options.get("if_unfinished") else free_lock(ports)
        also = f"; the lease that {freed} still held is free now" if freed else ""
        return _nothing(ports, f"no rollout is recorded that is not finished{also}")
    if options.get("if_unfinished") and not _same_pipeline(found, ports):
        return _nothing(
            ports, f"rollout {found.record.id} belongs to {found.record.driver.holder}, not to this pipeline"
        )
    if options.get("if_unfinished") and found.record.waits:
        return _nothing(ports, f"rollout {found.record.id} is {found.record.phase} by plan: {found.record.reason}")
    if options.get("if_unfinished") and found.record.driver.holder != ports.driver.holder:
        # Another job of the pipeline: it may be alive. Its lease tells, by standing still or not.
        try:
            still = await_end(ports, found.record, seconds=2 * ports.service.rollout.lease)
        except ConflictError as error:
            return _nothing(ports, f"{error.what}; its job renews its lease")
        if still is None:
            return _nothing(ports, f"rollout {found.record.id} ended by itself meanwhile")
        found = still
    return roll_back(ports, found, _reason(ports, found, options), told=_is_told(options))


def _is_told(options: Mapping[str, Any]) -> bool:
    """Whether a person looked; a variable of the project must not say it for a net that nobody watches."""
    return bool(options.get("proxies_follow")) and not options.get("if_unfinished")


def _same_pipeline(found: Found, ports: ServicePorts) -> bool:
    record, ours = found.record, ports.driver
    return record.release_pipeline == ours.pipeline if ours.pipeline else record.driver.holder == ours.holder


def _reason(ports: ServicePorts, found: Found, options: Mapping[str, Any]) -> End:
    if options.get("reason"):
        return End(Outcome.ROLLED_BACK, str(options["reason"]))
    if options.get("if_unfinished"):
        return End(Outcome.ROLLED_BACK, f"its job ended in phase {found.record.phase} without finishing")
    return End(Outcome.ROLLED_BACK, f"rolled back on request by {ports.driver.holder}")


def _nothing(ports: ServicePorts, why: str) -> JobResult:
    ports.console.line(f"nothing to do: {why}", tone="good")
    service = ports.service
    return JobResult(
        Report(
            job="rollback",
            service=service.name,
            namespace=service.namespace,
            outcome=Outcome.PASSED,
            headline=f"{service.name}: nothing to roll back",
            reason=why,
            dotenv={"MESH_SERVICE": service.name, "MESH_OUTCOME": Outcome.PASSED.value, "MESH_PHASE": "done"},
        )
    )


JOB = Job(
    name="rollback",
    summary="Take traffic back to stable, from the cluster alone; twice-safe.",
    run=run,
    package="gitlab_mesh_jobs.rollback",
    options=(
        JobOption(
            "if-unfinished",
            "Only end what this pipeline left unfinished (for after_script and on_failure jobs).",
            kind="flag",
        ),
        JobOption(
            "to-previous",
            "Give stable the release before the last promotion again, without a canary; the bad one is refused then.",
            kind="flag",
        ),
        JobOption(
            "proxies-follow",
            "End the canary although requests still come: `istioctl proxy-status` shows every proxy in sync, so they "
            "bypass the route.",
            kind="flag",
        ),
        JobOption("reason", "Why, for the record and the note."),
    ),
)
