"""The template in a pipeline of gitlab-ci-local, with a stand-in for the tool that writes down how it was called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Project = Any  # conftest.Project

FAKE = """#!{python}
import json, os, pathlib, sys
names = ("GITLAB_MESH_SERVICE", "GITLAB_MESH_IMAGE", "CI_ENVIRONMENT_NAME", "CI_JOB_STATUS", "CI_JOB_NAME",
         "RUNNER_SCRIPT_TIMEOUT", "CI_API_V4_URL", "CI", "GITLAB_CI")
with open({calls!r}, "a") as file:
    file.write(json.dumps([sys.argv[1:], {{name: os.environ.get(name) for name in names}}]) + "\\n")
if sys.argv[1:3] == ["job", "canary"]:
    pathlib.Path("mesh-out").mkdir(exist_ok=True)
    pathlib.Path("mesh-out/mesh.env").write_text("MESH_OUTCOME=rejected\\n")
    pathlib.Path("mesh-out/junit.xml").write_text("<testsuites/>")
    sys.exit(int(os.environ.get("FAKE_EXIT_CODE", "0")))
"""
IMAGE_HAS_THE_TOOL = {"GITLAB_MESH_PIP_SPEC": "", "SHOP_VERSION": "1.5.0"}


@dataclass(frozen=True)
class Fake:
    """The stand-in on the PATH."""

    folder: Path
    log: Path

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}"}

    def calls(self) -> list[tuple[str, dict[str, str]]]:
        if not self.log.exists():
            return []
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [(" ".join(arguments), env) for arguments, env in lines]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    folder, log = tmp_path / "bin", tmp_path / "calls.jsonl"
    folder.mkdir()
    program = folder / "gitlab-mesh"
    program.write_text(FAKE.format(python=sys.executable, calls=str(log)))
    program.chmod(0o755)
    return Fake(folder, log)


def test_a_release_that_goes_well(project: Project, fake: Fake) -> None:
    pipeline = project.run(variables=IMAGE_HAS_THE_TOOL, env=fake.env)
    assert pipeline.exit_code == 0, pipeline.output
    assert pipeline.results == {"build": "PASS", "mesh-canary": "PASS"}
    (canary, seen), (after, later) = fake.calls()
    assert canary == "job canary"
    assert after == "job rollback --if-unfinished --output mesh-out/after-script"
    assert seen == {
        "GITLAB_MESH_SERVICE": "shop",
        "GITLAB_MESH_IMAGE": "registry.example/shop:1.5.0",
        "CI_ENVIRONMENT_NAME": "production",
        "CI_JOB_STATUS": "running",
        "CI_JOB_NAME": "mesh-canary",
        "RUNNER_SCRIPT_TIMEOUT": "50m",
        "CI_API_V4_URL": "http://127.0.0.1:9/api/v4",
        "CI": "true",
        "GITLAB_CI": "false",
    }
    assert later == {**seen, "CI_JOB_STATUS": "success"}


def test_a_release_that_fails_starts_the_net(project: Project, fake: Fake) -> None:
    pipeline = project.run(variables=IMAGE_HAS_THE_TOOL, env={**fake.env, "FAKE_EXIT_CODE": "10"})
    assert pipeline.exit_code == 1
    assert pipeline.results == {"build": "PASS", "mesh-canary": "FAIL", "mesh-rollback": "PASS"}
    assert "FAIL 10" in pipeline.log("mesh-canary")
    _, (_, after), (rollback, net) = fake.calls()
    assert after["CI_JOB_STATUS"] == "failed"
    assert rollback.startswith("job rollback --if-unfinished --reason the canary job of pipeline ")
    assert net["CI_JOB_NAME"] == "mesh-rollback"
    assert net["CI_ENVIRONMENT_NAME"] == "production"
    assert (project.path / "mesh-out/junit.xml").exists()


def test_a_failed_build_touches_no_release(project: Project, fake: Fake) -> None:
    """Else a red test of one pipeline would end the release of another one."""
    text = (project.path / ".gitlab-ci.yml").read_text()
    (project.path / ".gitlab-ci.yml").write_text(text.replace("- echo", "- exit 1 # echo"))
    pipeline = project.run(variables=IMAGE_HAS_THE_TOOL, env=fake.env)
    assert pipeline.results == {"build": "FAIL"}
    assert fake.calls() == []


@pytest.mark.parametrize(
    ("job", "call"),
    [("mesh-rollback-now", "job rollback --reason alice asked for it in pipeline "), ("mesh-status", "job status")],
)
def test_the_buttons(project: Project, fake: Fake, job: str, call: str) -> None:
    pipeline = project.run(job, variables={**IMAGE_HAS_THE_TOOL, "GITLAB_USER_LOGIN": "alice"}, env=fake.env)
    assert pipeline.results == {job: "PASS"}, pipeline.output
    ((called, seen),) = fake.calls()
    assert called.startswith(call)
    assert seen["CI_ENVIRONMENT_NAME"] == "production"


ALL = {
    "mesh-canary": "on_success",
    "mesh-rollback": "on_failure",
    "mesh-rollback-now": "manual",
    "mesh-status": "manual",
}
MERGE_REQUEST = {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_IID": "7", "CI_COMMIT_BRANCH": ""}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ALL),
        ({"CI_COMMIT_BRANCH": "feature"}, {}),
        ({"CI_PIPELINE_SOURCE": "schedule"}, {}),
        (MERGE_REQUEST, {}),
        ({**MERGE_REQUEST, "GITLAB_MESH_IN_MERGE_REQUESTS": "true"}, ALL),
    ],
    ids=["default branch", "feature branch", "schedule", "merge request", "merge request wanted"],
)
def test_when_jobs_run(project: Project, variables: dict[str, str], expected: dict[str, str]) -> None:
    jobs = project.jobs(**variables)
    assert {name: when for name, when in jobs.items() if name.startswith("mesh-")} == expected
    assert jobs["build"] == "on_success"


def test_a_project_changes_rules_and_settings_in_one_place(project: Project, fake: Fake) -> None:
    with (project.path / ".gitlab-ci.yml").open("a") as file:
        file.write('\n.gitlab-mesh:\n  stage: test\n  rules:\n    - if: $CI_COMMIT_BRANCH == "next"\n')
    assert set(project.jobs()) == {"build"}
    assert set(project.jobs(CI_COMMIT_BRANCH="next")) == {"build", *ALL}
    project.run("mesh-status", variables={**IMAGE_HAS_THE_TOOL, "GITLAB_MESH_ENVIRONMENT": "staging"}, env=fake.env)
    assert fake.calls()[0][1]["CI_ENVIRONMENT_NAME"] == "staging"


def make_wheel(folder: Path) -> Path:
    """A wheel of a stand-in without dependencies: nothing is downloaded."""
    path = folder / "gitlab_mesh-9.9.9-py3-none-any.whl"
    info = "gitlab_mesh-9.9.9.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("gitlab_mesh/__init__.py", "")
        wheel.writestr("gitlab_mesh/constraints.txt", "# nothing\n")
        wheel.writestr("stand_in.py", "import sys\ndef main():\n    print('stand-in', *sys.argv[1:])\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: gitlab-mesh\nVersion: 9.9.9\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\ngitlab-mesh = stand_in:main\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def test_the_tool_is_installed_and_found_in_after_script_too(project: Project, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    pipeline = project.run(variables={"GITLAB_MESH_PIP_SPEC": str(wheel), "SHOP_VERSION": "1.5.0"})
    assert pipeline.exit_code == 0, pipeline.output
    log = pipeline.log("mesh-canary")
    assert "> stand-in job canary" in log
    assert "> stand-in job rollback --if-unfinished" in log


def test_a_cached_environment_is_used_until_the_specification_changes(project: Project, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    variables = {"GITLAB_MESH_PIP_SPEC": str(wheel), "SHOP_VERSION": "1.5.0"}
    assert project.run("mesh-status", variables=variables).results == {"mesh-status": "PASS"}
    wheel.unlink()
    again = project.run("mesh-status", variables=variables)
    assert again.results == {"mesh-status": "PASS"}, "nothing is installed a second time"
    assert "> stand-in job status" in again.log("mesh-status")
    other = project.run("mesh-status", variables={**variables, "GITLAB_MESH_PIP_SPEC": str(tmp_path / "other.whl")})
    assert "other.whl" in other.log("mesh-status"), "another specification is installed, and this one is not there"
    assert other.results == {"mesh-status": "WARN"}


def test_what_the_tool_needs_comes_by_hash_or_not_at_all(project: Project, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    (tmp_path / "left_pad-1.0-py3-none-any.whl").write_bytes(wheel.read_bytes())
    with zipfile.ZipFile(wheel, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("gitlab_mesh/constraints.txt", f"left-pad @ file://{tmp_path}/left_pad-1.0-py3-none-any.whl\n")
    failed = project.run("mesh-status", variables={"GITLAB_MESH_PIP_SPEC": str(wheel), "SHOP_VERSION": "1.5.0"})
    assert failed.results == {"mesh-status": "WARN"}
    assert "--require-hashes" in failed.log("mesh-status")


def test_a_tool_that_cannot_be_installed_fails_before_anything_moves(project: Project, fake: Fake) -> None:
    python = fake.folder / "python3"
    python.write_text("#!/bin/sh\necho 'no module named venv'\nexit 1\n")
    python.chmod(0o755)
    pipeline = project.run(variables={"GITLAB_MESH_PIP_SPEC": "gitlab-mesh==9.9.9"}, env=fake.env)
    assert pipeline.results["mesh-canary"] == "FAIL"
    assert "no module named venv" in pipeline.log("mesh-canary")
    assert [call for call, _ in fake.calls() if call == "job canary"] == []


def test_installing_the_tools_twice_changes_nothing(project: Project) -> None:
    del project
    script = Path(__file__).with_name("install_tools.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
