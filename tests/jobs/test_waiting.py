"""What waits by plan: pauses, awaited promotions, held weights; and the way back to the release before."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from gitlab_mesh.config.model import ServiceConfig, StepConfig
from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import TAGS, ModelBehaviour, ShopModel
from gitlab_mesh_jobs.promote.job import JOB as PROMOTE
from gitlab_mesh_jobs.recover.job import JOB as RECOVER
from gitlab_mesh_jobs.rollback.job import JOB as ROLLBACK
from tests.jobs.releases import FAST, assert_nothing_left, release, service, user_objects

LATER = Driver("100", "1005", "https://gitlab.example/acme/shop/-/jobs/1005")
OTHER = Driver("101", "1010")


def paused(at: int = 1) -> ServiceConfig:
    steps = [StepConfig(10), StepConfig(50)]
    steps[at] = replace(steps[at], pause=True)
    return service(rollout=replace(FAST, steps=tuple(steps)))


EXTERNAL = service(rollout=replace(FAST, promote="external"))


def pause(model: ShopModel, settings: ServiceConfig | None = None) -> ModelPorts:
    ports = ModelPorts(model, settings or paused())
    result = release(ports, "1.5.0")
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PAUSED)
    return ports


def good_image(before: dict[str, Any], image: str = "registry.example/shop:1.5.0") -> dict[str, Any]:
    after = copy.deepcopy(before)
    after["Deployment/shop"]["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return after


def test_a_pause_is_durable_and_goes_on_when_a_person_says_so() -> None:
    model = ShopModel()
    before = user_objects(model)
    ports = pause(model)
    record, _ = ports.store.read()
    assert record is not None
    assert (record.phase, record.pause_step, record.finished) == ("paused", 1, False)
    assert record.pause_until
    lease = ports.lock.read()
    assert lease is not None
    assert not lease.holder
    assert model._share() == 0.1
    model.settle(seconds=3600)
    result = release(ModelPorts(model, paused(), driver=LATER), "1.5.0", **{"continue": True})
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PROMOTED)
    assert_nothing_left(model, good_image(before))


def test_a_pause_before_the_first_step_keeps_every_user_on_stable() -> None:
    model = ShopModel()
    ports = pause(model, paused(at=0))
    assert model._share() == 0
    record, _ = ports.store.read()
    assert record is not None
    assert record.pause_step == 0
    again = ModelPorts(model, paused(at=0), driver=LATER)
    assert release(again, "1.5.0", **{"continue": True}).report.outcome is Outcome.PROMOTED


def test_the_paused_job_retried_changes_nothing() -> None:
    model = ShopModel()
    pause(model)
    result = release(ModelPorts(model, paused(), driver=LATER), "1.5.0")
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PAUSED)
    assert result.report.dotenv["MESH_PHASE"] == "paused"
    assert model._share() == 0.1


def test_nets_leave_a_pause_alone_until_its_time_is_over() -> None:
    model = ShopModel()
    before = user_objects(model)
    ports = pause(model)
    net = ModelPorts(model, paused(), driver=LATER)
    assert ROLLBACK.run(net, {"if_unfinished": True}).report.outcome is Outcome.PASSED
    assert RECOVER.run(net, {"all": True, "expired": True}).report.outcome is Outcome.PASSED
    assert model._share() == 0.1
    model.clock.advance(ports.service.rollout.pause_limit + 1)
    assert RECOVER.run(net, {"all": True, "expired": True}).report.outcome is Outcome.ROLLED_BACK
    assert_nothing_left(model, before)


def test_a_pause_can_be_rolled_back_at_any_time() -> None:
    model = ShopModel()
    before = user_objects(model)
    pause(model)
    assert ROLLBACK.run(ModelPorts(model, paused(), driver=OTHER), {}).exit_code == 0
    assert_nothing_left(model, before)
    with pytest.raises(GitlabMeshError, match="no rollout to continue"):
        release(ModelPorts(model, paused(), driver=LATER), "1.5.0", **{"continue": True})


def test_another_release_cannot_continue_a_pause() -> None:
    model = ShopModel()
    pause(model)
    with pytest.raises(GitlabMeshError, match="is not finished") as caught:
        release(ModelPorts(model, paused(), driver=LATER), "1.6.0", **{"continue": True})
    assert caught.value.exit_code == 22
    assert model._share() == 0.1


def test_a_held_release_gets_more_time_by_a_retry() -> None:
    model = ShopModel(rate=20.0)
    held = service(rollout=replace(FAST, deadline=60.0, on_inconclusive="hold"))
    result = release(ModelPorts(model, held), "1.5.0")
    assert result.exit_code == 11
    assert model._share() > 0
    net = ModelPorts(model, held, driver=LATER)
    assert ROLLBACK.run(net, {"if_unfinished": True}).report.outcome is Outcome.PASSED
    model.rate = 300.0
    retried = ModelPorts(model, service(rollout=replace(FAST, deadline=600.0)), driver=LATER)
    assert release(retried, "1.5.0").report.outcome is Outcome.PROMOTED


def deploy_stable(model: ShopModel, image: str = "registry.example/shop:1.5.0") -> None:
    operations = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
    model.cluster.as_actor("helm").patch("Deployment", "shop", "shop", operations)


def await_promotion(model: ShopModel) -> None:
    result = release(ModelPorts(model, EXTERNAL), "1.5.0")
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PAUSED)
    assert result.report.dotenv["MESH_PHASE"] == "awaiting-promotion"
    assert model._share() == 0.5


def test_an_external_promotion_verifies_what_stable_runs() -> None:
    model = ShopModel()
    before = user_objects(model)
    await_promotion(model)
    deploy_stable(model)
    promoting = ModelPorts(model, EXTERNAL, driver=LATER)
    result = PROMOTE.run(promoting, {})
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PROMOTED)
    assert_nothing_left(model, good_image(before))
    assert model.lost_by_mesh == 0
    again = PROMOTE.run(promoting, {})
    assert (again.exit_code, again.report.outcome) == (0, Outcome.PROMOTED)


@pytest.mark.parametrize(
    ("image", "reason"),
    [(None, "runs registry.example/shop:good"), ("registry.example/shop:never-ready", "runs registry.example/shop:n")],
)
def test_stable_that_runs_something_else_is_not_promoted(image: str | None, reason: str) -> None:
    model = ShopModel()
    await_promotion(model)
    if image:
        deploy_stable(model, image)
    started = model.clock.monotonic()
    with pytest.raises(GitlabMeshError) as caught:
        PROMOTE.run(ModelPorts(model, EXTERNAL, driver=LATER), {})
    assert caught.value.exit_code == 16
    assert reason in caught.value.what
    assert model.clock.monotonic() == started, "waiting deploys nothing"
    assert model._share() == 0.5


def test_stable_that_is_not_ready_with_the_release_is_waited_for() -> None:
    tags = {**TAGS, "1.5.0": ModelBehaviour(ready_after=2.0)}
    model = ShopModel(tags=tags)
    await_promotion(model)
    tags["1.5.0"] = ModelBehaviour(ready_after=8.0)
    deploy_stable(model)
    started = model.clock.monotonic()
    assert PROMOTE.run(ModelPorts(model, EXTERNAL, driver=LATER), {}).report.outcome is Outcome.PROMOTED
    assert model.clock.monotonic() - started >= 8


def test_promote_without_anything_to_promote_says_so() -> None:
    model = ShopModel()
    with pytest.raises(GitlabMeshError, match="awaits its promotion") as caught:
        PROMOTE.run(ModelPorts(model, EXTERNAL), {})
    assert caught.value.exit_code == 16
    pause(model)
    with pytest.raises(GitlabMeshError, match="phase paused") as caught:
        PROMOTE.run(ModelPorts(model, EXTERNAL), {})
    assert caught.value.exit_code == 22


def test_to_previous_brings_the_release_before_back_and_refuses_the_bad_one() -> None:
    model = ShopModel()
    before = user_objects(model)
    assert release(ModelPorts(model, service()), "1.5.0").exit_code == 0
    started = model.clock.monotonic()
    later = ModelPorts(model, service(), driver=LATER)
    result = ROLLBACK.run(later, {"to_previous": True, "reason": "carts are empty"})
    assert (result.exit_code, result.report.outcome) == (0, Outcome.ROLLED_BACK)
    assert model.clock.monotonic() - started < 10
    assert_nothing_left(model, before)
    record, _ = later.store.read()
    assert record is not None
    assert record.history[0].reason == "carts are empty"
    with pytest.raises(GitlabMeshError) as caught:
        release(ModelPorts(model, service(), driver=OTHER), "1.5.0")
    assert caught.value.exit_code == 16
    with pytest.raises(GitlabMeshError, match="knows no release before"):
        ROLLBACK.run(later, {"to_previous": True})


def test_to_previous_leaves_what_somebody_else_deployed_alone() -> None:
    model = ShopModel()
    assert release(ModelPorts(model, service()), "1.5.0").exit_code == 0
    deploy_stable(model, "registry.example/shop:2.0.0")
    with pytest.raises(GitlabMeshError, match="was promoted last") as caught:
        ROLLBACK.run(ModelPorts(model, service(), driver=LATER), {"to_previous": True})
    assert caught.value.exit_code == 22


def test_to_previous_during_a_rollout_is_refused() -> None:
    model = ShopModel()
    pause(model)
    with pytest.raises(GitlabMeshError, match="is open") as caught:
        ROLLBACK.run(ModelPorts(model, paused(), driver=LATER), {"to_previous": True})
    assert caught.value.exit_code == 22
