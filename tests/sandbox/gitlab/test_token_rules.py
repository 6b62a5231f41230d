"""GitLab's token rules, one row each: who may do what, and how a refusal looks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gitlab_mesh.sandbox.gitlab import GitlabServer
from gitlab_mesh.sandbox.gitlab.messages import Answer

if TYPE_CHECKING:
    from tests.sandbox.gitlab.conftest import Stage

MR = "projects/acme%2Fshop/merge_requests/1"
DEPLOYMENT = {"environment": "production", "sha": "a" * 40, "ref": "main", "tag": False, "status": "running"}


def send(stage: Stage, who: str, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
    headers = {"Content-Type": "application/json"}
    if who == "job":
        headers["JOB-TOKEN"] = stage.job.token
    elif who != "nobody":
        headers["PRIVATE-TOKEN"] = stage.tokens[who]
    sha, pipeline = stage.job.pipeline.sha, stage.job.pipeline.id
    made = make_deployment(stage) if "{deployment}" in path or "{environment}" in path else {}
    target = "/api/v4/" + path.format(sha=sha, pipeline=pipeline, job=stage.job.id, id=stage.project.id, **made)
    return stage.server.handle(method, target, headers, json.dumps(body).encode() if body else b"")


def make_deployment(stage: Stage) -> dict[str, int]:
    """Deploy as a Developer; return the ids."""
    made = send(stage, "developer", "POST", "projects/{id}/deployments", DEPLOYMENT).json()
    return {"deployment": made["id"], "environment": made["environment"]["id"]}


# What the job token may and may not (GitLab docs "CI/CD job token" and its fine-grained permissions).
JOB_TOKEN = [
    ("GET", "job", None, 200),
    ("GET", MR, None, 200),
    ("GET", "projects/{id}/merge_requests", None, 200),
    ("GET", f"{MR}/notes", None, 200),
    ("GET", "projects/{id}/repository/commits/{sha}", None, 200),
    ("GET", "projects/{id}/repository/commits/{sha}/merge_requests", None, 200),
    ("GET", "projects/{id}/deployments", None, 200),
    ("POST", "projects/{id}/deployments", DEPLOYMENT, 201),
    ("GET", "projects/{id}/deployments/{deployment}", None, 200),
    ("PUT", "projects/{id}/deployments/{deployment}", {"status": "failed"}, 200),
    ("GET", "projects/{id}/deployments/{deployment}/merge_requests", None, 200),
    ("GET", "projects/{id}/environments", None, 200),
    ("GET", "projects/{id}/environments/{environment}", None, 200),
    ("PUT", "projects/{id}/environments/{environment}", {"external_url": "https://x.example"}, 200),
    ("POST", "projects/{id}/environments/{environment}/stop", None, 200),
    ("POST", "projects/{id}/environments", {"name": "staging"}, 201),
    ("GET", "projects/{id}/jobs", None, 200),
    ("GET", "projects/{id}/pipelines/{pipeline}/jobs", None, 200),
    ("PUT", "projects/{id}/pipelines/{pipeline}/metadata", {"name": "canary"}, 200),
    ("POST", f"{MR}/notes", {"body": "x"}, 401),
    ("PUT", f"{MR}/notes/1", {"body": "x"}, 401),
    ("DELETE", f"{MR}/notes/1", None, 401),
    ("GET", f"{MR}/discussions", None, 401),
    ("POST", f"{MR}/discussions", {"body": "x"}, 401),
    ("PUT", MR, {"add_labels": ["x"]}, 401),
    ("POST", "projects/{id}/uploads", None, 401),
    ("POST", "projects/{id}/statuses/{sha}", {"state": "success"}, 401),
    ("GET", "projects/{id}/repository/commits/{sha}/statuses", None, 401),
    ("GET", "projects/{id}/pipelines/{pipeline}", None, 401),
    ("GET", "projects/{id}/jobs/{job}", None, 401),
    ("GET", "user", None, 401),
    ("GET", "version", None, 401),
    ("GET", "projects/{id}", None, 404),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), JOB_TOKEN, ids=lambda value: str(value)[:60])
def test_the_job_token(quiet_stage: Stage, method: str, path: str, body: dict[str, Any] | None, status: int) -> None:
    assert send(quiet_stage, "job", method, path, body).status == status


@pytest.mark.parametrize(
    ("state", "status"), [("running", 200), ("canceling", 200), ("canceled", 401), ("failed", 401)]
)
def test_the_job_token_lives_as_long_as_its_job(quiet_stage: Stage, state: str, status: int) -> None:
    quiet_stage.job.status = state
    assert send(quiet_stage, "job", "GET", "job").status == status


def test_the_job_token_stays_in_its_project_unless_the_other_lists_it(quiet_stage: Stage) -> None:
    other = quiet_stage.server.add_project("acme/other", quiet_stage.dana)
    refused = send(quiet_stage, "job", "GET", "projects/acme%2Fother/deployments")
    assert refused.status == 403
    assert "not allowed from acme/shop to acme/other" in refused.json()["message"]
    other.job_token_allowlist.add(quiet_stage.project.id)
    assert send(quiet_stage, "job", "GET", "projects/acme%2Fother/deployments").status == 200


ROLES = [
    ("nobody", "GET", MR, None, 401, {"message": "401 Unauthorized"}),
    ("unknown", "GET", MR, None, 401, {"message": "401 Unauthorized"}),
    ("expired", "GET", MR, None, 401, None),
    ("stranger", "GET", MR, None, 404, {"message": "404 Project Not Found"}),
    ("guest", "GET", MR, None, 403, {"message": "403 Forbidden"}),
    ("reporter", "GET", MR, None, 200, None),
    ("reporter", "POST", f"{MR}/notes", {"body": "x"}, 201, None),
    ("reporter", "POST", "projects/{id}/deployments", DEPLOYMENT, 403, {"message": "403 Forbidden"}),
    ("reporter", "POST", "projects/{id}/statuses/{sha}", {"state": "success"}, 403, None),
    ("developer", "POST", "projects/{id}/statuses/{sha}", {"state": "success"}, 201, None),
    ("reporter", "POST", f"{MR}/discussions", {"body": "x"}, 201, None),
    ("reporter", "PUT", MR, {"add_labels": ["x"]}, 403, {"message": "403 Forbidden"}),
    ("developer", "PUT", MR, {"add_labels": ["x"]}, 200, None),
    ("developer", "PUT", MR, {}, 400, None),
    ("read_api", "PUT", MR, {"add_labels": ["x"]}, 403, None),
    ("read_api", "GET", f"{MR}/notes", None, 200, None),
    ("read_api", "POST", f"{MR}/notes", {"body": "x"}, 403, None),
    ("developer", "GET", "projects/acme%2Fmissing", None, 404, {"message": "404 Project Not Found"}),
    ("developer", "GET", "projects/{id}/merge_requests/99", None, 404, {"message": "404 Not found"}),
    ("developer", "POST", f"{MR}/notes", {}, 400, {"error": "body is missing"}),
    ("developer", "POST", f"{MR}/notes", {"body": "x" * 1_000_001}, 400, None),
    ("developer", "GET", "projects/{id}/nonsense", None, 404, {"error": "404 Not Found"}),
    ("developer", "GET", f"{MR}/notes?sort=sideways", None, 400, {"error": "sort does not have a valid value"}),
]


@pytest.mark.parametrize(("who", "method", "path", "body", "status", "said"), ROLES, ids=lambda value: str(value)[:40])
def test_roles_scopes_and_forms_of_refusal(
    quiet_stage: Stage, who: str, method: str, path: str, body: dict[str, Any] | None, status: int, said: Any
) -> None:
    answer = send(quiet_stage, who, method, path, body)
    assert answer.status == status
    if said is not None:
        assert answer.json() == said


def test_a_narrow_scope_is_named(quiet_stage: Stage) -> None:
    answer = send(quiet_stage, "read_api", "POST", f"{MR}/notes", {"body": "x"})
    assert (answer.json()["error"], answer.json()["scope"]) == ("insufficient_scope", "api")


@pytest.mark.parametrize(("who", "status"), [("reporter", 403), ("maintainer", 200), ("developer", 200)])
def test_notes_of_others_are_for_their_author_and_maintainers(quiet_stage: Stage, who: str, status: int) -> None:
    note = quiet_stage.server.comment(quiet_stage.merge_request, quiet_stage.dana, "mine")
    assert send(quiet_stage, who, "PUT", f"{MR}/notes/{note.id}", {"body": "yours"}).status == status
    assert note.body == ("yours" if status == 200 else "mine")


@pytest.mark.parametrize(("who", "status"), [("job", 401), ("reporter", 403), ("developer", 200)])
def test_threads_are_resolved_by_developers(quiet_stage: Stage, who: str, status: int) -> None:
    note = quiet_stage.server.comment(quiet_stage.merge_request, quiet_stage.dana, "bad", thread=True)
    path = f"{MR}/discussions/{note.discussion}"
    assert send(quiet_stage, who, "PUT", path, {"resolved": True}).status == status
    assert (note.resolved_by is not None) is (status == 200)


def test_labels_are_added_taken_off_and_created(quiet_stage: Stage) -> None:
    quiet_stage.merge_request.labels = ["bug", "mesh::promoted"]
    change = {"add_labels": ["mesh::rejected"], "remove_labels": ["mesh::promoted", "not there"]}
    answer = send(quiet_stage, "developer", "PUT", MR, change)
    assert answer.json()["labels"] == quiet_stage.merge_request.labels == ["bug", "mesh::rejected"]
    texts = {"add_labels": "a,b", "remove_labels": "bug"}
    assert send(quiet_stage, "developer", "PUT", MR, texts).json()["labels"] == ["mesh::rejected", "a", "b"]


def test_too_many_notes_a_minute(quiet_stage: Stage) -> None:
    quiet_stage.server._notes_per_minute = 2
    answers = [send(quiet_stage, "reporter", "POST", f"{MR}/notes", {"body": "x"}) for _ in range(3)]
    assert [answer.status for answer in answers] == [201, 201, 429]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert send(quiet_stage, "developer", "POST", f"{MR}/notes", {"body": "x"}).status == 201, "the limit is per user"


def test_broken_json_and_foreign_content_types(quiet_stage: Stage) -> None:
    server: GitlabServer = quiet_stage.server
    headers = {"PRIVATE-TOKEN": quiet_stage.tokens["developer"], "Content-Type": "application/json"}
    assert server.handle("POST", f"/api/v4/{MR}/notes", headers, b"{").status == 400
    headers["Content-Type"] = "text/csv"
    assert server.handle("POST", f"/api/v4/{MR}/notes", headers, b"x").status == 406
