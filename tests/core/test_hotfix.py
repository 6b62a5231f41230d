"""The judge of a hotfix: nothing is compared with stable, and nothing passes without data."""

from __future__ import annotations

import json

import pytest

from gitlab_mesh.core.hotfix import HotfixJudge
from gitlab_mesh.core.judge.judge import Judge
from gitlab_mesh.core.judge.model import Judgement, Look, SideHealth, VerdictKind
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.metrics.counts import Counts, Side
from gitlab_mesh.errors import UsageError

SETTINGS = JudgeSettings(max_error_ratio=0.05)


def look(judge: HotfixJudge, requests: int, errors: int, *, weight: float | None = 0.1, reason: str = "") -> Judgement:
    time = (judge.time or 0.0) + 5.0
    canary = Counts(requests, {"5xx": errors} if errors else {})
    health = {Side.CANARY: SideHealth(1, 1, reason=reason)}
    return judge.look(Look(time, Counts(1000, {"5xx": 900}), canary, weight, health))


def test_it_passes_under_the_absolute_limit_however_bad_stable_is() -> None:
    judgement = look(HotfixJudge(SETTINGS), 200, 2)
    assert judgement.promote_gate.open
    assert judgement.raise_gate.open
    assert not judgement.rejected


def test_it_rejects_above_the_limit_once_chance_is_excluded() -> None:
    judge = HotfixJudge(SETTINGS)
    first = look(judge, 30, 3)
    assert not first.rejected
    assert not first.promote_gate.open
    assert look(judge, 300, 60).rejected


def test_without_a_limit_an_outage_is_the_limit() -> None:
    settings = JudgeSettings()
    assert not look(HotfixJudge(settings), 500, 100).rejected
    assert look(HotfixJudge(settings), 500, 300).rejected


@pytest.mark.parametrize("weight", [None, 0.0])
def test_no_data_opens_no_gate(weight: float | None) -> None:
    judge = HotfixJudge(SETTINGS)
    for requests, at in ((0, 0.1), (500, weight)):
        judgement = look(judge, requests, 0, weight=at)
        assert not judgement.promote_gate.open
        assert judgement.verdicts[0].kind is VerdictKind.NO_DATA


def test_each_weight_needs_its_own_minimum() -> None:
    judge = HotfixJudge(SETTINGS)
    assert look(judge, 500, 0).raise_gate.open
    assert not look(judge, 5, 0, weight=0.5).raise_gate.open
    assert look(judge, 50, 0, weight=0.5).raise_gate.open


def test_pods_that_crash_reject() -> None:
    assert look(HotfixJudge(SETTINGS), 500, 0, reason="CrashLoopBackOff").rejected


def test_a_saved_one_goes_on_as_the_other() -> None:
    judge = HotfixJudge(SETTINGS)
    look(judge, 100, 4)
    other = HotfixJudge.load(SETTINGS, json.loads(json.dumps(judge.dump())))
    assert look(judge, 100, 9) == look(other, 100, 9)
    with pytest.raises(UsageError):
        HotfixJudge.load(SETTINGS, Judge(SETTINGS).dump())
