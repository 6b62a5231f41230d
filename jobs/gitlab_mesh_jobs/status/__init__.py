"""The status job."""

from gitlab_mesh_jobs.status.job import JOB

__all__ = ["JOB"]
