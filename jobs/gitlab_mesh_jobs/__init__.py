"""The built-in jobs: one folder each with job.py, template.yml.j2 and README.md."""

__all__ = ["JOBS"]

JOBS: tuple[object, ...] = ()
