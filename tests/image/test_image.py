"""The image is built from the recipe and a canary runs in it: as nobody, against the sandbox, in a real container."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gitlab_mesh.adapters.load import LoadPlan, load_command
from gitlab_mesh.cli.demo_run import mesh_yaml
from gitlab_mesh.sandbox.shop import HOST
from gitlab_mesh.sandbox.world import Sandbox
from tests.image.engine import Engine, EngineMissingError, base_image, engine

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240, func_only=True), pytest.mark.xdist_group("image")]

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "gitlab-mesh-test:local"


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    """An engine that has the image. Its files are not pytest's: another run must not tidy them up while it mounts."""
    with ExitStack() as exits:
        directory = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="docker-", ignore_cleanup_errors=True)))
        try:
            started = exits.enter_context(engine(directory))
        except EngineMissingError as missing:
            if os.environ.get("GITLAB_MESH_REQUIRE_DOCKER") == "1":
                pytest.fail(f"required here: {missing}")
            pytest.skip(f"the image is not built: {missing}")
        context = directory / "context"
        (context / "gitlab_mesh").mkdir(parents=True)
        shutil.copy(ROOT / "Dockerfile", context)
        shutil.copy(ROOT / "gitlab_mesh/constraints.txt", context / "gitlab_mesh")
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", context / "dist", ROOT]
        subprocess.run(command, check=True, capture_output=True, timeout=200)
        base = base_image(started, directory)
        arguments = ["build", "--network=host", "--build-arg", f"BASE={base}", "--tag", IMAGE, str(context)]
        started.run(*arguments, timeout=900)
        yield started
        started.run("image", "rm", "--force", IMAGE, "gitlab-mesh-test-base:local", check=False)


def test_it_runs_as_nobody_and_starts_the_shell_that_a_runner_asks_for(docker: Engine) -> None:
    said = docker.run("run", "--rm", "--network=none", IMAGE, "sh", "-c", "id -u; gitlab-mesh --version").stdout
    assert said.split("\n")[0] == "65532"
    assert "gitlab-mesh" in said
    config = json.loads(docker.run("image", "inspect", IMAGE).stdout)[0]["Config"]
    assert config["User"] == "65532:65532"
    assert not config.get("Entrypoint")


def test_without_a_base_nothing_is_built(docker: Engine, tmp_path: Path) -> None:
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    done = docker.run("build", "--network=none", str(tmp_path), check=False)
    assert done.returncode != 0


def test_a_canary_in_a_container(docker: Engine, tmp_path: Path) -> None:
    with Sandbox.start() as sandbox:
        sandbox.start_traffic(
            lambda url: load_command(
                LoadPlan(url=url, rate=200, duration_seconds=200, headers={"Host": HOST}, origin_header="x-version")
            )
        )
        seen = sandbox.job_environment("mesh-canary")
        checkout = tmp_path / "shop"
        checkout.mkdir()
        checkout.chmod(0o777)  # as a runner makes it for images that are not root's
        (checkout / "mesh.yaml").write_text(mesh_yaml())
        kubeconfig = checkout / "kubeconfig"
        shutil.copy(seen.pop("KUBECONFIG"), kubeconfig)
        kubeconfig.chmod(0o644)
        del seen["GITLAB_MESH_CONFIG"]
        variables = {
            **seen,
            "KUBECONFIG": "/builds/shop/kubeconfig",
            "GITLAB_MESH_IMAGE": "registry.example/shop:1.5.0",
        }
        done = docker.run(
            "run", "--rm", "--network=host", "--volume", f"{checkout}:/builds/shop", "--workdir", "/builds/shop",
            *(part for name, value in variables.items() for part in ("--env", f"{name}={value}")),
            IMAGE, "sh", "-c", "gitlab-mesh job canary --set judge.mode=dry-run", check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        [note] = [item.body for item in sandbox.gitlab.merge_request.notes if not item.system]
        assert "was promoted" in note
        assert json.loads((checkout / "mesh-out/report.json").read_text())["outcome"] == "promoted"
        shop = sandbox.client().get("Deployment", "shop", "shop")
        assert shop["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/shop:1.5.0"
        assert sandbox.requests_failed_by_mesh == 0
