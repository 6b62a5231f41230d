"""Weights that follow the evidence, and the watch, with a real Envoy, real pods and real requests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gitlab_mesh.adapters.load import LoadPlan, load_command
from gitlab_mesh.cli.demo_run import mesh_yaml
from gitlab_mesh.sandbox.shop import HOST
from gitlab_mesh.sandbox.world import Sandbox, SandboxSpec

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240), pytest.mark.xdist_group("releases")]

SETTINGS = (
    "rollout.schedule=budget", "rollout.watch.duration=5s", "rollout.deadline=180s",
    "judge.bad_request_budget=400", "judge.bake=5s", "judge.latency_margin=300%", "judge.latency_tolerance=100%",
)  # fmt: skip


@pytest.fixture
def shop() -> Iterator[Sandbox]:
    with Sandbox.start(SandboxSpec()) as sandbox:
        sandbox.config.write_text(mesh_yaml(), encoding="utf-8")
        plan = LoadPlan(
            url=sandbox.gateway_url, rate=300.0, duration_seconds=230, headers={"Host": HOST}, origin_header="x-version"
        )
        sandbox.start_traffic(lambda url: load_command(plan))
        yield sandbox


def test_a_release_climbs_by_its_budget_is_watched_and_promoted(shop: Sandbox) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CI_", "GITLAB_", "KUBE"))}
    options = [part for setting in SETTINGS for part in ("--set", setting)]
    done = subprocess.run(
        [sys.executable, "-m", "gitlab_mesh", "job", "canary", "--image", "registry.example/shop:good", *options],
        env={**kept, **shop.job_environment("canary")},
        capture_output=True, text=True, timeout=220, cwd=shop.directory, check=False,
    )  # fmt: skip
    log = done.stderr
    assert done.returncode == 0, log
    pairs = [tuple(map(int, pair)) for pair in re.findall(r"weights stable:canary (\d+):(\d+)", log)]
    shares = [canary / (stable + canary) for stable, canary in pairs]
    top = shares.index(0.95)
    assert shares[-2:] == [1.0, 0.0]
    # On a busy machine the watch may call for control meanwhile, and let go of it again.
    assert set(shares[top:-2]) <= {0.95, 0.5}
    climb = shares[:top]
    assert climb[-1] == 0.5
    assert climb == sorted(climb)
    assert 0.02 < climb[0] < 0.1  # 400 failed requests in 17 s of 300 requests/s, about
    assert "bad requests (budget 400)" in log
    assert "Watch: stable keeps" in log
    assert shop.requests_failed_by_mesh == 0
    record = shop.client().get("ConfigMap", "shop", "gitlab-mesh-shop")["data"]["record.json"]
    assert json.loads(record)["outcome"] == "promoted"
    route = shop.client().get("VirtualService", "shop", "shop")
    weights = [item.get("weight") for http in route["spec"]["http"] for item in http["route"]]
    assert set(weights) <= {None, 100}
