"""Deployments become real processes: roll-outs, scaling, bad images, crashes, orderly ends."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest

from gitlab_mesh.sandbox.app.behaviour import BEHAVIOURS, GOOD
from tests.sandbox.controllers.conftest import Cluster, deployment

pytestmark = pytest.mark.sandbox


def image(tag: str) -> dict[str, object]:
    container = deployment(tag=tag)["spec"]["template"]["spec"]["containers"]
    return {"spec": {"template": {"spec": {"containers": container}}}}


def test_a_deployment_becomes_ready_pods_with_processes(cluster: Cluster) -> None:
    cluster.create(deployment())
    status = cluster.until_complete()["status"]
    conditions = {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
    assert conditions == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    pods = cluster.list("Pod")
    assert len({pod["status"]["podIP"] for pod in pods}) == len(cluster.processes.running) == 2
    for pod in pods:
        assert pod["status"]["phase"] == "Running"
        app, sidecar = pod["status"]["containerStatuses"]
        assert app["imageID"].startswith("registry.example/shop@sha256:")
        assert (app["ready"], app["restartCount"], sidecar["name"]) == (True, 0, "istio-proxy")
        (owner,) = pod["metadata"]["ownerReferences"]
        assert owner["name"] == f"shop-{pod['metadata']['labels']['pod-template-hash']}"
    assert {endpoint.workload for endpoint in cluster.kubelet.endpoints()} == {"shop"}
    assert all(endpoint.ready for endpoint in cluster.kubelet.endpoints())
    assert len(cluster.events("SuccessfulCreate")) == len(cluster.events("Started")) == 2


def test_a_rolling_update_replaces_pods_without_a_gap(cluster: Cluster) -> None:
    cluster.create(deployment(replicas=3))
    cluster.until_complete()
    start = len(cluster.network.history)
    cluster.patch("Deployment", "shop", image("1.5.0"))
    cluster.until_complete()
    assert {pod["spec"]["containers"][0]["image"] for pod in cluster.list("Pod")} == {"registry.example/shop:1.5.0"}
    cluster.until(lambda: len(cluster.processes.running) == 3)
    for endpoints in cluster.network.history[start:]:
        assert sum(endpoint.ready for endpoint in endpoints) >= 3  # 25 % of 3 rounds down to no gap
    sets = sorted(cluster.list("ReplicaSet"), key=lambda one: one["spec"]["replicas"])
    assert [one["spec"]["replicas"] for one in sets] == [0, 3]
    assert [one["metadata"]["annotations"]["deployment.kubernetes.io/revision"] for one in sets] == ["1", "2"]
    cluster.patch("Deployment", "shop", image("1.4.2"))  # back again: the first ReplicaSet is used once more
    cluster.until_complete()
    assert len(cluster.list("ReplicaSet")) == 2
    assert cluster.get("Deployment", "shop")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


def test_recreate_ends_the_old_pods_first(cluster: Cluster) -> None:
    cluster.create(deployment(strategy={"type": "Recreate"}))
    cluster.until_complete()
    start = len(cluster.network.history)
    cluster.patch("Deployment", "shop", image("1.5.0"))
    cluster.until_complete()
    assert any(not endpoints for endpoints in cluster.network.history[start:])


def test_scaling_down_takes_endpoints_away_before_processes(cluster: Cluster) -> None:
    cluster.create(deployment())
    cluster.until_complete()
    cluster.network.active = 1  # a request is in work
    start = len(cluster.network.history)
    cluster.patch("Deployment", "shop", {"spec": {"replicas": 0}})
    cluster.until(lambda: all("deletionTimestamp" in pod["metadata"] for pod in cluster.list("Pod")))
    cluster.until(lambda: cluster.events("Killing"))
    assert len(cluster.processes.running) == 2
    cluster.network.active = 0
    cluster.until(lambda: not cluster.list("Pod"))
    assert cluster.processes.running == []
    first = cluster.network.history[start]
    assert [endpoint.ready for endpoint in first].count(False) >= 1
    assert len(first) == 2
    assert cluster.until_complete()["status"].get("replicas", 0) == 0


def test_a_forced_deletion_kills_and_a_new_pod_comes(cluster: Cluster) -> None:
    cluster.create(deployment(replicas=1))
    cluster.until_complete()
    (pod,) = cluster.list("Pod")
    (child,) = cluster.processes.running
    cluster.network.active = 1
    cluster.delete("Pod", pod["metadata"]["name"], gracePeriodSeconds=0)
    assert child.wait(5) == -9
    cluster.until(lambda: [one for one in cluster.list("Pod") if one["metadata"]["uid"] != pod["metadata"]["uid"]])
    cluster.until_complete()


def test_deleting_the_deployment_ends_everything(cluster: Cluster) -> None:
    cluster.create(deployment())
    cluster.until_complete()
    cluster.delete("Deployment", "shop")
    cluster.until(lambda: not cluster.list("Pod") and not cluster.list("ReplicaSet"))
    assert cluster.processes.running == []
    assert cluster.kubelet.endpoints() == []


@pytest.mark.parametrize(
    ("tag", "reasons"),
    [("nightly", {"ErrImagePull", "ImagePullBackOff"}), ("crash", {"CrashLoopBackOff"}), ("a b", {"InvalidImageName"})],
)
def test_what_cannot_run_says_why(cluster: Cluster, tag: str, reasons: set[str]) -> None:
    cluster.create(deployment(tag=tag, replicas=1, progressDeadlineSeconds=1))

    def reason() -> str:
        statuses = [pod.get("status", {}).get("containerStatuses") for pod in cluster.list("Pod")]
        return statuses[0][0]["state"].get("waiting", {}).get("reason", "") if statuses and statuses[0] else ""

    for one in reasons:
        cluster.until(lambda one=one: reason() == one)

    def progressing() -> tuple[str, str]:
        conditions = cluster.get("Deployment", "shop").get("status", {}).get("conditions", [])
        return next(((one["status"], one["reason"]) for one in conditions if one["type"] == "Progressing"), ("", ""))

    cluster.until(lambda: progressing() == ("False", "ProgressDeadlineExceeded"))
    assert cluster.kubelet.endpoints() == []
    cluster.delete("Deployment", "shop")
    cluster.until(lambda: not cluster.list("Pod"))


def test_a_crash_is_restarted_and_counted(cluster: Cluster) -> None:
    cluster.create(deployment(replicas=1))
    cluster.until_complete()
    (child,) = cluster.processes.running
    os.kill(child.pid, 9)

    def app() -> dict[str, object]:
        return cluster.list("Pod")[0]["status"]["containerStatuses"][0]

    cluster.until(lambda: app()["restartCount"] == 1 and app()["ready"])
    assert app()["lastState"]["terminated"]["exitCode"] == 137
    assert cluster.events("BackOff")
    assert any(not endpoints for endpoints in cluster.network.history[2:])
    log = cluster.kubelet.log("shop", cluster.list("Pod")[0]["metadata"]["name"], "shop")
    assert isinstance(log, bytes)


def test_never_ready_runs_but_gets_no_traffic(cluster: Cluster) -> None:
    cluster.create(deployment(tag="never-ready", replicas=1))
    cluster.until(lambda: cluster.events("Unhealthy"))
    (pod,) = cluster.list("Pod")
    assert pod["status"]["phase"] == "Running"
    assert not pod["status"]["containerStatuses"][0]["ready"]
    assert [endpoint.ready for endpoint in cluster.kubelet.endpoints()] == [False]


def test_behaviours_may_be_overridden_at_any_time(cluster: Cluster) -> None:
    cluster.kubelet.behaviours = {"good": replace(GOOD, ready=False), "nightly": BEHAVIOURS["good"]}
    cluster.create(deployment("a", "good", 1))
    cluster.create(deployment("b", "nightly", 1))
    cluster.until_complete("b")
    cluster.until(lambda: cluster.events("Unhealthy"))
    assert [
        pod["metadata"]["name"][0] for pod in cluster.list("Pod") if pod["status"]["conditions"][1]["status"] == "True"
    ] == ["b"]


def test_a_paused_deployment_only_scales(cluster: Cluster) -> None:
    cluster.create(deployment(replicas=1))
    cluster.until_complete()
    cluster.patch("Deployment", "shop", {"spec": {"paused": True, "replicas": 2, **image("1.5.0")["spec"]}})
    cluster.until(lambda: len(cluster.list("Pod")) == 2)
    assert len(cluster.list("ReplicaSet")) == 1


def test_min_ready_seconds_delays_available(cluster: Cluster) -> None:
    cluster.create(deployment(replicas=1, minReadySeconds=2))
    cluster.until(lambda: cluster.get("Deployment", "shop").get("status", {}).get("readyReplicas") == 1)
    assert "availableReplicas" not in cluster.get("Deployment", "shop")["status"]
    cluster.until_complete()


def test_the_end_of_the_sandbox_leaves_no_thread(cluster: Cluster) -> None:
    cluster.create(deployment())
    cluster.until_complete()
    cluster.loop.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("pod-", "controllers"))]
    cluster.loop.stop = lambda: None
