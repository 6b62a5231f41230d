"""The findings' note in the merge request, on an emulated GitLab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gitlab_mesh.sandbox.gitlab import GitlabListener, GitlabServer
from tests.gitlab.conftest import World, build_world
from tests.jobs.validate.conftest import Run
from tests.jobs.validate.samples import GOOD, ROUTE


@pytest.fixture
def world() -> Iterator[World]:
    server = GitlabServer()
    built = build_world(server)
    with GitlabListener(server):
        yield built


def enter(world: World, monkeypatch: pytest.MonkeyPatch, *, token: str = "") -> None:
    for name, value in world.server.ci_variables(world.job(name="mesh-validate")).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GITLAB_MESH_TOKEN", token or world.token)


def test_the_note_tells_what_was_found_and_is_written_over(
    run: Run,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enter(world, monkeypatch)
    run.write(ROUTE)
    assert run("mesh.yaml", "--output", "out")[0] == 13
    (note,) = world.notes()
    for words in ("validate", "GM0101", "mesh.yaml:11", "host shpo (shpo in namespace shop) does not exist", "explain"):
        assert words in note.body, words
    assert "/artifacts/file/out/report.html" in note.body
    run.write(GOOD)
    assert run("mesh.yaml")[0] == 0
    (note,) = world.notes()
    assert "no findings" in note.body


def test_both_jobs_have_a_note_of_their_own(
    run: Run,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enter(world, monkeypatch)
    run.write(GOOD)
    assert run("mesh.yaml")[0] == 0
    assert run("mesh.yaml", job="security-scan")[0] == 0
    assert len(world.notes()) == 2


def test_a_note_that_cannot_be_written_changes_nothing_else(
    run: Run,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enter(world, monkeypatch, token="glpat-wrong")
    run.write(ROUTE)
    assert run("mesh.yaml")[0] == 13
    assert world.notes() == []
    assert "validate:findings" in run.errors


def test_outside_of_a_merge_request_nobody_asks_gitlab(
    run: Run,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enter(world, monkeypatch)
    monkeypatch.delenv("CI_MERGE_REQUEST_IID")
    monkeypatch.delenv("CI_OPEN_MERGE_REQUESTS", raising=False)
    before = len(world.server.requests)
    run.write(ROUTE)
    assert run("mesh.yaml")[0] == 13
    assert len(world.server.requests) == before
