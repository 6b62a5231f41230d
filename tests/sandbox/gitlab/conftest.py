"""An emulated GitLab on loopback, and python-gitlab as its users have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gitlab
import pytest

from gitlab_mesh.sandbox.gitlab import GitlabListener, GitlabServer, Role
from gitlab_mesh.sandbox.gitlab.contract import Contract
from gitlab_mesh.sandbox.gitlab.state import Job, MergeRequest, Project, User


@dataclass
class Stage:
    """A project with a Developer, a Reporter, a stranger, a merge request and a running job."""

    server: GitlabServer
    project: Project
    dana: User
    merge_request: MergeRequest
    job: Job
    tokens: dict[str, str]

    def client(self, who: str) -> gitlab.Gitlab:
        if who == "job":
            return gitlab.Gitlab(self.server.base_url, job_token=self.job.token)
        if who == "bearer":
            return gitlab.Gitlab(self.server.base_url, oauth_token=self.tokens["developer"])
        return gitlab.Gitlab(self.server.base_url, private_token=self.tokens[who])


def build_stage(server: GitlabServer) -> Stage:
    dana = server.add_user("dana", "Dana Smith")
    project = server.add_project("acme/shop", dana)
    reviewer = server.add_user("lee", "Lee Young")
    project.members[reviewer.id] = Role.REPORTER
    stranger = server.add_user("stranger")
    merge_request = server.open_merge_request(project, dana, "Raise the limits")
    pipeline = server.start_pipeline(project, dana, merge_request=merge_request)
    job = server.start_job(pipeline, "canary", environment="production")
    tokens = {
        "developer": server.add_personal_token(dana),
        "reporter": server.add_personal_token(reviewer),
        "maintainer": server.add_project_token(project, role=Role.MAINTAINER),
        "guest": server.add_project_token(project, role=Role.GUEST),
        "read_api": server.add_personal_token(dana, scopes=("read_api",)),
        "expired": server.add_personal_token(dana, expired=True),
        "stranger": server.add_personal_token(stranger),
        "unknown": "glpat-nobody-knows-this",
    }
    return Stage(server, project, dana, merge_request, job, tokens)


@pytest.fixture
def stage(gitlab_contract: Contract | None) -> Iterator[Stage]:
    server = GitlabServer(contract=gitlab_contract)
    with GitlabListener(server):
        yield build_stage(server)


@pytest.fixture
def quiet_stage() -> Stage:
    """The same without a socket, for ``server.handle``, and without the contract: its tests ask for refusals."""
    return build_stage(GitlabServer())


@pytest.fixture
def clients(stage: Stage) -> Iterator[Callable[[str], gitlab.Gitlab]]:
    opened: list[gitlab.Gitlab] = []

    def connect(who: str) -> gitlab.Gitlab:
        opened.append(stage.client(who))
        return opened[-1]

    yield connect
    for client in opened:
        client.session.close()
