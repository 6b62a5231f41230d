"""The security-scan job."""

from gitlab_mesh_jobs.security_scan.job import JOB

__all__ = ["JOB"]
