"""``gitlab-mesh job recover``: end the rollouts that nobody drives any more; for schedulers and for people.

It works from the cluster alone, is idempotent, and does nothing beside a live driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.core.report.model import Outcome, Report, TableSection
from gitlab_mesh.driver.sweeping import Case, find_cases, sweep
from gitlab_mesh.errors import GitlabMeshError, UsageError
from gitlab_mesh.job import Job, JobOption, JobResult, ServicePorts

__all__ = ["JOB"]


def run(ports: ServicePorts, options: Mapping[str, Any]) -> JobResult:
    """Recover one service, the services of a namespace, or all of the cluster.

    Raises:
        UsageError: Neither a service nor ``--namespace`` nor ``--all`` says where to look.
    """
    namespace = str(options.get("namespace") or "")
    if not (ports.service.name or namespace or options.get("all")):
        raise UsageError("recover what?", hint="name a service of mesh.yaml (--service), or --namespace NAME, or --all")
    wide = bool(namespace or options.get("all"))
    cases = find_cases(ports, namespace=namespace if wide else None)
    sweep(ports, cases, expired=bool(options.get("expired")))
    return _conclude(ports, cases)


def _conclude(ports: ServicePorts, cases: list[Case]) -> JobResult:
    errors = [case.error for case in cases if case.error is not None]
    worst: GitlabMeshError | None = max(errors, key=lambda error: error.exit_code) if errors else None
    rows = tuple((case.name, case.phase, case.word, case.why) for case in cases)
    columns = ("Service", "Phase", "Result", "Why")
    if rows:
        ports.console.table(columns, rows)
    ended = [case for case in cases if case.word == "ended"]
    headline, reason, next_step = _say(cases, ended)
    return JobResult(
        Report(
            job="recover",
            service=ports.service.name or "all services",
            namespace=ports.service.namespace,
            outcome=Outcome.UNSAFE if worst is not None and worst.exit_code == 23 else _outcome(worst, ended),
            headline=headline,
            reason=worst.what if worst else reason,
            next_step=worst.hint if worst else next_step,
            exit_code=worst.exit_code if worst else 0,
            sections=(TableSection("Rollouts", columns, rows),) if rows else (),
            dotenv={"MESH_OUTCOME": _outcome(worst, ended).value, "MESH_RECOVERED": str(len(ended))},
        ),
        worst,
    )


def _say(cases: list[Case], ended: list[Case]) -> tuple[str, str, str]:
    """Return headline, reason and next step, as far as nothing went wrong."""
    if not cases:
        return "no rollout is open", "", ""
    held = [case for case in cases if case.asks]
    if not held:
        return f"{len(ended)} of {len(cases)} open rollouts ended", "", ""
    names = ", ".join(case.name for case in held)
    if len(held) > 1:
        then = "Add `--expired`: it watches the leases and ends the rollouts whose lease is not renewed."
        return f"{len(ended)} of {len(cases)} open rollouts ended", f"left alone: {names}; their leases are held", then
    service = held[0].name.partition("/")[2]
    then = (
        f"If its job may have died, this watches the lease for {held[0].asks:.0f} s and ends the rollout if nobody "
        f"renews it: `gitlab-mesh job recover --service {service} --expired`; "
        f"to take it back whoever drives it: `gitlab-mesh job rollback --service {service}`"
    )
    headline = f"{len(ended)} of {len(cases)} open rollouts ended; {names} is held by a driver"
    return headline, f"{names}: {held[0].why}", then


def _outcome(worst: GitlabMeshError | None, ended: list[Case]) -> Outcome:
    if worst is not None:
        return Outcome.FAILED
    return Outcome.ROLLED_BACK if ended else Outcome.PASSED


JOB = Job(
    name="recover",
    summary="End the rollouts that nobody drives any more, from the cluster alone; safe beside live ones.",
    run=run,
    scope="target",
    package="gitlab_mesh_jobs.recover",
    options=(
        JobOption("namespace", "Look at all services of this namespace, also without mesh.yaml."),
        JobOption("all", "Look at all services of the cluster, also without mesh.yaml.", kind="flag"),
        JobOption(
            "expired",
            "Watch a lease that is held for its whole duration; who does not renew it is dead (for schedulers).",
            kind="flag",
        ),
    ),
)
