"""Running one job: configuration, ports, artifacts, note, exit code. The only place that maps errors to codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gitlab_mesh.adapters.artifacts import DirectoryArtifacts
from gitlab_mesh.adapters.ci_env import CIContext, read_ci
from gitlab_mesh.adapters.clock import Interrupts
from gitlab_mesh.adapters.console import CIConsole
from gitlab_mesh.adapters.manifest import read_manifest
from gitlab_mesh.adapters.redaction import Redactor, secrets_of
from gitlab_mesh.cli.plugins import NOTIFIER_API, load_group
from gitlab_mesh.cli.wiring import Wiring
from gitlab_mesh.config.load import load_config
from gitlab_mesh.config.model import MeshConfig, ServiceConfig
from gitlab_mesh.core.report.model import Outcome, Report
from gitlab_mesh.core.report.renderers import (
    carry_history,
    note_key,
    render_annotations,
    render_dotenv,
    render_html,
    render_json,
    render_junit,
    render_metrics,
    render_note,
    render_summary_table,
)
from gitlab_mesh.core.report.wording import OUTCOME_TONE
from gitlab_mesh.errors import ConfigError, ConflictError, GitlabMeshError, PolicyRefusedError, UsageError
from gitlab_mesh.job import NO_SERVICE, Job, JobResult
from gitlab_mesh.ports import Console

__all__ = ["run_job", "write_artifacts"]

_SILENT = (Outcome.PASSED, Outcome.PLANNED)
_NOTIFIED = (10, 23)


def run_job(job: Job, values: Mapping[str, Any], *, overrides: Mapping[str, str], environ: Mapping[str, str]) -> int:
    """Run the job to its end and return the exit code; never raises an error of ours."""
    ci = read_ci(environ)
    redact = Redactor(secrets_of(environ))
    console = CIConsole(environ=environ, redact=redact)
    interrupts = Interrupts()
    interrupts.install()
    try:
        service, environment = _configure(job, values, overrides, environ, ci)
        options = {name.replace("-", "_"): value for name, value in values.items()}
        _read_files(job, options)
        wiring = Wiring(
            service,
            environment=environment,
            console=console,
            interrupts=interrupts,
            ci=ci,
            environ=environ,
            kube_context=values.get("kube_context"),
            output=values.get("output") or "mesh-out",
        )
        result = _run(job, wiring, options)
    except GitlabMeshError as error:
        console.line(str(error), tone="bad")
        return error.exit_code
    artifacts = DirectoryArtifacts(Path(values.get("output") or "mesh-out"), redact=redact)
    write_artifacts(artifacts, result, console)
    _conclude(result, console, environ)
    if result.stdout:
        _print(redact(result.stdout))
    return result.exit_code


def _configure(
    job: Job, values: Mapping[str, Any], overrides: Mapping[str, str], environ: Mapping[str, str], ci: CIContext
) -> tuple[ServiceConfig, str]:
    environment = values.get("environment") or ci.environment
    path = Path(values.get("config") or "mesh.yaml")
    optional = job.scope == "target" and not values.get("service")
    if optional and not path.exists():
        return NO_SERVICE, environment
    loaded = load_config(
        path,
        environment=environment or None,
        service=values.get("service"),
        env=environ,
        overrides=overrides,
    )
    if optional and len(loaded.config.services) > 1:
        return NO_SERVICE, environment
    return _pick_service(loaded.config, values.get("service")), environment


def _pick_service(config: MeshConfig, name: str | None) -> ServiceConfig:
    if name is None and len(config.services) == 1:
        return next(iter(config.services.values()))
    if name is None:
        raise UsageError(
            "which service?", why=f"mesh.yaml has {', '.join(config.services)}", hint="name one with --service"
        )
    if name not in config.services:
        raise ConfigError(f"service {name!r} is not in mesh.yaml", why=f"it has {', '.join(config.services)}")
    return config.services[name]


def _read_files(job: Job, options: dict[str, Any]) -> None:
    for option in job.options:
        key = option.name.replace("-", "_")
        if option.kind == "deployment" and options.get(key):
            options[key] = read_manifest(options[key])


def _run(job: Job, wiring: Wiring, options: Mapping[str, Any]) -> JobResult:
    started = wiring.clock.monotonic()
    try:
        return job.run(wiring, options)
    except GitlabMeshError as error:
        wiring.console.line(str(error), tone="bad")
        refused = isinstance(error, (PolicyRefusedError, UsageError))
        service = wiring.service
        report = Report(
            job=job.name,
            service=service.name,
            namespace=service.namespace,
            outcome=Outcome.REFUSED if refused else Outcome.FAILED,
            headline=f"{service.name}: {error.what}" if service.name else error.what,
            reason=error.why,
            next_step=error.hint,
            exit_code=error.exit_code,
            started=wiring.clock.now().isoformat(timespec="seconds"),
            duration_seconds=wiring.clock.monotonic() - started,
            facts={"image": str(options["image"])} if options.get("image") else {},
            dotenv={"MESH_SERVICE": service.name, "MESH_OUTCOME": "refused" if refused else "failed"},
        )
        if job.note and not isinstance(error, ConflictError):  # the release that runs owns the note
            problem = wiring.notes.post(
                note_key(job.name, service.name), lambda former: render_note(report, carry_history(former, report))
            )
            if problem:
                wiring.console.line(problem, tone="warn")
        return JobResult(report, error)


def _print(text: str) -> None:
    """Write what a machine asked for; whoever reads it may be gone."""
    with suppress(OSError):
        sys.stdout.write(text)
        sys.stdout.flush()


def write_artifacts(artifacts: DirectoryArtifacts, result: JobResult, console: Console) -> None:
    """Write every rendering of the report, and the job's own files."""
    renderers: Mapping[str, Callable[[Report], str]] = {
        "report.json": render_json,
        "report.html": render_html,
        "junit.xml": render_junit,
        "mesh.env": render_dotenv,
        "metrics.txt": render_metrics,
        "annotations.json": render_annotations,
        "note.md": render_note,
    }
    texts = {**{name: render(result.report) for name, render in renderers.items()}, **result.files}
    for name, text in texts.items():
        problem = artifacts.write(name, text)
        if problem:
            console.line(problem, tone="warn")


def _conclude(result: JobResult, console: Console, environ: Mapping[str, str]) -> None:
    # An error that ended the job before it began is on the log already, in full.
    if result.error is None or result.report.sections:
        _say_result(result.report, console)
    if result.exit_code in _NOTIFIED:
        _notify(result.report, console, environ)


def _say_result(report: Report, console: Console) -> None:
    if report.outcome not in _SILENT:
        table = render_summary_table(report)
        if table.rows:
            console.table(table.columns, table.rows)
    console.line(report.headline, tone=OUTCOME_TONE[report.outcome].value)
    if report.reason and report.reason not in report.headline:
        console.line(report.reason)
    if report.next_step:
        console.line(f"next: {report.next_step}")


def _notify(report: Report, console: Console, environ: Mapping[str, str]) -> None:
    """Tell people; whatever happens here, the exit code stays what the release earned (S10)."""
    try:
        for plugin in load_group("gitlab_mesh.notifiers", NOTIFIER_API).values():
            notifier = plugin.build(environ)
            problem = notifier.notify(report) if notifier else ""
            if problem:
                console.line(problem, tone="warn")
    except Exception as error:  # a plug-in of somebody else's
        console.line(f"nobody could be notified: {error}", tone="warn")
