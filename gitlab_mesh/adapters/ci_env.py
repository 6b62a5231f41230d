"""The CI job's environment for the rest of gitlab-mesh. Reading it is a pure function of a mapping."""

from __future__ import annotations

from gitlab_mesh.core.record import Driver
from gitlab_mesh.gitlab.context import CIContext, MergeRequestVariables, Token, read_ci

__all__ = ["CIContext", "MergeRequestVariables", "Token", "driver_from", "read_ci"]


def driver_from(ci: CIContext) -> Driver:
    """Return who drives, for record and lease; empty fields where the job does not run in GitLab CI."""
    return Driver(pipeline=str(ci.pipeline_id or ""), job=str(ci.job_id or ""), url=ci.job_url, commit=ci.source_sha)
