"""Deployments under their real controller: pods that never become ready, autoscalers, budgets, policies of the mesh."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.sandbox.shop import HOST, NAMESPACE
from tests.e2e.controlplane.control_plane import wait_until
from tests.e2e.runner import SLOW, Runner

INSIDE = f"shop.{NAMESPACE}.svc.cluster.local"
AUTOSCALER: dict[str, Any] = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "shop", "namespace": NAMESPACE},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"},
        "minReplicas": 2,
        "maxReplicas": 4,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            }
        ],
    },
}
BUDGET: dict[str, Any] = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "shop", "namespace": NAMESPACE},
    "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "shop"}}},
}
GATEWAY_ONLY: dict[str, Any] = {
    "apiVersion": "security.istio.io/v1",
    "kind": "AuthorizationPolicy",
    "metadata": {"name": "shop", "namespace": NAMESPACE},
    "spec": {
        "selector": {"matchLabels": {"app": "shop"}},
        "rules": [
            {
                "from": [
                    {
                        "source": {
                            "principals": ["cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"]
                        }
                    }
                ]
            }
        ],
    },
}


@pytest.mark.parametrize(
    ("tag", "reason"), [("crash", "CrashLoopBackOff"), ("never-ready", "never became ready"), ("no-such", "ImagePull")]
)
def test_a_release_that_does_not_start_never_sees_a_user(runner: Runner, tag: str, reason: str) -> None:
    before = runner.snapshot()
    if tag == "never-ready":  # it ends at the deadline; the others when their pod says why, however late that is
        runner.configure(rollout={"ready_deadline": "8s"})
    with runner.traffic(50.0) as traffic, runner.canary(tag) as job:
        ended = job.end()
    assert ended.code == 10, ended.log
    assert reason in ended.log
    assert runner.findings(before) == []
    assert set(traffic.facts.by_version) == {"1.4.0"}
    assert traffic.facts.failed_by_mesh == 0


def test_autoscaler_and_disruption_budget_are_as_before_after_a_rollback(runner: Runner) -> None:
    plane = runner.mesh.plane
    plane.apply(AUTOSCALER, BUDGET)
    try:
        before = runner.snapshot()
        paths = [plane.path(body) for body in (AUTOSCALER, BUDGET)]
        specs = [plane.json("GET", path)["spec"] for path in paths]
        with runner.traffic() as traffic, runner.canary("bad") as job:
            ended = job.end()
        assert ended.code == 10, ended.log
        assert runner.findings(before) == []
        assert [plane.json("GET", path)["spec"] for path in paths] == specs
        assert traffic.facts.failed_by_mesh == 0
    finally:
        plane.delete(*(plane.path(body) for body in (AUTOSCALER, BUDGET)))


def test_policies_hold_for_the_canary_as_for_stable(runner: Runner) -> None:
    mesh, plane = runner.mesh, runner.mesh.plane

    def answers() -> set[int]:
        """Enough requests to reach each pod of the shop."""
        return {mesh.request_from(runner.shop.client, INSIDE).status for _ in range(30)}

    plane.apply(GATEWAY_ONLY)
    try:
        wait_until("the policy at every pod", lambda: answers() == {403}, pause=0.3)
        assert mesh.request(HOST).status == 200
        runner.configure(**SLOW)
        with runner.traffic() as traffic, runner.canary("1.5.0") as job:
            runner.wait_weight(job, 20)
            wait_until("a user of the canary", lambda: traffic.facts.by_version.get("1.5.0", (0, 0))[0] > 0)
            # Whichever side a pod inside the mesh is sent to, it is refused; users are not.
            assert answers() == {403}
            job.process.terminate()
            assert job.end().code == 143, job.log
        assert (traffic.facts.failed_by_mesh, traffic.facts.failed_by_application) == (0, 0)
    finally:
        plane.delete(plane.path(GATEWAY_ONLY))
        wait_until("no policy at any pod", lambda: answers() == {200}, pause=0.3)


def test_a_smoke_check_that_strict_mtls_keeps_out_does_not_reject_the_release(runner: Runner) -> None:
    before = runner.snapshot()
    runner.configure(smoke=[{"name": "health", "http": {"path": "/healthz"}, "attempts": 2, "timeout": "2s"}])
    runner.grant()
    with runner.traffic(50.0), runner.canary("1.5.0") as job:
        ended = job.end()
    assert ended.code == 2, ended.log
    assert "mTLS STRICT" in ended.log
    assert runner.findings(before) == []
