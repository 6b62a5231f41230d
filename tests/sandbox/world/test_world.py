"""The whole sandbox: reachable from all sides, honest under change, gone without a trace."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gitlab_mesh.sandbox.world as world_module
from gitlab_mesh.cli.sandbox import shop_traffic
from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.driver.preflight import needed_rights
from gitlab_mesh.errors import AccessDeniedError, TransientError
from gitlab_mesh.sandbox.app.behaviour import BEHAVIOURS, GOOD
from gitlab_mesh.sandbox.world import Sandbox, SandboxSpec
from tests.sandbox.world.conftest import deploy_canary, set_weight

pytestmark = pytest.mark.sandbox


def test_users_reach_the_shop_through_gateway_and_mesh(shared: Sandbox) -> None:
    assert shared.request() == (200, "1.4.2")
    assert shared.request(headers={"Host": f"shop.localhost:{shared.mesh.gateway_port}"}) == (200, "1.4.2")
    assert shared.request(headers={"x-internal": "true"}) == (200, "1.4.2")
    assert shared.request(headers={"Host": "stranger.example"})[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", shared.mesh.mesh_port, timeout=5)
    connection.request("GET", "/version", headers={"Host": "shop.shop.svc.cluster.local"})
    assert connection.getresponse().read() == b"1.4.2"
    connection.close()


def test_users_of_the_cluster_have_their_rights_and_no_more(shared: Sandbox) -> None:
    deployer, viewer = shared.client("deployer"), shared.client("viewer")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note", "namespace": "shop"}}
    deployer.create(body)
    deployer.delete("ConfigMap", "shop", "note")
    assert len(viewer.list("Pod", "shop")) == 2
    with pytest.raises(AccessDeniedError):
        viewer.create(body)
    with pytest.raises(AccessDeniedError):
        deployer.list("Secret", "kube-system")


def test_the_deployer_may_do_what_a_release_needs(shared: Sandbox) -> None:
    client = shared.client("deployer")
    for rule in needed_rights(ServiceConfig(name="shop", namespace="shop")):
        about = {"verb": rule.verb, "group": rule.group, "resource": rule.resource, "namespace": rule.namespace}
        resource, _, about["subresource"] = rule.resource.partition("/")
        review = client.create(
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": {**about, "resource": resource}},
            }
        )
        assert review["status"]["allowed"], rule


def is_ready(pod: Any) -> bool:
    """The sandbox is up with its first ready pod; others may still be starting."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))


def test_pods_answer_through_the_api(shared: Sandbox) -> None:
    pod = next(item["metadata"]["name"] for item in shared.client().list("Pod", "shop") if is_ready(item))
    proxy = shared.cluster.api.pod_proxy
    assert proxy
    status, headers, body = proxy("shop", pod, 8080, "/version?x=1")
    assert (status, headers["x-version"], body) == (200, "1.4.2", b"1.4.2")
    shared.request()
    status, _, body = proxy("istio-system", "istio-ingressgateway-0", 15020, "/stats/prometheus")
    assert status == 200
    assert b'istio_requests_total{reporter="source"' in body
    assert b'response_flags="UH"' not in body  # the start itself must not count as failed requests
    assert proxy("shop", pod, 15020, "/healthz")[0] == 404
    for name, port in ((pod, 9), ("ghost", 8080), ("ghost", 15020)):
        with pytest.raises(ConnectionRefusedError):
            proxy("shop", name, port, "/stats/prometheus")
    assert shared.cluster.api.pod_logs
    assert shared.cluster.api.pod_logs("shop", pod, "shop") == b""


def test_kubectl_and_the_official_client_are_pointed_at_it(
    shared: Sandbox, require_tool: Callable[[str], Path]
) -> None:
    kubectl = require_tool("kubectl")
    command = [str(kubectl), "--kubeconfig", str(shared.kubeconfig())]
    shown = subprocess.run([*command, "get", "pods", "-o", "wide"], capture_output=True, text=True, check=True).stdout
    assert shown.count("2/2") == shown.count("Running") == 2
    described = subprocess.run(
        [*command, "describe", "deployment", "shop"], capture_output=True, text=True, check=True
    ).stdout
    assert "Scaled up replica set" in described
    rollout = [*command, "rollout", "status", "deployment/shop", "--timeout=10s"]
    assert "successfully rolled out" in subprocess.run(rollout, capture_output=True, text=True, check=True).stdout
    assert shared.kubeconfig().stat().st_mode & 0o077 == 0


def test_a_gitlab_job_gets_what_it_needs(shared: Sandbox) -> None:
    environment = shared.job_environment("canary")
    url = f"{environment['CI_API_V4_URL']}/projects/{environment['CI_PROJECT_ID']}/merge_requests/1/notes"
    assert environment["CI_MERGE_REQUEST_IID"] == "1"

    def post(headers: dict[str, str]) -> int:
        request = urllib.request.Request(url, b'{"body": "hello"}', {"Content-Type": "application/json", **headers})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    assert post({"PRIVATE-TOKEN": environment["GITLAB_MESH_TOKEN"]}) == 201
    assert post({"JOB-TOKEN": environment["CI_JOB_TOKEN"]}) == 401
    with urllib.request.urlopen(shared.gitlab.merge_request_url, timeout=5) as page:
        assert "hello" in page.read().decode()
    assert "hello" in shared.gitlab.merge_request_page()
    assert Path(environment["GITLAB_MESH_CONFIG"]).read_text().startswith("version: 1")


@pytest.mark.parametrize("swapped", [False, True])
def test_outcomes_come_from_behaviours_and_swap_with_them(swapped: bool) -> None:
    failing = replace(GOOD, error_ratio=0.5)
    behaviours = {"2.0.0": GOOD if swapped else failing, "2.0.1": failing if swapped else GOOD}
    with Sandbox.start(SandboxSpec(behaviours=behaviours, seed=1)) as sandbox:
        deploy_canary(sandbox, "2.0.0")
        set_weight(sandbox, 50)
        traffic = sandbox.start_traffic(shop_traffic(400, interval_seconds=0.1))
        traffic.wait_for(400, 15)
        facts = traffic.stop()
    requests, errors = facts.by_version["2.0.0"]
    assert requests / facts.requests == pytest.approx(0.5, abs=0.12)
    assert errors / requests == pytest.approx(0.0 if swapped else 0.5, abs=0.15)
    assert errors == facts.failed_by_application
    assert facts.failed_by_mesh == 0
    assert sandbox.problems == []


def test_no_request_is_lost_while_weights_and_pods_change() -> None:
    with Sandbox.start(SandboxSpec(traffic=shop_traffic(300, interval_seconds=0.1))) as sandbox:
        deploy_canary(sandbox, "1.5.0", replicas=2)
        for weight in (5, 50, 100, 0, 30):
            set_weight(sandbox, weight)
        client = sandbox.client()
        client.merge_patch("Deployment", "shop", "shop-canary", {"spec": {"replicas": 1}})
        image = [{"name": "shop", "image": "registry.example/shop:1.5.0"}]
        template = client.get("Deployment", "shop", "shop")["spec"]["template"]["spec"]["containers"][0] | image[0]
        client.merge_patch("Deployment", "shop", "shop", {"spec": {"template": {"spec": {"containers": [template]}}}})
        set_weight(sandbox, 0)
        client.delete("Deployment", "shop", "shop-canary")
        store = sandbox.cluster.api.store

        def rolled_out() -> bool:
            pods = client.list("Pod", "shop")
            return len(pods) == 2 and all(
                pod["spec"]["containers"][0]["image"].endswith("1.5.0")
                and pod["status"]["conditions"][1]["status"] == "True"
                for pod in pods
            )

        with store.changed:
            assert store.changed.wait_for(rolled_out, 20)
        assert sandbox.traffic
        sandbox.traffic.wait_for(sandbox.traffic.facts.requests + 150, 10)
        facts = sandbox.traffic.stop()
        assert facts.failed_by_application == facts.failed_by_mesh == sandbox.requests_failed_by_mesh == 0
        assert facts.by_version["1.5.0"][0] > 0
        assert len([child for child in sandbox.processes.running if child.name.startswith("shop-")]) == 2


def test_two_sandboxes_live_side_by_side_and_each_ends_without_a_trace() -> None:
    first = Sandbox.start(SandboxSpec(replicas=1))
    second = Sandbox.start(SandboxSpec(replicas=1, image="registry.example/shop:9.9.9"))
    pids = [child.pid for child in first.processes.running]
    ports = [first.mesh.gateway_port, first.mesh.mesh_port, first.scrape.port]
    assert first.request()[1] == "1.4.2"
    first.close()
    assert second.request()[1] == "9.9.9"
    assert not first.directory.exists()
    assert all(is_gone(pid) for pid in pids)
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    second.close()
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith(("pod-", "mesh", "controllers"))]
    assert len(left) <= 6  # those of the sandbox that other tests of this module share


def test_a_directory_of_ones_own_is_kept(tmp_path: Path) -> None:
    with Sandbox.start(SandboxSpec(replicas=1, directory=tmp_path / "mine")) as sandbox:
        names = {child.name for child in sandbox.processes.running}
    assert {f"{name}.log" for name in names} <= {path.name for path in (tmp_path / "mine").iterdir()}


def test_a_shop_that_does_not_come_up_says_so_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_module, "_START_SECONDS", 1.0)
    before = {thread.ident for thread in threading.enumerate()}
    with pytest.raises(TransientError, match="no request was routed") as raised:
        Sandbox.start(SandboxSpec(behaviours={"1.4.2": BEHAVIOURS["crash"]}))
    assert "CrashLoopBackOff" in str(raised.value)
    directory = Path(str(raised.value).rpartition("this one: ")[2].rstrip(")"))
    assert not directory.exists()
    deadline = time.monotonic() + 5
    while {thread.ident for thread in threading.enumerate()} - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not {thread.ident for thread in threading.enumerate()} - before


PARENT = """
import json, time
from gitlab_mesh.cli.sandbox import shop_traffic
from gitlab_mesh.sandbox.world import Sandbox, SandboxSpec
box = Sandbox.start(SandboxSpec(traffic=shop_traffic(20)))
print(json.dumps([str(box.directory), [child.pid for child in box.processes.running]]), flush=True)
time.sleep(600)
"""


def test_nothing_is_left_after_a_sigkill() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        directory, pids = json.loads(parent.stdout.readline())
        assert len(pids) == 4  # Envoy, two pods, traffic
        parent.send_signal(signal.SIGKILL)
        assert all(is_gone(pid) for pid in pids)
    deadline = time.monotonic() + 5
    while Path(directory).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(directory).exists()


def is_gone(pid: int, seconds: float = 5.0) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)
