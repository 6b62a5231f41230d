"""The ports ``MergeRequestNotes`` and ``Deployments`` on ``gitlab_mesh.gitlab``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gitlab_mesh.core.report.history import is_release_key, parse_state
from gitlab_mesh.core.report.review import LABELS, Review, ThreadChange, choose_label
from gitlab_mesh.gitlab import (
    CIContext,
    Connection,
    DeploymentRecords,
    MergeRequestLabels,
    NoteText,
    ReviewThreads,
    StickyNotes,
)
from gitlab_mesh.ports import Deployments, MergeRequestNotes

__all__ = ["GitlabDeployments", "GitlabNotes", "NoDeployments", "NoNotes", "build_feedback"]


class GitlabNotes:
    """One merge request note per key, edited in place; one label for all of them, one thread for each."""

    def __init__(self, connection: Connection, *, settle_seconds: float = 1.0) -> None:
        self._notes = StickyNotes(connection, settle_seconds=settle_seconds)
        self._threads = ReviewThreads(connection)
        self._labels = MergeRequestLabels(connection)

    def post(self, key: str, text: NoteText, *, explicit: bool = False) -> str:
        """Create or update the one note with this key; return "" or why it could not be done."""
        return self._notes.post(key, text, explicit=explicit)

    def review(self, key: str, change: Review) -> str:
        """Open or resolve the key's thread; label the merge request after the worst of all its services."""
        problems = []
        if change.thread is ThreadChange.OPEN:
            problems.append(self._threads.open(key, change.body))
        elif change.thread is ThreadChange.RESOLVE:
            problems.append(self._threads.resolve(key, change.body))
        bodies, problem = self._notes.read_all()
        if problem:
            problems.append(f"label not set: {problem}")
        else:
            states = {name: state for name, body in bodies.items() if (state := parse_state(body))}
            outcomes = [state.attempt.outcome for name, state in states.items() if name != key and is_release_key(name)]
            label = choose_label([change.outcome, *outcomes])
            problems.append(self._labels.put(label, family=LABELS) if label else "")
        return "; ".join(problem for problem in problems if problem)


class GitlabDeployments:
    """Deployment records of this commit.

    Args:
        connection: Shared with the notes.
        environment_url: The environment's address, or "".
    """

    def __init__(self, connection: Connection, *, environment_url: str = "") -> None:
        self._records = DeploymentRecords(connection, environment_url=environment_url)

    def record(self, environment: str, status: str, *, commit: str = "") -> str:
        """Record the state (running, success, failed, canceled); return "" or why it could not be done."""
        return self._records.record(environment, status, commit=commit)


@dataclass(frozen=True, slots=True)
class NoNotes:
    """No merge request can be reached; every call says why."""

    reason: str

    def post(self, key: str, text: NoteText, *, explicit: bool = False) -> str:
        """Return the reason."""
        return f"merge request note {key!r} skipped: {self.reason}"

    def review(self, key: str, change: Review) -> str:
        """Return the reason."""
        return f"label and thread of {key!r} skipped: {self.reason}"


@dataclass(frozen=True, slots=True)
class NoDeployments:
    """No GitLab can be reached; every call says why."""

    reason: str

    def record(self, environment: str, status: str, *, commit: str = "") -> str:
        """Return the reason."""
        return f"deployment of {environment} ({status}) skipped: {self.reason}"


def build_feedback(
    ci: CIContext, *, token: str = "", interrupted: Callable[[], object] = bool, environment_url: str = ""
) -> tuple[MergeRequestNotes, Deployments]:
    """Build both ports for the job that we run in; outside of GitLab CI they say so and do nothing.

    Args:
        ci: From ``read_ci``.
        token: A private token given by option; goes before ``GITLAB_MESH_TOKEN``, ``GITLAB_TOKEN``, ``CI_JOB_TOKEN``.
        interrupted: Turns true at a signal: a call in progress then returns at once.
        environment_url: The environment's address for people, from ``links`` in ``mesh.yaml``.
    """
    if not ci.available:
        reason = "not in GitLab CI (no CI_API_V4_URL or CI_PROJECT_ID)"
        return NoNotes(reason), NoDeployments(reason)
    connection = Connection(ci, token=token, interrupted=interrupted)
    return GitlabNotes(connection), GitlabDeployments(connection, environment_url=environment_url)
