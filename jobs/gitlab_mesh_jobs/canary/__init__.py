"""The canary job: real traffic moves step by step, evidence decides, a bad release is taken back by itself."""

from gitlab_mesh_jobs.canary.job import JOB

__all__ = ["JOB"]
