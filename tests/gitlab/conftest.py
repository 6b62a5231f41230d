"""An emulated GitLab with one project, its people and tokens, served on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from gitlab_mesh.gitlab import Connection, read_ci
from gitlab_mesh.sandbox.gitlab import GitlabListener, GitlabServer, Role
from gitlab_mesh.sandbox.gitlab.contract import Contract
from gitlab_mesh.sandbox.gitlab.messages import Request
from gitlab_mesh.sandbox.gitlab.state import Job, MergeRequest, Note, Pipeline, Project, User


@dataclass
class World:
    """What a test needs of the instance."""

    server: GitlabServer
    dana: User
    project: Project
    merge_request: MergeRequest
    token: str
    connections: list[Connection] = field(default_factory=list)

    def job(self, pipeline: Pipeline | None = None, name: str = "canary") -> Job:
        chosen = pipeline or self.server.start_pipeline(self.project, self.dana, merge_request=self.merge_request)
        return self.server.start_job(chosen, name, environment="production")

    def connect(self, job: Job, *, token: str | None = None, **options: object) -> Connection:
        """Connect as the job, with the project token unless another (or "") is given."""
        value = self.token if token is None else token
        extra = {"GITLAB_MESH_TOKEN": value} if value else {}
        connection = Connection(read_ci(self.server.ci_variables(job) | extra), **options)  # type: ignore[arg-type]
        self.connections.append(connection)
        return connection

    def notes(self) -> list[Note]:
        return self.merge_request.notes

    def sent(self, method: str, part: str = "") -> list[Request]:
        return [request for request in self.server.requests if request.method == method and part in request.path]


def build_world(server: GitlabServer) -> World:
    dana = server.add_user("dana", "Dana Smith")
    project = server.add_project("acme/shop", dana)
    merge_request = server.open_merge_request(project, dana, "Raise the limits", source_branch="raise-limits")
    token = server.add_project_token(project, role=Role.DEVELOPER)
    return World(server, dana, project, merge_request, token)


@pytest.fixture
def make_world() -> Callable[[GitlabServer], World]:
    return build_world


@pytest.fixture
def world(gitlab_contract: Contract | None) -> Iterator[World]:
    server = GitlabServer(contract=gitlab_contract)
    built = build_world(server)
    with GitlabListener(server):
        yield built
        for connection in built.connections:
            connection.close()
