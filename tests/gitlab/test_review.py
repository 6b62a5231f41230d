"""Threads, labels and the environment's address against the emulated GitLab."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from gitlab_mesh.gitlab import DeploymentRecords, MergeRequestLabels, ReviewThreads, StickyNotes
from gitlab_mesh.sandbox.gitlab import Fault, Role
from gitlab_mesh.sandbox.gitlab.entities import present_merge_request

if TYPE_CHECKING:
    from tests.gitlab.conftest import World

FAMILY = ("mesh::rejected", "mesh::promoted")


def mergeable(world: World) -> str:
    world.project.threads_must_be_resolved = True
    return str(present_merge_request(world.merge_request, "")["detailed_merge_status"])


def test_a_thread_blocks_the_merge_until_the_next_good_release(world: World) -> None:
    assert ReviewThreads(world.connect(world.job())).open("shop", "rejected") == ""
    assert mergeable(world) == "discussions_not_resolved"
    [note] = world.notes()
    assert note.threaded
    assert ReviewThreads(world.connect(world.job())).resolve("shop", "promoted") == ""
    assert mergeable(world) == "mergeable"
    assert world.notes() == [note]
    assert note.body.startswith("promoted")


def test_the_same_thread_is_opened_again(world: World) -> None:
    for work, body in (("open", "one"), ("resolve", "two"), ("open", "three"), ("open", "three")):
        assert getattr(ReviewThreads(world.connect(world.job())), work)("shop", body) == ""
    [note] = world.notes()
    assert note.body.startswith("three")
    assert note.resolved_by is None


def test_without_a_thread_there_is_nothing_to_resolve(world: World) -> None:
    assert ReviewThreads(world.connect(world.job())).resolve("shop", "promoted") == ""
    assert world.notes() == []
    assert world.sent("POST") == world.sent("PUT") == []


def test_an_older_pipeline_neither_opens_nor_resolves(world: World) -> None:
    old, new = world.job(), world.job()
    assert ReviewThreads(world.connect(new)).open("shop", "rejected") == ""
    for work in ("open", "resolve"):
        assert "a newer run" in getattr(ReviewThreads(world.connect(old)), work)("shop", "late")
    [note] = world.notes()
    assert (note.body.split("\n")[0], note.resolved_by) == ("rejected", None)


def test_each_service_has_its_own_thread_and_the_notes_are_others(world: World) -> None:
    connection = world.connect(world.job())
    threads, notes = ReviewThreads(connection), StickyNotes(connection)
    assert threads.open("shop", "a") == threads.open("cart", "b") == notes.post("shop", "c") == ""
    assert len(world.notes()) == 3
    assert threads.resolve("cart", "d") == ""
    assert [note.resolved_by is not None for note in world.notes()] == [False, True, False]
    assert notes.read_all() == ({"shop": "c"}, "")


def test_a_lost_answer_does_not_double_the_thread(world: World) -> None:
    world.server.faults.append(Fault(502, method="POST", path="/discussions", after=True))
    assert ReviewThreads(world.connect(world.job())).open("shop", "x") == ""
    assert len(world.notes()) == 1


def test_two_jobs_that_open_it_together_leave_one(world: World) -> None:
    jobs = [world.job() for _ in range(8)]
    barrier = threading.Barrier(len(jobs))

    def work(index: int) -> None:
        barrier.wait()
        ReviewThreads(world.connect(jobs[index], budget_seconds=30.0)).open("shop", f"state {index}")

    workers = [threading.Thread(target=work, args=(index,)) for index in range(len(jobs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert ReviewThreads(world.connect(jobs[-1])).open("shop", "last") == ""
    assert [note.body.split("\n")[0] for note in world.notes()] == ["last"]


def test_one_label_of_the_family_on_every_tier(world: World) -> None:
    world.merge_request.labels = ["bug", "mesh::promoted"]
    labels = MergeRequestLabels(world.connect(world.job()))
    assert labels.put("mesh::rejected", family=FAMILY) == ""
    assert world.merge_request.labels == ["bug", "mesh::rejected"]
    assert "separates labels by commas" in labels.put("a,b", family=())


def test_the_environment_gets_its_address_with_the_job_token_alone(world: World) -> None:
    records = DeploymentRecords(world.connect(world.job(), token=""), environment_url="https://shop.example")
    assert records.record("production", "running") == ""
    [environment] = world.project.environments.values()
    assert environment.external_url == "https://shop.example"
    assert records.record("production", "success") == ""
    assert len(world.sent("PUT", "/environments/")) == 1, "an equal address is not sent again"


def test_a_deployment_is_recorded_although_the_address_cannot_be_set(world: World) -> None:
    world.server.faults.append(Fault(403, path="/environments/", times=-1))
    records = DeploymentRecords(world.connect(world.job()), environment_url="https://shop.example")
    assert "address of environment production not set: GitLab answered 403" in records.record("production", "running")
    assert [item.status for item in world.project.deployments.values()] == ["running"]


def test_the_running_deployment_of_another_pipeline_is_ended_and_none_is_made(world: World) -> None:
    first = world.job()
    assert DeploymentRecords(world.connect(first)).record("production", "running") == ""
    merged = world.server.start_pipeline(world.project, world.dana, sha="b" * 40)
    other = DeploymentRecords(world.connect(world.job(merged)))
    assert other.record("production", "canceled", commit="c" * 40) == ""
    assert [item.status for item in world.project.deployments.values()] == ["running"]
    assert other.record("production", "canceled", commit=first.pipeline.sha) == ""
    assert [item.status for item in world.project.deployments.values()] == ["canceled"]


@pytest.mark.parametrize("call", ["open", "resolve", "label"])
@pytest.mark.parametrize(
    ("role", "expected"), [(None, "set GITLAB_MESH_TOKEN"), (Role.REPORTER, "scope api, role Developer or higher")]
)
def test_what_is_missing_is_said_in_one_line(world: World, call: str, role: Role | None, expected: str) -> None:
    token = world.server.add_project_token(world.project, role=role) if role else ""
    connection = world.connect(world.job(), token=token)
    if call == "resolve":
        assert ReviewThreads(world.connect(world.job())).open("shop", "x") == ""
        world.notes()[0].author = next(
            (user for user in world.server.state.users.values() if role and world.project.members.get(user.id) == role),
            world.dana,
        )
        connection = world.connect(world.job(), token=token)
    answers = {
        "open": lambda: ReviewThreads(connection).open("shop", "x"),
        "resolve": lambda: ReviewThreads(connection).resolve("shop", "x"),
        "label": lambda: MergeRequestLabels(connection).put("mesh::promoted", family=FAMILY),
    }
    answer = answers[call]()
    if call == "open" and role:  # a Reporter may comment, so he may open a thread; only resolving takes more
        assert answer == ""
        return
    assert expected in answer
    assert "\n" not in answer
