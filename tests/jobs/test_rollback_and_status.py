"""Rollback from the cluster alone, and what status says."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.errors import TransientError
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from gitlab_mesh_jobs.canary.job import JOB as CANARY
from gitlab_mesh_jobs.rollback.job import JOB as ROLLBACK
from gitlab_mesh_jobs.status.job import JOB as STATUS
from tests.jobs.releases import KillAt, Killed, assert_nothing_left, service, user_objects


def killed_run(number: int, *, after: bool) -> tuple[ShopModel, dict[str, Any], bool]:
    """Run a release that dies at its n-th write; say whether it died."""
    model = ShopModel()
    before = user_objects(model)
    cluster = model.cluster.as_actor("gitlab-mesh", fault=KillAt(number, after=after))
    try:
        CANARY.run(ModelPorts(model, service(), cluster=cluster), {"image": "registry.example/shop:1.5.0"})
    except Killed:
        return model, before, True
    return model, before, False


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(30))
def test_killed_at_any_write_one_call_brings_everything_back(number: int, *, after: bool) -> None:
    model, before, died = killed_run(number, after=after)
    if not died:
        pytest.skip(f"the run has fewer than {number + 1} writes")
    helper = ModelPorts(model, service(), driver=Driver("101", "1001"))
    helper.metrics.queue(*[TransientError("Prometheus is gone")] * 1000)  # type: ignore[attr-defined]
    result = ROLLBACK.run(helper, {})
    assert result.exit_code == 0
    image = model.cluster.get("Deployment", "shop", "shop")["spec"]["template"]["spec"]["containers"][0]["image"]
    record, _ = helper.store.read()
    if record is not None and record.outcome == "promoted":
        before["Deployment/shop"]["spec"]["template"]["spec"]["containers"][0]["image"] = image
    assert_nothing_left(model, before)
    assert model.lost_by_mesh == 0
    assert ROLLBACK.run(helper, {}).report.outcome is Outcome.PASSED


def test_the_sleeping_driver_finds_the_fence_changed_and_writes_nothing() -> None:
    model = ShopModel()
    ports = ModelPorts(model, service())
    before = user_objects(model)
    done = []

    def take_over(seconds: float) -> None:
        model.clock.on_sleep = model._pass
        if model._share() > 0 and not done:
            done.append(ROLLBACK.run(ModelPorts(model, service(), driver=Driver("102", "1002")), {}))
        elif not done:
            model.clock.on_sleep = take_over
        model._pass(seconds)

    model.clock.on_sleep = take_over
    result = CANARY.run(ports, {"image": "registry.example/shop:1.5.0"})
    assert done[0].exit_code == 0
    assert result.exit_code == 22
    assert_nothing_left(model, before)


def test_if_unfinished_leaves_other_pipelines_rollouts_alone() -> None:
    model, _, died = killed_run(8, after=True)
    assert died
    other = ModelPorts(model, service(), driver=Driver("101", "1001"))
    assert ROLLBACK.run(other, {"if_unfinished": True}).report.outcome is Outcome.PASSED
    own = ModelPorts(model, service(), driver=Driver("100", "1002"))
    assert ROLLBACK.run(own, {"if_unfinished": True}).report.outcome is Outcome.ROLLED_BACK


def test_status_names_phase_weight_driver_and_the_next_command() -> None:
    model, _, died = killed_run(12, after=True)
    assert died
    ports = ModelPorts(model, service(), driver=Driver("101", "1001"))
    result = STATUS.run(ports, {})
    text = ports.console.text
    assert result.exit_code == 0
    assert result.report.outcome is Outcome.RUNNING
    for part in (
        "phase",
        "pipeline 100, job 1000",
        "https://gitlab.example",
    ):
        assert part in text
    assert "`gitlab-mesh job recover --service shop --expired`" in result.report.next_step
    assert "`gitlab-mesh job rollback --service shop`" in result.report.next_step


def test_status_without_any_rollout_says_how_to_begin() -> None:
    ports = ModelPorts(ShopModel(), service())
    result = STATUS.run(ports, {})
    assert result.exit_code == 0
    assert "gitlab-mesh job canary --service shop" in result.report.next_step
