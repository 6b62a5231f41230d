"""``gitlab-mesh job security-scan``: what an attacker would use, and how much of the mesh is protected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gitlab_mesh.errors import UsageError
from gitlab_mesh.job import FILE_OPTIONS, FilePorts, Job, JobOption, JobResult

__all__ = ["JOB"]


def run(ports: FilePorts, options: Mapping[str, Any]) -> JobResult:
    """Read the files and judge them.

    Raises:
        UsageError: A path does not exist.
    """
    from gitlab_mesh.core.analysis.posture import summarize_posture
    from gitlab_mesh.files_job import build_request, conclude, run_inspection

    started = ports.clock.monotonic()
    strict = options.get("profile") == "strict"
    request = build_request(ports, options, suites=("security",), strict=strict)
    if request.base is None and "-" not in request.paths:
        request = replace(request, base=_target(ports), only_changed=False)
    inspection = run_inspection(ports, options, request)
    before = summarize_posture(inspection.former) if inspection.former is not None else {}
    facts = {**inspection.summary.facts, **summarize_posture(inspection.mesh)}
    summary = replace(inspection.summary, facts=facts, former_facts=before)
    return conclude(ports, "security-scan", options, summary, started)


def _target(ports: FilePorts) -> Mapping[str, bytes | None] | None:
    """Return what the merge request's target has, to show what it does to the posture; None where git lacks it."""
    if not ports.merge_base:
        return None
    try:
        return ports.former(ports.merge_base)
    except UsageError as error:
        ports.console.line(f"the posture is not compared with the target branch: {error.what}", tone="warn")
        return None


JOB = Job(
    name="security-scan",
    summary="Find what an attacker would use, and say how much of the mesh is protected.",
    run=run,
    scope="files",
    note=True,
    options=(
        *FILE_OPTIONS,
        JobOption(
            "profile",
            "Which rules: baseline, or strict with those that need a decision too.",
            kind="choice",
            default="baseline",
            choices=("baseline", "strict"),
        ),
    ),
    package="gitlab_mesh_jobs.security_scan",
)
