"""``gitlab-mesh doctor``: look at everything that a release needs, from inside a job, and move no traffic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gitlab_mesh.core.report.model import Outcome, Report, TableSection, Tone
from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh.job import Job, JobResult, ServicePorts
from gitlab_mesh_jobs.doctor.cluster import check_credential, check_rights
from gitlab_mesh_jobs.doctor.mesh import check_mesh
from gitlab_mesh_jobs.doctor.model import Check, DoctorPorts, Level, attempt, error_for, from_error
from gitlab_mesh_jobs.doctor.runner import check_runner
from gitlab_mesh_jobs.doctor.service import check_release, check_service
from gitlab_mesh_jobs.doctor.tokens import check_gitlab

__all__ = ["JOB"]

_TONES = {Level.OK: Tone.GOOD, Level.WARN: Tone.WARN, Level.FAIL: Tone.BAD}


def run(ports: DoctorPorts, _options: Mapping[str, Any]) -> JobResult:
    """Check from the outside in; what fails does not keep the rest from being checked."""
    started = ports.clock.monotonic()
    checks = [*check_runner(ports.env, ports.gitlab.context), *check_gitlab(ports.gitlab)]
    services: Sequence[ServicePorts] = ()
    try:
        services = ports.services()
        names = ", ".join(item.service.name for item in services)
        checks.append(Check("mesh.yaml", ports.config, Level.OK, f"valid; checked here: {names}"))
    except GitlabMeshError as invalid:
        checks += from_error("mesh.yaml", ports.config, invalid)
    reached = attempt("cluster", "credential", lambda: check_credential(ports))
    checks += reached
    if not _failed(reached):
        checks += [check for item in services for check in _service(item)]
    _tell(ports, checks)
    error = error_for(checks)
    return JobResult(_report(ports, checks, error, started), error)


def _service(ports: ServicePorts) -> tuple[Check, ...]:
    """Check one service; an API server that does not answer, or lets nobody in, is asked no further."""
    rights = attempt("cluster", f"rights for {ports.service.name}", lambda: check_rights(ports))
    if any(check.code == 20 for check in _failed(rights)):
        return rights
    checks = rights + attempt("mesh", ports.service.name, lambda: check_mesh(ports)) + check_service(ports)
    if _failed(checks):
        return checks
    return checks + attempt("route", f"a release of {ports.service.name}", lambda: check_release(ports))


def _failed(checks: Iterable[Check]) -> list[Check]:
    return [check for check in checks if check.level is Level.FAIL]


def _tell(ports: DoctorPorts, checks: Sequence[Check]) -> None:
    ports.console.table(("", "Check", "Found"), [(item.level.value, _name(item), item.found) for item in checks])
    fixes: dict[str, list[Check]] = {}
    for check in checks:
        if check.fix and check.level is not Level.OK:
            fixes.setdefault(check.fix, []).append(check)
    for fix, causes in fixes.items():
        worst = Level.FAIL if _failed(causes) else Level.WARN
        names = dict.fromkeys(_name(item) for item in causes)
        ports.console.line(f"{', '.join(names)}: {fix}", tone=_TONES[worst].value)


def _name(check: Check) -> str:
    return f"{check.topic}: {check.subject}"


def _report(ports: DoctorPorts, checks: Sequence[Check], error: GitlabMeshError | None, started: float) -> Report:
    failed = len(_failed(checks))
    warned = sum(check.level is Level.WARN for check in checks)
    counts = f"{len(checks)} checks, {failed} failed, {warned} warned"
    return Report(
        job=JOB.name,
        service="",
        namespace="",
        outcome=Outcome.FAILED if error else Outcome.PASSED,
        headline=f"{'a release would fail' if error else 'a release would work'}: {counts}",
        reason=str(error.what) if error else "",
        next_step=error.hint if error else "",
        exit_code=error.exit_code if error else 0,
        started=ports.clock.now().isoformat(timespec="seconds"),
        duration_seconds=ports.clock.monotonic() - started,
        sections=_sections(checks),
        dotenv={"MESH_DOCTOR": "failed" if error else "passed"},
    )


def _sections(checks: Sequence[Check]) -> tuple[TableSection, ...]:
    """What is to be done first, then everything that was looked at; two narrow columns each."""
    to_do = [item for item in checks if item.fix and item.level is not Level.OK]
    shown = [
        TableSection("Checks", ("Check", "Found"), tuple((_name(item), item.found) for item in checks), _tones(checks))
    ]
    if to_do:
        rows = tuple((_name(item), item.fix) for item in to_do)
        shown.insert(0, TableSection("What to do", ("Check", "What to do"), rows, _tones(to_do)))
    return tuple(shown)


def _tones(checks: Iterable[Check]) -> tuple[Tone, ...]:
    return tuple(_TONES[item.level] for item in checks)


JOB = Job(
    name="doctor",
    summary="Check runner, token, rights, mesh, metrics and mesh.yaml; say what is missing, with the fix.",
    run=run,
    package="gitlab_mesh_jobs.doctor",
    scope="doctor",
)
