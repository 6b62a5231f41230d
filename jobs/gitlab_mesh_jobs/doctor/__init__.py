"""Job doctor: check from inside a job whether a release would work, and say what is missing."""

from gitlab_mesh_jobs.doctor.job import JOB

__all__ = ["JOB"]
