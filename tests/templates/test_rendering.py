"""The generated templates: current, valid, and safe for the project that includes them."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import jsonschema
import pytest
import yaml

from gitlab_mesh import __version__
from gitlab_mesh.cli.main import main
from gitlab_mesh.templating import RELEASE_FILE, find_stale, render_templates, write_templates
from gitlab_mesh_jobs import JOBS

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT.parent / "shared" / "gitlab-data" / "ci.json"
FILES = render_templates(JOBS, __version__)
RELEASE: dict[str, Any] = yaml.safe_load(FILES[RELEASE_FILE])
MOVES_TRAFFIC = ("mesh-canary", "mesh-rollback", "mesh-rollback-now")


def seconds(text: str) -> int:
    return int(text.removesuffix("m")) * 60


def test_the_checked_in_files_are_current() -> None:
    assert find_stale(ROOT / "ci-templates", FILES) == []


def test_rendering_is_deterministic() -> None:
    assert render_templates(JOBS, __version__) == FILES


def test_one_file_a_job_and_one_for_the_release() -> None:
    assert sorted(FILES) == sorted([RELEASE_FILE, *(f"{job.name}.gitlab-ci.yml" for job in JOBS)])


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_valid_for_gitlab(name: str) -> None:
    if not SCHEMA.exists():
        pytest.skip("GitLab's CI schema is not beside this checkout (shared/gitlab-data/ci.json)")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    validator = jsonschema.Draft7Validator(schema)
    assert [error.message for error in validator.iter_errors(yaml.safe_load(FILES[name]))] == []
    broken = yaml.safe_load(FILES[name])
    broken["mesh-broken"] = {"script": "x", "when": "perhaps"}
    assert list(validator.iter_errors(broken)), "the schema must be able to say no"


@pytest.mark.parametrize("name", FILES)
def test_a_file_stands_alone(name: str) -> None:
    content = yaml.safe_load(FILES[name])
    jobs = {key: value for key, value in content.items() if key.startswith("mesh-")}
    assert jobs
    for job in jobs.values():
        assert job["extends"] in content
        assert all(need.get("optional") for need in job.get("needs", []) if need["job"] not in jobs)


@pytest.mark.parametrize("name", FILES)
def test_an_including_project_keeps_what_is_its_own(name: str) -> None:
    content = yaml.safe_load(FILES[name])
    assert not {"default", "stages", "workflow", "image", "before_script", "after_script", "cache"} & set(content)
    assert all(key == "variables" or key == ".gitlab-mesh" or key.startswith("mesh-") for key in content)
    assert all(variable.startswith("GITLAB_MESH_") for variable in content["variables"])
    # a job's own variables would win over the project's: only the runner's limits belong there
    for job in content.values():
        assert not [name for name in job.get("variables", {}) if name.startswith("GITLAB_MESH_")]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_every_option_is_documented(job: Any) -> None:
    readme = (ROOT / "jobs" / job.package.replace(".", "/") / "README.md").read_text(encoding="utf-8")
    for option in job.options:
        variable = f"GITLAB_MESH_{option.name.upper().replace('-', '_')}"
        assert f"#   {variable}: {option.help}\n" in FILES[f"{job.name}.gitlab-ci.yml"]
        assert variable in FILES[RELEASE_FILE]
        assert f"--{option.name}" in readme


def test_every_variable_of_the_template_is_documented() -> None:
    readme = (ROOT / "jobs/gitlab_mesh_jobs/canary/README.md").read_text(encoding="utf-8")
    assert [name for name in RELEASE["variables"] if f"`{name}`" not in readme] == []
    used = set(re.findall(r"\$(GITLAB_MESH_\w+)", FILES[RELEASE_FILE])) - set(RELEASE["variables"])
    # what switches a job on is described with the job
    switches = used - {"GITLAB_MESH_SERVICE"}
    assert all(f"{name} ==" in FILES[RELEASE_FILE] for name in switches)
    readmes = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "jobs/gitlab_mesh_jobs").glob("*/README.md"))
    assert [name for name in switches if name not in readmes] == []


def test_what_moves_traffic_is_never_interrupted_by_a_push() -> None:
    assert RELEASE[".gitlab-mesh"]["interruptible"] is False
    assert not any("interruptible" in RELEASE[name] for name in MOVES_TRAFFIC)


def test_after_script_has_its_time_and_its_own_artifacts() -> None:
    job = RELEASE["mesh-canary"]
    script, after = (seconds(job["variables"][f"RUNNER_{name}_TIMEOUT"]) for name in ("SCRIPT", "AFTER_SCRIPT"))
    assert script + after < seconds(job["timeout"])
    assert script >= 40 * 60 + 300, "the release's default deadline fits, with room for the rollback"
    # a new shell: nothing that script exported is there; and the report of the release must not be overwritten
    path, rollback = job["after_script"]
    assert path in RELEASE[".gitlab-mesh"]["before_script"]
    assert rollback == "gitlab-mesh job rollback --if-unfinished --output mesh-out/after-script"


def test_only_faults_of_the_outside_are_retried() -> None:
    for name in ("mesh-canary", "mesh-rollback"):
        assert RELEASE[name]["retry"]["exit_codes"] == [20]
        assert RELEASE[name]["retry"]["when"] == ["runner_system_failure"]
    assert not any("retry" in job for job in (RELEASE[".gitlab-mesh"], RELEASE["mesh-rollback-now"]))
    # a tolerated exit code would count as success, and the rollback would not start
    assert not any("allow_failure" in RELEASE[name] for name in ("mesh-canary", "mesh-rollback"))


def test_the_nets_hold_without_meeting_one_another() -> None:
    canary, rollback, button = (RELEASE[name] for name in MOVES_TRAFFIC)
    assert rollback["when"] == "on_failure"
    assert [need["job"] for need in rollback["needs"]] == ["mesh-canary"], "else any failed job would start it"
    assert rollback["resource_group"] == canary["resource_group"]
    assert button["when"] == "manual"
    assert "resource_group" not in button, "it would wait for the very job that it shall end"
    assert button["allow_failure"] is True


def test_only_the_tool_records_deployments() -> None:
    jobs = {name: job for name, job in RELEASE.items() if name.startswith("mesh-")}
    actions = {
        name: (job if "environment" in job else RELEASE[job["extends"]]).get("environment")
        for name, job in jobs.items()
    }
    assert {item["action"] for item in actions.values() if item} == {"verify", "access"}


def test_reports_are_uploaded_whatever_happens() -> None:
    artifacts = RELEASE["mesh-canary"]["artifacts"]
    assert artifacts["when"] == "always"
    assert artifacts["reports"] == {
        "junit": "mesh-out/junit.xml",
        "dotenv": "mesh-out/mesh.env",
        "metrics": "mesh-out/metrics.txt",
        "annotations": "mesh-out/annotations.json",
    }


def test_a_name_that_does_not_exist_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "mesh_example_job"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "template.yml.j2").write_text("x: {{ nothing }}")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(jinja2.UndefinedError, match="nothing"):
        render_templates([replace(JOBS[0], package="mesh_example_job")], __version__)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gitlab-mesh", "template", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_check_finds_what_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ci"
    both = ("--output", str(folder), "--components", str(tmp_path / "components"))
    assert call(monkeypatch, "check", *both) == 13
    assert call(monkeypatch, "render", *both) == 0
    assert call(monkeypatch, "check", *both) == 0
    (folder / RELEASE_FILE).write_text("edited")
    (folder / "gone.gitlab-ci.yml").write_text("x")
    (folder / "own.txt").write_text("not ours")
    (tmp_path / "components/gone").mkdir()
    (tmp_path / "components/gone/template.yml").write_text("x")
    (tmp_path / "components/canary/template.yml").write_text("edited")
    capsys.readouterr()
    assert call(monkeypatch, "check", *both) == 13
    said = capsys.readouterr().err
    assert "components/gone/template.yml belongs to no job" in said
    assert "components/canary/template.yml is stale" in said
    assert f"{RELEASE_FILE} is stale" in said
    assert "gone.gitlab-ci.yml belongs to no job" in said
    assert f"gitlab-mesh template render --output {folder} --components" in said
    assert call(monkeypatch, "render", *both) == 0
    assert not (tmp_path / "components/gone/template.yml").exists()
    assert find_stale(folder, FILES) == []
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "own.txt"])


def test_a_directory_that_cannot_be_written_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "render", "--output", "/proc/ci") == 2


def test_an_older_version_is_stale(tmp_path: Path) -> None:
    write_templates(tmp_path, render_templates(JOBS, "0.0.1"))
    assert len(find_stale(tmp_path, FILES)) == len(FILES)
