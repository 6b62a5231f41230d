"""The validate job."""

from gitlab_mesh_jobs.validate.job import JOB

__all__ = ["JOB"]
