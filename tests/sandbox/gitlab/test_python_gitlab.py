"""python-gitlab, unmodified, works against the emulated GitLab."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gitlab
import pytest

from gitlab_mesh.sandbox.gitlab import Fault

if TYPE_CHECKING:
    from tests.sandbox.gitlab.conftest import Stage

Clients = Callable[[str], gitlab.Gitlab]


def merge_request_of(client: gitlab.Gitlab) -> Any:
    return client.projects.get("acme/shop").mergerequests.get(1)


def test_who_am_i_and_which_version(clients: Clients) -> None:
    client = clients("developer")
    client.auth()
    assert client.user is not None
    assert client.user.username == "dana"
    assert client.version()[0].startswith("19.")
    bearer = clients("bearer")
    bearer.auth()
    assert bearer.user is not None
    assert bearer.user.username == "dana"


def test_project_by_id_and_by_path(stage: Stage, clients: Clients) -> None:
    client = clients("developer")
    assert (
        client.projects.get(stage.project.id).path_with_namespace
        == client.projects.get("acme/shop").path_with_namespace
    )


def test_notes_from_creation_to_deletion(clients: Clients) -> None:
    merge_request = merge_request_of(clients("developer"))
    note = merge_request.notes.create({"body": "hello"})
    assert (note.body, note.author["username"], note.noteable_iid) == ("hello", "dana", 1)
    note.body = "changed"
    note.save()
    assert merge_request.notes.get(note.id).body == "changed"
    note.delete()
    assert merge_request.notes.list(get_all=True) == []


def test_pages_by_header(stage: Stage, clients: Clients) -> None:
    for number in range(45):
        stage.server.comment(stage.merge_request, stage.dana, f"note {number}")
    notes = merge_request_of(clients("developer")).notes
    page = notes.list(iterator=True, per_page=20)
    assert (page.total, page.total_pages, page.next_page, page.per_page) == (45, 3, 2, 20)
    assert len(list(page)) == 45
    oldest_first = [note.body for note in notes.list(get_all=True, sort="asc")]
    assert oldest_first == [f"note {number}" for number in range(45)]
    assert len(notes.list(page=3, per_page=20)) == 5


def test_a_note_of_only_quick_actions_gives_202_without_an_id(stage: Stage, clients: Clients) -> None:
    note = merge_request_of(clients("developer")).notes.create({"body": "/close"})
    assert "id" not in note.attributes
    assert note.commands_changes == {"state_event": "close"}
    assert stage.merge_request.state == "closed"
    assert stage.merge_request.notes == []


def test_quick_actions_among_words_run_and_vanish(stage: Stage, clients: Clients) -> None:
    note = merge_request_of(clients("developer")).notes.create({"body": "done\n/label ~ready\n```\n/close\n```"})
    assert note.body == "done\n```\n/close\n```"
    assert stage.merge_request.labels == ["ready"]
    assert stage.merge_request.state == "opened"


def test_threads_open_reply_resolve(stage: Stage, clients: Clients) -> None:
    stage.project.threads_must_be_resolved = True
    merge_request = merge_request_of(clients("developer"))
    thread = merge_request.discussions.create({"body": "rejected"})
    assert thread.attributes["notes"][0]["resolvable"] is True
    thread.notes.create({"body": "fixed"})
    assert merge_request_of(clients("developer")).detailed_merge_status == "discussions_not_resolved"
    thread.resolved = True
    thread.save()
    again = merge_request.discussions.get(thread.id)
    assert all(note["resolved"] for note in again.attributes["notes"])
    assert merge_request_of(clients("developer")).blocking_discussions_resolved is True


@pytest.mark.parametrize(
    ("moves", "refused"),
    [
        (("running", "success"), None),
        (("running", "failed", "success"), None),
        (("running", "running"), "run"),
        (("success", "success"), "succeed"),
        (("failed", "running"), "run"),
    ],
)
def test_deployments_move_as_gitlabs_do(clients: Clients, moves: tuple[str, ...], refused: str | None) -> None:
    deployments = clients("job").projects.get("acme/shop", lazy=True).deployments
    fields = {"environment": "production", "sha": "a" * 40, "ref": "main", "tag": False}
    deployment = deployments.create({**fields, "status": moves[0]})
    if refused is None:
        for status in moves[1:]:
            deployment.status = status
            deployment.save()
        assert deployments.get(deployment.id).status == moves[-1]
    else:
        deployment.status = moves[1]
        with pytest.raises(gitlab.GitlabUpdateError, match=f'cannot transition via "{refused}"') as caught:
            deployment.save()
        assert caught.value.response_code == 400


def test_the_deployment_of_a_job_cannot_be_moved(stage: Stage, clients: Clients) -> None:
    job = stage.server.start_job(stage.job.pipeline, "promote", environment="production", action="start")
    [listed] = clients("developer").projects.get("acme/shop").deployments.list(environment="production")
    assert listed.deployable["id"] == job.id
    listed.status = "success"
    with pytest.raises(gitlab.GitlabUpdateError, match="using GitLab CI") as caught:
        listed.save()
    assert caught.value.response_code == 403
    stage.server.finish_job(job, "success")
    assert clients("developer").projects.get("acme/shop").deployments.get(listed.id).status == "success"


def test_deployment_names_the_merge_requests_that_it_shipped(stage: Stage, clients: Clients) -> None:
    sha = stage.server.merge(stage.merge_request)
    project = clients("job").projects.get("acme/shop", lazy=True)
    fields = {"environment": "production", "sha": sha, "ref": "main", "tag": False, "status": "success"}
    deployment = project.deployments.create(fields)
    assert [item.iid for item in deployment.mergerequests.list(get_all=True)] == [1]
    assert [item["iid"] for item in project.commits.get(sha).merge_requests()] == [1]


def test_environments(clients: Clients) -> None:
    environments = clients("developer").projects.get("acme/shop").environments
    made = environments.create({"name": "review/x", "external_url": "https://x.example", "tier": "testing"})
    assert environments.list(name="review/x")[0].external_url == "https://x.example"
    with pytest.raises(gitlab.GitlabCreateError, match="already been taken"):
        environments.create({"name": "review/x"})
    made.stop()
    assert environments.get(made.id).state == "stopped"


def test_commit_statuses_need_the_pipeline_or_make_another(stage: Stage, clients: Clients) -> None:
    commit = clients("developer").projects.get("acme/shop").commits.get(stage.job.pipeline.sha)
    commit.statuses.create({"state": "running", "name": "mesh", "pipeline_id": stage.job.pipeline.id})
    with pytest.raises(gitlab.GitlabCreateError, match="Cannot transition status via :run from :running"):
        commit.statuses.create({"state": "running", "name": "mesh", "pipeline_id": stage.job.pipeline.id})
    commit.statuses.create({"state": "success", "name": "mesh", "pipeline_id": stage.job.pipeline.id})
    assert [status.status for status in commit.statuses.list(get_all=True)] == ["success"]
    before = len(stage.server.state.pipelines)
    commit.statuses.create({"state": "success", "name": "mesh", "ref": "another-branch"})
    assert len(stage.server.state.pipelines) == before + 1
    with pytest.raises(gitlab.GitlabCreateError, match="404 Pipeline for pipeline_id, sha and ref Not Found"):
        commit.statuses.create({"state": "success", "name": "mesh", "pipeline_id": 999999})


def test_uploads(stage: Stage, clients: Clients) -> None:
    answer = clients("developer").projects.get("acme/shop").upload("chart.png", filedata=b"\x89PNG")
    assert answer["markdown"].startswith("![chart](/uploads/")
    assert stage.project.uploads[answer["url"]] == b"\x89PNG"


def test_pipelines_and_jobs(stage: Stage, clients: Clients) -> None:
    project = clients("developer").projects.get("acme/shop")
    pipeline = project.pipelines.get(stage.job.pipeline.id)
    assert pipeline.status == "running"
    assert [job.name for job in pipeline.jobs.list(get_all=True)] == ["canary"]
    stage.server.finish_job(stage.job, "failed", log="the end")
    assert project.pipelines.get(pipeline.id).status == "failed"
    assert project.jobs.get(stage.job.id).trace() == b"the end"


def test_rate_limits_are_obeyed_by_python_gitlab(stage: Stage, clients: Clients) -> None:
    stage.server.faults.append(Fault(429, method="POST", headers={"Retry-After": "0"}))
    assert merge_request_of(clients("developer")).notes.create({"body": "x"}).id
    assert len([request for request in stage.server.requests if request.method == "POST"]) == 2


def test_several_instances_side_by_side(stage: Stage, clients: Clients) -> None:
    from gitlab_mesh.sandbox.gitlab import GitlabListener, GitlabServer

    other = GitlabServer(root="/gitlab")
    with GitlabListener(other) as listener:
        user = other.add_user("kim")
        other.add_project("acme/shop", user)
        client = gitlab.Gitlab(listener.url, private_token=other.add_personal_token(user))
        assert client.projects.get("acme/shop").web_url.startswith(listener.url)
        with pytest.raises(gitlab.GitlabAuthenticationError):
            clients("unknown").projects.get("acme/shop").mergerequests.list()
        client.session.close()
