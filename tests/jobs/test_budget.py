"""The budget schedule: each weight follows from the traffic and the evidence; recorded, resumable, explained."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from gitlab_mesh.config.model import RouteConfig, ServiceConfig, WatchConfig
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import TAGS, ModelBehaviour, ShopModel, shop_objects
from gitlab_mesh_jobs.rollback.job import JOB as ROLLBACK
from tests.jobs.releases import FAST, Diary, KillAt, Killed, assert_nothing_left, promoted, release, user_objects

RETRY = Driver("100", "1002", "https://gitlab.example/acme/shop/-/jobs/1002")


def budgeted(*, bake: float = 120.0, judge: dict[str, Any] | None = None, **changes: Any) -> ServiceConfig:
    return ServiceConfig(
        "shop",
        "shop",
        RouteConfig(virtual_service="shop"),
        rollout=replace(FAST, schedule="budget", look_interval=2.0, **changes),
        judge=JudgeSettings(bake_seconds=bake, **(judge or {})),
    )


@pytest.mark.parametrize("rate", [30.0, 300.0])
def test_a_good_release_climbs_from_a_share_that_follows_from_the_traffic(rate: float) -> None:
    model = ShopModel(rate=rate)
    ports = ModelPorts(model, budgeted())
    before = user_objects(model)
    diary = Diary(model)
    result = release(ports, "1.5.0")
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PROMOTED)
    climbed = [share for share in diary.steps[1:] if share < 1.0][:-1]
    first = 20 / (rate * 45)  # the budget, over start-up and reaction
    assert climbed[0] == pytest.approx(first, rel=0.3, abs=1e-4)
    assert climbed == sorted(climbed)
    assert all(after <= 2.06 * share for share, after in pairwise(climbed))
    assert climbed[-1] == 0.5
    assert diary.seconds_at(0.5) >= 29
    assert_nothing_left(model, promoted(before))
    assert model.lost_by_mesh == 0
    assert "bad requests (budget 20)" in ports.console.text


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_release_costs_about_the_budget(seed: int) -> None:
    tags = {**TAGS, "outage": ModelBehaviour(error_ratio=1.0)}
    for tag in ("bad", "outage"):
        model = ShopModel(tags=tags, seed=seed)
        before = user_objects(model)
        result = release(ModelPorts(model, budgeted()), tag)
        assert (result.exit_code, result.report.outcome) == (10, Outcome.REJECTED)
        assert model.failed[Side.CANARY] <= 40
        assert_nothing_left(model, before)


def test_what_begins_late_loses_weight_first_and_then_all_of_it() -> None:
    tags = {**TAGS, "1.5.0": ModelBehaviour()}
    model = ShopModel(tags=tags)
    began: list[float] = []

    def break_it(now: float, share: float) -> None:
        if share == 0.5 and not began:
            began.append(now)
            tags["1.5.0"] = ModelBehaviour(error_ratio=0.05)

    diary = Diary(model, break_it)
    result = release(ModelPorts(model, budgeted()), "1.5.0")
    assert result.report.outcome is Outcome.REJECTED
    assert 0 < diary.steps[-2] < 0.5


def test_every_weight_is_in_the_record_before_it_is_in_the_route() -> None:
    model = ShopModel()
    cluster = model.cluster.as_actor("gitlab-mesh")
    ports = ModelPorts(model, budgeted(), cluster=cluster)
    seen = []

    class Witness:
        def before(self, call: Any) -> None:
            if call.verb == "patch" and call.kind == "VirtualService":
                weights = [item["value"] for item in call.body if str(item["path"]).endswith("/weight")]
                if len(weights) > 1 and weights[1]:
                    record, _ = ports.store.read()
                    assert record is not None
                    assert record.weight == weights[1] / sum(weights)
                    seen.append(weights)

        def after(self, call: Any) -> None:
            return

    cluster.fault = Witness()
    assert release(ports, "1.5.0").exit_code == 0
    assert len(seen) > 5


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [10, 14, 18, 22, 26, 30])
def test_killed_while_it_climbs_one_call_ends_it_and_a_retry_goes_on(number: int, *, after: bool) -> None:
    for ending in ("rollback", "retry"):
        model = ShopModel()
        before = user_objects(model)
        cluster = model.cluster.as_actor("gitlab-mesh", fault=KillAt(number, after=after))
        with pytest.raises(Killed):
            release(ModelPorts(model, budgeted(), cluster=cluster), "1.5.0")
        share = model._share()
        ports = ModelPorts(model, budgeted(), driver=RETRY)
        if ending == "rollback":
            assert ROLLBACK.run(ports, {}).exit_code == 0
            assert_nothing_left(model, before)
        else:
            diary = Diary(model)
            assert release(ports, "1.5.0").report.outcome is Outcome.PROMOTED
            assert diary.steps[0] == share
            assert_nothing_left(model, promoted(before))
        assert model.lost_by_mesh == 0


def test_a_route_with_a_third_destination_gets_whole_percents() -> None:
    objects = shop_objects()
    route = next(item for item in objects if item["kind"] == "VirtualService")
    entry = next(http for http in route["spec"]["http"] if http.get("name") == "primary")
    entry["route"] = [
        {"destination": {"host": "shop", "subset": "stable"}, "weight": 90},
        {"destination": {"host": "legacy"}, "weight": 10},
    ]
    objects = copy.deepcopy(objects)
    model = ShopModel(objects)
    diary = Diary(model)
    result = release(ModelPorts(model, budgeted()), "1.5.0")
    assert result.report.outcome is Outcome.PROMOTED
    assert all(round(share * 100) == pytest.approx(share * 100) for share in diary.steps)  # of the whole route


def test_budget_watch_and_no_bake_together_reach_most_users_soon() -> None:
    model = ShopModel(rate=500.0)
    diary = Diary(model)
    begun = model.clock.monotonic()
    settings = budgeted(bake=0.0, watch=WatchConfig(duration=60.0, stable_share=5.0))
    assert release(ModelPorts(model, settings), "1.5.0").report.outcome is Outcome.PROMOTED
    wide = next(now for now, share in diary.shares if share == 0.95)
    assert wide - begun < 300


def test_a_hotfix_and_a_judge_that_only_reports_take_the_steps() -> None:
    for judge, options in (({"mode": "dry-run"}, {}), ({}, {"hotfix": "stable loses orders"})):
        model = ShopModel()
        diary = Diary(model)
        result = release(ModelPorts(model, budgeted(judge=judge)), "1.5.0", **options)
        assert result.report.outcome is Outcome.PROMOTED
        assert diary.steps == [0, 0.1, 0.5, 1.0, 0]


def test_without_data_it_stays_at_the_smallest_share() -> None:
    model = ShopModel(rate=0.0)
    before = user_objects(model)
    diary = Diary(model)
    result = release(ModelPorts(model, budgeted(deadline=200.0)), "1.5.0")
    assert result.exit_code == 12
    assert max(diary.steps) <= 0.1
    assert_nothing_left(model, before)
