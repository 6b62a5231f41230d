"""The job on a scripted generator: options, gates, files, exit codes; and the command line as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.load.result import LoadResult
from gitlab_mesh.core.load.settings import LoadBaseline, LoadConfig, LoadMesh, LoadRequest, LoadStage
from gitlab_mesh.core.metrics.counts import Counts, Histogram, Side
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.report.renderers import render_html, render_junit, render_note
from gitlab_mesh.errors import ObjectMissingError, UsageError
from gitlab_mesh.job import JobResult
from gitlab_mesh.testing.load import ScriptedLoad
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from gitlab_mesh_jobs.load_check.job import JOB

TARGET = "http://127.0.0.1:8080/"


def ports_for(load: LoadConfig | None = None, **changes: Any) -> ModelPorts:
    service = ServiceConfig("shop", "shop", load=replace(load or LoadConfig(TARGET), **changes))
    return ModelPorts(ShopModel(), service)


def run(ports: ModelPorts, **options: Any) -> JobResult:
    return JOB.run(ports, options)


def test_options_win_over_the_file() -> None:
    ports = ports_for(stages=(LoadStage(5, 5),), thresholds=("p99 < 1ms",))
    result = run(
        ports, target="http://127.0.0.1:9/x", rate="200", duration="3s", arrivals="poisson", connections="7",
        timeout="2s", threshold="p50 < 50ms, p99 < 1s",
    )  # fmt: skip
    (plan,) = ports.load.plans
    assert (plan.url, plan.connections, plan.timeout_seconds, plan.arrivals) == (
        "http://127.0.0.1:9/x",
        7,
        2,
        "poisson",
    )
    assert [(stage.rate, stage.seconds) for stage in plan.stages] == [(200, 3)]
    assert result.exit_code == 0
    assert "p50 &lt; 50ms" in render_junit(result.report)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rate": "many"}, "--rate many"),
        ({"rate": "-1"}, "below the smallest"),
        ({"duration": "5 parsecs"}, "--duration"),
        ({"connections": "1.5"}, "no whole number"),
        ({"rate": "500", "load_max_rps": "100"}, "more than the 100 allowed"),
        ({"target": "http://shop.example/"}, "may not be loaded"),
        ({"threshold": "p99 < fast"}, "no threshold"),
        ({"shard": "5/4"}, "NUMBER/TOTAL"),
    ],
)
def test_a_wrong_option_costs_no_request(options: dict[str, str], text: str) -> None:
    ports = ports_for()
    with pytest.raises(UsageError, match=text):
        run(ports, **options)
    assert ports.load.plans == []


def limited(result: LoadResult) -> None:
    result.limits = ("the generator sent late: p99 of its own delay is 90 ms (limit 20)",)


def failing(result: LoadResult) -> None:
    result.kinds["request"].errors["connect"] = result.requests


@pytest.mark.parametrize(
    ("load", "outcome", "code"),
    [
        (ScriptedLoad(), Outcome.PASSED, 0),
        (ScriptedLoad(seconds=0.5), Outcome.FAILED, 14),
        (ScriptedLoad(change=failing), Outcome.FAILED, 14),
        (ScriptedLoad(change=limited), Outcome.INCONCLUSIVE, 11),
        (ScriptedLoad(seconds=0.5, change=limited), Outcome.INCONCLUSIVE, 11),
    ],
)
def test_each_end_has_its_code_and_its_files(load: ScriptedLoad, outcome: Outcome, code: int) -> None:
    ports = ports_for(thresholds=("p99 < 100ms",), duration=10.0)
    ports.load = load
    result = run(ports, format="json")
    assert (result.report.outcome, result.exit_code, result.report.exit_code) == (outcome, code, code)
    found = json.loads(result.stdout)
    assert (found["requests"], found["exit_code"]) == (500, code)
    assert set(result.files) == {"load.json", "load-performance.json", "metrics.txt"}
    for render in (render_html, render_note):
        assert "127.0.0.1" in render(result.report)
    assert ("<failure" in render_junit(result.report)) == (code != 0)
    assert list(ports.notes.bodies) == ["load-check:shop"]
    assert result.report.headline in ports.notes.bodies["load-check:shop"].replace("\\", "") or code


def test_text_leaves_standard_output_alone() -> None:
    assert run(ports_for(duration=1.0), format="text").stdout == ""


def test_a_signal_ends_the_run_with_its_own_code_and_what_was_measured() -> None:
    ports = ports_for(duration=5.0)
    ports.signal.at = 0.0
    result = run(ports)
    assert (result.report.outcome, result.exit_code) == (Outcome.INTERRUPTED, 143)
    assert json.loads(result.files["load.json"])["requests"] == 250


def test_the_baseline_is_read_before_the_load_and_compared_after_it() -> None:
    ports = ports_for(duration=20.0, baseline=LoadBaseline("before.json"))
    first = run(ports)
    assert "nothing is compared" in ports.console.text
    assert first.exit_code == 0
    ports.files.texts["before.json"] = first.files["load.json"]
    assert run(ports).exit_code == 0
    ports.load = ScriptedLoad(seconds=0.04)
    slower = run(ports)
    assert slower.exit_code == 14
    assert "latency against the baseline" in slower.report.headline
    for text, said in (("{", "is no JSON"), ("{}", "no result of load-check")):
        ports.files.texts["before.json"] = text
        before = len(ports.load.plans)
        with pytest.raises(UsageError, match=said):
            run(ports)
        assert len(ports.load.plans) == before


def test_a_baseline_of_another_rate_is_refused_before_the_load() -> None:
    ports = ports_for(duration=5.0, baseline=LoadBaseline("before.json"))
    ports.files.texts["before.json"] = run(ports).files["load.json"]
    with pytest.raises(UsageError, match="the baseline had 50 requests/s, this run 100"):
        run(ports, rate="100")


def test_every_request_has_its_row() -> None:
    requests = (LoadRequest("front", weight=3, thresholds=("p99 < 1ms",)), LoadRequest("buy", path="/buy"))
    result = run(ports_for(requests=requests, duration=10.0))
    assert "front.p99 < 1ms" in result.report.headline
    assert {"front", "buy", "all"} <= {
        row[0] for section in result.report.sections for row in getattr(section, "rows", ())
    }


def mesh_ports(**changes: Any) -> ModelPorts:
    """A shop with a canary whose counters a test moves while the load runs."""
    ports = ports_for(duration=2.0, mesh=LoadMesh(canary="required", settle=5.0, **changes))
    body = ports.cluster.get("Deployment", "shop", "shop")
    template = body["spec"]["template"] | {"metadata": {"labels": {"app": "shop", "version": "canary"}}}
    meta = {"name": "shop-canary", "namespace": "shop", "labels": {"app": "shop"}}
    selector = {"matchLabels": {"app": "shop", "version": "canary"}}
    spec = {"replicas": 1, "selector": selector, "template": template}
    ports.cluster.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})
    ports.model.settle()
    return ports


def serve(ports: ModelPorts, served: Counts) -> None:
    pod = ports.model.pods("shop-canary")[0]["metadata"]["name"]
    ports.model.metrics.serve(Side.CANARY, pod, 0)

    def during(result: LoadResult) -> None:
        ports.model.metrics.serve(Side.CANARY, pod, served.requests, errors=served.errors, latency=served.latency)

    ports.load = ScriptedLoad(change=during)


LATENCY = Histogram((0.1, 1.0, float("inf")), (50, 50, 0))


@pytest.mark.parametrize(
    ("served", "limit", "code"),
    [
        (Counts(100, {}, LATENCY), "canary.errors < 1%", 0),
        (Counts(100, {"5xx": 5}, LATENCY), "canary.errors < 1%", 14),
        (Counts(100, {}, LATENCY), "canary.p99 < 100ms", 14),
        (Counts(100, {}, LATENCY), "canary.p99 < 1s", 0),
        (Counts(0), "canary.errors < 1%", 14),
    ],
)
def test_the_canarys_side_decides(served: Counts, limit: str, code: int) -> None:
    ports = mesh_ports(thresholds=(limit,))
    serve(ports, served)
    result = run(ports)
    assert result.exit_code == code, result.report.reason
    assert ("nothing reached the canary" in result.report.reason) == (served.requests == 0)


def test_without_a_canary_there_is_nothing_to_load() -> None:
    ports = ports_for(mesh=LoadMesh(canary="required"))
    with pytest.raises(ObjectMissingError, match="there is no canary to load"):
        run(ports)
    assert ports.load.plans == []


def test_counters_that_go_silent_are_no_pass() -> None:
    ports = mesh_ports(thresholds=("canary.errors < 1%",))
    serve(ports, Counts(100, {}, LATENCY))
    pod = ports.model.pods("shop-canary")[0]["metadata"]["name"]
    ports.load.change = lambda result: ports.model.metrics.silence(pod, "503 from the pod proxy")
    result = run(ports)
    assert (result.report.outcome, result.exit_code) == (Outcome.NO_DATA, 12)
    assert "503 from the pod proxy" in result.report.reason


def command(directory: Path, *argv: str, **environ: str) -> subprocess.Popen[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CI_", "GITLAB_", "KUBE"))}
    return subprocess.Popen(
        [sys.executable, "-m", "gitlab_mesh", *argv],
        cwd=directory, env={**kept, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_without_mesh_yaml_and_after_sigterm_everything_is_written(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        argv = ("job", "load-check", "--target", url, "--rate", "20", "--duration", "10m", "--format", "json")
        with command(tmp_path, *argv) as process:
            assert process.stderr
            while "no errors" not in process.stderr.readline():  # a line of progress: the load runs
                pass
            process.send_signal(signal.SIGTERM)
            stdout, _ = process.communicate(timeout=30)
    found = json.loads(stdout)
    assert (process.returncode, found["interrupted"], found["outcome"]) == (143, True, "interrupted")
    written = {path.name for path in (tmp_path / "mesh-out").iterdir()}
    assert {"load.json", "load-performance.json", "metrics.txt", "report.html", "junit.xml"} <= written


def test_a_stranger_is_refused_and_the_leash_is_a_variable(tmp_path: Path) -> None:
    with command(tmp_path, "job", "load-check", "--target", "http://shop.example/") as process:
        assert "shop.example may not be loaded" in process.communicate(timeout=30)[1]
    assert process.returncode == 2
    argv = ("job", "load-check", "--target", "http://127.0.0.1:1/", "--rate", "500")
    with command(tmp_path, *argv, GITLAB_MESH_LOAD_MAX_RPS="100") as process:
        assert "more than the 100 allowed" in process.communicate(timeout=30)[1]
    assert process.returncode == 2


def test_shards_are_joined_and_two_runs_compared(tmp_path: Path) -> None:
    for number in (1, 2):
        ports = ports_for(duration=20.0)
        (tmp_path / f"{number}.json").write_text(run(ports, shard=f"{number}/2").files["load.json"])
    with command(
        tmp_path, "load", "merge", "1.json", "2.json", "--threshold", "p99 < 10ms", "--format", "json"
    ) as process:
        stdout, stderr = process.communicate(timeout=30)
    found = json.loads(stdout)
    assert (process.returncode, found["requests"], found["planned_rate"]) == (14, 1000, 50), stderr
    assert json.loads((tmp_path / "mesh-out" / "load.json").read_text())["requests"] == 1000
    slower = ports_for(duration=20.0)
    slower.load = ScriptedLoad(seconds=0.05)
    (tmp_path / "slow.json").write_text(run(slower).files["load.json"])
    for after, code in (("mesh-out/load.json", 0), ("slow.json", 14)):
        with command(tmp_path, "load", "compare", "mesh-out/load.json", after) as process:
            stdout, stderr = process.communicate(timeout=30)
        assert process.returncode == code, stdout + stderr
    with command(tmp_path, "load", "compare", "slow.json", "mesh-out/note.md") as process:
        assert "cannot be read as JSON" in process.communicate(timeout=30)[1]
    assert process.returncode == 2


def test_an_engine_that_nobody_installed_is_named(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(
        f"version: 1\nservices: {{shop: {{namespace: shop, load: {{target: '{TARGET}', engine: k6}}}}}}\n"
    )
    with command(tmp_path, "job", "load-check") as process:
        log = process.communicate(timeout=30)[1]
    assert process.returncode == 2
    assert "load.engine 'k6' is not known" in log
    assert "built-in" in log
