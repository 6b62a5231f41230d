"""Deployment records with true states, written with whatever token may (the job token may).

A job with ``environment:`` and the default ``action: start`` makes GitLab record a deployment by itself; ours would
double it. Our templates say ``action: verify``, and only then are these the environment's deployments.
Facts: GitLab docs "Deployments API", ``lib/api/deployments.rb``, ``app/models/deployment.rb``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gitlab_mesh.gitlab.connection import Connection, Session
from gitlab_mesh.gitlab.tokens import Operation

if TYPE_CHECKING:
    from gitlab_mesh.gitlab.client import BoundedGitlab

__all__ = ["DEPLOYMENT_STATUSES", "DeploymentRecords"]

DEPLOYMENT_STATUSES = ("running", "success", "failed", "canceled")


class DeploymentRecords:
    """The deployments of one CI job: one record an environment, from running to its end.

    Args:
        connection: Shared with the rest.
        environment_url: Address of the environment for GitLab's "View deployment" button; default:
            ``CI_ENVIRONMENT_URL``. GitLab itself takes it over only for jobs with ``action: start``.
    """

    def __init__(self, connection: Connection, *, environment_url: str = "") -> None:
        self._connection = connection
        self._environment_url = environment_url or connection.context.environment_url
        self._open: dict[str, int] = {}

    def record(self, environment: str, status: str, *, commit: str = "") -> str:
        """Record the state of this commit's deployment to an environment.

        The first call creates the record, later calls move it; a record left running by an earlier process of
        the same commit (a retry, ``after_script``) is found and moved. After its end the next call opens another.

        Args:
            environment: Name of the environment; GitLab creates it where it does not exist.
            status: running, success, failed (a rejected canary too) or canceled.
            commit: End the running record of this commit (another pipeline's), and make no new one.

        Returns:
            "" or one line with what could not be done, and which scope or role would allow it.
        """
        what = f"deployment of {environment} ({status})"
        if status not in DEPLOYMENT_STATUSES:
            return f"{what} not recorded: GitLab knows {', '.join(DEPLOYMENT_STATUSES)}"

        def work(session: Session) -> str:
            return session.run(
                Operation.DEPLOYMENT, lambda client, _token: self._record(client, environment, status, commit)
            )

        return self._connection.attempt(what, work)

    def _record(self, client: BoundedGitlab, environment: str, status: str, commit: str) -> str:
        context = self._connection.context
        foreign = commit if commit != context.source_sha else ""
        deployments = client.projects.get(context.project, lazy=True).deployments
        record = None
        open_id = None if foreign else self._open.get(environment)
        if open_id is None:
            record = self._find(deployments, environment, "running", foreign or context.source_sha)
            open_id = int(record["id"]) if record else None
        if open_id is None and foreign:
            return ""
        if open_id is None:
            record = self._create(deployments, environment, status)
            open_id = int(record["id"])
        elif status != "running":  # GitLab answers 400 to running → running
            record = deployments.update(open_id, {"status": status})
        if status == "running":
            self._open[environment] = open_id
        else:
            self._open.pop(environment, None)
        return self._link(client, environment, record or {})

    def _link(self, client: BoundedGitlab, environment: str, record: Mapping[str, Any]) -> str:
        """Give the environment its address, where it has another; the record is written whatever happens here."""
        url = self._environment_url
        shown = record.get("environment")
        if not url.lower().startswith(("http://", "https://")) or not isinstance(shown, dict):
            return ""
        if shown.get("external_url") == url:
            return ""
        project = client.projects.get(self._connection.context.project, lazy=True)
        try:
            project.environments.update(int(shown["id"]), {"external_url": url})
        except Exception as error:
            from gitlab_mesh.gitlab.client import translate

            return f"address of environment {environment} not set: {translate(error, None).what}"
        return ""

    def _create(self, deployments: Any, environment: str, status: str) -> Mapping[str, Any]:
        import requests
        from gitlab.exceptions import GitlabError

        context = self._connection.context
        fields = {
            "environment": environment,
            "sha": context.source_sha,
            "ref": context.commit_ref,
            "tag": bool(context.commit_tag),
            "status": status,
        }
        try:
            created: Mapping[str, Any] = deployments.create(fields).attributes
            return created
        except (requests.RequestException, GitlabError) as error:
            lost = isinstance(error, requests.RequestException) or (getattr(error, "response_code", 0) or 0) >= 500
            if not lost:
                raise
        # The answer got lost, the record perhaps not: look before the one repetition.
        found = self._find(deployments, environment, status, context.source_sha)
        return found if found is not None else dict(deployments.create(fields).attributes)

    @staticmethod
    def _find(deployments: Any, environment: str, status: str, commit: str) -> Mapping[str, Any] | None:
        """Return the newest record of a commit that was made through the API (those of jobs cannot be moved)."""
        listed = deployments.list(
            environment=environment, status=status, order_by="id", sort="desc", per_page=20, get_all=False
        )
        for item in listed:
            fields: Mapping[str, Any] = item.attributes
            if fields.get("sha") == commit and not fields.get("deployable"):
                return fields
        return None
