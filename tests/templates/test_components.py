"""The CI/CD Catalog components: current, valid, the same jobs as the templates, and nothing to inject."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gitlab_mesh import __version__
from gitlab_mesh.components import RELEASE_COMPONENT, render_components
from gitlab_mesh.templating import RELEASE_FILE, find_stale, render_templates, write_templates
from gitlab_mesh_jobs import JOBS

Project = Any  # conftest.Project

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT.parent / "shared" / "gitlab-data" / "ci.json"
FILES = render_components(JOBS, __version__)
CLASSIC = render_templates(JOBS, __version__)


def read(name: str) -> tuple[dict[str, Any], str]:
    """Return the inputs and the text below the dashes."""
    head, _, body = FILES[name].partition("\n---\n")
    return yaml.safe_load(head)["spec"]["inputs"], body


def interpolate(name: str, **given: str) -> dict[str, Any]:
    """Put the inputs in as GitLab does: a whole value keeps its type, inside a text it becomes text."""
    inputs, body = read(name)
    values = {key: spec.get("default") for key, spec in inputs.items()} | given

    def text(found: re.Match[str]) -> str:
        value = values[found[1]]
        return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {walk(key): walk(value) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(item) for item in node]
        return re.sub(r"\$\[\[ inputs\.([a-z-]+) \]\]", text, node) if isinstance(node, str) else node

    return dict(walk(yaml.safe_load(body)))


def test_the_checked_in_files_are_current() -> None:
    assert find_stale(ROOT / "templates", FILES) == []


def test_one_component_a_job_and_one_for_the_release() -> None:
    assert sorted(FILES) == sorted(f"{name}/template.yml" for name in [RELEASE_COMPONENT, *(job.name for job in JOBS)])
    assert len(FILES) <= 30, "GitLab takes at most 30 components a project"


@pytest.mark.parametrize("name", FILES)
def test_both_documents_are_valid_for_gitlab(name: str) -> None:
    if not SCHEMA.exists():
        pytest.skip("GitLab's CI schema is not beside this checkout (shared/gitlab-data/ci.json)")
    validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    head = yaml.safe_load(FILES[name].partition("\n---\n")[0])
    for document in (head, interpolate(name, service="shop", image="registry.example/shop:1")):
        assert [error.message for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize("name", FILES)
def test_the_jobs_are_those_of_the_classic_template(name: str) -> None:
    folder = name.partition("/")[0]
    classic = yaml.safe_load(CLASSIC[RELEASE_FILE if folder == RELEASE_COMPONENT else f"{folder}.gitlab-ci.yml"])
    inputs, body = read(name)
    # With every input being its variable again, the jobs must come out as they are there.
    switches = {
        key: f"$GITLAB_MESH_{key.upper().replace('-', '_')}" for key in inputs if f'"$[[ inputs.{key} ]]"' in body
    }
    values = {**switches, "service": "$GITLAB_MESH_SERVICE", "environment": "$GITLAB_MESH_ENVIRONMENT"}
    values.pop("in-merge-requests", None)
    component = interpolate(name, **values)
    for job in component.values():
        for rule in job.get("rules", []):
            rule["if"] = re.sub(r'"(\$GITLAB_MESH_\w+)"', r"\1", rule["if"])
    assert set(component) == {".mesh-base", *(key for key in classic if key.startswith("mesh-"))}
    for key, job in component.items():
        if key == ".mesh-base":
            continue
        parent = classic[key]["extends"]
        assert job == {**classic[key], "extends": ".mesh-base" if parent == ".gitlab-mesh" else parent}
    base, former = component[".mesh-base"], classic[".gitlab-mesh"]
    assert {key for key in base if base[key] != former.get(key)} == {"variables", "image", "rules"}


@pytest.mark.parametrize("name", FILES)
def test_a_component_changes_nothing_of_its_project(name: str) -> None:
    content = interpolate(name)
    assert all(key == ".mesh-base" or key.startswith("mesh-") for key in content)
    renamed = interpolate(name, **{"job-prefix": "eu-"})
    assert all(key == ".eu-base" or key.startswith("eu-") for key in renamed)
    assert "mesh-canary" not in json.dumps(renamed), "needs must follow the prefix"


@pytest.mark.parametrize("name", FILES)
def test_no_input_is_part_of_a_script(name: str) -> None:
    inputs, body = read(name)
    used = set(re.findall(r"\$\[\[ inputs\.([a-z-]+) \]\]", body))
    assert used == set(inputs), "every input is used, and every use has one"
    for job in yaml.safe_load(body).values():
        for key in ("script", "before_script", "after_script"):
            assert "inputs." not in json.dumps(job.get(key, []))
    for input_name, spec in inputs.items():
        assert 0 < len(spec["description"]) <= 1024
        assert "default" in spec, f"{input_name} would be mandatory, also in automatic pipelines"
        if spec.get("regex"):
            assert re.search(spec["regex"], spec["default"]), f"the default of {input_name} is refused"
        if any("$[[ inputs." + input_name in json.dumps(job.get("rules", "")) for job in yaml.safe_load(body).values()):
            assert spec.get("type") == "boolean" or spec["options"], "only a fixed set of values is safe in a condition"


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_the_readme_shows_the_component(job: Any) -> None:
    readme = (ROOT / "jobs" / job.package.replace(".", "/") / "README.md").read_text(encoding="utf-8")
    assert f"component: $CI_SERVER_FQDN/platform/gitlab-mesh/{job.name}@" in readme
    given = re.search(r"```yaml\ninclude:\n  - component:.*?```", readme, re.DOTALL)
    assert given
    example = yaml.safe_load(given[0].removeprefix("```yaml").removesuffix("```"))["include"][0]
    assert set(example.get("inputs", {})) <= set(read(f"{job.name}/template.yml")[0])


def make_component_project(new_project: Callable[[str], Project], origin: str, ci: str) -> Project:
    project = new_project(origin)
    write_templates(project.path / "templates", FILES)
    (project.path / ".gitlab-ci.yml").write_text(ci)
    identity = ["-c", "user.name=Example", "-c", "user.email=example@example.com"]
    for command in (["add", "--all"], [*identity, "commit", "--quiet", "--message=Component"]):
        subprocess.run(["git", *command], cwd=project.path, check=True)
    subprocess.run(["git", "update-ref", "refs/remotes/origin/main", "HEAD"], cwd=project.path, check=True)
    return project


INCLUDE = """
include:
  - component: $CI_SERVER_FQDN/acme/shop/{name}@$CI_COMMIT_SHA
    inputs: {inputs}
"""
ORIGIN = "http://127.0.0.1:9/acme/shop.git"


def preview(project: Project) -> dict[str, Any]:
    done = subprocess.run(
        [project.program, "--preview"], cwd=project.path, capture_output=True, text=True, timeout=60, check=False,
        env={"HOME": str(project.home), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(yaml.safe_load(done.stdout[done.stdout.index("---\n") :]))


def test_gitlab_ci_local_includes_it_with_typed_inputs(new_project: Callable[[str], Project]) -> None:
    inputs = '{service: shop, image: "registry.example/shop:1", in-merge-requests: true, job-prefix: eu-}'
    content = preview(make_component_project(new_project, ORIGIN, INCLUDE.format(name="release", inputs=inputs)))
    job = content["eu-canary"]
    assert job["variables"]["GITLAB_MESH_IMAGE"] == "registry.example/shop:1"
    assert job["variables"]["GITLAB_MESH_AGAIN"] == "false"
    assert job["resource_group"] == "mesh-production-shop"
    assert content["eu-rollback"]["needs"][0]["job"] == "eu-canary"
    assert any('"true" == "true"' in rule.get("if", "") for rule in job["rules"])


def test_two_services_in_one_pipeline(new_project: Callable[[str], Project]) -> None:
    ci = "include:\n" + "".join(
        f"  - component: $CI_SERVER_FQDN/acme/shop/release@$CI_COMMIT_SHA\n"
        f"    inputs: {{service: {name}, job-prefix: {name}-}}\n"
        for name in ("shop", "cart")
    )
    content = preview(make_component_project(new_project, ORIGIN, ci))
    assert {"shop-canary", "cart-canary"} <= set(content)
    groups = {content[f"{name}-canary"]["resource_group"] for name in ("shop", "cart")}
    assert groups == {"mesh-production-shop", "mesh-production-cart"}


@pytest.mark.parametrize(
    "inputs", ["{service: 'Shop; rm -rf /'}", "{job-prefix: 'a b'}", "{in-merge-requests: 'perhaps'}"]
)
def test_an_input_of_another_form_is_refused(new_project: Callable[[str], Project], inputs: str) -> None:
    project = make_component_project(new_project, ORIGIN, INCLUDE.format(name="release", inputs=inputs))
    pipeline = project.run("--list")
    assert pipeline.exit_code != 0
    assert "input" in pipeline.output
