"""GitLab.com Free: a whole release with nothing but the job token, against real traffic and GitLab's token rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitlab_mesh.adapters.load import LoadPlan, load_command
from gitlab_mesh.cli.demo_run import mesh_yaml
from gitlab_mesh.sandbox.gitlab import Fault
from gitlab_mesh.sandbox.gitlab.contract import Contract
from gitlab_mesh.sandbox.shop import HOST
from gitlab_mesh.sandbox.world import Sandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(420)]


@pytest.fixture
def sandbox(gitlab_contract: Contract | None) -> Iterator[Sandbox]:
    """A shop with 300 requests a second."""
    with Sandbox.start() as running:
        running.gitlab.server.contract = gitlab_contract
        running.start_traffic(
            lambda url: load_command(
                LoadPlan(url=url, rate=300, duration_seconds=300, headers={"Host": HOST}, origin_header="x-version")
            )
        )
        yield running


@pytest.fixture
def release(sandbox: Sandbox, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the canary job as its own process in the sandbox's CI job, without or with a project token."""
    sandbox.config.write_text(mesh_yaml(), encoding="utf-8")  # GITLAB_MESH_CONFIG of the job's environment

    def run(tag: str, *options: str, token: bool) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **sandbox.job_environment("mesh-canary")}
        if not token:
            del env["GITLAB_MESH_TOKEN"]
        command = [sys.executable, "-m", "gitlab_mesh", "job", "canary", "--service", "shop"]
        command += ["--environment", "production", "--image", f"registry.example/shop:{tag}", *options]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)

    return run


def states(sandbox: Sandbox) -> list[str]:
    return [item.status for item in sandbox.gitlab.merge_request.project.deployments.values()]


def test_the_job_token_alone_releases_and_says_in_one_line_what_is_missing(
    sandbox: Sandbox, release: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = release("bad", token=False)

    assert done.returncode == 10, done.stdout + done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    missing = [line for line in lines if "GITLAB_MESH_TOKEN" in line]
    assert len(missing) == 1, missing
    assert "scope api, role Reporter or higher" in missing[0]
    assert not [line for line in lines if "Traceback" in line]
    assert states(sandbox)[-1] == "failed", "the job token may write deployments: a rejected canary is a failed one"
    assert [note for note in sandbox.gitlab.merge_request.notes if not note.system] == []
    for name in ("note.md", "report.html", "metrics.txt", "annotations.json", "junit.xml", "mesh.env"):
        assert (tmp_path / "mesh-out" / name).stat().st_size > 0
    assert json.loads((tmp_path / "mesh-out/report.json").read_text())["outcome"] == "rejected"


def test_with_a_project_token_the_merge_request_tells_it_all(
    sandbox: Sandbox, release: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    merge_request = sandbox.gitlab.merge_request
    assert release("bad", token=True).returncode == 10
    assert merge_request.labels == ["mesh::rejected"]
    [thread] = [note for note in merge_request.notes if note.threaded]
    assert thread.resolved_by is None
    assert states(sandbox)[-1] == "failed"

    # What is tested is what GitLab gets: on a busy machine latencies may say nothing for minutes.
    done = release("good", "--set", "judge.mode=dry-run", token=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert merge_request.labels == ["mesh::promoted"]
    assert thread.resolved_by is not None
    assert states(sandbox)[-1] == "success"
    [note] = [note for note in merge_request.notes if not note.system and not note.threaded]
    assert note.body.startswith("### ✅ shop good was promoted")
    assert "Former attempts (1)" in note.body
    assert "❌ shop bad was rejected" in note.body
    secrets = {sandbox.job_environment("mesh-canary")["GITLAB_MESH_TOKEN"], *sandbox.gitlab.server.state.tokens}
    secrets |= {job.token for job in sandbox.gitlab.server.state.jobs.values()}
    files = [path.read_text(encoding="utf-8") for path in (tmp_path / "mesh-out").rglob("*") if path.is_file()]
    outputs = [done.stdout, done.stderr, *files, *(item.body for item in merge_request.notes)]
    assert len(files) >= 6
    assert not [secret for secret in secrets for text in outputs if secret in text]


# Every call × every fault is a table in test_faults.py; here the two that cost most time, through a whole release.
@pytest.mark.parametrize(
    "fault", [Fault(times=-1, drop=True), Fault(times=-1, delay_seconds=120)], ids=["reset", "silence"]
)
def test_a_broken_gitlab_changes_neither_result_nor_time(
    sandbox: Sandbox, release: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, fault: Fault
) -> None:
    sandbox.gitlab.server.faults.append(fault)
    done = release("bad", token=True)

    assert done.returncode == 10, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    report = json.loads((tmp_path / "mesh-out/report.json").read_text())
    assert report["outcome"] == "rejected"
    shop = sandbox.client().get("Deployment", "shop", "shop")
    assert shop["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/shop:1.4.2"
