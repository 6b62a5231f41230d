"""Deployment records and commit statuses against the emulated GitLab."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitlab_mesh.gitlab import CommitStatuses, DeploymentRecords
from gitlab_mesh.sandbox.gitlab import Fault, Role

if TYPE_CHECKING:
    from tests.gitlab.conftest import World


def states(world: World) -> list[tuple[str, str]]:
    return [(item.environment.name, item.status) for item in world.project.deployments.values()]


@pytest.mark.parametrize("end", ["success", "failed", "canceled"])
def test_one_record_from_running_to_its_end_with_the_job_token_alone(world: World, end: str) -> None:
    records = DeploymentRecords(world.connect(world.job(), token=""))
    assert records.record("production", "running") == ""
    assert records.record("production", "running") == ""
    assert states(world) == [("production", "running")]
    assert records.record("production", end) == ""
    assert states(world) == [("production", end)]


def test_after_the_end_comes_a_record_of_its_own(world: World) -> None:
    records = DeploymentRecords(world.connect(world.job()))
    for status in ("running", "failed", "success"):
        assert records.record("production", status) == ""
    assert states(world) == [("production", "failed"), ("production", "success")]


def test_a_record_left_running_by_a_dead_job_is_finished_by_the_next(world: World) -> None:
    first = world.job()
    assert DeploymentRecords(world.connect(first)).record("production", "running") == ""
    world.server.finish_job(first, "failed")
    retry = world.job(first.pipeline)
    assert DeploymentRecords(world.connect(retry)).record("production", "failed") == ""
    assert states(world) == [("production", "failed")]


def test_gitlabs_own_deployment_of_a_job_is_left_alone(world: World) -> None:
    pipeline = world.server.start_pipeline(world.project, world.dana, merge_request=world.merge_request)
    job = world.server.start_job(pipeline, "promote", environment="production", action="start")
    assert DeploymentRecords(world.connect(job)).record("production", "success") == ""
    assert states(world) == [("production", "running"), ("production", "success")]


def test_a_reporter_token_falls_back_to_the_job_token(world: World) -> None:
    token = world.server.add_project_token(world.project, role=Role.REPORTER)
    assert DeploymentRecords(world.connect(world.job(), token=token)).record("production", "running") == ""
    [deployment] = world.project.deployments.values()
    assert deployment.user is world.dana


def test_a_lost_answer_does_not_double_the_record(world: World) -> None:
    world.server.faults.append(Fault(504, method="POST", after=True))
    assert DeploymentRecords(world.connect(world.job())).record("production", "running") == ""
    assert states(world) == [("production", "running")]


def test_a_word_that_gitlab_does_not_know(world: World) -> None:
    assert "GitLab knows running, success" in DeploymentRecords(world.connect(world.job())).record("x", "rejected")
    assert world.server.requests == []


def test_a_dead_job_token_is_said(world: World) -> None:
    job = world.job()
    world.server.finish_job(job, "canceled")
    answer = DeploymentRecords(world.connect(job, token="")).record("production", "failed")
    assert "GitLab answered 401 to CI_JOB_TOKEN" in answer


def test_commit_status_goes_to_the_named_pipeline(world: World) -> None:
    job = world.job()
    world.server.start_pipeline(world.project, world.dana, merge_request=world.merge_request)
    statuses = CommitStatuses(world.connect(job))
    assert statuses.set("running", "mesh", description="x" * 300) == ""
    assert statuses.set("running", "mesh") == ""
    assert statuses.set("failed", "mesh", target_url="https://grafana.example/d/1") == ""
    [status] = world.project.statuses
    assert (status.status, status.pipeline, len(status.description or "")) == ("failed", job.pipeline, 255)


def test_commit_status_with_the_job_token_alone_says_what_is_missing(world: World) -> None:
    answer = CommitStatuses(world.connect(world.job(), token="")).set("success", "mesh")
    assert "cannot write commit statuses" in answer
    assert "role Developer or higher" in answer
    assert world.server.requests == []


def test_a_lost_answer_does_not_double_the_status(world: World) -> None:
    world.server.faults.append(Fault(502, method="POST", after=True))
    assert CommitStatuses(world.connect(world.job())).set("success", "mesh") == ""
    assert len(world.project.statuses) == 1
