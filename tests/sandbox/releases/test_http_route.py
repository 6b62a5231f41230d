"""Whole releases through a Gateway API HTTPRoute: real Envoy, real pods, real requests, the CLI as its own process."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gitlab_mesh.adapters.load import LoadPlan, load_command
from gitlab_mesh.cli.demo_run import mesh_yaml
from gitlab_mesh.config.load import load_config
from gitlab_mesh.driver.guarding import render_guard
from gitlab_mesh.driver.rights import render_rbac
from gitlab_mesh.sandbox.shop import HOST, RULES
from gitlab_mesh.sandbox.world import Sandbox, SandboxSpec

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240), pytest.mark.xdist_group("releases")]

API = "gateway.networking.k8s.io/v1"
ROUTE: dict[str, Any] = {
    "apiVersion": API,
    "kind": "HTTPRoute",
    "metadata": {"name": "shop", "namespace": "shop", "annotations": {"storefront.example/owner": "team storefront"}},
    "spec": {
        "parentRefs": [{"name": "public"}, {"group": "", "kind": "Service", "name": "shop"}],
        "hostnames": [HOST],
        "rules": [
            {
                "matches": [{"headers": [{"name": "x-internal", "value": "true"}]}],
                "backendRefs": [{"name": "shop", "port": 80}],
                "name": "internal",
            },
            {"backendRefs": [{"name": "shop", "port": 80}], "timeouts": {"request": "5s"}, "name": "primary"},
        ],
    },
}
GATEWAY: dict[str, Any] = {
    "apiVersion": API,
    "kind": "Gateway",
    "metadata": {"name": "public", "namespace": "shop"},
    "spec": {"gatewayClassName": "istio", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
}
CONFIG = mesh_yaml().replace("{virtualService: shop, http: [primary]}", "{httpRoute: shop, http: [primary]}")


def smallest_rights() -> tuple[dict[str, Any], ...]:
    """The Roles that ``gitlab-mesh rbac render`` prints, and nothing else."""
    config = load_config(CONFIG).config
    rendered = render_rbac([config.services["shop"]], account="gitlab-mesh")
    return tuple(item for item in rendered if item["kind"] == "Role")


def rights_of_the_guard() -> tuple[dict[str, Any], ...]:
    rendered = render_guard(namespace="shop", image="registry.example/gitlab-mesh:1", gateway_api=True)
    return tuple(item for item in rendered if item["kind"] == "Role")


@pytest.fixture
def shop() -> Iterator[Sandbox]:
    """A shop whose team uses the Gateway API, with users."""
    with Sandbox.start(
        SandboxSpec(rules={**RULES, "deployer": smallest_rights(), "guard": rights_of_the_guard()})
    ) as sandbox:
        client = sandbox.client()
        for kind, name in (("VirtualService", "shop"), ("DestinationRule", "shop"), ("Gateway", "shop-gateway")):
            client.delete(kind, "shop", name)
        sandbox.cluster.create([GATEWAY, ROUTE])
        sandbox.mesh.wait(sandbox.mesh.notify())
        sandbox.config.write_text(CONFIG, encoding="utf-8")
        assert sandbox.request() == (200, "1.4.2")
        plan = LoadPlan(
            url=sandbox.gateway_url, rate=400.0, duration_seconds=200, headers={"Host": HOST}, origin_header="x-version"
        )
        sandbox.start_traffic(lambda url: load_command(plan))
        yield sandbox


def run_job(sandbox: Sandbox, *argv: str, user: str = "deployer") -> tuple[int, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CI_", "GITLAB_", "KUBE"))}
    done = subprocess.run(
        [sys.executable, "-m", "gitlab_mesh", "job", *argv],
        env={**kept, **sandbox.job_environment("canary", user=user)},
        capture_output=True, text=True, timeout=200, cwd=sandbox.directory, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def owned(sandbox: Sandbox) -> dict[str, Any]:
    """Everything of the user's, as a release must leave it."""
    client = sandbox.client()
    found = {}
    for kind in ("HTTPRoute", "Service", "Deployment"):
        for item in client.list(kind, "shop"):
            meta = item["metadata"]
            annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if not k.startswith("deployment.")}
            found[f"{kind} {meta['name']}"] = copy.deepcopy((item["spec"], meta.get("labels"), annotations))
    return found


def test_a_good_release_through_an_http_route_is_promoted(shop: Sandbox) -> None:
    before = owned(shop)
    code, log = run_job(shop, "canary", "--image", "registry.example/shop:good")
    assert code == 0, log
    after = owned(shop)
    before["Deployment shop"][0]["template"]["spec"]["containers"][0]["image"] = "registry.example/shop:good"
    assert after == before
    assert shop.requests_failed_by_mesh == 0
    route = shop.client().get("HTTPRoute", "shop", "shop")
    assert {one["parentRef"]["kind"] for one in route["status"]["parents"]} == {"Gateway", "Service"}


def test_a_bad_release_through_an_http_route_is_taken_back(shop: Sandbox) -> None:
    before = owned(shop)
    code, log = run_job(shop, "canary", "--image", "registry.example/shop:bad")
    assert code == 10, log
    assert "errors" in log
    assert owned(shop) == before
    assert shop.requests_failed_by_mesh == 0


def test_a_killed_release_is_taken_back_from_the_cluster_alone(shop: Sandbox) -> None:
    before = owned(shop)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CI_", "GITLAB_", "KUBE"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "gitlab_mesh", "job", "canary", "--image", "registry.example/shop:good",
         "--set", "rollout.lease=12s"],
        env={**kept, **shop.job_environment("canary")},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=shop.directory,
    )  # fmt: skip
    try:
        weights = wait_for_weight(shop)
    finally:
        process.kill()
        process.wait()
    assert weights
    code, status = run_job(shop, "status")
    assert (code, "phase step" in status or "step" in status) == (0, True), status
    shop.config.unlink()
    code, log = run_job(shop, "recover", "--namespace", "shop", "--expired", user="guard")
    assert code == 0, log
    assert owned(shop) == before
    assert shop.requests_failed_by_mesh == 0


def test_a_dry_run_prints_every_patch_and_writes_nothing(shop: Sandbox) -> None:
    before = owned(shop)
    code, log = run_job(shop, "canary", "--image", "registry.example/shop:good", "--dry-run")
    assert code == 0, log
    assert log.count("patch HTTPRoute shop/shop") >= 6, log  # prepare twice, steps, everything, nothing, put back
    assert "delete Service shop-canary" in log
    assert owned(shop) == before


def wait_for_weight(sandbox: Sandbox) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        refs = sandbox.client().get("HTTPRoute", "shop", "shop")["spec"]["rules"][1]["backendRefs"]
        weights = {ref["name"]: ref["weight"] for ref in refs}
        if weights.get("shop-canary"):
            return int(weights["shop-canary"])
        time.sleep(0.05)
    return 0


REFUSED = {
    "no such route": ("{httpRoute: other}", 2, "HTTPRoute shop/other does not exist"),
    "two rules": ("{httpRoute: shop}", 2, "2 rules lead to Service shop/shop: internal, primary"),
    "both kinds": ("{httpRoute: shop, virtualService: shop}", 2, "a service has one kind of route"),
}


def test_what_cannot_be_moved_is_refused_with_nothing_left(shop: Sandbox) -> None:
    before = owned(shop)
    for text, expected, message in REFUSED.values():
        shop.config.write_text(CONFIG.replace("{httpRoute: shop, http: [primary]}", text), encoding="utf-8")
        code, log = run_job(shop, "canary", "--image", "registry.example/shop:good", user="admin")
        assert (code, message in log) == (expected, True), log
    assert owned(shop) == before
    assert json.dumps(shop.client().get("HTTPRoute", "shop", "shop")["metadata"]).count("gitlab-mesh.dev") == 0
