"""The promote job: ends a release whose stable Deployment the project itself deploys."""

from gitlab_mesh_jobs.promote.job import JOB

__all__ = ["JOB"]
