"""What goes wrong around a release, on a real control plane: death, rivals, foreign writes, rights, lost servers."""

from __future__ import annotations

import contextlib
import copy
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gitlab_mesh.sandbox.shop import HOST, NAMESPACE
from tests.e2e.controlplane.control_plane import PATIENCE, wait_until
from tests.e2e.runner import FENCE, SLOW, Job, Runner

ROUTE = f"/apis/networking.istio.io/v1/namespaces/{NAMESPACE}/virtualservices/shop"
MERGE = "application/merge-patch+json"


def begin(runner: Runner, tag: str = "1.5.0", *, pipeline: int = 0, **changes: Any) -> Job:
    """Start a release that stays at 20 % and wait until it is there."""
    runner.configure(**{block: {**SLOW.get(block, {}), **changes.get(block, {})} for block in (*SLOW, *changes)})
    job = runner.canary(tag, pipeline=pipeline)
    try:
        runner.wait_weight(job, 20)
        wait_until("the step's confirmation", lambda: "confirm: done" in job.log, pause=0.1)
    except BaseException:
        job.kill()
        raise
    return job


def foreign_weight(runner: Runner, canary: int) -> None:
    """Change the weights as somebody with kubectl does, without asking anybody."""
    http = copy.deepcopy(runner.mesh.plane.json("GET", ROUTE)["spec"]["http"])
    for entry in http:
        for item in entry["route"]:
            if len(entry["route"]) == 2:
                item["weight"] = canary if item["destination"]["subset"] == "canary" else 100 - canary
    path = f"{ROUTE}?fieldManager=somebody"
    runner.mesh.plane.json("PATCH", path, {"spec": {"http": http}}, content_type=MERGE)


def test_recover_brings_back_a_release_whose_runner_died(runner: Runner) -> None:
    before = runner.snapshot()
    with runner.traffic() as traffic:
        with begin(runner, pipeline=100) as job:
            job.kill()
        assert runner.weight() == 20
        ended = runner.run("recover", "--expired", pipeline=101)
    assert ended.code == 0, ended.log
    assert runner.findings(before) == []
    assert traffic.facts.failed_by_mesh == 0


def test_rollback_by_hand_takes_over_and_the_driver_stops(runner: Runner) -> None:
    before = runner.snapshot()
    with runner.traffic() as traffic, begin(runner, pipeline=110) as job:
        rolled_back = runner.run("rollback")
        driver = job.end()
    assert rolled_back.code == 0, rolled_back.log
    assert driver.code == 22, driver.log
    assert runner.findings(before) == []
    assert traffic.facts.failed_by_mesh == 0


def test_a_cancelled_job_takes_its_release_back(runner: Runner) -> None:
    before = runner.snapshot()
    with runner.traffic(), begin(runner, pipeline=120) as job:
        started = time.monotonic()
        job.process.terminate()
        wait_until("weight 0", lambda: runner.weight() == 0)
        seconds = time.monotonic() - started
        ended = job.end()
    assert ended.code == 143, ended.log
    assert seconds < 5.0
    assert runner.findings(before) == []


def test_a_second_driver_is_refused_and_the_first_does_not_notice(runner: Runner) -> None:
    with runner.traffic(), begin(runner, pipeline=130) as job:
        second = runner.run("canary", "--image", "registry.example/shop:1.6.0", pipeline=131)
        assert second.code == 22, second.log
        assert "130" in second.log  # it says who holds the lock
        assert job.process.poll() is None
        assert runner.weight() == 20


def test_a_foreign_weight_is_named_and_written_again(runner: Runner) -> None:
    with runner.traffic(), begin(runner, pipeline=140) as job:
        foreign_weight(runner, 77)
        wait_until("the weight of ours", lambda: runner.weight() == 20)
        wait_until("its name", lambda: "somebody" in job.log)
        assert job.process.poll() is None


def test_somebody_who_does_not_give_up_ends_the_release_in_a_safe_state(runner: Runner) -> None:
    before = runner.snapshot()
    with runner.traffic(), begin(runner, pipeline=150, rollout={"reassert": 1}) as job:

        def insist() -> bool:
            if runner.weight() == 20:
                foreign_weight(runner, 77)
            return job.process.poll() is not None

        wait_until("the job's end", insist, pause=0.3)
        ended = job.end()
    assert ended.code == 22, ended.log
    assert "somebody" in ended.log
    assert runner.findings(before) == []


@pytest.mark.parametrize(
    ("resource", "verb"), [("virtualservices", "patch"), ("deployments", "create"), ("pods/proxy", "get")]
)
def test_a_missing_right_is_named_before_anything_happens(runner: Runner, resource: str, verb: str) -> None:
    before = runner.snapshot()
    with runner.without(resource, verb):
        ended = runner.run("canary", "--image", "registry.example/shop:1.5.0")
    assert ended.code == 21, ended.log
    assert verb in ended.log
    assert resource.partition("/")[0] in ended.log
    assert runner.findings(before) == []
    assert FENCE not in json.dumps(runner.mesh.plane.json("GET", ROUTE)["metadata"].get("annotations", {}))


def test_a_restart_of_the_api_server_is_waited_out(runner: Runner) -> None:
    before = runner.snapshot()
    # A driver waits as long as its lease lasts; the proxies' latencies while the server starts are no matter here.
    runner.configure(rollout={"lease": "60s"}, judge={"mode": "dry-run"})
    with runner.traffic() as traffic, runner.canary("1.5.0", pipeline=160) as job:
        runner.wait_weight(job, 20)
        runner.mesh.plane.stop_apiserver()
        time.sleep(2.0)  # long enough that a look falls into it
        runner.mesh.plane.restart_apiserver()
        ended = job.end()
    assert ended.code == 0, ended.log
    assert runner.findings(before, image="registry.example/shop:1.5.0") == []
    assert traffic.facts.failed_by_mesh == 0
    assert runner.mesh.request(HOST).status == 200


class TestIstiodHangs:
    """Weights are written, and no proxy hears of them."""

    WEBHOOKS = (
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/istio-validator-istio-system",
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/istiod-default-validator",
    )

    @contextlib.contextmanager
    def open_webhooks(self, runner: Runner) -> Iterator[None]:
        """Let writes through as another replica of istiod would: a webhook that cannot be asked is passed over."""
        plane = runner.mesh.plane
        found = {path: plane.request("GET", path) for path in self.WEBHOOKS}
        before = {path: answer.json()["webhooks"] for path, answer in found.items() if answer.ok}
        for path, hooks in before.items():
            opened = [{**hook, "failurePolicy": "Ignore", "timeoutSeconds": 1} for hook in hooks]
            plane.json("PATCH", path, {"webhooks": opened}, content_type=MERGE)
        try:
            yield
        finally:
            for path, hooks in before.items():
                plane.json("PATCH", path, {"webhooks": hooks}, content_type=MERGE)

    def test_a_raise_that_does_not_take_effect_is_noticed_and_weight_0_is_written_not_observed(
        self, runner: Runner
    ) -> None:
        before = runner.snapshot()
        runner.configure(
            rollout={"step_bake": "3s", "deadline": "60s", "confirm_deadline": "20s", "drain": "4s"},
            judge={"mode": "dry-run"},
        )
        with contextlib.ExitStack() as opened, runner.traffic() as traffic, runner.canary("1.5.0", pipeline=170) as job:
            runner.wait_weight(job, 20)
            wait_until("the step's confirmation", lambda: "confirm: done" in job.log, pause=0.1)
            runner.mesh.hang_istiod()
            try:
                opened.enter_context(self.open_webhooks(runner))
                ended = job.end()
                assert ended.code == 23, ended.log
                assert runner.weight() == 0
                assert "Weight 0 is written, but the canary still gets requests" in ended.log
                # Proxies still send 20 % there: the canary must be there to answer.
                assert runner.shop.pods("canary")
                versions = traffic.wait_for(traffic.facts.requests + 200, PATIENCE).by_version
                assert versions["1.5.0"][0] > 0
            finally:
                runner.mesh.wake_istiod()
            rolled_back = runner.run("rollback")
        assert rolled_back.code == 0, rolled_back.log
        assert runner.findings(before) == []
        assert traffic.facts.failed_by_mesh == 0

    def test_a_route_that_cannot_be_written_is_written_as_soon_as_it_can(self, runner: Runner) -> None:
        before = runner.snapshot()
        with runner.traffic() as traffic, begin(runner, pipeline=180) as job:
            runner.mesh.hang_istiod()  # its validation webhook says Fail: nobody can write a VirtualService now
            try:
                job.process.terminate()
                wait_until("the reason", lambda: "validation.istio.io does not answer" in job.log)
                assert job.process.poll() is None
                assert runner.weight() == 20
            finally:
                runner.mesh.wake_istiod()
            ended = job.end()
        assert ended.code == 143, ended.log
        assert runner.findings(before) == []
        assert traffic.facts.failed_by_mesh == 0
