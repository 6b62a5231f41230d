"""Every gate of load-check has a release that it alone catches: a real Envoy, real pods, the job as its own process."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.sandbox.app.behaviour import Behaviour
from gitlab_mesh.sandbox.world import Sandbox, SandboxSpec

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(120), pytest.mark.xdist_group("load")]

LIMITS = {
    "client": ("p99 < 1s", "errors < 60%", "checks > 50%"),
    "canary": (
        "canary.p99 < 1s",
        "canary.errors < 80%",
        "canary.retries < 80%",
        "canary.connection_failures < 80%",
        "canary.circuit_breaker < 80%",
        "canary.rate_limited = 0",
    ),
}
"""So wide that nothing breaks them by itself; each case narrows one."""

RETRY = {"attempts": 3, "retryOn": "5xx"}
ONE_CONNECTION = {
    "connectionPool": {"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1, "http2MaxRequests": 1}}
}


@dataclass(frozen=True)
class Case:
    """A release, the limit that must catch it, and what the mesh does on the way."""

    tag: str
    limit: str
    weight: int = 20
    seconds: float = 4.0
    retries: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)


CASES = [
    Case("very-slow", "p90 < 100ms", weight=50),
    Case("errors-2", "errors < 0.3%", weight=50),
    Case("slow-tail", "canary.p99 < 100ms", weight=10, seconds=8.0),
    Case("bad", "canary.errors < 1%", retries=RETRY, seconds=6.0),
    Case("bad", "canary.retries < 1%", retries=RETRY, seconds=6.0),
    Case("slow", "canary.circuit_breaker = 0", weight=50, policy=ONE_CONNECTION),
    Case("dies", "canary.connection_failures = 0", weight=50),
    Case("limited", "canary.rate_limited = 0"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.tag}-{case.limit.split()[0]}")
def test_a_release_that_only_this_gate_catches(case: Case, tmp_path: Path) -> None:
    # So slow that a busy machine cannot make a good release look like it.
    with Sandbox.start(SandboxSpec(behaviours={"very-slow": Behaviour(median_seconds=0.2)})) as sandbox:
        add_canary(sandbox, case)
        code, found, log = check(sandbox, tmp_path, case)
    breached = [one["name"] for one in found["verdicts"] if one["verdict"] == "breach"]
    assert breached == [case.limit], log
    assert code == 14, log
    assert (tmp_path / "out" / "report.html").exists()


def test_the_same_limits_pass_a_good_release(tmp_path: Path) -> None:
    """What each case narrows must not fail by itself."""
    with Sandbox.start(SandboxSpec()) as sandbox:
        add_canary(sandbox, Case("good", "", weight=50))
        code, found, log = check(sandbox, tmp_path, *CASES)
    assert code == 0, log
    assert {one["verdict"] for one in found["verdicts"]} == {"pass"}


def test_a_load_that_reaches_only_stable_fails(tmp_path: Path) -> None:
    with Sandbox.start(SandboxSpec()) as sandbox:
        add_canary(sandbox, Case("good", "", weight=0))
        code, found, log = check(sandbox, tmp_path, Case("good", "", seconds=2.0))
    (reached,) = [one for one in found["verdicts"] if one["name"] == "requests that reached the canary"]
    assert code == 14, log
    assert reached["verdict"] == "breach"
    assert "nothing reached the canary" in reached["reason"]
    assert "its weight in the route is 0" in reached["reason"]


def test_a_wrong_answer_fails_a_check_and_a_slower_release_the_comparison(tmp_path: Path) -> None:
    with Sandbox.start(SandboxSpec()) as sandbox:
        add_canary(sandbox, Case("good", "", weight=0))
        right = 'checks: {headers: {x-version: "1.4"}}'
        code, _, log = check(sandbox, tmp_path, Case("good", "checks > 99%"), more=right, canary="off")
        assert code == 0, log
        baseline = tmp_path / "before.json"
        (tmp_path / "out" / "load.json").rename(baseline)
        move(sandbox, 10)
        code, found, log = check(sandbox, tmp_path, Case("good", "checks > 99%"), more=right, canary="off")
        assert (code, breaches(found)) == (14, ["checks > 99%"]), log
    with Sandbox.start(SandboxSpec()) as sandbox:
        add_canary(sandbox, Case("slow", "", weight=100))
        compared = f"baseline: {{file: {baseline}}}"
        code, found, log = check(sandbox, tmp_path, Case("slow", ""), more=compared, canary="off")
        assert (code, breaches(found)) == (14, ["latency against the baseline"]), log


def breaches(found: Mapping[str, Any]) -> list[str]:
    return [one["name"] for one in found["verdicts"] if one["verdict"] == "breach"]


def add_canary(sandbox: Sandbox, case: Case) -> None:
    """Deploy the release beside stable, as the canary job would, and give it a weight."""
    client = sandbox.client()
    body = copy.deepcopy(client.get("Deployment", "shop", "shop"))
    template = copy.deepcopy(body["spec"]["template"])
    template["metadata"]["labels"]["version"] = "canary"
    template["spec"]["containers"][0]["image"] = f"registry.example/shop:{case.tag}"
    labels = {"app": "shop", "version": "canary"}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": "shop-canary", "namespace": "shop", "labels": labels}
    client.create({"apiVersion": body["apiVersion"], "kind": "Deployment", "metadata": meta, "spec": spec})
    assert sandbox.cluster.wait_ready("shop", "shop-canary", 20)
    rule = client.get("DestinationRule", "shop", "shop")
    subset = {"name": "canary", "labels": {"version": "canary"}}
    rule["spec"]["subsets"].append({**subset, "trafficPolicy": dict(case.policy)} if case.policy else subset)
    client.update(rule)
    move(sandbox, case.weight, case.retries)


def move(sandbox: Sandbox, weight: int, retries: Mapping[str, Any] | None = None) -> None:
    client = sandbox.client()
    service = client.get("VirtualService", "shop", "shop")
    route = service["spec"]["http"][1]
    route["route"] = [
        {"destination": {"host": "shop", "subset": "stable"}, "weight": 100 - weight},
        {"destination": {"host": "shop", "subset": "canary"}, "weight": weight},
    ]
    if retries:
        route["retries"] = dict(retries)
    client.update(service)


def check(
    sandbox: Sandbox, directory: Path, *cases: Case, more: str = "", canary: str = "required"
) -> tuple[int, dict[str, Any], str]:
    """Run the job with the limits of the cases; return exit code, summary and log.

    A machine that is busy with other things can make the generator the limit, and the job says so (11): then again.
    """
    limits = {name: dict.fromkeys(texts) for name, texts in LIMITS.items()}
    for case in [case for case in cases if case.limit]:
        side = limits["canary" if case.limit.startswith("canary.") else "client"]
        for text in [text for text in side if text.split()[0] == case.limit.split()[0]]:
            del side[text]
        side[case.limit] = None
    seconds = max(case.seconds for case in cases)
    sandbox.config.write_text(f"""\
version: 1
services:
  shop:
    namespace: shop
    route: {{virtualService: shop, http: [primary]}}
    metrics: {{gateway: {{namespace: istio-system, selector: "istio=ingressgateway"}}}}
    load:
      target: {sandbox.gateway_url}
      headers: {{Host: shop.example}}
      rate: 150
      duration: {seconds}s
      arrivals: poisson
      thresholds: {json.dumps(list(limits["client"]))}
      mesh: {{canary: "{canary}", settle: 15s, thresholds: {json.dumps(list(limits["canary"]))}}}
      {more}
""")
    for _ in range(3):
        code, found, log = run_job(sandbox, directory)
        if not found["generator"]["limits"]:
            break
    return code, found, log


def run_job(sandbox: Sandbox, directory: Path) -> tuple[int, dict[str, Any], str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CI_", "GITLAB_", "KUBE"))}
    done = subprocess.run(
        [sys.executable, "-m", "gitlab_mesh", "job", "load-check", "--service", "shop", "--format", "json",
         "--output", str(directory / "out")],
        env={**kept, **sandbox.job_environment("load-check")}, capture_output=True, text=True, timeout=100,
        cwd=sandbox.directory, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr
