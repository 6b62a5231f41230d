"""Callers that do not follow the route: after weight 0 the canary's pods end, so that those stop reaching it too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from gitlab_mesh_jobs.rollback.job import JOB as ROLLBACK
from tests.jobs.releases import FAST, KillAt, Killed, assert_nothing_left, release, service, user_objects

BYPASSED = {"rate": 200.0, "bypass": 0.08}
SHORT = service(rollout=replace(FAST, drain=5.0))


@pytest.mark.parametrize(("tag", "code", "outcome"), [("bad", 10, Outcome.REJECTED), ("1.5.0", 0, Outcome.PROMOTED)])
def test_callers_that_bypass_the_route_do_not_make_the_end_unsafe(tag: str, code: int, outcome: Outcome) -> None:
    model = ShopModel(**BYPASSED)
    ports = ModelPorts(model, SHORT)
    before = user_objects(model)
    result = release(ports, tag)
    assert (result.exit_code, result.report.outcome) == (code, outcome)
    assert any("bypasses the route" in line for line in ports.console.lines())
    if outcome is Outcome.PROMOTED:
        before["Deployment/shop"]["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/shop:1.5.0"
    assert_nothing_left(model, before)
    assert model.lost_by_mesh == 0


def test_proxies_that_do_not_follow_weight_0_keep_their_canary_and_a_person_is_called() -> None:
    model = ShopModel(**BYPASSED)
    ports = ModelPorts(model, SHORT)
    ports.signal.at = model.clock.monotonic() + 30.0

    def write(line: str, *, tone: str = "neutral") -> None:
        if "weights stable:canary 100:0" in line:
            model.traffic.lag = 1e6  # no proxy hears of a route any more: istiod is down

    ports.console.line = write  # type: ignore[method-assign]
    result = release(ports, "1.5.0")
    assert result.exit_code == 23
    assert "still gets requests" in result.report.reason
    assert model.pods("shop-canary")
    assert model.lost_by_mesh == 0


def test_a_person_who_saw_that_every_proxy_follows_ends_what_nobody_can_tell() -> None:
    model = ShopModel(rate=200.0, bypass=0.4)
    before = user_objects(model)
    first = release(ModelPorts(model, SHORT), "bad")
    assert (first.exit_code, "--proxies-follow" in first.report.next_step) == (23, True)
    assert ROLLBACK.run(ModelPorts(model, SHORT), {}).exit_code == 23
    assert ROLLBACK.run(ModelPorts(model, SHORT), {"proxies_follow": True, "if_unfinished": True}).exit_code == 23
    ended = ROLLBACK.run(ModelPorts(model, SHORT), {"proxies_follow": True})
    assert ended.exit_code == 0, ended.report.reason
    assert_nothing_left(model, before)
    assert model.lost_by_mesh == 0


def test_a_net_ends_what_was_killed_after_weight_0_although_callers_bypass_the_route() -> None:
    for number in range(8, 40, 4):
        model = ShopModel(**BYPASSED)
        before = user_objects(model)
        fault = KillAt(number, after=True)
        cluster = model.cluster.as_actor("gitlab-mesh", fault=fault)
        try:
            release(ModelPorts(model, SHORT, cluster=cluster), "bad")
        except Killed:
            result = ROLLBACK.run(ModelPorts(model, SHORT), {})
            assert result.exit_code == 0, (number, result.report.reason)
            assert_nothing_left(model, before)
            assert model.lost_by_mesh == 0
