"""``gitlab-mesh config``: what people and programs read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gitlab_mesh.cli.config import config
from gitlab_mesh.config.schema import render_schema_text
from gitlab_mesh.errors import ConfigError

FILE = """version: 1
services:
  shop:
    namespace: shop
    route: {virtualService: shop}
    metrics: {source: prometheus, address: "https://me:pa55word@prometheus.example/with/a/rather/long/path/behind"}
    rollout: {steps: [1, {weight: 5, bake: 2m}]}
    links: {Grafana: "https://grafana.example/d/shop?orgId=1&from=now-1h&to=now&var-service=shop"}
  cart:
    namespace: cart
environments:
  production:
    services: {shop: {rollout: {drain: 1m30s}}}
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mesh.yaml"
    path.write_text(FILE)
    return path


def run(*arguments: str, **env: str) -> str:
    result = CliRunner().invoke(config, list(arguments), env=env, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def columns(output: str, setting: str) -> list[str]:
    return next(line.split() for line in output.splitlines() if line.split()[:1] == [setting])


def test_show_has_value_and_origin(path: Path) -> None:
    output = run(
        "show",
        "--service",
        "shop",
        "--environment",
        "production",
        "--set",
        "rollout.lease=1m",
        GITLAB_MESH_JUDGE_BAKE="90s",
    )
    assert output.startswith("service shop (mesh.yaml, environment production)\n")
    assert columns(output, "route.virtualService") == ["route.virtualService", "shop", "mesh.yaml:5"]
    assert columns(output, "rollout.drain") == ["rollout.drain", "1m30s", "mesh.yaml:13"]
    assert columns(output, "rollout.lease") == ["rollout.lease", "1m", "option", "rollout.lease"]
    assert columns(output, "judge.bake") == ["judge.bake", "1m30s", "environment", "GITLAB_MESH_JUDGE_BAKE"]
    assert columns(output, "rollout.reassert") == ["rollout.reassert", "2", "default"]
    assert columns(output, "workload.port") == ["workload.port", "-", "default"]
    assert "service cart" not in output


def test_show_fits_80_columns_and_hides_passwords(path: Path) -> None:
    output = run("show", GITLAB_MESH_METRICS_MAX_AGE="2m")
    assert max(len(line) for line in output.splitlines()) <= 80
    assert "pa55word" not in output
    assert "https://me:***@prometheus.example" in output
    assert output.index("service shop") < output.index("service cart")


def test_show_as_json(path: Path) -> None:
    document = json.loads(run("show", "--format", "json", CI_ENVIRONMENT_NAME="production"))
    assert (document["file"], document["environment"]) == ("mesh.yaml", "production")
    shop = document["services"]["shop"]
    assert shop["rollout.drain"] == {"value": 90.0, "origin": "mesh.yaml:13"}
    first, second = shop["rollout.steps"]["value"]
    assert first == {"weight": 1.0, "bake": None, "pause": False}
    assert (second["weight"], second["bake"]) == (5.0, 120.0)
    assert shop["rollout.events"] == {"value": True, "origin": "default"}
    assert shop["metrics.gateway"]["value"] is None
    assert "pa55word" not in json.dumps(document)
    assert set(document["services"]) == {"shop", "cart"}


def test_mistakes_are_our_error(path: Path) -> None:
    path.write_text("version: 2\nservices: {}\n")
    with pytest.raises(ConfigError, match="2 mistakes"):
        run("show")


def test_set_without_value(path: Path) -> None:
    result = CliRunner().invoke(config, ["show", "--set", "rollout.lease"])
    assert result.exit_code == 2
    assert "PATH=VALUE" in result.output


def test_schema_is_the_shipped_one() -> None:
    assert run("schema") == render_schema_text()


def test_reference_prints_and_updates(tmp_path: Path) -> None:
    from gitlab_mesh.config.reference import BEGIN, END

    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{BEGIN}\nstale-part\n{END}\n\nafter\n")
    assert run("reference", "--update", str(page)) == ""
    text = page.read_text()
    assert "stale-part" not in text
    assert run("reference") in text
    assert text.endswith("after\n")


def test_importing_the_group_imports_nothing_heavy() -> None:
    code = (
        "import sys, gitlab_mesh.cli.config; "
        "print([n for n in ('yaml', 'kubernetes', 'gitlab', 'jinja2', 'rich', 'requests') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
