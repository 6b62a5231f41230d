"""Finding the merge request in every pipeline kind that GitLab has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitlab_mesh.gitlab import Connection, find_merge_request, read_ci
from gitlab_mesh.sandbox.gitlab import Fault
from gitlab_mesh.sandbox.gitlab.scene import sha_of

if TYPE_CHECKING:
    from tests.gitlab.conftest import World


def test_merge_request_pipeline_asks_nobody(world: World) -> None:
    found = find_merge_request(world.connect(world.job(), token=""))
    assert [(item.project, item.iid) for item in found.merge_requests] == [(str(world.project.id), 1)]
    assert found.merge_requests[0].url == f"{world.server.base_url}/acme/shop/-/merge_requests/1"
    assert world.server.requests == []


def test_fork_pipeline_names_the_target_project(world: World) -> None:
    fork = world.server.add_project("dana/shop", world.dana)
    merge_request = world.server.open_merge_request(world.project, world.dana, "Fork", source_project=fork)
    pipeline = world.server.start_pipeline(fork, world.dana, merge_request=merge_request)
    [found] = find_merge_request(world.connect(world.job(pipeline))).merge_requests
    assert (found.project, found.iid) == (str(world.project.id), merge_request.iid)
    assert found.project != str(fork.id)


def test_merged_result_pipeline_has_a_temporary_commit(world: World) -> None:
    pipeline = world.server.start_pipeline(
        world.project, world.dana, merge_request=world.merge_request, sha=sha_of("temporary merge")
    )
    connection = world.connect(world.job(pipeline))
    assert connection.context.source_sha == world.merge_request.shas[-1] != connection.context.commit_sha
    assert find_merge_request(connection).merge_requests[0].iid == 1


def test_branch_pipeline_with_open_merge_requests(world: World) -> None:
    world.server.open_merge_request(world.project, world.dana, "Second", source_branch="raise-limits")
    pipeline = world.server.start_pipeline(world.project, world.dana, ref="raise-limits")
    found = find_merge_request(world.connect(world.job(pipeline), token=""))
    assert [(item.project, item.iid) for item in found.merge_requests] == [("acme/shop", 1), ("acme/shop", 2)]


@pytest.mark.parametrize("how", ["merge_commit", "squash", "fast_forward"])
@pytest.mark.parametrize("token", ["project", "job"])
def test_default_branch_after_the_merge(world: World, how: str, token: str) -> None:
    sha = world.server.merge(world.merge_request, how=how)
    pipeline = world.server.start_pipeline(world.project, world.dana, sha=sha)
    connection = world.connect(world.job(pipeline), token="" if token == "job" else None)
    assert [item.iid for item in find_merge_request(connection).merge_requests] == [1]


def test_tag_on_a_merge_commit(world: World) -> None:
    sha = world.server.merge(world.merge_request)
    pipeline = world.server.start_pipeline(world.project, world.dana, sha=sha, ref="v1.5.0", tag=True)
    assert [item.iid for item in find_merge_request(world.connect(world.job(pipeline))).merge_requests] == [1]


def test_a_commit_pushed_straight_to_the_default_branch_has_none(world: World) -> None:
    pipeline = world.server.start_pipeline(world.project, world.dana, source="schedule")
    found = find_merge_request(world.connect(world.job(pipeline)))
    assert found.merge_requests == ()
    assert "source schedule" in found.reason
    assert "branch main" in found.reason


def test_an_open_merge_request_with_the_commit_is_not_the_merged_one(world: World) -> None:
    sha = world.merge_request.shas[-1]
    world.server.merge(world.merge_request, how="fast_forward")
    other = world.server.open_merge_request(world.project, world.dana, "Has it too", source_branch="other")
    other.shas.insert(0, sha)
    pipeline = world.server.start_pipeline(world.project, world.dana, sha=sha)
    assert [item.iid for item in find_merge_request(world.connect(world.job(pipeline))).merge_requests] == [1]


def test_an_open_merge_request_whose_head_is_the_commit_is_not_this_pipelines(world: World) -> None:
    pipeline = world.server.start_pipeline(world.project, world.dana, sha=world.merge_request.shas[-1])
    found = find_merge_request(world.connect(world.job(pipeline)))
    assert found.merge_requests == ()
    assert "none was merged with commit" in found.reason


def test_two_merged_ones_without_a_plain_owner_are_not_guessed(world: World) -> None:
    shared = sha_of("shared commit")
    for title in ("One", "Two"):
        item = world.server.open_merge_request(world.project, world.dana, title, source_branch=title)
        item.shas.insert(0, shared)
        world.server.merge(item)
    pipeline = world.server.start_pipeline(world.project, world.dana, sha=shared)
    found = find_merge_request(world.connect(world.job(pipeline)))
    assert found.merge_requests == ()
    assert "2 merged merge requests" in found.reason


def test_the_list_is_followed_beyond_one_page(world: World) -> None:
    sha = world.server.merge(world.merge_request)
    for number in range(30):
        later = world.server.open_merge_request(
            world.project, world.dana, f"Later {number}", source_branch=f"b{number}"
        )
        later.shas.insert(0, sha)
    pipeline = world.server.start_pipeline(world.project, world.dana, sha=sha)
    assert [item.iid for item in find_merge_request(world.connect(world.job(pipeline))).merge_requests] == [1]
    assert len(world.sent("GET", f"{sha}/merge_requests")) == 2


def test_gitlab_that_does_not_answer_is_a_reason_not_an_error(world: World) -> None:
    world.server.faults.append(Fault(500, times=-1))
    pipeline = world.server.start_pipeline(world.project, world.dana)
    found = find_merge_request(world.connect(world.job(pipeline)))
    assert found.merge_requests == ()
    assert "GitLab answered 500" in found.reason


def test_outside_of_gitlab() -> None:
    found = find_merge_request(Connection(read_ci({})))
    assert found.merge_requests == ()
    assert "not a GitLab CI job" in found.reason
