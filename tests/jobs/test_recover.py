"""Recover: ends what nobody drives, from the cluster alone; does nothing beside a live driver."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.report.next_step import parse_next_step
from gitlab_mesh.errors import TransientError, UsageError
from gitlab_mesh.job import NO_SERVICE
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from gitlab_mesh_jobs.recover.job import JOB as RECOVER
from tests.jobs.releases import FAST, KillAt, Killed, assert_nothing_left, release, service, user_objects

GUARD = Driver("", "local-guard-1")


def guard(model: ShopModel, settings: ServiceConfig = NO_SERVICE) -> ModelPorts:
    ports = ModelPorts(model, settings, driver=GUARD)
    ports.metrics.queue(*[TransientError("Prometheus is gone")] * 500)  # type: ignore[attr-defined]
    return ports


def killed(model: ShopModel, *, at: int = 14, **changes: Any) -> None:
    cluster = model.cluster.as_actor("gitlab-mesh", fault=KillAt(at, after=True))
    with pytest.raises(Killed):
        release(ModelPorts(model, service(**changes), cluster=cluster), "1.5.0")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 34))
def test_a_guard_without_mesh_yaml_ends_what_was_killed_at_any_write(number: int, *, after: bool) -> None:
    model = ShopModel()
    before = user_objects(model)
    cluster = model.cluster.as_actor("gitlab-mesh", fault=KillAt(number, after=after))
    odd = replace(service(), name="checkout", host="shop")  # the record must know what mesh.yaml said
    odd = replace(odd, workload=replace(odd.workload, name="shop", canary="shop-next"))
    with suppress(Killed):
        release(ModelPorts(model, odd, cluster=cluster), "1.5.0")
    result = RECOVER.run(guard(model), {"all": True, "expired": True})
    assert result.exit_code == 0
    record, _ = ModelPorts(model, odd).store.read()
    if record is not None and record.outcome == "promoted":
        before["Deployment/shop"]["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/shop:1.5.0"
    assert_nothing_left(model, before)
    assert model.lost_by_mesh == 0
    again = RECOVER.run(guard(model), {"all": True, "expired": True})
    assert (again.exit_code, again.report.outcome) == (0, Outcome.PASSED)


def test_without_expired_a_held_lease_is_left_alone_and_the_way_is_said() -> None:
    model = ShopModel()
    killed(model)
    ports = guard(model, service())
    result = RECOVER.run(ports, {})
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PASSED)
    assert "held by 100/1000" in ports.console.text
    assert "0 of 1 open rollouts ended; shop/shop is held by a driver" in result.report.headline
    commands = parse_next_step(result.report.next_step).alternatives
    assert [command for _, command in commands] == [
        "gitlab-mesh job recover --service shop --expired",
        "gitlab-mesh job rollback --service shop",
    ]
    assert f"for {FAST.lease:.0f} s" in commands[0][0]


def test_beside_a_live_driver_it_does_nothing() -> None:
    model = ShopModel()
    driver = ModelPorts(model, service())
    results: list[int] = []

    def sweep(seconds: float) -> None:
        model._pass(seconds)
        if model._share() == 0.5 and not results:
            model.clock.on_sleep = renew
            result = RECOVER.run(guard(model), {"namespace": "shop", "expired": True})
            results.append(result.exit_code)
            assert "drives it" in result.report.sections[0].rows[0][3]  # type: ignore[union-attr]
            model.clock.on_sleep = model._pass

    def renew(seconds: float) -> None:
        model._pass(seconds)
        lease = driver.lock.read()
        assert lease is not None
        driver.lock.renew(lease)

    model.clock.on_sleep = sweep
    assert release(driver, "1.5.0").report.outcome is Outcome.PROMOTED
    assert results == [0]


def test_a_lease_that_is_renewed_at_the_last_moment_is_not_taken() -> None:
    model = ShopModel()
    killed(model)
    dead = ModelPorts(model, service())
    cluster = model.cluster.as_actor("guard")

    class RenewBeforeTakeover:
        def before(self, call: Any) -> None:
            if call.kind == "ConfigMap" and call.verb == "get" and model.clock.monotonic() > began + FAST.lease - 3:
                lease = dead.lock.read()
                if lease is not None and lease.holder == "100/1000":
                    dead.lock.renew(lease)

        def after(self, call: Any) -> None:
            return

    began = model.clock.monotonic()
    ports = ModelPorts(model, service(), driver=GUARD, cluster=cluster)
    cluster.fault = RenewBeforeTakeover()
    result = RECOVER.run(ports, {"expired": True})
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PASSED)
    lease = dead.lock.read()
    assert lease is not None
    assert lease.holder == "100/1000"


def test_the_clock_of_the_machine_does_not_matter() -> None:
    from datetime import timedelta

    for skew in (-600, 600):
        model = ShopModel()
        before = user_objects(model)
        killed(model)
        ports = guard(model)
        now = model.clock.now
        ports.clock.now = lambda now=now, skew=skew: now() + timedelta(seconds=skew)  # type: ignore[method-assign]
        started = model.clock.monotonic()
        assert RECOVER.run(ports, {"all": True, "expired": True}).report.outcome is Outcome.ROLLED_BACK
        assert model.clock.monotonic() - started >= FAST.lease
        assert_nothing_left(model, before)


def test_a_record_that_was_deleted_still_lets_traffic_be_taken_back() -> None:
    model = ShopModel()
    killed(model)
    model.cluster.as_actor("kubectl").delete("ConfigMap", "shop", "gitlab-mesh-shop")
    result = RECOVER.run(guard(model, service()), {"expired": True})
    assert result.exit_code == 0
    assert model._share() == 0
    assert [item["metadata"]["name"] for item in model.cluster.list("Deployment", "shop")] == ["shop"]
    assert "gitlab-mesh.dev/rollout" not in (model.route()["metadata"].get("annotations") or {})


def test_a_record_of_a_newer_version_is_named_and_others_are_still_ended() -> None:
    model = ShopModel()
    before = user_objects(model)
    killed(model)
    labels = {"app.kubernetes.io/managed-by": "gitlab-mesh"}
    meta = {"name": "gitlab-mesh-other", "namespace": "shop", "labels": labels}
    data = {"record.json": '{"schema": 99}'}
    model.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
    result = RECOVER.run(guard(model), {"all": True, "expired": True})
    assert result.exit_code == 22
    assert "schema 99" in result.report.reason
    assert_nothing_left(model, before)


def test_it_says_what_it_needs_to_know() -> None:
    with pytest.raises(UsageError, match="recover what"):
        RECOVER.run(guard(ShopModel()), {})


def test_a_sweeper_of_a_newer_pipeline_does_not_bar_the_developers_retry() -> None:
    model = ShopModel()
    killed(model)
    sweeper = ModelPorts(model, service(), driver=Driver("3000", "30000"))
    assert RECOVER.run(sweeper, {"expired": True}).exit_code == 0
    assert release(ModelPorts(model, service()), "1.5.0").exit_code == 0
