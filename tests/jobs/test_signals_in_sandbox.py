"""Signals, a gone reader, a full disk, reads that hang: the real process takes traffic back within seconds."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.sandbox.shop import NAMESPACE
from gitlab_mesh.sandbox.world import Sandbox, SandboxSpec

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(180)]

WITHIN_SECONDS = 5.0
"""From the signal to weight 0 in the API; a docker executor kills after 10 s."""

MESH_YAML = """\
version: 1
services:
  shop:
    namespace: shop
    route: {virtualService: shop, http: [primary]}
    rollout: {steps: [20, 50], step_bake: 60s, look_interval: 500ms, drain: 3s, deadline: 300s}
    judge: {mode: dry-run, bake: 60s}
    metrics: {timeout: 30s}
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(SandboxSpec()) as running:
        running.config.write_text(MESH_YAML)
        yield running


def weight(sandbox: Sandbox) -> int:
    """Canary's weight in the live route."""
    route = sandbox.client().get("VirtualService", NAMESPACE, "shop")
    for http in route["spec"]["http"]:
        for item in http["route"]:
            if item["destination"].get("subset") == "canary":
                return int(item.get("weight", 0))
    return 0


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
    return time.monotonic() - started


@contextmanager
def canary_job(sandbox: Sandbox, output: Path, **changes: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The job as a runner starts it, until the canary has a weight."""
    environ = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("CI_", "GITLAB_", "KUBE"))},
        **sandbox.job_environment("canary"),
        **changes.pop("environ", {}),
    }
    argv = [sys.executable, "-m", "gitlab_mesh", "job", "canary", "--service", "shop"]
    argv += ["--image", "registry.example/shop:1.5.0", "--config", str(sandbox.config), "--output", str(output)]
    process = subprocess.Popen(argv, env=environ, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **changes)
    try:
        wait_until(lambda: weight(sandbox) > 0 or process.poll() is not None, 60, "the first weight")
        assert process.poll() is None, process.stderr.read().decode()  # type: ignore[union-attr]
        time.sleep(0.3)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        if process.stderr is not None:
            process.stderr.close()


def drain(process: subprocess.Popen[bytes]) -> list[str]:
    """Read the job's log in the background, as a runner does."""
    lines: list[str] = []
    stream = process.stderr
    assert stream is not None
    threading.Thread(target=lambda: lines.extend(line.decode() for line in stream), daemon=True).start()
    return lines


def hang_metrics(sandbox: Sandbox) -> Callable[[], None]:
    """Let every read through pods/proxy hang from now on; call the result to let go."""
    release = threading.Event()
    inner = sandbox.cluster.api.pod_proxy

    def hang(*args: Any, **kwargs: Any) -> Any:
        release.wait(60)
        assert inner is not None
        return inner(*args, **kwargs)

    sandbox.cluster.api.pod_proxy = hang
    return release.set


def no_hang(sandbox: Sandbox) -> Callable[[], None]:
    return lambda: None


@pytest.mark.parametrize(
    ("numbers", "hang", "code"),
    [
        ((signal.SIGTERM,), no_hang, 143),
        ((signal.SIGTERM,), hang_metrics, 143),
        ((signal.SIGTERM, signal.SIGTERM, signal.SIGINT), hang_metrics, 143),
        ((signal.SIGINT, signal.SIGTERM), no_hang, 130),
        ((signal.SIGHUP,), no_hang, 143),
    ],
    ids=["SIGTERM", "SIGTERM-while-metrics-hang", "three-signals", "SIGINT-then-SIGTERM", "SIGHUP"],
)
def test_a_signal_takes_traffic_back_at_once(
    sandbox: Sandbox,
    tmp_path: Path,
    numbers: tuple[signal.Signals, ...],
    hang: Callable[[Sandbox], Callable[[], None]],
    code: int,
) -> None:
    with canary_job(sandbox, tmp_path / "out") as process:
        lines = drain(process)
        let_go = hang(sandbox)
        time.sleep(1.0)  # the next look is inside its read by now
        assert weight(sandbox) == 20
        started = time.monotonic()
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.05)
        wait_until(lambda: weight(sandbox) == 0, WITHIN_SECONDS, "weight 0")
        (tmp_path / "seconds.txt").write_text(f"{time.monotonic() - started:.2f} s to weight 0\n")
        let_go()
        assert process.wait(60) == code, "".join(lines)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["outcome"] == "interrupted"
    assert_clean(sandbox)


def assert_clean(sandbox: Sandbox) -> None:
    client = sandbox.client()
    names = [item["metadata"]["name"] for item in client.list("Deployment", NAMESPACE)]
    assert names == ["shop"]
    assert not [it for it in client.list("Lease", NAMESPACE) if it["spec"].get("holderIdentity")]
    annotations = client.get("VirtualService", NAMESPACE, "shop")["metadata"].get("annotations") or {}
    assert "gitlab-mesh.dev/rollout" not in annotations


def test_a_gitlab_that_hangs_delays_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api/v4"
        with canary_job(sandbox, tmp_path / "out", environ={"CI_API_V4_URL": url}) as process:
            drain(process)
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: weight(sandbox) == 0, WITHIN_SECONDS, "weight 0")
            assert process.wait(90) == 143
    assert_clean(sandbox)


def test_a_runner_that_is_gone_does_not_stop_the_rollback(sandbox: Sandbox, tmp_path: Path) -> None:
    with canary_job(sandbox, tmp_path / "out") as process:
        assert process.stderr is not None
        process.stderr.close()  # the reader of the log dies: every further line is a broken pipe
        time.sleep(1.5)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: weight(sandbox) == 0, WITHIN_SECONDS, "weight 0")
        assert process.wait(60) == 143
    assert_clean(sandbox)


def fill_disk(process: subprocess.Popen[bytes]) -> None:
    """From now on no file may grow: every write to one fails, as on a full disk (EFBIG instead of ENOSPC)."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.parametrize("disk", ["full", "read-only"])
def test_files_that_cannot_be_written_stop_nothing(sandbox: Sandbox, tmp_path: Path, disk: str) -> None:
    (tmp_path / "file").write_text("no directory can be made below a file")
    output = tmp_path / "file" / "out" if disk == "read-only" else tmp_path / "out"
    with canary_job(sandbox, output) as process:
        lines = drain(process)
        if disk == "full":
            fill_disk(process)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: weight(sandbox) == 0, WITHIN_SECONDS, "weight 0")
        assert process.wait(60) == 143
    assert any("was not written" in line for line in lines)
    assert_clean(sandbox)
