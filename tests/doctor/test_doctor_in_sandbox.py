"""`gitlab-mesh doctor` as a job runs it: one process against the sandbox, its exit codes, its report, no secret."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitlab_mesh.adapters.load import LoadPlan, load_command
from gitlab_mesh.sandbox.gitlab.contract import Contract
from gitlab_mesh.sandbox.shop import HOST
from gitlab_mesh.sandbox.world import Sandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(120), pytest.mark.xdist_group("doctor")]

Run = Callable[..., subprocess.CompletedProcess[str]]
LIMITS = {"CI_JOB_TIMEOUT": "3600", "RUNNER_SCRIPT_TIMEOUT": "50m", "RUNNER_AFTER_SCRIPT_TIMEOUT": "5m"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as running:
        running.start_traffic(
            lambda url: load_command(
                LoadPlan(url=url, rate=50, duration_seconds=100, headers={"Host": HOST}, origin_header="x-version")
            )
        )
        yield running


@pytest.fixture
def run(sandbox: Sandbox, tmp_path: Path, gitlab_contract: Contract | None) -> Run:
    """Run the command as the sandbox's CI job, with changes to its environment."""
    sandbox.gitlab.server.contract = gitlab_contract

    def start(*options: str, user: str = "deployer", **env: str) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, **sandbox.job_environment("mesh-doctor", user=user), **LIMITS, **env}
        command = [sys.executable, "-m", "gitlab_mesh", "doctor", *options]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )

    return start


def stored(sandbox: Sandbox) -> dict[str, str]:
    """The version of every object that a release could touch."""
    kinds = ("VirtualService", "DestinationRule", "ConfigMap", "Lease")
    found = [item for kind in kinds for item in sandbox.client().list(kind, "shop")]
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in found}


def test_everything_is_well_and_nothing_was_written(sandbox: Sandbox, run: Run, tmp_path: Path) -> None:
    before = stored(sandbox)
    done = run()
    assert done.returncode == 0, done.stdout
    assert "a release would work" in done.stdout
    assert "fail" not in {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert stored(sandbox) == before
    report = json.loads((tmp_path / "mesh-out/report.json").read_text())
    assert (report["job"], report["outcome"]) == ("doctor", "passed")
    assert (tmp_path / "mesh-out/report.html").stat().st_size > 0


def test_who_may_only_look_is_told_which_rights_are_missing(run: Run, tmp_path: Path) -> None:
    done = run(user="viewer")
    assert done.returncode == 21, done.stdout
    assert "gitlab-mesh rbac render --service shop" in done.stdout
    assert json.loads((tmp_path / "mesh-out/report.json").read_text())["exit_code"] == 21


def test_a_wrong_mesh_yaml_does_not_hide_the_rest(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "mesh.yaml"
    wrong.write_text("version: 1\nservices:\n  shop:\n    namespace: shop\n    rout: {virtualService: shop}\n")
    done = run("--config", str(wrong), GITLAB_MESH_CONFIG="")
    assert done.returncode == 2, done.stdout
    assert "rout" in done.stdout
    assert "GITLAB_MESH_TOKEN" in done.stdout, "the tokens are checked all the same"


def test_a_cluster_that_nobody_answers_for(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": {"token": "planted-cluster-token"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "c",
            }
        )
    )
    done = run(KUBECONFIG=str(kubeconfig))
    assert done.returncode == 20, done.stdout
    assert "planted" not in done.stdout


def test_no_output_holds_a_secret(sandbox: Sandbox, run: Run, tmp_path: Path) -> None:
    done = run()
    written = [path.read_text(encoding="utf-8") for path in (tmp_path / "mesh-out").rglob("*") if path.is_file()]
    secrets = {*sandbox.gitlab.server.state.tokens, *(job.token for job in sandbox.gitlab.server.state.jobs.values())}
    assert len(written) >= 5
    assert not [secret for secret in secrets for text in (done.stdout, *written) if secret in text]
