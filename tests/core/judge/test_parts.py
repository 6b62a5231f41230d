"""The judge's parts by themselves: latency bounds, share test, limits, dispersion, user metrics."""

from __future__ import annotations

import itertools
import math
from math import exp, inf, log

import numpy as np
import pytest

from gitlab_mesh.core.judge.betting import BETTER, Arms, Tolerance
from gitlab_mesh.core.judge.dispersion import Dispersion
from gitlab_mesh.core.judge.evidence import Recent
from gitlab_mesh.core.judge.latency import bound_at, plan_bounds, slower_than
from gitlab_mesh.core.judge.ledger import parts_of
from gitlab_mesh.core.judge.limit import ABOVE, BELOW, OUTAGE, Limit
from gitlab_mesh.core.judge.model import UserValue
from gitlab_mesh.core.judge.settings import JudgeSettings, UserMetric
from gitlab_mesh.core.judge.share import ShareTest
from gitlab_mesh.core.judge.startup import Startup
from gitlab_mesh.core.judge.track import equal_prior, relevant_prior
from gitlab_mesh.core.judge.user import UserTrack
from gitlab_mesh.core.metrics.counts import Histogram, Side

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, inf)


def shares(median: float, sigma: float = 0.613) -> list[float]:
    return [0.5 * math.erfc(math.log(bound / median) / sigma / math.sqrt(2)) for bound in BOUNDS[:-1]]


def lognormal(n: int, median: float) -> Histogram:
    above = [n, *(round(n * share) for share in shares(median)), 0]
    return Histogram(BOUNDS, tuple(a - b for a, b in itertools.pairwise(above)))


def test_bounds_are_where_stable_can_tell() -> None:
    bounds = plan_bounds(lognormal(10**6, 0.06), tolerance=0.05, margin=0.10)
    assert [bound.seconds for bound in bounds] == [0.1, 0.25, 0.5]
    assert [bound.required for bound in bounds] == [False, True, True]
    assert slower_than(lognormal(10**6, 0.06), 0.1) == round(10**6 * shares(0.06)[4])


@pytest.mark.parametrize("slower", [0.05, 0.10, 0.5])
@pytest.mark.parametrize("median", [0.02, 0.06, 0.3])
def test_a_time_becomes_the_right_multiple(slower: float, median: float) -> None:
    """All requests slower by this much: the share beyond each bound, known exactly for log-normal latencies."""
    before, after = shares(median), shares(median * (1 + slower))
    for bound in plan_bounds(lognormal(10**7, median), tolerance=slower, margin=slower):
        i = BOUNDS.index(bound.seconds)
        if before[i] > 1e-4:
            assert bound.tolerated == pytest.approx(min(after[i] / before[i], 4.0), rel=0.03)


def test_few_bounds_of_many_and_none_of_nothing() -> None:
    fine = (*tuple(0.001 * 1.3**i for i in range(40)), inf)
    counts = tuple(1000 for _ in fine)
    assert len(plan_bounds(Histogram(fine, counts), tolerance=0.05, margin=0.1)) == 5
    assert plan_bounds(Histogram(BOUNDS, (0,) * 11), tolerance=0.05, margin=0.1) == ()
    one_bucket = Histogram(BOUNDS, (1000, *([0] * 10)))
    assert [bound.seconds for bound in plan_bounds(one_bucket, tolerance=0.05, margin=0.1)] == [0.005]


def test_a_declared_limit_is_rounded_up_to_a_bucket() -> None:
    tolerated, margin = Tolerance(1.1, 0.0001), Tolerance(1.2, 0.005)
    bound = bound_at(lognormal(1000, 0.06), 0.3, tolerated, margin)
    assert bound is not None
    assert (bound.seconds, bound.tolerated, bound.slack, bound.required) == (0.5, 1.1, 0.0001, True)
    assert bound_at(lognormal(1000, 0.06), 9.0, tolerated, margin) is None


# --- share -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "broken"), [(1.0, False), (0.9, False), (1.1, False), (0.4, True), (2.5, True)])
def test_the_share_test_finds_what_is_outside_its_band(factor: float, broken: bool) -> None:
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        share = ShareTest(1.33, 2)
        for _ in range(120):
            share.look(0.2, int(rng.poisson(50 * factor)), int(rng.poisson(200)))
            if share.evidence >= share.limit:
                alarms += 1
                break
    assert alarms == (40 if broken else 0)


def test_what_a_ramp_explains_is_no_evidence() -> None:
    """Requests may still be routed by the weights of two looks ago; beyond all of them the routing is wrong."""
    lagging, leaking = ShareTest(1.33, 2), ShareTest(1.33, 2)
    ramp = [0.0, 0.0, *(weight for weight in (0.02, 0.04, 0.08, 0.16) for _ in range(2))]
    for late, weight in zip([0.0, 0.0, *ramp], ramp, strict=False):
        lagging.look(weight, int(10_000 * late), int(10_000 * (1.0 - late)))
        leaking.look(weight, int(25_000 * weight), int(10_000 * (1.0 - 2.5 * weight)))
    assert lagging.evidence <= 1.0
    assert leaking.evidence >= leaking.limit
    assert lagging.observed is None
    assert lagging.wanted == 0.16


def test_the_first_looks_may_show_nothing_yet() -> None:
    share = ShareTest(1.33, 2)
    assert share.look(0.1, 0, 1000) <= 1.0
    assert share.look(0.1, 0, 1000) <= 1.0
    assert share.look(0.1, 0, 1000) > 1.0
    assert share.observed == 0.0


def test_what_silent_looks_owe_comes_with_the_next() -> None:
    share = ShareTest(1.33, 2)
    for _ in range(3):
        share.look(0.02, 20, 980)
    for weight in (0.04, 0.04, 0.08, 0.08, 0.16):
        before = share.evidence
        assert share.look(weight, 0, 0) == before
    assert share.look(0.16, 120, 5880) <= max(before, 1.0)


def test_the_share_test_can_be_interrupted() -> None:
    share, other = ShareTest(1.33, 2), ShareTest(1.33, 2)
    for weight, canary in ((0.0, 0), (0.02, 30), (0.04, 0), (0.04, 70)):
        share.look(weight, canary, 1000 if canary else 0)
        other.load(share.dump())
        assert other.dump() == share.dump()
    assert other.look(0.08, 200, 900) == share.look(0.08, 200, 900)


def test_all_or_nothing_cannot_be_compared() -> None:
    share = ShareTest(1.33, 0)
    assert share.look(1.0, 100, 0) == share.look(0.0, 0, 100) == 1.0


# --- limit -------------------------------------------------------------------------------------------------------


def test_limits_are_fair_at_the_limit_and_grow_beyond() -> None:
    for limit in (Limit(0.35, OUTAGE), Limit.beside(0.02, ABOVE), Limit.beside(0.3, BELOW)):
        assert limit.log_wealth == pytest.approx(0.0)
    p = 0.35
    mean = 0.0
    for bad in range(6):
        limit = Limit(p, OUTAGE)
        limit.look(5, bad)
        mean += math.comb(5, bad) * p**bad * (1 - p) ** (5 - bad) * exp(limit.log_wealth)
    assert mean == pytest.approx(1.0)
    outage = Limit(0.35, OUTAGE)
    levels = [outage.look(1, 1) for _ in range(7)]
    assert levels[6] > log(1.0 / (0.01 * 0.25)) > levels[4]


def test_a_limit_stops_at_its_cap_and_ceiling() -> None:
    limit = Limit(0.35, OUTAGE)
    assert limit.look(1000, 1000, cap=2.0) == pytest.approx(2.0)
    assert limit.look(0, 0) == pytest.approx(2.0)
    assert limit.look(1, 1, cap=0.5) == pytest.approx(2.5)
    fine = Limit.beside(0.02, BELOW, ceiling=5.0)
    assert fine.look(10**6, 0) == pytest.approx(5.0)
    with pytest.raises(ValueError, match="expected 5 numbers"):
        fine.load([0.0])
    other = Limit.beside(0.02, BELOW, ceiling=5.0)
    other.load(fine.dump())
    assert other.look(100, 3) == fine.look(100, 3) < 5.0


def test_the_likelihood_ratio_by_hand() -> None:
    limit = Limit.beside(0.02, [5.0])
    assert limit.look(10, 2) == pytest.approx(2 * log(0.1 / 0.02) + 8 * log(0.9 / 0.98))
    assert Limit.beside(0.5, [80.0]).look(1, 0) == pytest.approx(log((1 - 0.995) / 0.5))


# --- dispersion --------------------------------------------------------------------------------------------------


def clustered(rng: np.random.Generator, mean: float) -> int:
    return int(rng.geometric(1 / 3, rng.poisson(mean / 3)).sum())


@pytest.mark.parametrize("mean", [0.5, 5.0, 50.0])
def test_clusters_are_seen_and_independence_is_free(mean: float) -> None:
    quiet, noisy = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        one, other = Dispersion(6), Dispersion(6)
        for _ in range(120):
            one.look(Arms(100, float(rng.poisson(mean)), 100, float(rng.poisson(mean))))
            other.look(Arms(100, float(clustered(rng, mean)), 100, float(clustered(rng, mean))))
        quiet.append(one.factor)
        noisy.append(other.factor)
    assert float(np.median(quiet)) < 1.15
    assert 3.0 < float(np.median(noisy)) < 8.0


@pytest.mark.parametrize("onset", [0, 40])
def test_a_regression_is_not_taken_for_noise(onset: int) -> None:
    factors = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        dispersion = Dispersion(6)
        for look in range(80):
            canary = rng.poisson(15.0 if look >= onset else 5.0)
            dispersion.look(Arms(100, float(canary), 100, float(rng.poisson(5.0))))
        factors.append(dispersion.factor)
    assert float(np.median(factors)) < 1.3


RAMP = (0.01, 0.02, 0.02, 0.04, 0.04, 0.08, 0.08, 0.16, 0.16, 0.5, 0.5, *[0.95] * 13, 0.5, *[0.95] * 9)


def test_a_ramp_is_no_noise() -> None:
    """The weight changes in the middle of a stretch, by up to 19 times: the split must be judged by all it served."""
    factors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        dispersion = Dispersion(6)
        for weight in RAMP:
            canary, stable = 10_000 * weight, 10_000 * (1.0 - weight)
            bad = float(rng.poisson(canary * 0.05)), float(rng.poisson(stable * 0.05))
            dispersion.look(Arms(canary, bad[0], stable, bad[1]))
        factors.append(dispersion.factor)
    assert float(np.median(factors)) < 1.5
    assert max(factors) < 6.0


def test_noise_that_is_over_fades_where_there_is_much_to_see_and_stays_where_little() -> None:
    after = {}
    for name, n in (("busy", 1000.0), ("quiet", 10.0)):
        dispersion = Dispersion(6)
        for look in range(30):
            dispersion.look(Arms(1000.0, 60.0 if look in (10, 16) else 2.0, 1000.0, 2.0))
        loud = dispersion.factor
        assert loud > 4.0
        rng = np.random.default_rng(1)
        for _ in range(120):
            dispersion.look(Arms(n, float(rng.poisson(n / 100.0)), n, float(rng.poisson(n / 100.0))))
        after[name] = dispersion.factor / loud
    assert after["busy"] < 0.3
    assert after["quiet"] > 0.45


def test_one_outage_speaks_no_louder_than_many_ordinary_errors() -> None:
    dispersion = Dispersion(6)
    for look in range(120):
        dispersion.look(Arms(100.0, 10.0 + look % 3, 100.0, 10.0 + (look + 1) % 3))
    calm = dispersion.factor
    for _ in range(4):
        dispersion.look(Arms(100.0, 90.0, 100.0, 90.0))
    dispersion.look(Arms(100.0, 90.0, 100.0, 10.0))
    for look in range(12):
        dispersion.look(Arms(100.0, 10.0 + look % 3, 100.0, 10.0 + (look + 1) % 3))
    assert calm < 1.1
    assert dispersion.factor < 10.0


def test_dispersion_remembers_little_and_resumes() -> None:
    one, two = Dispersion(60), Dispersion(60)
    for look in range(200):
        one.look(Arms(10, look % 3, 30, look % 5))
    assert len(one.dump()) <= 3 + 3 * 7
    two.load(one.dump())
    for dispersion in (one, two):
        for look in range(50):
            dispersion.look(Arms(10, look % 4, 30, look % 5))
    assert one.dump() == two.dump()
    assert one.look(Arms(0, 0, 10, 1)) == one.factor


# --- user metrics ------------------------------------------------------------------------------------------------


def pair(stable: float, canary: float) -> list[UserValue]:
    return [UserValue("m", Side.STABLE, stable), UserValue("m", Side.CANARY, canary)]


@pytest.mark.parametrize(
    ("metric", "stable", "canary", "worse"),
    [
        (UserMetric("m", "q"), 10.0, 12.0, True),
        (UserMetric("m", "q"), 10.0, 10.9, False),
        (UserMetric("m", "q", better="higher"), 10.0, 8.0, True),
        (UserMetric("m", "q", better="higher"), 10.0, 12.0, False),
        (UserMetric("m", "q", limit=5.0), 10.0, 6.0, True),
        (UserMetric("m", "q", limit=5.0, better="higher"), 1.0, 4.0, True),
        (UserMetric("m", "q"), -10.0, -9.5, False),
    ],
)
def test_direction_tolerance_and_limit(metric: UserMetric, stable: float, canary: float, worse: bool) -> None:
    track = UserTrack(metric, ceiling=8.0)
    for i in range(12):
        track.look(pair(stable + i * 1e-6, canary + i * 1e-6), cap=inf)
    assert (track.log_worse > log(60.0)) == worse
    assert (track.log_fine > log(60.0)) == (not worse)


def test_an_old_reading_is_no_news() -> None:
    track = UserTrack(UserMetric("m", "q"), ceiling=8.0)
    for _ in range(50):
        track.look(pair(10.0, 99.0), cap=inf)
    assert track.readings == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "nothing for the canary"),
        (pair(1.0, math.nan), "NaN or infinity"),
        (pair(math.inf, 1.0), "NaN or infinity"),
        (pair(1.0, 1.0) + pair(1.0, 1.0), "several series"),
        ([UserValue("m", Side.CANARY, 1.0)], "nothing for stable"),
    ],
)
def test_readings_that_are_no_data(values: list[UserValue], words: str) -> None:
    track = UserTrack(UserMetric("m", "q"), ceiling=8.0)
    track.look(values, cap=inf)
    assert words in track.problem
    assert track.readings == 0
    assert track.log_fine == pytest.approx(0.0)


def test_a_coin_is_fair_to_both_bets() -> None:
    for worse in (True, False):
        mean = 0.0
        for first in (9.0, 99.0):
            for second in (8.0, 98.0):
                track = UserTrack(UserMetric("m", "q"), ceiling=inf)
                track.look(pair(10.0, first), cap=inf)
                track.look(pair(10.0, second), cap=inf)
                mean += exp(track.log_worse if worse else track.log_fine) / 4.0
        assert mean == pytest.approx(1.0)


# --- what guides the bets ------------------------------------------------------------------------------------------


def test_most_of_the_stakes_lie_where_a_release_becomes_unacceptable() -> None:
    tolerated, margin = Tolerance(1.1, 0.0001), Tolerance(1.2, 0.005)
    noisy, quiet = (relevant_prior(base, tolerated, margin) for base in (0.01, 0.0001))
    assert sum(noisy) == pytest.approx(sum(quiet)) == pytest.approx(1.0)
    assert min(noisy) > 0.3 / 15 - 1e-12
    assert sum(noisy[:7]) > 0.7 > 0.4 > sum(quiet[:7])


def test_bets_on_a_pass_lie_where_a_good_canary_is() -> None:
    margin = Tolerance(1.2, 0.005)
    noisy, quiet = equal_prior(0.01, margin), equal_prior(0.0001, margin)
    assert sum(noisy) == pytest.approx(sum(quiet)) == pytest.approx(1.0)
    assert BETTER[noisy.index(max(noisy))] == 0.58
    assert BETTER[quiet.index(max(quiet))] == 0.012
    assert min(noisy) > 0.3 / 9 - 1e-12


def test_the_promised_rate_is_spread_whole() -> None:
    for slo in (False, True):
        for user in (False, True):
            parts = parts_of(slo=slo, user=user)
            assert sum(parts.values()) == pytest.approx(1.0)
            assert ("slo" in parts, "user" in parts) == (slo, user)
    assert parts_of(slo=False, user=False)["errors"] == 0.6


# --- start-up ------------------------------------------------------------------------------------------------------


def test_the_startup_ends_by_time_or_by_what_it_cost() -> None:
    startup = Startup(JudgeSettings())
    assert not startup.ends(100.0)
    startup.begun = 5.0
    assert not startup.ends(34.9)
    assert startup.ends(35.0)
    startup.look(Arms(200, 40, 200, 0), 9.0, 9.0)
    assert not startup.ends(10.0)
    startup.look(Arms(200, 1, 200, 0), 9.0, 9.0)
    assert startup.ends(10.0)
    startup.finish(10.0, suspicious=True)
    assert not startup.ends(99.0)
    assert startup.hasty_until == 55.0


def test_an_outage_needs_both_excuses_refuted() -> None:
    startup = Startup(JudgeSettings())
    startup.look(Arms(50, 50, 50, 50), log_worse=0.0, cap=99.0)
    assert startup.log_evidence == 0.0
    startup.look(Arms(1, 1, 50, 0), log_worse=7.0, cap=99.0)
    assert startup.log_evidence == 7.0
    startup.finish(30.0, suspicious=True)
    assert startup.log_evidence == 0.0


@pytest.mark.parametrize("tolerated", [0.01, 0.6, 0.95])
def test_only_worse_than_the_tolerated_start_is_an_outage(tolerated: float) -> None:
    startup = Startup(JudgeSettings(startup_error_ratio=tolerated))
    bad = int(2000 * tolerated * 0.9)
    startup.look(Arms(2000, bad, 2000, 0), log_worse=99.0, cap=99.0)
    assert startup.log_evidence < 0.0


def test_what_is_going_on_now_fades() -> None:
    recent = Recent(3.0)
    assert recent.excess == 1.0
    recent.look(Arms(1000, 300, 1000, 10))
    assert recent.excess == pytest.approx(302 / 1002 - 0.01, abs=1e-6)
    for _ in range(20):
        recent.look(Arms(1000, 10, 1000, 10))
    assert recent.excess < 0.01
