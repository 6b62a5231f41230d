"""Secrets are planted in every variable and file that may hold one; no output of any command shows them, also bugs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gitlab_mesh.adapters.redaction import REDACTED, Redactor, secrets_of

PLANTED = {
    "GITLAB_MESH_TOKEN": "glpat-planted0000000001",
    "GITLAB_TOKEN": "planted-without-prefix-2",
    "CI_JOB_TOKEN": "planted-job-token-3",
    "GITLAB_MESH_PROMETHEUS_TOKEN": "planted-prometheus-4",
    "GITLAB_MESH_WEBHOOK_URL": "https://hooks.invalid/services/planted-5",
    "DATABASE_PASSWORD": "planted: password/6",
}
CI = {
    "CI": "true",
    "GITLAB_CI": "true",
    "CI_JOB_ID": "7",
    "CI_PROJECT_ID": "1",
    "CI_API_V4_URL": "http://127.0.0.1:9/api/v4",
    "CI_MERGE_REQUEST_IID": "1",
}
MESH_YAML = "version: 1\nservices:\n  shop:\n    namespace: shop\n    route: {virtualService: shop}\n"
IN_FILE = "planted-in-kubeconfig-7"
# A bug whose message quotes a secret: what nobody thought of.
BUG = """
import sys
import gitlab_mesh.cli.{module} as module
def broken(*_, **__): raise RuntimeError("unexpected: " + __import__("os").environ["GITLAB_TOKEN"])
module.{name} = broken
from gitlab_mesh.cli.main import main
sys.argv = ["gitlab-mesh", *sys.argv[1:]]
main()
"""

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the tool in a directory with secrets all around; return code and everything that came out, files too."""
    (tmp_path / "mesh.yaml").write_text(MESH_YAML)
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {"token": IN_FILE}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))

    def start(*arguments: str, program: str = "", **env: str) -> tuple[int, str]:
        head = ["-c", program] if program else ["-m", "gitlab_mesh"]
        done = subprocess.run(
            [sys.executable, *head, *arguments],
            cwd=tmp_path,
            env={**os.environ, **CI, **PLANTED, "KUBECONFIG": str(tmp_path / "kubeconfig"), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=110,
            check=False,
        )
        written = [path.read_text(encoding="utf-8") for path in (tmp_path / "mesh-out").rglob("*") if path.is_file()]
        return done.returncode, "\n".join([done.stdout, *written])

    return start


def shown(text: str) -> list[str]:
    return [secret for secret in (*PLANTED.values(), IN_FILE) if secret in text]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("job", "canary", "--image", "registry.example/shop:1"), 20),
        (("job", "status"), 20),
        (("job", "rollback"), 20),
        (("doctor",), 20),
        (("config", "show"), 0),
        (("job", "canary", "--image", PLANTED["GITLAB_TOKEN"] + " "), 20),
        (("init", "--live", "--yes"), 20),
    ],
    ids=lambda value: " ".join(value)[:24] if isinstance(value, tuple) else str(value),
)
def test_no_command_shows_a_secret(run: Run, arguments: tuple[str, ...], code: int) -> None:
    returned, text = run(*arguments)
    assert returned == code, text
    assert text
    assert shown(text) == []


def test_the_traceback_of_a_bug_shows_none(run: Run) -> None:
    code, text = run("job", "status", program=BUG.format(module="run", name="load_config"))
    assert code == 1
    assert "this is a bug" in text
    assert f"unexpected: {REDACTED}" in text
    assert shown(text) == []


def test_a_mistake_in_mesh_yaml_that_quotes_a_secret_shows_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(f"{MESH_YAML}    {PLANTED['GITLAB_TOKEN']}: 1\n")
    code, text = run("job", "status")
    assert code == 2
    assert shown(text) == []


def test_which_variables_count_as_secret() -> None:
    environ = {
        **PLANTED,
        "TOKEN": "short",
        "SECRET_FILE": "/run/secrets/very-long-path",
        "KUBE_TOKEN": "/run/secrets/very-long-path",
        "CI_COMMIT_SHA": "0123456789abcdef",
    }
    assert set(secrets_of(environ)) == set(PLANTED.values())
    assert Redactor(secrets_of(environ))("x planted-prometheus-4 0123456789abcdef") == f"x {REDACTED} 0123456789abcdef"
