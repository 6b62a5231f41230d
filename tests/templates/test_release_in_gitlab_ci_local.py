"""Whole releases from the include line to the merge request: gitlab-ci-local, the real tool, the sandbox's traffic."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.adapters.load import LoadPlan, load_command
from gitlab_mesh.cli.demo_run import mesh_yaml
from gitlab_mesh.sandbox.shop import HOST
from gitlab_mesh.sandbox.world import Sandbox

Project = Any  # conftest.Project
Pipeline = Any  # conftest.Pipeline

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]

# What gitlab-ci-local sets for each job by itself; everything else is the emulated GitLab's.
OF_THE_JOB = {"CI_JOB_ID", "CI_JOB_NAME", "CI_JOB_STAGE", "CI_JOB_URL", "CI_JOB_STATUS", "CI_ENVIRONMENT_NAME"}


@pytest.fixture
def sandbox(require_tool: Callable[[str], Path]) -> Iterator[Sandbox]:
    """A shop with 300 requests a second; nothing is started where the pipeline cannot run."""
    require_tool("gitlab-ci-local")
    require_tool("rsync")
    with Sandbox.start() as running:
        running.start_traffic(
            lambda url: load_command(
                LoadPlan(url=url, rate=300, duration_seconds=300, headers={"Host": HOST}, origin_header="x-version")
            )
        )
        yield running


@pytest.fixture
def project(sandbox: Sandbox, new_project: Callable[[str], Project]) -> Project:
    """The example project, whose origin is the emulated GitLab, with the demo's shortened policy."""
    made = new_project(f"{sandbox.gitlab.url}/shop/shop.git")
    (made.path / "mesh.yaml").write_text(mesh_yaml())
    return made


def release(project: Project, sandbox: Sandbox, tag: str) -> Pipeline:
    """Run the merge request's pipeline for this version, as GitLab would start it."""
    seen = sandbox.job_environment("mesh-canary")
    variables = {name: value for name, value in seen.items() if name.startswith("CI_") and name not in OF_THE_JOB}
    variables |= {"SHOP_VERSION": tag, "GITLAB_MESH_PIP_SPEC": "", "GITLAB_MESH_IN_MERGE_REQUESTS": "true"}
    return project.run(
        f"--ignore-predefined-vars={','.join(sorted(variables))}",
        variables=variables,
        env={
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "KUBECONFIG": seen["KUBECONFIG"],
            "GITLAB_MESH_TOKEN": seen["GITLAB_MESH_TOKEN"],
        },
        timeout=200,
    )


def notes(sandbox: Sandbox) -> list[str]:
    """The sticky notes; a rejected release opens a thread beside them."""
    return [note.body for note in sandbox.gitlab.merge_request.notes if not note.system and not note.threaded]


def image(sandbox: Sandbox) -> str:
    shop = sandbox.client().get("Deployment", "shop", "shop")
    return str(shop["spec"]["template"]["spec"]["containers"][0]["image"])


def report(project: Project) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project.path / "mesh-out/report.json").read_text(encoding="utf-8"))
    return content


def test_a_good_release_is_promoted(project: Project, sandbox: Sandbox) -> None:
    pipeline = release(project, sandbox, "good")

    assert pipeline.exit_code == 0, pipeline.output
    assert pipeline.results == {"build": "PASS", "mesh-canary": "PASS"}
    assert report(project)["outcome"] == "promoted"
    assert image(sandbox) == "registry.example/shop:good"
    (note,) = notes(sandbox)
    assert "✅" in note.split("\n")[0] + note.split("\n")[1]
    assert "was promoted" in note
    for name in ("report.html", "junit.xml", "mesh.env"):
        assert (project.path / "mesh-out" / name).stat().st_size > 0
    assert "nothing to do" in pipeline.log("mesh-canary"), "after_script has nothing left to do"
    assert sandbox.requests_failed_by_mesh == 0


def test_a_bad_release_is_taken_back(project: Project, sandbox: Sandbox) -> None:
    before = sandbox.client().get("VirtualService", "shop", "shop")["spec"]
    pipeline = release(project, sandbox, "bad")

    assert pipeline.exit_code == 1, pipeline.output
    assert pipeline.results == {"build": "PASS", "mesh-canary": "FAIL", "mesh-rollback": "PASS"}
    assert "FAIL 10" in pipeline.log("mesh-canary"), "the exit code is the verdict's"
    assert "nothing to do" in pipeline.log("mesh-rollback"), "the net finds a finished release"
    assert image(sandbox) == "registry.example/shop:1.4.2"
    assert sandbox.client().get("VirtualService", "shop", "shop")["spec"] == before
    assert [item["metadata"]["name"] for item in sandbox.client().list("Deployment", "shop")] == ["shop"]
    (note,) = notes(sandbox)
    assert "was rejected" in note
    assert "| ❌\u00a0errors |" in note
    assert sandbox.requests_failed_by_mesh == 0


def find_canary_job(project: Project) -> int | None:
    """Return the process of `gitlab-mesh job canary` that runs in this project's folder."""
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or (entry / "cwd").readlink() != project.path:
                continue
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile, or is not ours
            continue
        if arguments[-3:-1] == [b"job", b"canary"] and b"python" in arguments[0]:
            return int(entry.name)
    return None


def canary_weight(sandbox: Sandbox) -> int:
    routes = sandbox.client().get("VirtualService", "shop", "shop")["spec"]["http"]
    return sum(
        destination.get("weight", 0)
        for route in routes
        for destination in route.get("route", ())
        if destination["destination"].get("subset") == "canary"
    )


def test_a_job_that_is_killed_is_taken_back_by_its_after_script(project: Project, sandbox: Sandbox) -> None:
    before = sandbox.client().get("VirtualService", "shop", "shop")["spec"]
    ended: list[Pipeline] = []
    running = threading.Thread(target=lambda: ended.append(release(project, sandbox, "good")))
    running.start()
    try:
        deadline = time.monotonic() + 90
        while canary_weight(sandbox) == 0:
            assert time.monotonic() < deadline, "the canary got no weight"
            time.sleep(0.05)
        process = find_canary_job(project)
        assert process is not None
        os.kill(process, signal.SIGKILL)
    finally:
        running.join(180)
    (pipeline,) = ended

    assert pipeline.exit_code == 1
    assert pipeline.results == {"build": "PASS", "mesh-canary": "FAIL", "mesh-rollback": "PASS"}
    assert "--if-unfinished" in pipeline.log("mesh-canary")
    assert json.loads((project.path / "mesh-out/after-script/report.json").read_text())["outcome"] == "rolled-back"
    assert "nothing to do" in pipeline.log("mesh-rollback"), "after_script had done it already"
    assert sandbox.client().get("VirtualService", "shop", "shop")["spec"] == before
    assert [item["metadata"]["name"] for item in sandbox.client().list("Deployment", "shop")] == ["shop"]
    assert image(sandbox) == "registry.example/shop:1.4.2"
