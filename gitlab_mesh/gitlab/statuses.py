"""Commit statuses, always in a named pipeline. They need a token that is not the job token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitlab_mesh.gitlab.connection import Connection, Session
from gitlab_mesh.gitlab.tokens import Operation, choose_tokens, explain_missing

if TYPE_CHECKING:
    from gitlab_mesh.gitlab.client import BoundedGitlab

__all__ = ["COMMIT_STATES", "CommitStatuses"]

COMMIT_STATES = ("pending", "running", "success", "failed", "canceled", "skipped")


class CommitStatuses:
    """Statuses of this job's commit, in this job's pipeline."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def set(self, state: str, name: str, *, description: str = "", target_url: str = "") -> str:
        """Set the state of the external status ``name``.

        ``pipeline_id`` always goes along: without it GitLab takes the newest pipeline of the ref, or creates an
        extra one (``app/services/ci/create_commit_status_service.rb``). "failed" fails that pipeline.

        Returns:
            "" or one line with what could not be done, and which scope or role would allow it.
        """
        what = f"commit status {name!r} ({state})"
        context = self._connection.context
        if state not in COMMIT_STATES:
            return f"{what} not set: GitLab knows {', '.join(COMMIT_STATES)}"
        if context.available and not (context.pipeline_id and context.commit_sha):
            return f"{what} not set: CI_PIPELINE_ID or CI_COMMIT_SHA is missing"
        if context.available and not choose_tokens(self._connection.tokens, Operation.STATUS):
            return f"{what} not set: {explain_missing(context, Operation.STATUS)}"
        fields = {
            "state": state,
            "name": name,
            "pipeline_id": context.pipeline_id,
            "ref": context.commit_ref,
            # GitLab's limit of a status' description is 255 characters.
            **({"description": description[:255]} if description else {}),
            **({"target_url": target_url} if target_url else {}),
        }

        def work(session: Session) -> str:
            return session.run(Operation.STATUS, lambda client, _token: self._set(client, fields))

        return self._connection.attempt(what, work)

    def _set(self, client: BoundedGitlab, fields: dict[str, Any]) -> str:
        import requests
        from gitlab.exceptions import GitlabError

        context = self._connection.context
        commit = client.projects.get(context.project, lazy=True).commits.get(context.commit_sha, lazy=True)
        try:
            commit.statuses.create(fields)
        except (requests.RequestException, GitlabError) as error:
            code = getattr(error, "response_code", 0) or 0
            if code == 400 and "cannot transition" in str(getattr(error, "error_message", "")).lower():
                if self._current(commit, fields) == fields["state"]:
                    return ""  # it is in that state already
                raise
            lost = isinstance(error, requests.RequestException) or code >= 500
            if not lost:
                raise
            if self._current(commit, fields) != fields["state"]:
                commit.statuses.create(fields)
        return ""

    @staticmethod
    def _current(commit: Any, fields: dict[str, Any]) -> str:
        """Return the present state of the status, "" where there is none."""
        listed = commit.statuses.list(
            name=fields["name"], pipeline_id=fields["pipeline_id"], order_by="id", sort="desc", get_all=False
        )
        return str(listed[0].attributes.get("status", "")) if listed else ""
