"""From nothing to a promoted canary: `init` looks into the cluster, its files run as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitlab_mesh.adapters.load import LoadPlan, load_command
from gitlab_mesh.cli.demo_run import POLICY
from gitlab_mesh.sandbox.gitlab.contract import Contract
from gitlab_mesh.sandbox.shop import HOST
from gitlab_mesh.sandbox.world import Sandbox
from tests.templates.conftest import Project, commit_all, make_repository

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]

OF_THE_JOB = {"CI_JOB_ID", "CI_JOB_NAME", "CI_JOB_STAGE", "CI_JOB_URL", "CI_JOB_STATUS", "CI_ENVIRONMENT_NAME"}


@pytest.fixture
def sandbox(require_tool: Callable[[str], Path], gitlab_contract: Contract | None) -> Iterator[Sandbox]:
    require_tool("gitlab-ci-local")
    require_tool("rsync")
    with Sandbox.start() as running:
        running.gitlab.server.contract = gitlab_contract
        running.start_traffic(
            lambda url: load_command(
                LoadPlan(url=url, rate=300, duration_seconds=200, headers={"Host": HOST}, origin_header="x-version")
            )
        )
        yield running


def test_init_then_the_pipeline_promotes(sandbox: Sandbox, tmp_path: Path, require_tool: Callable[[str], Path]) -> None:
    project: Project = make_repository(
        tmp_path / "shop", require_tool("gitlab-ci-local"), f"{sandbox.gitlab.url}/shop/shop.git"
    )
    seen = sandbox.job_environment("mesh-canary")
    outside = {**os.environ, "KUBECONFIG": seen["KUBECONFIG"], "HOME": str(project.home)}
    command = [sys.executable, "-m", "gitlab_mesh", "init", "--yes", "--live", "--namespace", "shop"]
    done = subprocess.run(command, cwd=project.path, env=outside, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = [sys.executable, "-m", "gitlab_mesh", "config", "show"]
    subprocess.run(shown, cwd=project.path, env=outside, check=True, capture_output=True)
    commit_all(project)

    variables = {name: value for name, value in seen.items() if name.startswith("CI_") and name not in OF_THE_JOB}
    variables |= {"CI_COMMIT_SHORT_SHA": "good", "GITLAB_MESH_PIP_SPEC": "", "GITLAB_MESH_IN_MERGE_REQUESTS": "true"}
    pipeline = project.run(
        f"--ignore-predefined-vars={','.join(sorted(variables))}",
        variables=variables,
        env={
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "KUBECONFIG": seen["KUBECONFIG"],
            "GITLAB_MESH_TOKEN": seen["GITLAB_MESH_TOKEN"],
            # the demo's shortened policy; the files stay as they were written
            **{f"GITLAB_MESH_{path.upper().replace('.', '_')}": value for path, value, _ in POLICY},
        },
        timeout=200,
    )

    assert pipeline.exit_code == 0, pipeline.output
    assert pipeline.results == {"mesh-canary": "PASS"}
    [note] = [note.body for note in sandbox.gitlab.merge_request.notes if not note.system]
    assert "was promoted" in note
    shop = sandbox.client().get("Deployment", "shop", "shop")
    assert shop["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/shop:good"
