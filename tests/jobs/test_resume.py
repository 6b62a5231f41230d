"""A lost runner's job, retried: it goes on where it was, after it made sure that everything is what it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gitlab_mesh.config.model import StepConfig
from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh.job import JobResult
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from gitlab_mesh_jobs.canary.job import JOB as CANARY
from gitlab_mesh_jobs.rollback.job import JOB as ROLLBACK
from tests.jobs.releases import FAST, KillAt, Killed, assert_nothing_left, release, service, user_objects

RETRY = Driver("100", "1002", "https://gitlab.example/acme/shop/-/jobs/1002")
NEWER = Driver("101", "1010", "https://gitlab.example/acme/shop/-/jobs/1010")


def kill_at_share(model: ShopModel, share: float, *, looks: int = 3, tag: str = "1.5.0", **changes: Any) -> ModelPorts:
    """Run a release that dies some looks after the canary got this share."""
    ports = ModelPorts(model, service(**changes))
    seen = 0

    def kill(seconds: float) -> None:
        nonlocal seen
        model._pass(seconds)
        seen += model._share() == share
        if seen > looks:
            model.clock.on_sleep = model._pass
            raise Killed

    model.clock.on_sleep = kill
    with pytest.raises(Killed):
        release(ports, tag)
    return ports


def retry(model: ShopModel, tag: str = "1.5.0", *, driver: Driver = RETRY, **options: Any) -> JobResult:
    changes = options.pop("changes", {})
    return release(ModelPorts(model, service(**changes), driver=driver), tag, **options)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_retried_job_goes_on_at_the_recorded_step(share: float) -> None:
    model = ShopModel()
    before = user_objects(model)
    kill_at_share(model, share, looks=0 if share == 1.0 else 3)
    killed_at = model.clock.monotonic()
    shares: list[float] = []

    def watch(seconds: float) -> None:
        model._pass(seconds)
        shares.append(model._share())

    model.clock.on_sleep = watch
    result = retry(model)
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PROMOTED)
    assert shares[0] == share
    assert model.clock.monotonic() - killed_at < 90
    before["Deployment/shop"]["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/shop:1.5.0"
    assert_nothing_left(model, before)
    assert model.lost_by_mesh == 0


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(34))
def test_killed_at_any_write_the_retried_job_ends_promoted(number: int, *, after: bool) -> None:
    model = ShopModel()
    before = user_objects(model)
    cluster = model.cluster.as_actor("gitlab-mesh", fault=KillAt(number, after=after))
    try:
        release(ModelPorts(model, service(), cluster=cluster), "1.5.0")
    except Killed:
        result = retry(model)
        assert (result.exit_code, result.report.outcome) == (0, Outcome.PROMOTED)
    before["Deployment/shop"]["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/shop:1.5.0"
    assert_nothing_left(model, before)
    assert model.lost_by_mesh == 0


def test_the_judge_remembers_what_the_lost_job_saw() -> None:
    model = ShopModel()
    ports = kill_at_share(model, 0.5)
    record, _ = ports.store.read()
    assert record is not None
    assert record.judge_state["time"] > 0
    result = retry(model)
    errors = next(v for v in result.report.sections[0].judgement.verdicts if v.metric == "errors")  # type: ignore[union-attr]
    first_step = 300 * 0.1 * FAST.step_bake
    assert errors.canary_n > 300 * 0.5 * FAST.step_bake + first_step / 2


def test_a_bad_release_that_was_lost_is_rejected_by_the_retried_job() -> None:
    model = ShopModel()
    before = user_objects(model)
    kill_at_share(model, 0.1, looks=0, tag="bad")
    result = retry(model, "bad")
    assert result.exit_code == 10
    assert_nothing_left(model, before)


def change_canary(model: ShopModel) -> None:
    patch(model, "shop-canary", "registry.example/shop:9.9.9")


def change_stable(model: ShopModel) -> None:
    patch(model, "shop", "registry.example/shop:9.9.9")


def delete_canary(model: ShopModel) -> None:
    model.cluster.as_actor("kubectl").delete("Deployment", "shop", "shop-canary")


def patch(model: ShopModel, name: str, image: str) -> None:
    operations = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
    model.cluster.as_actor("kubectl").patch("Deployment", "shop", name, operations)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_canary, "pod template of the canary"),
        (change_stable, "pod template of stable"),
        (delete_canary, "the canary (shop-canary) is gone"),
    ],
)
def test_what_changed_while_nobody_drove_ends_it_safely(change: Any, reason: str) -> None:
    model = ShopModel()
    kill_at_share(model, 0.5)
    change(model)
    model.settle(seconds=15)
    result = retry(model)
    assert result.exit_code == 22
    assert reason in result.report.reason
    assert model._share() == 0
    names = [item["metadata"]["name"] for item in model.cluster.list("Deployment", "shop")]
    assert names == ["shop"]


def test_a_reset_weight_is_raised_again_through_the_gates() -> None:
    model = ShopModel()
    kill_at_share(model, 0.5)
    operations = [{"op": "replace", "path": "/spec/http/1/route/1/weight", "value": 0},
                  {"op": "replace", "path": "/spec/http/1/route/0/weight", "value": 100}]  # fmt: skip
    model.cluster.as_actor("argocd").patch("VirtualService", "shop", "shop", operations)
    shares: list[float] = []

    def watch(seconds: float) -> None:
        model._pass(seconds)
        if not shares or shares[-1] != model._share():
            shares.append(model._share())

    model.clock.on_sleep = watch
    assert retry(model).exit_code == 0
    assert shares[:2] == [0.1, 0.5]


def test_a_finished_release_is_success_without_work() -> None:
    model = ShopModel()
    assert release(ModelPorts(model, service()), "1.5.0").exit_code == 0
    versions = {
        item["metadata"]["name"]: item["metadata"]["resourceVersion"]
        for item in model.cluster.list("ConfigMap", "shop")
    }
    result = retry(model)
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PROMOTED)
    assert "promoted it already" in result.report.reason
    again = {
        item["metadata"]["name"]: item["metadata"]["resourceVersion"]
        for item in model.cluster.list("ConfigMap", "shop")
    }
    assert again == versions


def test_what_a_net_took_back_may_start_again_from_the_first_step() -> None:
    model = ShopModel()
    kill_at_share(model, 0.5)
    net = ModelPorts(model, service(), driver=Driver("100", "1001"))
    assert ROLLBACK.run(net, {"if_unfinished": True}).report.outcome is Outcome.ROLLED_BACK
    assert retry(model).report.outcome is Outcome.PROMOTED


def test_changed_steps_do_not_fit_the_recorded_ones() -> None:
    model = ShopModel()
    kill_at_share(model, 0.5)
    changed = {"rollout": replace(FAST, steps=(StepConfig(5), StepConfig(50)))}
    result = retry(model, changes=changed)
    assert result.exit_code == 22
    assert "steps in mesh.yaml changed" in result.report.reason
    assert model._share() == 0


@pytest.mark.parametrize("policy", ["refuse", "wait", "supersede"])
def test_a_newer_pipeline_meets_a_rollout_that_lost_its_job(policy: str) -> None:
    model = ShopModel()
    kill_at_share(model, 0.5)
    changes = {"rollout": replace(FAST, on_newer=policy)}
    started = model.clock.monotonic()
    if policy == "refuse":
        with pytest.raises(GitlabMeshError, match="is not finished") as caught:
            retry(model, "1.6.0", driver=NEWER, changes=changes)
        assert caught.value.exit_code == 22
        assert model._share() == 0.5
        return
    assert retry(model, "1.6.0", driver=NEWER, changes=changes).report.outcome is Outcome.PROMOTED
    waited = model.clock.monotonic() - started > FAST.lease + 60
    assert waited == (policy == "wait")
    image = model.cluster.get("Deployment", "shop", "shop")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.endswith(":1.6.0")


def test_wait_lets_a_live_driver_finish() -> None:
    model = ShopModel()
    first = ModelPorts(model, service())
    rollout = replace(FAST, on_newer="wait", deadline=20.0 + 60)
    results: list[int] = []

    def meet(seconds: float) -> None:
        model._pass(seconds)
        if model._share() == 0.5 and not results:
            model.clock.on_sleep = keep_alive
            with pytest.raises(GitlabMeshError, match="is not finished") as caught:
                retry(model, "1.6.0", driver=NEWER, changes={"rollout": rollout})
            results.append(caught.value.exit_code)
            model.clock.on_sleep = model._pass

    def keep_alive(seconds: float) -> None:
        lease = first.lock.read()
        assert lease is not None
        first.lock.renew(lease)
        model._pass(seconds)

    model.clock.on_sleep = meet
    assert release(first, "1.5.0").report.outcome is Outcome.PROMOTED
    assert results == [22]


def test_an_older_pipeline_never_touches_an_open_rollout() -> None:
    model = ShopModel()
    kill_at_share(model, 0.5)
    for policy in ("refuse", "wait", "supersede"):
        with pytest.raises(GitlabMeshError, match="this one is older") as caught:
            retry(model, driver=Driver("99", "990"), changes={"rollout": replace(FAST, on_newer=policy)})
        assert caught.value.exit_code == 16
    assert model._share() == 0.5


def test_the_driver_that_was_only_asleep_writes_nothing_after_the_resume() -> None:
    model = ShopModel()
    sleeper = ModelPorts(model, service())
    results: list[JobResult] = []

    def oversleep(seconds: float) -> None:
        model._pass(seconds)
        if model._share() == 0.5 and not results:
            model.clock.on_sleep = model._pass
            results.append(retry(model))

    model.clock.on_sleep = oversleep
    result = release(sleeper, "1.5.0")
    assert results[0].report.outcome is Outcome.PROMOTED
    assert result.exit_code == 22
    assert "job 1002" in result.report.reason


def test_resume_checks_rights_before_it_takes_over() -> None:
    model = ShopModel()
    kill_at_share(model, 0.5)
    from gitlab_mesh.sandbox.apiserver.access import User

    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "create"]}]
    weak = model.cluster.as_actor("x", user=User("weak", "weak-token", rules))
    with pytest.raises(GitlabMeshError) as caught:
        CANARY.run(ModelPorts(model, service(), driver=RETRY, cluster=weak), {"image": "registry.example/shop:1.5.0"})
    assert caught.value.exit_code == 21
