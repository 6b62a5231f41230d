"""The judge's decisions on simulated releases, its gates, and what must never open them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitlab_mesh.core.judge.judge import Judge
from gitlab_mesh.core.judge.model import Importance, Look, SideHealth, UserValue, Verdict, VerdictKind
from gitlab_mesh.core.judge.settings import JudgeSettings, UserMetric
from gitlab_mesh.core.metrics.counts import Counts, Histogram, Side
from gitlab_mesh.errors import UsageError

Release = Callable[..., Any]
SETTINGS = JudgeSettings()
HASTY = replace(SETTINGS, bake_seconds=0.0, startup_seconds=0.0)


def verdict_of(outcome: Any, metric: str) -> Verdict:
    return next(verdict for verdict in outcome.last.verdicts if verdict.metric == metric)


@pytest.mark.parametrize("seed", range(6))
def test_a_good_release_is_promoted_when_the_bake_is_over(release: Release, seed: int) -> None:
    outcome = release(Judge(SETTINGS), seed=seed, seconds=650.0)
    assert outcome.rejected_at is None
    assert 600.0 <= outcome.promotable_at <= 640.0
    assert verdict_of(outcome, "errors").kind is VerdictKind.PASS
    assert verdict_of(outcome, "latency").kind is VerdictKind.PASS


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("worse", "within"),
    [
        ({"canary_errors": 1.0}, 15.0),
        ({"canary_errors": 0.05}, 60.0),
        ({"canary_errors": 0.011}, 150.0),
        ({"canary_median": 0.12}, 90.0),
        ({"canary_median": 0.072}, 250.0),
    ],
    ids=["outage", "+5 %", "+1 %", "twice as slow", "20 % slower"],
)
def test_a_bad_release_is_rejected(release: Release, seed: int, worse: dict[str, float], within: float) -> None:
    outcome = release(Judge(SETTINGS), seed=seed, **worse)
    assert outcome.rejected_at is not None
    assert outcome.rejected_at <= within
    metric = "latency" if "canary_median" in worse else "errors"
    assert verdict_of(outcome, metric).kind is VerdictKind.BREACH
    assert outcome.last.reason == verdict_of(outcome, metric).reason
    assert not outcome.last.raise_gate.open
    assert not outcome.last.promote_gate.open


@pytest.mark.parametrize("seed", range(10))
def test_an_outage_of_both_sides_rejects_nobody(release: Release, seed: int) -> None:
    def outage(time: float) -> float:
        return 0.5 if 20 < time < 200 else 0.001

    def slow(time: float) -> float:
        return 0.3 if 20 < time < 200 else 0.06

    outcome = release(
        Judge(SETTINGS), seed=seed, stable_errors=outage, canary_errors=outage, stable_median=slow, canary_median=slow
    )
    assert outcome.rejected_at is None


@pytest.mark.parametrize("seed", range(10))
def test_a_cold_start_that_nobody_declared_is_forgiven(release: Release, seed: int) -> None:
    outcome = release(
        Judge(SETTINGS),
        seed=seed,
        rps=50.0,
        weight=0.009,
        seconds=300.0,
        canary_errors=lambda time: 0.3 if time <= 30 else 0.001,
        canary_median=lambda time: 0.12 if time <= 30 else 0.06,
    )
    assert outcome.rejected_at is None


@pytest.mark.parametrize("seed", range(10))
def test_a_canary_that_stays_broken_after_the_start_is_rejected_at_once(release: Release, seed: int) -> None:
    outcome = release(Judge(SETTINGS), seed=seed, rps=50.0, weight=0.03, canary_errors=0.3)
    assert outcome.rejected_at is not None
    assert 30.0 < outcome.rejected_at <= 90.0


def test_a_cold_start_that_costs_too_much_is_not_waited_for(release: Release) -> None:
    """With a large share the allowance of bad requests ends the start-up before its time."""
    outcome = release(Judge(SETTINGS), rps=500.0, weight=0.5, canary_errors=0.3)
    assert outcome.rejected_at is not None
    assert outcome.rejected_at <= 20.0


@pytest.mark.parametrize("seed", range(4))
def test_a_late_regression_is_rejected(release: Release, seed: int) -> None:
    outcome = release(Judge(SETTINGS), seed=seed, canary_errors=lambda time: 0.05 if time > 300 else 0.001)
    assert outcome.rejected_at is not None
    assert 300.0 < outcome.rejected_at <= 340.0


def test_fewer_errors_than_the_tolerance_are_no_reason(release: Release) -> None:
    outcome = release(Judge(SETTINGS), rps=2000.0, weight=0.5, stable_errors=0.01, canary_errors=0.0105)
    assert outcome.rejected_at is None
    assert outcome.promotable_at is not None


def test_a_canary_at_the_margin_is_not_promoted(release: Release) -> None:
    outcome = release(Judge(SETTINGS), stable_errors=0.001, canary_errors=0.0062, seconds=620.0)
    assert outcome.promotable_at is None


def test_no_traffic_is_never_a_pass_and_is_named(release: Release) -> None:
    outcome = release(Judge(HASTY), routed=0.0, seconds=1000.0)
    assert outcome.promotable_at is None
    assert outcome.rejected_at is None
    assert verdict_of(outcome, "errors").kind is VerdictKind.NO_DATA
    assert "no requests of the canary" in verdict_of(outcome, "errors").reason
    assert verdict_of(outcome, "share").kind is VerdictKind.ERROR
    assert not outcome.last.raise_gate.open


@pytest.mark.parametrize("routed", [0.4, 2.5])
def test_broken_routing_is_found_and_never_promoted(release: Release, routed: float) -> None:
    outcome = release(Judge(SETTINGS), routed=routed, weight=0.2, seconds=700.0)
    assert verdict_of(outcome, "share").kind is VerdictKind.ERROR
    assert "routing" in verdict_of(outcome, "share").reason
    assert outcome.promotable_at is None
    assert outcome.rejected_at is None


def test_too_little_traffic_says_how_much_more_it_needs(release: Release) -> None:
    outcome = release(Judge(SETTINGS), rps=1.0, seconds=300.0)
    assert outcome.promotable_at is None
    forecast = outcome.last.forecast
    assert 500 < forecast.requests < 6000
    assert forecast.seconds > 300
    assert "more canary requests" in outcome.last.promote_gate.reason


def test_minimum_evidence_at_each_weight_before_the_next(release: Release) -> None:
    outcome = release(Judge(HASTY), rps=0.5, seconds=60.0)
    assert not outcome.last.raise_gate.open
    assert "of 20 canary requests at this weight" in outcome.last.raise_gate.reason


def test_the_budget_bounds_the_weight(release: Release) -> None:
    outcome = release(Judge(HASTY), rps=5000.0, weight=0.01, seconds=10.0)
    limit = outcome.last.weight_limit
    assert 0.0 < limit < 0.1
    assert not release(Judge(HASTY), rps=5000.0, weight=0.2, seconds=5.0).last.raise_gate.open


def test_crash_loops_and_restarts_reject_at_once(traffic: Any) -> None:
    for health in (SideHealth(2, 1, 0, "CrashLoopBackOff"), SideHealth(2, 2, 2)):
        judge = Judge(SETTINGS)
        for look in traffic().looks(10.0):
            judgement = judge.look(replace(look, health={Side.CANARY: health}))
        assert judgement.rejected
        assert "restarted 2 times" in judgement.reason or "CrashLoopBackOff" in judgement.reason


def test_one_restart_of_the_canary_and_any_of_stable_are_tolerated(traffic: Any) -> None:
    judge = Judge(SETTINGS)
    health = {Side.CANARY: SideHealth(2, 2, 1), Side.STABLE: SideHealth(2, 1, 9, "CrashLoopBackOff")}
    for look in traffic().looks(30.0):
        assert not judge.look(replace(look, health=health)).rejected


def test_a_window_that_was_not_ours_is_no_evidence(traffic: Any) -> None:
    judge = Judge(HASTY)
    looks = list(traffic(canary_errors=lambda _time: 1.0).looks(60.0))
    for look in looks:
        judgement = judge.look(replace(look, weight=None))
    assert not judgement.rejected
    assert not judgement.promote_gate.open
    assert judge.errors.canary_n == 0


def test_a_look_with_problems_opens_no_promote_gate(traffic: Any) -> None:
    judge = Judge(HASTY)
    judgement = None
    for look in traffic().looks(300.0):
        judgement = judge.look(look)
    assert judgement is not None
    assert judgement.promote_gate.open
    (more,) = traffic(seed=2).looks(305.0, start=300.0)
    judgement = judge.look(replace(more, problems=("pod shop-canary-x: 503 from the pod proxy",)))
    assert not judgement.promote_gate.open
    assert "503 from the pod proxy" in judgement.promote_gate.reason


def test_histograms_of_another_layout_are_a_named_error(traffic: Any) -> None:
    for side in ("canary", "both"):
        judge = Judge(HASTY)
        for look in traffic().looks(60.0):
            judgement = judge.look(look)
        (look,) = traffic().looks(65.0, start=60.0)
        other = Histogram((0.1, math.inf), (look.canary.requests, 0))
        look = replace(look, canary=replace(look.canary, latency=other))
        if side == "both":
            stable = Histogram((0.1, math.inf), (look.stable.requests, 0))
            look = replace(look, stable=replace(look.stable, latency=stable))
        judgement = judge.look(look)
        latency = next(verdict for verdict in judgement.verdicts if verdict.metric == "latency")
        assert latency.kind is VerdictKind.ERROR
        assert "latency buckets" in latency.reason
        assert not judgement.promote_gate.open
        assert not judgement.rejected


def test_a_canary_without_histogram_blocks_promotion(traffic: Any) -> None:
    judge = Judge(HASTY)
    for look in traffic().looks(300.0):
        judgement = judge.look(replace(look, canary=replace(look.canary, latency=None)))
    assert not judgement.promote_gate.open


def test_without_latencies_errors_decide(release: Release) -> None:
    outcome = release(Judge(HASTY), latency=False, seconds=300.0)
    assert outcome.promotable_at is not None
    assert all(verdict.metric != "latency" for verdict in outcome.last.verdicts)


def test_the_slo_rejects_only_what_stable_does_not_do_too(release: Release) -> None:
    strict = replace(HASTY, max_error_ratio=0.01, error_tolerance_ratio=1.0)
    alone = release(Judge(strict), stable_errors=0.001, canary_errors=0.03)
    assert alone.rejected_at is not None
    both = release(Judge(strict), stable_errors=0.03, canary_errors=0.03)
    assert both.rejected_at is None
    assert both.promotable_at is None
    assert verdict_of(both, "slo").kind is VerdictKind.UNDECIDED
    fine = release(Judge(strict), stable_errors=0.001, canary_errors=0.001)
    assert verdict_of(fine, "slo").kind is VerdictKind.PASS
    assert fine.promotable_at is not None


def memory(name: str, stable: float, canary: float) -> tuple[UserValue, ...]:
    return (UserValue(name, Side.STABLE, stable), UserValue(name, Side.CANARY, canary))


@pytest.mark.parametrize("importance", list(Importance))
def test_user_metrics_count_by_their_importance(traffic: Any, importance: Importance) -> None:
    metric = UserMetric(name="memory", query="q", importance=importance)
    judge = Judge(HASTY, user_metrics=[metric])
    rejected = False
    for i, look in enumerate(traffic().looks(200.0)):
        judgement = judge.look(replace(look, user=memory("memory", 100.0 + i, 150.0 + i)))
        rejected = rejected or judgement.rejected
        if rejected:
            break
    assert rejected == (importance is not Importance.INFORMATIONAL)


def test_a_critical_user_metric_without_data_blocks_promotion(traffic: Any) -> None:
    metric = UserMetric(name="queue", query="q", importance=Importance.CRITICAL)
    for readings in ((), memory("queue", 1.0, math.nan)):
        judge = Judge(HASTY, user_metrics=[metric])
        for look in traffic().looks(300.0):
            judgement = judge.look(replace(look, user=readings))
        assert not judgement.promote_gate.open
        assert "queue" in judgement.promote_gate.reason


def test_a_good_critical_user_metric_lets_promote(traffic: Any) -> None:
    metric = UserMetric(name="queue", query="q", importance=Importance.CRITICAL)
    judge = Judge(HASTY, user_metrics=[metric])
    for i, look in enumerate(traffic().looks(300.0)):
        judgement = judge.look(replace(look, user=memory("queue", 10.0 + i % 3, 10.0 + i % 2)))
    assert judgement.promote_gate.open


# --- adversaries -------------------------------------------------------------------------------------------------


def bad_counts() -> list[Look]:
    good = Counts(100, {"5xx": 0})
    return [
        Look(10.0, good, Counts(-1, {}), 0.5),
        Look(10.0, good, Counts(10, {"5xx": 11}), 0.5),
        Look(10.0, good, Counts(10, {"5xx": -3}), 0.5),
        Look(10.0, Counts(10, {"a": 6, "b": 6}), good, 0.5),
        Look(5.0, good, good, 0.5),
        Look(4.0, good, good, 0.5),
        Look(math.nan, good, good, 0.5),
        Look(10.0, good, good, 1.5),
        Look(10.0, good, good, math.nan),
        Look(10.0, good, Counts(10, {}, Histogram((0.1, math.inf), (5,))), 0.5),
        Look(10.0, good, Counts(10, {}, Histogram((0.1, math.inf), (5, -5))), 0.5),
        Look(10.0, good, Counts(10**400, {}), 0.5),
        Look(10.0, good, Counts(10, {}, Histogram((0.1, math.inf), (5, 10**400))), 0.5),
    ]


@pytest.mark.parametrize("look", bad_counts(), ids=range(len(bad_counts())))
def test_a_look_that_cannot_be_true_is_refused(look: Look) -> None:
    judge = Judge(HASTY)
    judge.look(Look(5.0, Counts(100, {}), Counts(100, {}), 0.5))
    before = judge.dump()
    judgement = judge.look(look)
    assert not judgement.promote_gate.open
    assert judge.errors.canary_n == 100
    assert judge.dump() == before


@pytest.mark.parametrize("silent", ["stable", "canary"])
def test_one_silent_side_never_passes(traffic: Any, silent: str) -> None:
    judge = Judge(HASTY)
    for look in traffic().looks(2000.0):
        judgement = judge.look(replace(look, **{silent: Counts()}) if look.time_seconds else look)
        assert not judgement.promote_gate.open


def test_equal_timestamps_never_pass(traffic: Any) -> None:
    judge = Judge(HASTY)
    for look in traffic().looks(2000.0):
        judgement = judge.look(replace(look, time_seconds=5.0))
        assert not judgement.promote_gate.open


def test_a_frozen_clock_raises_no_weight(traffic: Any) -> None:
    """Evidence of long ago must not go on opening the gate when nothing new comes."""
    judge = Judge(HASTY)
    looks = list(traffic(rps=500.0, weight=lambda _time: 0.05).looks(200.0))
    for look in looks:
        judgement = judge.look(look)
    assert judgement.raise_gate.open
    judgement = judge.look(looks[-1])
    assert not judgement.raise_gate.open
    assert "clock" in judgement.raise_gate.reason


@pytest.mark.parametrize(
    "histogram",
    [
        Histogram((0.1, math.inf), (900, 100)),
        Histogram((0.1, 0.2, math.inf), (0, 0, 1000)),
        Histogram((math.inf,), (9,)),
    ],
    ids=["one finite bound", "all beyond the last", "no finite bound"],
)
def test_a_histogram_that_tells_nothing_has_no_data_and_no_crash(histogram: Histogram) -> None:
    judge = Judge(HASTY)
    for i in range(100):
        counts = Counts(sum(histogram.counts), {}, histogram)
        judgement = judge.look(Look(5.0 * (i + 1), counts, counts, 0.5))
    latency = next(verdict for verdict in judgement.verdicts if verdict.metric == "latency")
    assert latency.kind is VerdictKind.NO_DATA
    assert "slow from usual" in latency.reason
    assert not judgement.promote_gate.open


def test_a_dry_run_survives_hours_of_a_broken_canary() -> None:
    """Only reporting, it goes on after a breach: nothing may underflow, and a recovery may show again."""
    judge = Judge(replace(HASTY, max_error_ratio=0.01), user_metrics=[UserMetric("m", "q")])
    for i in range(900):
        bad = 10**12 if i < 600 else 0
        look = Look(5.0 * (i + 1), Counts(10**12, {"5xx": 10**6}), Counts(10**12, {"5xx": bad}), 0.5)
        judgement = judge.look(replace(look, user=memory("m", 1.0 + i, 9.0 * (i + 1) if i < 600 else 0.5 + i)))
        assert judgement.rejected or i < 10 or i > 600
    json.dumps(judge.dump(), allow_nan=False)
    assert judge.errors.fine.log_wealth > 0.0


def test_a_cold_start_of_a_user_metric_is_forgiven_and_a_late_fault_is_found(traffic: Any) -> None:
    metric = UserMetric(name="memory", query="q")
    for late in (False, True):
        judge = Judge(SETTINGS, look_seconds=1.0, user_metrics=[metric])
        rejected_at = 0.0
        for i, look in enumerate(traffic(look_seconds=1.0, latency=False).looks(400.0)):
            worse = i <= 30 or (late and i > 300)
            judgement = judge.look(replace(look, user=memory("memory", 100.0 + i, (200.0 if worse else 100.0) + i)))
            if judgement.rejected:
                rejected_at = look.time_seconds
                break
        assert (rejected_at > 0.0) == late
        assert not late or 300.0 < rejected_at <= 345.0


def test_an_informational_metric_is_shown_as_breach_and_rejects_nobody(traffic: Any) -> None:
    worse = UserMetric(name="bad", query="q", importance=Importance.INFORMATIONAL)
    judge = Judge(HASTY, user_metrics=[worse, UserMetric(name="good", query="q")])
    for i, look in enumerate(traffic().looks(300.0)):
        user = memory("bad", 100.0 + i, 300.0 + i) + memory("good", 1.0 + i, 1.0 + i)
        judgement = judge.look(replace(look, user=user))
        assert not judgement.rejected
    kinds = {verdict.metric: verdict.kind for verdict in judgement.verdicts}
    assert (kinds["bad"], kinds["good"]) == (VerdictKind.BREACH, VerdictKind.PASS)


def test_the_worst_metric_that_counts_rejects_even_beside_a_worse_informational_one(traffic: Any) -> None:
    metrics = [UserMetric("a", "q", importance=Importance.INFORMATIONAL), UserMetric("b", "q")]
    judge = Judge(HASTY, user_metrics=metrics)
    rejected = False
    for i, look in enumerate(traffic().looks(300.0)):
        user = memory("a", 100.0 + i, 300.0 + i) + memory("b", 1.0 + i, (3.0 if i > 5 else 1.0) * (1.0 + i))
        rejected = judge.look(replace(look, user=user)).rejected
        if rejected:
            break
    assert rejected


counts = st.builds(
    lambda n, share: Counts(n, {"5xx": int(n * share)}),
    st.one_of(st.integers(0, 100), st.integers(0, 10**12)),
    st.floats(0, 1),
)


@settings(max_examples=60, deadline=None)
@given(looks=st.lists(st.tuples(counts, counts, st.sampled_from([0.0, 0.0001, 0.1, 0.5, 1.0])), max_size=25))
def test_any_counts_give_finite_verdicts(looks: list[tuple[Counts, Counts, float]]) -> None:
    judge = Judge(HASTY)
    for i, (stable, canary, weight) in enumerate(looks):
        judgement = judge.look(Look(5.0 * (i + 1), stable, canary, weight))
        for verdict in judgement.verdicts:
            for number in (verdict.low, verdict.high, verdict.effect, verdict.stable, verdict.canary):
                assert number is None or math.isfinite(number)
            if verdict.low is not None and verdict.high is not None:
                assert -1.0 <= verdict.low <= 1.0
                assert -1.0 <= verdict.high <= 1.0
            if judgement.forecast:
                assert judgement.forecast.requests >= 0
    json.dumps(judge.dump(), allow_nan=False)


# --- saved state -------------------------------------------------------------------------------------------------


def full_judge() -> tuple[JudgeSettings, list[UserMetric]]:
    metrics = [UserMetric(name=f"metric{i}", query="q", importance=Importance.NORMAL) for i in range(4)]
    return replace(SETTINGS, max_error_ratio=0.02, slow_seconds=0.25), metrics


def test_a_resumed_judge_decides_as_the_uninterrupted_one(traffic: Any) -> None:
    policy, metrics = full_judge()
    uninterrupted = Judge(policy, user_metrics=metrics)
    resumed = Judge(policy, user_metrics=metrics)
    looks = list(traffic(canary_errors=lambda time: 0.004 if time > 200 else 0.001).looks(500.0))
    for i, look in enumerate(looks):
        values = tuple(one for j in range(4) for one in memory(f"metric{j}", 10.0 + i, 10.5 + i % 7))
        look = replace(look, user=values)
        state = json.loads(json.dumps(resumed.dump(), allow_nan=False))
        assert len(json.dumps(state)) <= 8192
        resumed = Judge.load(policy, state, user_metrics=metrics)
        assert resumed.look(look) == uninterrupted.look(look)
    assert resumed.standing == uninterrupted.standing


def full_looks(look_seconds: float) -> list[Look]:
    """Twenty buckets, all of them filled, and every metric of ``full_judge``."""
    bounds = (*(0.001 * 1.6**i for i in range(19)), math.inf)
    looks = []
    for i in range(200):
        buckets = tuple(20_000 // (1 + abs(j - 8)) + (i * j) % 7 for j in range(20))
        counts = Counts(sum(buckets), {"5xx": i % 4}, Histogram(bounds, buckets))
        values = tuple(one for j in range(4) for one in memory(f"metric{j}", 10.0 + i, 10.5 + (i * j) % 7 / 3))
        looks.append(Look(look_seconds * (i + 1), counts, counts, 0.5, user=values))
    return looks


@pytest.mark.parametrize("look_seconds", [0.5, 5.0, 15.0])
def test_the_state_stays_small_with_everything_in_it(look_seconds: float) -> None:
    policy, metrics = full_judge()
    judge = Judge(policy, look_seconds=look_seconds, user_metrics=metrics)
    for look in full_looks(look_seconds):
        judge.look(look)
    assert len(judge.latency or ()) == 6
    assert len(json.dumps(judge.dump())) <= 8192


@pytest.mark.parametrize(
    "damage", [{"schema": 99}, {"errors": []}, {"scalars": "x"}, {"user": ["x"]}, {"share": 3}], ids=str
)
def test_a_state_that_does_not_fit_is_refused(traffic: Any, damage: dict[str, Any]) -> None:
    judge = Judge(SETTINGS)
    for look in traffic().looks(20.0):
        judge.look(look)
    with pytest.raises(UsageError, match="saved state"):
        Judge.load(SETTINGS, {**judge.dump(), **damage})


def test_a_look_takes_about_a_millisecond() -> None:
    """Four metrics of the user's own and 20 buckets; the limit here is loose, benchmarks/judge.py measures."""
    policy, metrics = full_judge()
    judge = Judge(policy, user_metrics=metrics)
    looks = full_looks(5.0)
    times = []
    for look in looks:
        begun = perf_counter()
        judge.look(look)
        times.append(perf_counter() - begun)
    assert sorted(times)[len(times) // 4] < 0.005
