"""The weight schedule: what it spends, when it rises, how it falls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.judge.evidence import Standing
from gitlab_mesh.core.judge.schedule import BudgetSchedule, first_weight
from gitlab_mesh.core.judge.settings import JudgeSettings

SETTINGS = JudgeSettings()
SCHEDULE = BudgetSchedule()
GOOD = Standing(
    evidence=0.5, excess=0.001, recent=0.01, rps=500.0, starting=False, leaning=True, passing=False, doubtful=False
)


def next_weight(weight: float, standing: Standing = GOOD, **more: Any) -> float:
    values = {"elapsed": 100.0, "since_change": 60.0, "needed": 500.0, **more}
    return SCHEDULE.next_weight(weight, standing, SETTINGS, **values)


@pytest.mark.parametrize(
    ("rps", "share"), [(0.5, 0.1), (5.0, 0.0889), (50.0, 0.00889), (500.0, 0.000889), (1e6, 0.0001)]
)
def test_the_first_weight_follows_from_traffic_and_budget(rps: float, share: float) -> None:
    assert first_weight(rps, SETTINGS, SCHEDULE) == pytest.approx(share, rel=0.01)


def test_an_outage_of_the_whole_startup_costs_the_budget() -> None:
    seconds = SETTINGS.startup_seconds + SETTINGS.reaction_seconds
    assert first_weight(200.0, SETTINGS, SCHEDULE) * 200.0 * seconds == pytest.approx(SETTINGS.bad_request_budget)


def test_it_doubles_at_most_and_pauses() -> None:
    assert next_weight(0.01) == pytest.approx(0.02)
    assert next_weight(0.01, since_change=9.0) == 0.01


@pytest.mark.parametrize("excess", [1.0, 0.1, 0.02])
def test_the_harm_of_one_reaction_fits_the_budget(excess: float) -> None:
    weight = next_weight(0.0005, replace(GOOD, excess=excess, rps=5000.0))
    assert weight * 5000.0 * SETTINGS.reaction_seconds * excess <= max(
        SETTINGS.bad_request_budget, 0.0005 * 75000 * excess
    )


def test_long_looks_are_reaction_time_too() -> None:
    standing = replace(GOOD, excess=0.05)
    slow = replace(SCHEDULE, look_seconds=30.0)
    values = {"elapsed": 100.0, "since_change": 60.0, "needed": 500.0}
    fast = SCHEDULE.next_weight(0.02, standing, SETTINGS, **values)
    assert slow.next_weight(0.02, standing, SETTINGS, **values) < fast


def test_it_stays_small_while_small_is_enough() -> None:
    assert next_weight(0.18) == 0.18
    assert next_weight(0.18, needed=50_000.0) > 0.18


def test_it_reaches_the_most_in_time_for_the_dwell() -> None:
    assert next_weight(0.18, elapsed=440.0) == 0.18
    assert next_weight(0.18, elapsed=465.0) == pytest.approx(0.36)
    assert next_weight(0.36, elapsed=475.0) == 0.5
    assert next_weight(0.5, elapsed=500.0) == 0.5


def test_what_may_be_promoted_may_have_half_of_the_users() -> None:
    standing = replace(GOOD, excess=0.5)
    assert next_weight(0.3, standing, elapsed=590.0) == 0.3
    assert next_weight(0.3, replace(standing, passing=True), elapsed=590.0) == 0.5


def test_doubt_holds_and_suspicion_takes_down() -> None:
    assert next_weight(0.02, replace(GOOD, evidence=4.0, leaning=False, doubtful=True)) == 0.02
    fallen = next_weight(0.5, replace(GOOD, evidence=20.0, recent=0.06, doubtful=True), since_change=0.0)
    assert fallen == pytest.approx(0.5 * 20.0 / (500.0 * 15.0 * 0.06))
    assert next_weight(0.5, replace(GOOD, evidence=20.0, recent=1.0, rps=1e7)) == SCHEDULE.least


def test_the_end_of_the_startup_buys_a_quick_answer() -> None:
    doubt = replace(GOOD, evidence=50.0, recent=0.5, excess=0.9, rps=50.0, starting=True, leaning=False, doubtful=True)
    assert next_weight(0.009, doubt, elapsed=25.0) == 0.009
    assert next_weight(0.009, doubt, elapsed=30.0) == pytest.approx(0.018)


def watch(weight: float, standing: Standing, since_change: float = 60.0) -> float:
    return SCHEDULE.watch_weight(weight, standing, SETTINGS, elapsed=400.0, since_change=since_change)


def test_holdback_keeps_a_control_and_gives_stable_its_half_back_at_the_first_doubt() -> None:
    assert watch(0.95, GOOD) == 0.95
    assert watch(0.95, replace(GOOD, evidence=2.5), since_change=0.0) == 0.5
    assert watch(0.95, replace(GOOD, evidence=20.0, recent=0.05), since_change=0.0) == pytest.approx(10 / 375)
    assert watch(0.03, GOOD) == pytest.approx(0.06)
    assert watch(0.6, GOOD) == 0.95
    assert watch(0.3, replace(GOOD, doubtful=True)) == 0.3


@given(
    weight=st.floats(0.0001, 0.5),
    standing=st.builds(
        Standing,
        evidence=st.floats(0, 1e12),
        excess=st.floats(1e-6, 1),
        recent=st.floats(0, 1),
        rps=st.floats(0, 1e9),
        starting=st.booleans(),
        leaning=st.booleans(),
        passing=st.booleans(),
        doubtful=st.booleans(),
    ),
    elapsed=st.floats(0, 5000),
    since=st.floats(0, 500),
    needed=st.one_of(st.none(), st.floats(0, 1e9)),
)
def test_the_share_is_always_possible(
    weight: float, standing: Standing, elapsed: float, since: float, needed: float | None
) -> None:
    new = SCHEDULE.next_weight(weight, standing, SETTINGS, elapsed=elapsed, since_change=since, needed=needed)
    assert SCHEDULE.least <= new <= SCHEDULE.most
    assert new <= 2.2 * weight
    wide = SCHEDULE.watch_weight(weight, standing, SETTINGS, elapsed=elapsed, since_change=since)
    assert SCHEDULE.least <= wide <= 0.95


def test_a_drift_gives_stable_its_half_back_and_lets_go_again() -> None:
    drifting = replace(GOOD, drifting=True)
    watch = {"elapsed": 700.0, "since_change": 60.0}
    assert SCHEDULE.watch_weight(0.95, drifting, SETTINGS, **watch) == 0.5
    assert SCHEDULE.watch_weight(0.5, drifting, SETTINGS, **watch) == 0.5
    assert SCHEDULE.watch_weight(0.5, GOOD, SETTINGS, **watch) == pytest.approx(0.95)
    suspected = replace(drifting, evidence=20.0, recent=0.5)
    assert SCHEDULE.watch_weight(0.95, suspected, SETTINGS, **watch) < 0.1


def test_routing_that_may_be_broken_holds_the_weight() -> None:
    misrouted = replace(GOOD, misrouted=True)
    assert next_weight(0.01, misrouted) == 0.01
    assert next_weight(0.01, replace(misrouted, starting=True), elapsed=30.0) == 0.01
