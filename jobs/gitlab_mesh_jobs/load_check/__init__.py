"""The load-check job: honest latency under a chosen load, held against thresholds, a baseline and the mesh's side."""

from gitlab_mesh_jobs.load_check.job import JOB

__all__ = ["JOB"]
