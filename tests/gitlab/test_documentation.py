"""Every example of docs/gitlab-library.md runs as it stands, in one go, as a reader would type it."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import gitlab_mesh.gitlab as library

if TYPE_CHECKING:
    from tests.gitlab.conftest import World

PAGE = (Path(__file__).resolve().parents[2] / "docs/gitlab-library.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def run_examples(world: World, monkeypatch: pytest.MonkeyPatch, token: str) -> str:
    """Run all examples in one namespace, in a CI job's environment; return what they print."""
    variables = world.server.ci_variables(world.job()) | ({"GITLAB_MESH_TOKEN": token} if token else {})
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        for example in EXAMPLES:
            exec(compile(example, "docs/gitlab-library.md", "exec"), names)
    names["connection"].close()
    return said.getvalue()


def test_the_examples_do_what_they_say(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run_examples(world, monkeypatch, world.token)
    assert said.splitlines() == [
        "written",
        f"{world.project.id} 1 {world.server.base_url}/acme/shop/-/merge_requests/1",
        *("found", "open", "resolved", "labelled", "running", "failed", "set"),
        "GitLab token: GITLAB_MESH_TOKEN",
        "GITLAB_MESH_TOKEN Developer ('api',) []",
        "CI_JOB_TOKEN  () ['write notes', 'write commit statuses', 'resolve threads', 'label merge requests']",
        "asked",
    ]
    assert len(world.notes()) == 3
    assert world.merge_request.labels == ["load::passed"]
    assert [item.status for item in world.project.deployments.values()] == ["failed"]


def test_with_the_job_token_alone_each_says_in_one_line_what_is_missing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run_examples(world, monkeypatch, "").splitlines()
    assert len(said) == 13
    assert sum("set GITLAB_MESH_TOKEN" in line for line in said) == 6
    assert {"found", "running", "failed"} <= set(said), "what the job token may, it does"
    assert world.notes() == []


def test_every_public_name_that_a_user_calls_is_on_the_page() -> None:
    calls = {name for name in library.__all__ if callable(getattr(library, name))}
    data = {
        "CIContext",
        "Located",
        "MergeRequestRef",
        "MergeRequestVariables",
        "NoteOrder",
        "NoteText",
        "Operation",
        "TokenFacts",
    }
    assert [name for name in sorted(calls - data - {"Token", "neutralise_quick_actions"}) if name not in PAGE] == []
