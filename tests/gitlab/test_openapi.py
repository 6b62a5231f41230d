"""Every request that the library sends is one that GitLab's own OpenAPI description knows.

The emulated GitLab holds every request of these folders' tests against it; here all kinds of calls are made once, and
the check itself is checked. The description is not part of this project (its licence is CC BY-SA 4.0): it needs the
folder ``../shared/gitlab-data`` beside the checkout.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitlab_mesh.errors import UsageError
from gitlab_mesh.gitlab import (
    CommitStatuses,
    DeploymentRecords,
    MergeRequestLabels,
    ReviewThreads,
    StickyNotes,
    find_merge_request,
)
from gitlab_mesh.gitlab.marker import NoteOrder, render_note
from gitlab_mesh.sandbox.gitlab.contract import Contract
from gitlab_mesh.sandbox.gitlab.messages import Answer, json_answer
from tests.conftest import OPENAPI

if TYPE_CHECKING:
    from tests.gitlab.conftest import World

DEPLOYMENTS = "/api/v4/projects/1/deployments"


@pytest.fixture
def contract(gitlab_contract: Contract | None) -> Contract:
    if gitlab_contract is None:
        reason = f"{OPENAPI} or openapi-core is not here: GitLab's OpenAPI description is kept outside of the project"
        if os.environ.get("GITLAB_MESH_REQUIRE_TOOLS") == "1":
            pytest.fail(f"required here: {reason}")
        pytest.skip(reason)
    return gitlab_contract


def found(
    contract: Contract, method: str, path: str, query: str = "", body: object = None, answer: object = None
) -> str:
    """Return what one exchange is blamed for, and forget it."""
    raw = b"" if body is None else json.dumps(body).encode()
    given = Answer(404) if answer is None else json_answer(answer)
    contract.check(method, path, query, {"Content-Type": "application/json"}, raw, given)
    said = "\n".join(contract.violations)
    contract.violations.clear()
    return said


def test_every_kind_of_call(contract: Contract, world: World) -> None:
    job = world.job()
    bot = world.server.state.tokens[world.token].user
    for number in (1, 2):
        world.server.comment(world.merge_request, bot, render_note("shop", "old", NoteOrder(number, "", 1)))
    before = contract.checked
    connection = world.connect(job)
    notes = StickyNotes(connection, settle_seconds=0.01)
    assert notes.post("shop", "first") == notes.post("shop", "second") == notes.post("cart", "new") == ""
    records = DeploymentRecords(connection, environment_url="https://shop.example")
    assert records.record("production", "running") == records.record("production", "failed") == ""
    threads, labels = ReviewThreads(connection), MergeRequestLabels(connection)
    assert threads.open("shop", "bad") == threads.resolve("shop", "good") == threads.open("shop", "bad") == ""
    assert labels.put("mesh::rejected", family=("mesh::promoted",)) == notes.read_all()[1] == ""
    statuses = CommitStatuses(connection)
    text = {"description": "d", "target_url": "https://x.example"}
    assert statuses.set("running", "mesh", **text) == statuses.set("running", "mesh") == ""
    after = world.server.start_pipeline(world.project, world.dana, sha=world.server.merge(world.merge_request))
    assert find_merge_request(world.connect(world.job(after))).merge_requests
    assert {request.method for request in world.server.requests} == {"GET", "POST", "PUT", "DELETE"}
    described = [request for request in world.server.requests if request.path != "/api/v4/user"]
    assert contract.checked - before == len(described)
    assert contract.violations == []


def test_requests_that_gitlab_would_refuse_are_found(contract: Contract) -> None:
    wrong = {"environment": "x", "sha": 5, "tag": False, "status": "rejected"}
    said = found(contract, "POST", DEPLOYMENTS, body=wrong)
    assert "'ref' is a required property" in said
    assert "status: 'rejected' is not one of" in said
    assert "sha: 5 is not of type 'string'" in said
    right = {"environment": "x", "sha": "5", "ref": "main", "tag": False, "status": "running"}
    assert found(contract, "POST", DEPLOYMENTS, body=right) == ""
    assert "'colour' was unexpected" in found(contract, "POST", DEPLOYMENTS, body={**right, "colour": "red"})
    assert found(contract, "GET", DEPLOYMENTS, "status=success&per_page=20") == ""
    assert "no query parameter colour" in found(contract, "GET", DEPLOYMENTS, "colour=red")
    assert "'rejected' is not one of" in found(contract, "GET", DEPLOYMENTS, "status=rejected")
    assert "no such operation" in found(contract, "GET", "/api/v4/nothing")
    assert "no such operation" in found(contract, "PATCH", DEPLOYMENTS)
    assert found(contract, "GET", "/api/v4/user") == "", "documented, and missing in the generated description"


def test_answers_that_gitlab_would_not_give_are_found(contract: Contract) -> None:
    path = f"{DEPLOYMENTS}/1"
    assert found(contract, "GET", path, answer={"id": 1, "status": "success", "deployable": None}) == ""
    assert "'colour' was unexpected" in found(contract, "GET", path, answer={"id": 1, "colour": "red"})
    assert "id: 'one' is not of type 'integer'" in found(contract, "GET", path, answer={"id": "one"})


def test_a_violation_fails_the_test_that_caused_it(contract: Contract, world: World) -> None:
    headers = {"PRIVATE-TOKEN": world.token, "Content-Type": "application/json"}
    target = f"/api/v4/projects/{world.project.id}/deployments"
    world.server.handle("POST", f"{target}?colour=red", headers, b"{}")
    assert any("no query parameter colour" in line for line in contract.violations)
    contract.violations.clear()  # or the fixture would fail this test, too


def test_a_description_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("openapi_core", reason="openapi-core is not installed")
    with pytest.raises(UsageError, match="cannot be read as an OpenAPI description"):
        Contract.load(tmp_path / "missing.yaml")
