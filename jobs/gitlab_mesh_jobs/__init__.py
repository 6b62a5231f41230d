"""The built-in jobs: one folder each with job.py, template.yml.j2 and README.md."""

from gitlab_mesh.job import Job
from gitlab_mesh_jobs.canary import JOB as CANARY
from gitlab_mesh_jobs.doctor import JOB as DOCTOR
from gitlab_mesh_jobs.load_check import JOB as LOAD_CHECK
from gitlab_mesh_jobs.promote import JOB as PROMOTE
from gitlab_mesh_jobs.recover import JOB as RECOVER
from gitlab_mesh_jobs.rollback import JOB as ROLLBACK
from gitlab_mesh_jobs.security_scan import JOB as SECURITY_SCAN
from gitlab_mesh_jobs.status import JOB as STATUS
from gitlab_mesh_jobs.validate import JOB as VALIDATE

__all__ = ["JOBS"]

JOBS: tuple[Job, ...] = (CANARY, PROMOTE, ROLLBACK, RECOVER, STATUS, LOAD_CHECK, VALIDATE, SECURITY_SCAN, DOCTOR)
