"""The doctor on GitLab: which tokens, what each cannot do, and why a variable may be absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gitlab_mesh.gitlab import Connection, Operation, inspect_tokens, read_ci
from gitlab_mesh.sandbox.gitlab import Fault, GitlabListener, GitlabServer, Role
from gitlab_mesh.sandbox.gitlab.contract import Contract
from gitlab_mesh_jobs.doctor.model import Check, Level
from gitlab_mesh_jobs.doctor.tokens import check_gitlab

Connect = Callable[..., Connection]


@pytest.fixture
def server(gitlab_contract: Contract | None) -> Iterator[GitlabServer]:
    server = GitlabServer(contract=gitlab_contract)
    with GitlabListener(server):
        yield server


@pytest.fixture
def connect(server: GitlabServer) -> Iterator[Connect]:
    """Connect as a merge request's job; tokens by the name of their variable."""
    dana = server.add_user("dana", "Dana Smith")
    project = server.add_project("acme/shop", dana)
    merge_request = server.open_merge_request(project, dana, "Raise the limits")
    opened: list[Connection] = []

    def make(role: Role | None = None, *, scopes: tuple[str, ...] = ("api",), **env: str) -> Connection:
        job = server.start_job(server.start_pipeline(project, dana, merge_request=merge_request), "mesh-doctor")
        token = {"GITLAB_MESH_TOKEN": server.add_project_token(project, role=role, scopes=scopes)} if role else {}
        connection = Connection(read_ci({**server.ci_variables(job), **token, **env}), budget_seconds=3.0)
        opened.append(connection)
        return connection

    yield make
    for connection in opened:
        connection.close()


def by_subject(connection: Connection) -> dict[str, Check]:
    return {check.subject: check for check in check_gitlab(connection)}


def test_a_developers_token_can_do_everything(connect: Connect) -> None:
    connection = connect(Role.DEVELOPER)
    found = by_subject(connection)
    assert {check.level for check in found.values()} == {Level.OK}
    assert "role Developer" in found["GITLAB_MESH_TOKEN"].found
    assert "scopes api" in found["GITLAB_MESH_TOKEN"].found
    assert found["merge request"].found.endswith("!1")
    assert connection.tokens[0].value not in str(found)


def test_the_job_token_alone_lacks_the_rest_and_names_the_token_that_would_do(connect: Connect) -> None:
    found = by_subject(connect())
    assert found["CI_JOB_TOKEN"].level is Level.OK
    assert found["feedback"].level is Level.WARN
    assert "write notes" in found["feedback"].found
    assert "deployments" not in found["feedback"].found
    assert "GITLAB_MESH_TOKEN (masked, not protected)" in found["feedback"].fix
    assert "role Developer" in found["feedback"].fix


@pytest.mark.parametrize(
    ("role", "scopes", "cannot"),
    [
        (Role.REPORTER, ("api",), {Operation.DEPLOYMENT, Operation.STATUS, Operation.RESOLVE, Operation.LABEL}),
        (Role.DEVELOPER, ("read_api",), set(Operation) - {Operation.READ}),
        (Role.MAINTAINER, ("api",), set()),
        (Role.GUEST, ("api",), set(Operation)),
    ],
)
def test_what_scope_and_role_allow(
    connect: Connect, role: Role, scopes: tuple[str, ...], cannot: set[Operation]
) -> None:
    facts, problem = inspect_tokens(connect(role, scopes=scopes))
    assert problem == ""
    assert set(facts[0].cannot) == cannot
    assert facts[1].kind == "job"


def test_a_wrong_token_is_a_warning_and_is_named(connect: Connect) -> None:
    found = by_subject(connect(GITLAB_TOKEN="glpat-revoked-long-ago"))
    assert found["GITLAB_TOKEN"].level is Level.WARN
    assert "401" in found["GITLAB_TOKEN"].found
    assert "renew the variable GITLAB_TOKEN" in found["GITLAB_TOKEN"].fix
    assert "glpat" not in str(found)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "999"}, "pipelines of forks do not get"),
        ({"CI_COMMIT_REF_PROTECTED": "false"}, "protected variables are absent"),
        ({"CI_COMMIT_REF_PROTECTED": "true"}, ""),
    ],
)
def test_why_a_variable_may_be_absent(connect: Connect, env: dict[str, str], said: str) -> None:
    found = by_subject(connect(**env))["feedback"].found
    assert said in found
    assert (said != "") is ("; " in found)


def test_a_gitlab_that_does_not_answer(connect: Connect, server: GitlabServer) -> None:
    connection = connect(Role.DEVELOPER)
    server.faults.append(Fault(times=-1, drop=True))
    levels = {check.level for check in check_gitlab(connection) if check.code == 20}
    assert levels == {Level.FAIL}


def test_outside_of_gitlab_ci() -> None:
    [found] = check_gitlab(Connection(read_ci({})))
    assert found.level is Level.WARN
