"""``gitlab-mesh job validate``: what Istio would reject, ignore or quietly misroute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.job import FILE_OPTIONS, FilePorts, Job, JobResult

__all__ = ["JOB"]


def run(ports: FilePorts, options: Mapping[str, Any]) -> JobResult:
    """Read the files and judge them.

    Raises:
        UsageError: A path does not exist.
    """
    from gitlab_mesh.files_job import build_request, conclude, run_inspection

    started = ports.clock.monotonic()
    inspection = run_inspection(ports, options, build_request(ports, options))
    return conclude(ports, "validate", options, inspection.summary, started)


JOB = Job(
    name="validate",
    summary="Find what Istio would reject, ignore or quietly misroute, before it is deployed.",
    run=run,
    scope="files",
    note=True,
    options=FILE_OPTIONS,
    package="gitlab_mesh_jobs.validate",
)
