"""The ports ``MergeRequestNotes`` and ``Deployments`` on ``gitlab_mesh.gitlab``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gitlab_mesh.gitlab import CIContext, Connection, DeploymentRecords, StickyNotes
from gitlab_mesh.ports import Deployments, MergeRequestNotes

__all__ = ["GitlabDeployments", "GitlabNotes", "NoDeployments", "NoNotes", "build_feedback"]


class GitlabNotes:
    """One merge request note per key, edited in place."""

    def __init__(self, connection: Connection, *, settle_seconds: float = 1.0) -> None:
        self._notes = StickyNotes(connection, settle_seconds=settle_seconds)

    def post(self, key: str, body: str) -> str:
        """Create or update the one note with this key; return "" or why it could not be done."""
        return self._notes.post(key, body)


class GitlabDeployments:
    """Deployment records of this commit."""

    def __init__(self, connection: Connection) -> None:
        self._records = DeploymentRecords(connection)

    def record(self, environment: str, status: str) -> str:
        """Record the state (running, success, failed, canceled); return "" or why it could not be done."""
        return self._records.record(environment, status)


@dataclass(frozen=True, slots=True)
class NoNotes:
    """No merge request can be reached; every call says why."""

    reason: str

    def post(self, key: str, body: str) -> str:
        """Return the reason."""
        return f"merge request note {key!r} skipped: {self.reason}"


@dataclass(frozen=True, slots=True)
class NoDeployments:
    """No GitLab can be reached; every call says why."""

    reason: str

    def record(self, environment: str, status: str) -> str:
        """Return the reason."""
        return f"deployment of {environment} ({status}) skipped: {self.reason}"


def build_feedback(
    ci: CIContext, *, token: str = "", interrupted: Callable[[], object] = bool
) -> tuple[MergeRequestNotes, Deployments]:
    """Build both ports for the job that we run in; outside of GitLab CI they say so and do nothing.

    Args:
        ci: From ``read_ci``.
        token: A private token given by option; goes before ``GITLAB_MESH_TOKEN``, ``GITLAB_TOKEN``, ``CI_JOB_TOKEN``.
        interrupted: Turns true at a signal: a call in progress then returns at once.
    """
    if not ci.available:
        reason = "not in GitLab CI (no CI_API_V4_URL or CI_PROJECT_ID)"
        return NoNotes(reason), NoDeployments(reason)
    connection = Connection(ci, token=token, interrupted=interrupted)
    return GitlabNotes(connection), GitlabDeployments(connection)
