"""What ``validate`` and ``security-scan`` share: options, inspection, outputs, exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gitlab_mesh import __version__
from gitlab_mesh.core.analysis.findings import Summary
from gitlab_mesh.core.analysis.formats import (
    render_code_quality,
    render_json,
    render_junit,
    render_sarif,
    render_sast,
    render_text,
)
from gitlab_mesh.core.analysis.inspection import Inspection, Request, inspect
from gitlab_mesh.core.analysis.model import Level, Options
from gitlab_mesh.core.analysis.report import build_report, failing, parse_threshold
from gitlab_mesh.core.analysis.suppress import parse_baseline, render_baseline
from gitlab_mesh.errors import FindingsError, UsageError
from gitlab_mesh.job import FilePorts, JobResult

__all__ = ["build_request", "conclude", "run_inspection"]


def build_request(ports: FilePorts, options: Mapping[str, Any], **more: Any) -> Request:
    """Turn the command line into a request.

    Raises:
        UsageError: The baseline cannot be read, or ``--changed`` with standard input.
    """
    mesh_file = ports.mesh_file()
    extra = [str(options[key]) for key in ("inventory", "mesh_config") if options.get(key)]
    extra += mesh_file.inventory if not options.get("inventory") else ()
    assume = tuple(item.strip() for item in str(options.get("assume") or "").split(",") if item.strip())
    if options.get("changed") and "-" in (options.get("paths") or ()):
        raise UsageError("--changed needs files", why="standard input has no former content in git")
    return Request(
        paths=tuple(options.get("paths") or ()) or (".",),
        inventory=extra,
        options=Options(
            cluster_domain=str(options.get("cluster_domain") or "cluster.local"),
            root_namespace=str(options.get("root_namespace") or "istio-system"),
            complete=bool(options.get("complete")),
            assume_hosts=assume or mesh_file.assume,
            today=ports.clock.now().strftime("%Y%m%d%H%M%S"),
        ),
        level=Level(options.get("level") or "info"),
        known=_known(ports, options),
        today=ports.clock.now().date(),
        base=ports.former(str(options["changed"])) if options.get("changed") else None,
        extra=ports.live() if options.get("live") else (),
        mesh_file=mesh_file,
        custom=ports.crds(str(options["crds"])) if options.get("crds") else None,
        **more,
    )


def _known(ports: FilePorts, options: Mapping[str, Any]) -> frozenset[str]:
    path = options.get("baseline")
    if not path or options.get("write_baseline"):
        return frozenset()
    try:
        return frozenset(parse_baseline(ports.read_file(str(path))))
    except ValueError as error:
        raise UsageError(f"{path} is no baseline", why=str(error), hint="write one with --write-baseline") from error


def run_inspection(ports: FilePorts, options: Mapping[str, Any], request: Request) -> Inspection:
    """Inspect; with ``--write-baseline`` the findings are written down.

    Raises:
        UsageError: A path does not exist, or ``--write-baseline`` without ``--baseline``.
    """
    inspection = inspect(ports.manifests, request)
    if options.get("write_baseline"):
        if not options.get("baseline"):
            raise UsageError("--write-baseline needs --baseline FILE")
        ports.write_file(str(options["baseline"]), render_baseline(inspection.summary.findings))
    if request.custom is None:
        return inspection
    facts = {**inspection.summary.facts, "rules of CustomResourceDefinitions": request.custom.count()}
    return replace(inspection, summary=replace(inspection.summary, facts=facts))


def conclude(ports: FilePorts, job: str, options: Mapping[str, Any], summary: Summary, started: float) -> JobResult:
    """Write the outputs and say how it ended."""
    threshold = None if options.get("write_baseline") else parse_threshold(str(options.get("fail_on") or "error"))
    now = ports.clock.now()
    stamp = now.strftime("%Y-%m-%dT%H:%M:%S")
    renderers = {
        "text": lambda: render_text(summary, ports.manifests.lines, colour=ports.colour),
        "json": lambda: render_json(summary),
        "sarif": lambda: render_sarif(summary, version=__version__),
        "junit": lambda: render_junit(summary, job=job),
        "codequality": lambda: render_code_quality(summary),
        "sast": lambda: render_sast(summary, version=__version__, started=stamp, ended=stamp),
    }
    ports.output(renderers[str(options.get("format") or "text")]())
    report = build_report(
        job, summary, threshold, started=now.isoformat(timespec="seconds"), seconds=ports.clock.monotonic() - started
    )
    if ports.artifacts is not None:
        for name, kind in (
            ("findings.json", "json"),
            ("findings.sarif", "sarif"),
            ("junit.xml", "junit"),
            ("gl-code-quality-report.json", "codequality"),
            ("gl-sast-report.json", "sast"),
        ):
            problem = ports.artifacts.write(name, renderers[kind]())
            if problem:
                ports.console.line(problem, tone="warn")
    failed = failing(summary.findings, threshold)
    if not failed:
        return JobResult(report)
    first = failed[0]
    error = FindingsError(
        report.headline, why=f"{first.file}:{first.line}: {first.message}", hint=f"gitlab-mesh explain {first.code}"
    )
    return JobResult(report, error)
