"""What a job reads about itself out of ``CI_*``, as tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gitlab_mesh.adapters.ci_env import driver_from, read_ci
from gitlab_mesh.core.record import Driver
from gitlab_mesh.gitlab import describe_tokens

JOB = {
    "CI_SERVER_URL": "https://gitlab.example",
    "CI_API_V4_URL": "https://gitlab.example/api/v4",
    "CI_PROJECT_ID": "7",
    "CI_PROJECT_PATH": "acme/shop",
    "CI_PIPELINE_ID": "1001",
    "CI_JOB_ID": "5005",
    "CI_JOB_URL": "https://gitlab.example/acme/shop/-/jobs/5005",
    "CI_COMMIT_SHA": "c" * 40,
    "CI_JOB_STARTED_AT": "2026-09-01T10:00:00Z",
    "CI_JOB_TIMEOUT": "3600",
}


@pytest.mark.parametrize(
    ("env", "field", "expected"),
    [
        ({}, "pipeline_id", 1001),
        ({"CI_PIPELINE_ID": "many"}, "pipeline_id", 0),
        ({"CI_PIPELINE_ID": "²"}, "pipeline_id", 0),
        ({"CI_API_V4_URL": ""}, "api_url", "https://gitlab.example/api/v4"),
        ({"CI_SERVER_URL": ""}, "server_url", "https://gitlab.example"),
        (
            {"CI_SERVER_URL": "https://x.example/gitlab/", "CI_API_V4_URL": ""},
            "api_url",
            "https://x.example/gitlab/api/v4",
        ),
        ({"CI_PROJECT_ID": ""}, "project", "acme/shop"),
        ({"CI_OPEN_MERGE_REQUESTS": "acme/shop!3, acme/shop!4"}, "open_merge_requests", ("acme/shop!3", "acme/shop!4")),
        ({"CI_JOB_TIMEOUT": "1h30m"}, "job_timeout_seconds", 5400.0),
        ({"RUNNER_SCRIPT_TIMEOUT": "50m"}, "script_timeout_seconds", 3000.0),
        ({"RUNNER_SCRIPT_TIMEOUT": "1500ms"}, "script_timeout_seconds", 1.5),
        ({"RUNNER_SCRIPT_TIMEOUT": "soon"}, "script_timeout_seconds", None),
        ({"RUNNER_SCRIPT_TIMEOUT": "50m extra"}, "script_timeout_seconds", None),
        ({"GITLAB_CI": "false"}, "available", True),
        ({"CI_PROJECT_ID": "", "CI_PROJECT_PATH": ""}, "available", False),
    ],
)
def test_fields(env: dict[str, str], field: str, expected: Any) -> None:
    assert getattr(read_ci(JOB | env), field) == expected


def test_no_ci_at_all() -> None:
    ci = read_ci({})
    assert not ci.available
    assert ci.merge_request is None
    assert ci.remaining_seconds(datetime(2026, 9, 1, tzinfo=UTC)) is None
    assert driver_from(ci) == Driver()
    assert driver_from(ci).holder == "local/local"


@pytest.mark.parametrize(
    ("env", "now", "expected"),
    [
        ({}, "2026-09-01T10:10:00+00:00", 3000.0),
        ({"RUNNER_SCRIPT_TIMEOUT": "50m"}, "2026-09-01T10:10:00+00:00", 2400.0),
        ({"RUNNER_SCRIPT_TIMEOUT": "2h"}, "2026-09-01T10:10:00+00:00", 3000.0),
        ({}, "2026-09-01T12:00:00+00:00", 0.0),
        ({}, "2026-09-01T09:59:00+00:00", 3600.0),
        ({}, "2026-09-01T12:10:00+02:00", 3000.0),
        ({"CI_JOB_STARTED_AT": "yesterday"}, "2026-09-01T10:10:00+00:00", None),
        ({"CI_JOB_TIMEOUT": ""}, "2026-09-01T10:10:00+00:00", None),
        ({"CI_JOB_TIMEOUT": "", "RUNNER_SCRIPT_TIMEOUT": "20m"}, "2026-09-01T10:10:00+00:00", 600.0),
    ],
)
def test_remaining_seconds(env: dict[str, str], now: str, expected: float | None) -> None:
    assert read_ci(JOB | env).remaining_seconds(datetime.fromisoformat(now)) == expected


def test_merge_request_variables() -> None:
    fork = {
        "CI_MERGE_REQUEST_IID": "12",
        "CI_MERGE_REQUEST_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "8",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "d" * 40,
        "CI_MERGE_REQUEST_EVENT_TYPE": "merge_train",
    }
    ci = read_ci(JOB | {"CI_PROJECT_ID": "8"} | fork)
    assert ci.merge_request is not None
    assert ci.merge_request.from_fork
    assert (ci.merge_request.project_id, ci.project) == ("7", "8")
    assert ci.source_sha == "d" * 40
    assert driver_from(ci) == Driver("1001", "5005", JOB["CI_JOB_URL"], "d" * 40)


@pytest.mark.parametrize(
    ("env", "names", "said"),
    [
        ({}, [], "no GitLab token"),
        ({"CI_JOB_TOKEN": "j"}, ["CI_JOB_TOKEN"], "cannot write notes, write commit statuses"),
        ({"CI_JOB_TOKEN": "j", "GITLAB_TOKEN": "g"}, ["GITLAB_TOKEN", "CI_JOB_TOKEN"], "GitLab token: GITLAB_TOKEN"),
        (
            {"CI_JOB_TOKEN": "j", "GITLAB_TOKEN": "g", "GITLAB_MESH_TOKEN": "m"},
            ["GITLAB_MESH_TOKEN", "GITLAB_TOKEN", "CI_JOB_TOKEN"],
            "GitLab token: GITLAB_MESH_TOKEN",
        ),
        ({"GITLAB_MESH_TOKEN": " "}, [], "no GitLab token"),
    ],
)
def test_tokens_in_their_order(env: dict[str, str], names: list[str], said: str) -> None:
    tokens = read_ci(env).tokens
    assert [token.name for token in tokens] == names
    assert said in describe_tokens(tokens)
    assert not any(repr(value) in repr(tokens) for value in ("j", "g", "m"))
