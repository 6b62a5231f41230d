"""The shop's project in the emulated GitLab: people, a merge request, tokens, and jobs as GitLab would start them."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from gitlab_mesh.sandbox.gitlab import GitlabListener, GitlabServer, Role, render_merge_request_page
from gitlab_mesh.sandbox.gitlab.state import Job

__all__ = ["GitlabProject"]


class GitlabProject:
    """A GitLab with one project; close it when done.

    Args:
        title: Of the merge request.

    Attributes:
        server: The instance.
        url: Of the instance.
        project: ``shop/shop``.
        merge_request: The open one.
        token: A project access token that may write notes, as ``GITLAB_MESH_TOKEN`` should be.
    """

    def __init__(self, title: str) -> None:
        self.server = GitlabServer()
        self._listener = GitlabListener(self.server)
        self.url = self._listener.url
        self.author = self.server.add_user("dev", "A developer")
        self.project = self.server.add_project("shop/shop", self.author)
        self.merge_request = self.server.open_merge_request(
            self.project, self.author, title, source_branch="release", description="Releases the shop."
        )
        self.token = self.server.add_project_token(self.project, role=Role.DEVELOPER)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def merge_request_url(self) -> str:
        """Page of the merge request."""
        return f"{self.url}/{self.project.path}/-/merge_requests/{self.merge_request.iid}"

    def merge_request_page(self) -> str:
        """Return the page as one HTML file."""
        return render_merge_request_page(self.server, self.project.path, self.merge_request.iid)

    def start_job(self, name: str, *, environment: str = "production") -> tuple[Job, dict[str, str]]:
        """Start a job in a new pipeline of the merge request; return it with the variables that it would see."""
        pipeline = self.server.start_pipeline(self.project, self.author, merge_request=self.merge_request)
        job = self.server.start_job(pipeline, name, environment=environment)
        return job, {**self.server.ci_variables(job), "GITLAB_MESH_TOKEN": self.token}

    def close(self) -> None:
        """Stop serving; what was written stays readable in ``server``."""
        self._listener.close()
