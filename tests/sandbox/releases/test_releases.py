"""Whole releases as in a runner: the CLI as its own process against a real Envoy, real pods and real requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.adapters.load import LoadPlan, load_command
from gitlab_mesh.cli.demo_run import mesh_yaml, run_release
from gitlab_mesh.sandbox.app.behaviour import find_behaviour
from gitlab_mesh.sandbox.shop import HOST
from gitlab_mesh.sandbox.world import Sandbox, SandboxSpec

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240), pytest.mark.xdist_group("releases")]

RATE = 500.0


def test_a_good_release_is_promoted(tmp_path: Path) -> None:
    ran = run_release("good", tmp_path / "out", RATE)
    assert (ran.exit_code, ran.outcome, ran.findings) == (0, "promoted", ())
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"note.md", "report.json", "report.html", "junit.xml", "job.log", "mr.html", "mesh.env"} <= names
    assert "was promoted" in (tmp_path / "out" / "mr.html").read_text()


def test_a_bad_release_is_taken_back_and_no_user_pays_for_the_move(tmp_path: Path) -> None:
    # findings hold: what the user owns is byte-equal, nothing is left, no request failed in the mesh.
    ran = run_release("bad", tmp_path / "out", RATE)
    assert (ran.exit_code, ran.outcome, ran.findings) == (10, "rejected", ())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["dotenv"]["MESH_WEIGHT"] == "0"


@pytest.mark.parametrize(("tag", "outcome"), [("good", "rejected"), ("bad", "promoted")])
def test_verdicts_come_from_counted_requests_and_nothing_else(tmp_path: Path, tag: str, outcome: str) -> None:
    bad, good = find_behaviour("bad", {}), find_behaviour("good", {})
    assert bad is not None
    assert good is not None
    spec = SandboxSpec(behaviours={"good": bad, "bad": good})
    ran = run_release(tag, tmp_path / "out", RATE, spec=spec)
    assert (ran.outcome, ran.findings) == (outcome, ())


@pytest.mark.parametrize(
    ("tag", "reason"),
    [("crash", "CrashLoopBackOff"), ("never-ready", "never became ready"), ("no-such", "ErrImagePull")],
)
def test_a_release_that_does_not_start_never_sees_a_user(tmp_path: Path, tag: str, reason: str) -> None:
    ran = run_release(tag, tmp_path / "out", 50.0)
    assert (ran.exit_code, ran.findings) == (10, ())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert reason in report["reason"]
    assert "served by the canary" not in report["facts"] or report["facts"]["served by the canary"].startswith("0")


@pytest.fixture(scope="module")
def shop() -> Iterator[Sandbox]:
    with Sandbox.start(SandboxSpec()) as sandbox:
        yield sandbox


def run_job(sandbox: Sandbox, *argv: str, user: str = "deployer", **environ: str) -> tuple[int, str]:
    """Run ``gitlab-mesh job …`` in its own process; return exit code and log."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CI_", "GITLAB_", "KUBE"))}
    variables = {**kept, **sandbox.job_environment("canary", user=user), **environ}
    done = subprocess.run(
        [sys.executable, "-m", "gitlab_mesh", "job", *argv],
        env=variables, capture_output=True, text=True, timeout=200, cwd=sandbox.directory, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def leftovers(sandbox: Sandbox) -> list[str]:
    client = sandbox.client()
    found = [
        item["metadata"]["name"] for item in client.list("Deployment", "shop") if item["metadata"]["name"] != "shop"
    ]
    found += [item["metadata"]["name"] for item in client.list("Lease", "shop") if item["spec"].get("holderIdentity")]
    route = client.get("VirtualService", "shop", "shop")
    if "gitlab-mesh.dev/rollout" in (route["metadata"].get("annotations") or {}):
        found.append("fence")
    return found


def write(sandbox: Sandbox, text: str) -> None:
    sandbox.config.write_text(text, encoding="utf-8")


IMAGE = ("--image", "registry.example/shop:1.5.0")
BAD_INPUT: Mapping[str, tuple[Callable[[Sandbox], Any], tuple[str, ...], dict[str, str], int, str]] = {
    "a missing service": (
        lambda s: write(s, mesh_yaml().replace("  shop:\n", "  store:\n")),
        IMAGE, {}, 2, "Deployment shop/store does not exist",
    ),
    "a route that matches twice": (
        lambda s: write(s, mesh_yaml().replace(", http: [primary]", "")), IMAGE, {}, 2, "HTTP routes lead to",
    ),
    "a subset without label": (
        lambda s: write(s, mesh_yaml() + "    subsets: {label: tier}\n"), IMAGE, {}, 2, "have no label 'tier'",
    ),
    "an unreachable API": (
        lambda s: None, IMAGE, {"KUBECONFIG": "unreachable"}, 20, "gitlab-mesh",
    ),
    "a token without rights": (lambda s: None, IMAGE, {"user": "viewer"}, 21, "may not"),
    "metrics unreachable": (
        lambda s: write(s, mesh_yaml() + "    metrics: {source: prometheus, address: 'http://127.0.0.1:9'}\n"),
        IMAGE, {}, 20, "127.0.0.1:9",
    ),
    "a wrong key": (lambda s: write(s, mesh_yaml() + "    rolout: {}\n"), IMAGE, {}, 2, "did you mean rollout"),
    "no traffic at all": (
        lambda s: None, (*IMAGE, "--set", "rollout.deadline=12s", "--set", "rollout.step_bake=1s"), {}, 12, "no data",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_ends_with_its_own_code_and_leaves_nothing(name: str, shop: Sandbox) -> None:
    prepare, options, environ, code, message = BAD_INPUT[name]
    write(shop, mesh_yaml())
    prepare(shop)
    environ = dict(environ)
    if environ.get("KUBECONFIG"):
        path = shop.directory / "unreachable.json"
        config = json.loads(shop.kubeconfig().read_text())
        config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
        path.write_text(json.dumps(config))
        environ["KUBECONFIG"] = str(path)
    user = environ.pop("user", "deployer")
    found, log = run_job(shop, "canary", *options, user=user, **environ)
    assert found == code, log
    assert message in log
    assert "Traceback" not in log
    assert not leftovers(shop)


@pytest.mark.parametrize(("tag", "code"), [("1.5.0", 0), ("bad", 10)])
def test_a_service_that_nobody_calls_gets_synthetic_traffic(tag: str, code: int) -> None:
    with Sandbox.start(SandboxSpec()) as sandbox:
        write(
            sandbox,
            mesh_yaml() + f"    traffic: synthetic\n    load: {{target: '{sandbox.gateway_url}', rate: {RATE:g}, "
            f"headers: {{host: {HOST}}}}}\n",
        )
        found, log = run_job(sandbox, "canary", "--image", f"registry.example/shop:{tag}")
        assert found == code, log
        assert "synthetic traffic: 500 /s" in log.replace("\N{NARROW NO-BREAK SPACE}", " ")
        assert not leftovers(sandbox)


def test_prometheus_decides_as_well(tmp_path: Path, require_tool: Callable[[str], Path]) -> None:
    program = require_tool("prometheus")
    with Sandbox.start(SandboxSpec()) as sandbox:
        sandbox.start_traffic(
            lambda url: load_command(
                LoadPlan(url=url, rate=RATE, duration_seconds=180, headers={"Host": HOST}, origin_header="x-version")
            )
        )
        port = free_port()
        config = tmp_path / "prometheus.yml"
        config.write_text(json.dumps({"scrape_configs": [sandbox.scrape.scrape_config()]}))
        with Prometheus(program, config, tmp_path / "data", port):
            write(sandbox, mesh_yaml() + f"    metrics: {{source: prometheus, address: 'http://127.0.0.1:{port}'}}\n")
            options = (
                "--set",
                "rollout.step_bake=6s",
                "--set",
                "rollout.look_interval=1s",
                "--set",
                "rollout.deadline=100s",
            )
            code, log = run_job(sandbox, "canary", "--image", "registry.example/shop:bad", *options)
        assert code == 10, log
        assert "errors: canary" in log
        assert not leftovers(sandbox)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Prometheus:
    """A real Prometheus on loopback, ready when it has scraped the shop once."""

    def __init__(self, program: Path, config: Path, data: Path, port: int) -> None:
        argv = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={data}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        self.process = subprocess.Popen(
            [str(part) for part in argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.port = port

    def __enter__(self) -> Prometheus:
        import time
        import urllib.request

        end = time.monotonic() + 40
        url = f"http://127.0.0.1:{self.port}/api/v1/query?query=istio_requests_total"
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:
                    if json.loads(answer.read())["data"]["result"]:
                        return self
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError("Prometheus never scraped the shop")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)
