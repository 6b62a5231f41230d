"""The rollback job."""

from gitlab_mesh_jobs.rollback.job import JOB

__all__ = ["JOB"]
