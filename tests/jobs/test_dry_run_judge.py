"""``judge: {mode: dry-run}``: weights move by time, the verdicts are shown, and only what needs no judge rolls back."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from tests.jobs.releases import FAST, Diary, assert_nothing_left, release, service, user_objects

JUDGE = JudgeSettings(bake_seconds=20.0, mode="dry-run")


def reporting(**changes: Any) -> Any:
    return service(judge=JUDGE, **changes)


def released(before: dict[str, Any], tag: str) -> dict[str, Any]:
    after = copy.deepcopy(before)
    after["Deployment/shop"]["spec"]["template"]["spec"]["containers"][0]["image"] = f"registry.example/shop:{tag}"
    return after


def test_a_bad_release_is_promoted_and_the_note_says_what_the_judge_would_have_done() -> None:
    model = ShopModel()
    ports = ModelPorts(model, reporting())
    before = user_objects(model)
    diary = Diary(model)
    result = release(ports, "bad")
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PROMOTED)
    assert diary.steps == [0, 0.1, 0.5, 1.0, 0]
    assert 19 <= diary.seconds_at(0.1) + diary.seconds_at(0.5) <= 30  # twice step_bake: no gate holds it up
    assert_nothing_left(model, released(before, "bad"))
    note = ports.notes.bodies["shop"]
    assert "The judge only reports here" in note
    assert "It would have rejected this release after" in note
    assert "errors" in note
    assert result.report.reason == "The judge only reported; stable runs the release."
    assert result.report.dotenv["MESH_JUDGE"] == "reject"
    assert ports.console.text.count("It would have rejected this release") == 1
    record, _ = ports.store.read()
    assert record is not None
    assert record.last_verdicts["errors"].startswith("breach")


def test_a_good_release_would_be_promoted_too() -> None:
    model = ShopModel()
    slow = replace(FAST, step_bake=30.0)
    ports = ModelPorts(model, reporting(rollout=slow))
    result = release(ports, "1.5.0")
    assert result.report.dotenv["MESH_JUDGE"] == "promote"
    assert "It would let this release be promoted." in ports.notes.bodies["shop"]


def test_without_traffic_it_moves_by_time_and_says_that_nothing_was_judged() -> None:
    model = ShopModel(rate=0.0)
    ports = ModelPorts(model, reporting())
    result = release(ports, "1.5.0")
    assert result.report.outcome is Outcome.PROMOTED
    assert result.report.dotenv["MESH_JUDGE"] == "wait"
    assert "It would not promote this release yet" in ports.notes.bodies["shop"]


@pytest.mark.parametrize("tag", ["crash", "never-ready"])
def test_pods_that_do_not_run_are_taken_back_all_the_same(tag: str) -> None:
    model = ShopModel()
    before = user_objects(model)
    result = release(ModelPorts(model, reporting()), tag)
    assert result.exit_code == 10
    assert_nothing_left(model, before)
    assert model.lost_by_mesh == 0
