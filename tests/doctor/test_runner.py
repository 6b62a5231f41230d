"""The doctor on the runner: a table of what a runner tells its jobs."""

from __future__ import annotations

import pytest

from gitlab_mesh.gitlab import read_ci
from gitlab_mesh_jobs.doctor.model import Check, Level
from gitlab_mesh_jobs.doctor.runner import check_runner

JOB = {"CI_JOB_ID": "7", "CI_JOB_TIMEOUT": "3600"}
LIMITS = {"RUNNER_SCRIPT_TIMEOUT": "50m", "RUNNER_AFTER_SCRIPT_TIMEOUT": "5m"}


def checks(**env: str) -> dict[str, Check]:
    return {check.subject: check for check in check_runner(env, read_ci(env))}


@pytest.mark.parametrize(
    ("env", "level", "said"),
    [
        (LIMITS, Level.OK, "script 50 min, after_script 5 min, job 1 h"),
        ({}, Level.WARN, "leaves after_script no time"),
        ({"RUNNER_SCRIPT_TIMEOUT": "50m"}, Level.OK, "after_script 5 min"),
        ({"RUNNER_SCRIPT_TIMEOUT": "56m"}, Level.FAIL, "after_script does not get its own"),
        ({**LIMITS, "CI_JOB_TIMEOUT": "1800"}, Level.FAIL, "job 30 min"),
        ({**LIMITS, "CI_JOB_TIMEOUT": ""}, Level.WARN, "not told"),
    ],
)
def test_after_script_must_keep_its_time(env: dict[str, str], level: Level, said: str) -> None:
    found = checks(**{**JOB, **env})["timeouts"]
    assert found.level is level
    assert said in found.found.replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert bool(found.fix) is (level is not Level.OK)
    if level is Level.FAIL:
        assert found.code == 2


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"CI_SHARED_ENVIRONMENT": "true"}, "shell or ssh"),
        ({"CI_DISPOSABLE_ENVIRONMENT": "true"}, "Docker"),
        ({"CI_DISPOSABLE_ENVIRONMENT": "true", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "Kubernetes executor"),
        ({}, "not told"),
    ],
)
def test_the_kind_of_executor(env: dict[str, str], said: str) -> None:
    assert said in checks(**JOB, **env)["executor"].found


@pytest.mark.parametrize(
    ("version", "level"),
    [("19.4.0", Level.OK), ("17.0.0", Level.OK), ("16.11.1", Level.WARN), ("v15.2.0~pre", Level.WARN), ("", Level.OK)],
)
def test_old_runners_do_not_take_back_a_cancelled_release(version: str, level: Level) -> None:
    assert checks(**JOB, CI_RUNNER_VERSION=version)["version"].level is level


def test_outside_of_a_job_it_says_how_to_get_inside() -> None:
    [found] = check_runner({}, read_ci({}))
    assert found.level is Level.WARN
    assert "GITLAB_MESH_WITH_DOCTOR" in found.fix
