"""Every request that the library sends is one that GitLab's own OpenAPI description knows.

The description is not part of this project (its licence is CC BY-SA 4.0): the test needs the folder
``../shared/gitlab-data`` beside the checkout.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gitlab_mesh.gitlab import (
    CommitStatuses,
    DeploymentRecords,
    MergeRequestLabels,
    ReviewThreads,
    StickyNotes,
    find_merge_request,
)
from gitlab_mesh.gitlab.marker import NoteOrder, render_note
from gitlab_mesh.sandbox.gitlab.messages import Request

if TYPE_CHECKING:
    from tests.gitlab.conftest import World

DESCRIPTION = Path(__file__).resolve().parents[2].parent / "shared" / "gitlab-data" / "openapi_v3.subset.yaml"


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    if not DESCRIPTION.exists():
        reason = f"{DESCRIPTION} is not here: GitLab's OpenAPI description is kept outside of the project"
        if os.environ.get("GITLAB_MESH_REQUIRE_TOOLS") == "1":
            pytest.fail(f"required here: {reason}")
        pytest.skip(reason)
    loaded: dict[str, Any] = yaml.load(DESCRIPTION.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return loaded


def check(description: dict[str, Any], request: Request) -> list[str]:
    """Return what is wrong with a request: path, method, query parameters, body."""
    name = f"{request.method} {request.path}"
    operation = find_operation(description, request)
    if operation is None:
        return [f"{name}: no such operation"]
    declared = {item["name"]: resolve(description, item["schema"]) for item in operation.get("parameters", [])}
    problems = [f"{name}: no query parameter {query}" for query in request.query if query not in declared]
    for query, value in request.query.items():
        allowed = declared.get(query, {}).get("enum")
        if allowed and value not in allowed:
            problems.append(f"{name}: {query}={value} is none of {allowed}")
    body = {key: value for key, value in request.fields.items() if key not in request.query}
    content = resolve(description, operation.get("requestBody", {})).get("content", {})
    if not content:
        return problems + ([f"{name}: takes no body"] if body else [])
    schema = resolve(description, next(iter(content.values()))["schema"])
    properties = schema.get("properties", {})
    problems += [f"{name}: no field {key}" for key in body if key not in properties]
    problems += [f"{name}: field {key} is missing" for key in schema.get("required", []) if key not in body]
    for key in body.keys() & properties.keys():
        problems += [f"{name}: {key}: {problem}" for problem in check_value(body[key], properties[key])]
    return problems


def find_operation(description: dict[str, Any], request: Request) -> dict[str, Any] | None:
    segments = request.path.strip("/").split("/")
    for path, operations in description["paths"].items():
        parts = path.strip("/").split("/")
        if (
            len(parts) == len(segments)
            and all(part.startswith("{") or part == segment for part, segment in zip(parts, segments, strict=True))
            and (operation := operations.get(request.method.lower()))
        ):
            found: dict[str, Any] = operation
            return found
    return None


def check_value(value: Any, schema: dict[str, Any]) -> list[str]:
    from jsonschema import Draft4Validator  # the dialect of OpenAPI 3.0 schemas, as far as these use it

    return [error.message for error in Draft4Validator(schema).iter_errors(value)]


def resolve(description: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in item:
        target: Any = description
        for part in item["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        item = target
    return item


def test_every_request_is_in_gitlabs_description(description: dict[str, Any], world: World) -> None:
    job = world.job()
    bot = world.server.state.tokens[world.token].user
    for number in (1, 2):
        world.server.comment(world.merge_request, bot, render_note("shop", "old", NoteOrder(number, "", 1)))
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
    # GET /user is not in the subset.
    requests = [request for request in world.server.requests if request.path != "/api/v4/user"]
    assert {request.method for request in requests} == {"GET", "POST", "PUT", "DELETE"}
    assert [problem for request in requests for problem in check(description, request)] == []


def test_the_check_itself_finds_mistakes(description: dict[str, Any]) -> None:
    path = "/api/v4/projects/1/deployments"
    wrong = Request("POST", path, (), {}, {}, {"environment": "x", "sha": 5, "tag": False, "status": "rejected"})
    found = "\n".join(check(description, wrong))
    assert "field ref is missing" in found
    assert "'rejected' is not one of" in found
    assert "5 is not of type 'string'" in found
    assert check(description, Request("GET", path, (), {}, {"colour": "red"}, {"colour": "red"}))
    assert check(description, Request("GET", "/api/v4/nothing", (), {}))
