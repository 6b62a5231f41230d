"""The recover job: ends what lost jobs left open."""

from gitlab_mesh_jobs.recover.job import JOB

__all__ = ["JOB"]
