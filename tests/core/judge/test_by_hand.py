"""The judge's arithmetic beside the same arithmetic written out again, plainly and slowly, from docs/judge.md."""

from __future__ import annotations

from math import exp, inf, log, log1p, sqrt
from typing import Any

import numpy as np
import pytest

from gitlab_mesh.core.judge.betting import BETTER, SLOWER, WORSE, Arms, Capital, Tolerance, stake_of
from gitlab_mesh.core.judge.dispersion import Dispersion
from gitlab_mesh.core.judge.drift import Drift
from gitlab_mesh.core.judge.excess import COARSE, FINE, Excess
from gitlab_mesh.core.judge.latency import Bound
from gitlab_mesh.core.judge.ledger import Ledger
from gitlab_mesh.core.judge.limit import OUTAGE, Limit
from gitlab_mesh.core.judge.model import Importance, UserValue
from gitlab_mesh.core.judge.settings import JudgeSettings, UserMetric
from gitlab_mesh.core.judge.share import ShareTest
from gitlab_mesh.core.judge.startup import Startup
from gitlab_mesh.core.judge.track import Track, equal_prior, relevant_prior
from gitlab_mesh.core.judge.user import UserTrack
from gitlab_mesh.core.judge.weighing import weigh
from gitlab_mesh.core.metrics.counts import Side

TOLERANCE = Tolerance(1.1, 0.0001)


def looks(seed: int, n: int = 60) -> list[Arms]:
    """Looks with everything in them: ramps, silence, errors on either side."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        canary, stable = int(rng.integers(0, 400)) * (i % 7 > 0), int(rng.integers(0, 2000)) * (i % 11 > 0)
        found.append(Arms(canary, int(rng.binomial(canary, 0.02)), stable, int(rng.binomial(stable, 0.01))))
    return found


# --- one bet -----------------------------------------------------------------------------------------------------


BOUNDARIES = [
    TOLERANCE,
    Tolerance(1.0),
    Tolerance(1.3, 0.001, 0.2),
    Tolerance(0.8, 0.0, 0.4),
    Tolerance(4.0, 0.001, 0.5),
    Tolerance(1.3, 0.01, 0.99),
    Tolerance(0.5, 0.1, 1.0),
]


@pytest.mark.parametrize("tolerance", BOUNDARIES)
@pytest.mark.parametrize("worse", [*WORSE[::4], *BETTER[::3]])
def test_a_stake_by_the_formulas_of_the_page(tolerance: Tolerance, worse: float) -> None:
    r, slack, b = tolerance.ratio, tolerance.slack, tolerance.base
    for canary_n, stable_n in ((10, 90), (50, 50), (900, 30)):
        k = (worse - 1) * stable_n / (stable_n + worse * r * canary_n)
        big = r * canary_n * k / stable_n
        b = min(b, 1.0, (1 - slack) / r)
        if b:
            big /= 1 + (r * b + slack) * k
        h = big / max(1 + big * b, 0.25)
        grid = np.linspace(0.0, min(1.0, (1 - slack) / r), 200_001)
        with np.errstate(divide="ignore"):
            prices = canary_n * np.log1p((r * grid + slack) * k) + stable_n * np.log1p(-grid * h)
        stake = stake_of(worse, tolerance, canary_n, stable_n)
        assert stake.canary == pytest.approx(log1p(k), rel=1e-9)
        assert stake.stable == pytest.approx(log1p(-h), rel=1e-9)
        assert stake.price == pytest.approx(float(prices.max()), rel=1e-6, abs=1e-7)
        assert stake.price >= float(prices.max()) - 1e-9


# --- capital -----------------------------------------------------------------------------------------------------


class Purse:
    """``Capital`` in plain numbers: stakes and reserve as they are, not as parts of a whole."""

    def __init__(self, prior: list[float]) -> None:
        self.prior = [share / sum(prior) for share in prior]
        self.stakes = [0.65 * share for share in self.prior]
        self.reserve, self.clock = 0.35, 0.0

    def settle(self, gains: list[float], information: float, cap: float, ceiling: float) -> None:
        before = sum(self.stakes) + self.reserve
        self.stakes = [stake * exp(gain) for stake, gain in zip(self.stakes, gains, strict=True)]
        most = max(min(exp(cap) * before, exp(ceiling)), self.reserve)
        over = sum(self.stakes) + self.reserve
        if over > most:
            self.stakes = [stake * (most - self.reserve) / sum(self.stakes) for stake in self.stakes]
        spent = self.reserve * (1 - ((20 + self.clock) / (20 + self.clock + information)) ** 0.25)
        self.clock += information
        self.reserve -= spent
        self.stakes = [stake + spent * share for stake, share in zip(self.stakes, self.prior, strict=True)]

    @property
    def log_wealth(self) -> float:
        return log(sum(self.stakes) + self.reserve)


@pytest.mark.parametrize(
    ("cap", "ceiling", "temper"), [(inf, inf, 1.0), (0.4, inf, 1.0), (inf, 2.0, 1.0), (0.7, 3.0, 1.9)]
)
@pytest.mark.parametrize("bets", [WORSE, BETTER, SLOWER], ids=["worse", "better", "slower"])
def test_a_capital_is_its_stakes_and_its_reserve(
    bets: tuple[float, ...], cap: float, ceiling: float, temper: float
) -> None:
    prior = [1.0 + i % 3 for i in range(len(bets))]
    capital, purse = Capital(bets, prior, ceiling=ceiling), Purse(prior)
    for arms in looks(len(bets)):
        capital.look(arms, TOLERANCE, temper=temper, cap=cap)
        if arms.canary_n and arms.stable_n:
            stakes = [stake_of(bet, TOLERANCE, arms.canary_n, arms.stable_n) for bet in bets]
            gains = [(arms.canary_bad * a + arms.stable_bad * b - c) / temper for a, b, c in stakes]
            tolerated = TOLERANCE.ratio * arms.canary_n
            expected = (arms.canary_bad + arms.stable_bad) * tolerated / (tolerated + arms.stable_n)
            purse.settle(gains, (expected + TOLERANCE.slack * arms.canary_n) / temper, cap, ceiling)
        assert capital.log_wealth == pytest.approx(purse.log_wealth, abs=1e-8)
        assert capital.wealth == pytest.approx(exp(capital.log_wealth))
        whole = exp(capital.log_wealth)
        log_wealth, clock, reserve, *shares = capital.dump()
        assert clock == pytest.approx(purse.clock)
        assert reserve * whole == pytest.approx(purse.reserve)
        assert [share * whole for share in shares] == pytest.approx(purse.stakes)
        assert log_wealth == capital.log_wealth


def test_a_restart_is_three_quarters_of_what_was_learned() -> None:
    prior = [1.0, 2.0, 3.0]
    capital = Capital((1.3, 2.1, 7.0), prior)
    for arms in looks(4):
        capital.look(arms, TOLERANCE)
    shares = capital.dump()[3:]
    learned = [share / sum(shares) for share in shares]
    capital.restart([2.0, 1.0, 1.0])
    new = [0.65 * (0.75 * was + 0.25 * share) for was, share in zip(learned, (0.5, 0.25, 0.25), strict=True)]
    assert capital.dump() == pytest.approx([0.0, 0.0, 0.35, *new])
    capital.restart(reserve=0.2, memory=0.0)
    assert capital.dump() == pytest.approx([0.0, 0.0, 0.2, 0.4, 0.2, 0.2])
    capital.commit(0.5)
    assert capital.dump() == pytest.approx([0.0, 0.0, 0.1, 0.45, 0.225, 0.225])


def test_a_loaded_capital_has_its_new_prior() -> None:
    one, two = Capital((1.3, 2.1)), Capital((1.3, 2.1))
    two.load(one.dump(), [3.0, 1.0])
    two.commit(1.0)
    assert two.dump() == pytest.approx([0.0, 0.0, 0.0, 0.325 + 0.35 * 0.75, 0.325 + 0.35 * 0.25])


# --- interval ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "bets"), [(1.0, FINE), (1.1, FINE), (1.0, COARSE)])
def test_the_interval_ends_where_the_mixture_of_bets_reaches_its_goal(ratio: float, bets: tuple[float, ...]) -> None:
    excess = Excess(ratio, bets=bets)
    up = {bet: [0.0, 0.0] for bet in bets}
    down = {1.0 / bet: [0.0, 0.0] for bet in bets}
    for i, arms in enumerate(looks(7, 40)):
        excess.look(arms)
        if arms.canary_n and arms.stable_n:
            for sums in (up, down):
                for bet, pair in sums.items():
                    a, d = arms.stable_n + ratio * arms.canary_n, arms.stable_n + bet * ratio * arms.canary_n
                    pair[0] += arms.canary_bad * log(bet * a / d) + arms.stable_bad * log(a / d)
                    pair[1] += (bet - 1.0) * arms.stable_n / d * arms.canary_n

        def mixture(sums: dict[float, list[float]], d: float) -> float:
            return sum(exp(min(gain - d * slope, 600.0)) for gain, slope in sums.values()) / len(sums)

        grid = np.linspace(-1.0, 1.0, 4001) if i % 8 == 0 else []
        if len(grid):
            kept = [d for d in grid if mixture(up, d) < 20.0]
            assert excess.high == pytest.approx(max(kept), abs=6e-4)
            kept = [d for d in grid if mixture(down, d) < 20.0]
            assert excess.low == pytest.approx(min(kept), abs=6e-4)


def test_the_interval_begins_with_nothing_and_learns_from_single_requests() -> None:
    excess = Excess()
    assert excess.dump() == [0.0] * (4 * len(FINE))
    assert (excess.low, excess.high) == (-1.0, 1.0)
    excess.look(Arms(1, 0, 1, 1))
    assert all(number != 0.0 for number in excess.dump())
    before = excess.dump()
    excess.look(Arms(0, 0, 9, 1))
    excess.look(Arms(9, 1, 0, 0))
    assert excess.dump() == before


def test_the_interval_leaves_its_end_as_soon_as_the_mixture_allows() -> None:
    excess, gain, slope = Excess(), [0.0] * len(FINE), [0.0] * len(FINE)
    left = 0
    for _ in range(200):
        excess.look(Arms(0.2, 0, 0.8, 0))
        for i, bet in enumerate(FINE):
            slope[i] += (bet - 1.0) * 0.8 / (0.8 + bet * 0.2) * 0.2
        if sum(exp(g - s) for g, s in zip(gain, slope, strict=True)) / len(FINE) < 20.0:
            assert excess.high == 1.0
        else:
            left += 1
            at_end = sum(exp(g - excess.high * s) for g, s in zip(gain, slope, strict=True)) / len(FINE)
            assert excess.high < 1.0
            assert at_end == pytest.approx(20.0, rel=1e-5)
    assert left > 10


def test_the_interval_ends_at_all_and_at_nothing() -> None:
    excess = Excess(1.1)
    excess.look(Arms(10**6, 0, 10**6, 10**6))
    assert (excess.low, excess.high) == (-1.0, -1.0)


# --- noise -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lag", "rarer"), [(2, 1), (6, 1), (9, 1), (6, 15)])
def test_the_dispersion_by_its_formula(lag: int, rarer: int) -> None:
    width = max(1, lag // 3)
    dispersion = Dispersion(lag)
    stretches: list[list[float]] = []
    squares = variances = 0.0
    count = 0
    for full in looks(3, 150):
        arms = full._replace(canary_bad=full.canary_bad // rarer, stable_bad=full.stable_bad // rarer)
        known = max(1.0, (3.0 + squares) / (3.0 + variances))
        assert dispersion.dump()[:2] == pytest.approx([squares, variances])
        assert dispersion.look(arms) == pytest.approx(known)
        if not (arms.canary_n and arms.stable_n):
            continue
        if count % width == 0:
            stretches.append([0.0, 0.0, 0.0, 0.0])
        stretches[-1] = [old + new for old, new in zip(stretches[-1], arms, strict=True)]
        count += 1
        if count % width or len(stretches) < 7:
            continue
        *before, middle, a, b, c = stretches[-7:]
        around = [*before, a, b, c]
        canary_n, canary, stable_n, stable = middle
        if not canary + stable:
            continue
        seen = sum(one[1] for one in around) + 2.0
        usual = sum(one[3] * one[0] / one[2] for one in around) + 2.0
        odds = canary_n / stable_n * seen / usual
        share = odds / (1.0 + odds)
        variance = (canary + stable) * share * (1.0 - share)
        expected = variance * (1.0 + variance * (1.0 / seen + 1.0 / usual))
        keep, loud = exp(-min(1.0, variance) / 15.0), min(1.0, 4.0 / expected)
        squares = keep * squares + loud * (canary - (canary + stable) * share) ** 2
        variances = keep * variances + loud * expected
    assert dispersion.factor == pytest.approx(max(1.0, (3.0 + squares) / (3.0 + variances)))
    assert squares > 0.0


# --- drift -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("look_seconds", "worse"), [(5.0, None), (15.0, 1.4)])
def test_the_drift_by_its_formula(look_seconds: float, worse: float | None) -> None:
    drift = Drift(look_seconds) if worse is None else Drift(look_seconds, worse)
    worse = worse or 2.0
    past_n = past_bad = now_n = now_bad = score = 0.0
    until, raised = -1.0, 0
    for i, arms in enumerate(looks(5, 200)):
        time = look_seconds * (i + 1)
        far, near = exp(-look_seconds / 300.0), exp(-look_seconds / 30.0)
        now_n, now_bad = near * now_n + arms.stable_n, near * now_bad + arms.stable_bad
        alarm = False
        if past_n >= 400.0:
            usual = (past_bad + 0.5) / (past_n + 1.0)
            if now_n > 0.0:
                usual = max(usual, (now_bad - sqrt(now_bad)) / now_n)
            expected = arms.canary_n * (1.1 * usual + 0.0001)
            score = max(0.0, score + arms.canary_bad * log(worse) - (worse - 1.0) * expected)
            if score >= 3.0:
                alarm, score, until = True, 0.0, time + 40.0
        past_n = far * past_n + arms.canary_n + arms.stable_n
        past_bad = far * past_bad + arms.canary_bad + arms.stable_bad
        assert drift.look(arms, TOLERANCE, time) == alarm
        raised += alarm
        assert drift.dump() == pytest.approx([past_n, past_bad, now_n, now_bad, score, until])
        assert drift.alarmed(time) == (time < until)
    assert raised > 0
    assert not drift.alarmed(until)


# --- share -------------------------------------------------------------------------------------------------------


def test_the_share_is_two_capitals_against_the_edges_of_the_band() -> None:
    share = ShareTest(1.33, 2)
    steps = (1.3, 1.8, 3.0, 6.0, 15.0, 50.0)
    high, low = Capital(steps), Capital([1.0 / step for step in steps])
    cap = log(2.0 / 0.001) / 2 * 1.001
    weights = [0.0, 0.0, 0.05, 0.05, 0.1, 0.1, 0.2, 0.2, 0.2, 0.2, 0.5, 0.5, 1.0, 0.5, 0.4, 0.4, 0.4, 0.4]
    rng = np.random.default_rng(2)
    for i, weight in enumerate(weights):
        canary, stable = int(rng.poisson(1000 * weight * 0.8)), int(rng.poisson(1000 * (1 - weight)))
        evidence = share.look(weight, canary, stable)
        force = weights[max(0, i - 2) : i + 1]
        if 0.0 < weight < 1.0:
            most, least = max(force), min(force) if i > 1 else 0.0
            high.look(Arms(most, canary, 1.0 - most, stable), Tolerance(1.33), cap=cap)
            low.look(Arms(least, canary, 1.0 - least, stable), Tolerance(1.0 / 1.33), cap=cap)
        assert evidence == pytest.approx((high.wealth + low.wealth) / 2.0)
        assert share.evidence == evidence
    assert share.limit == 1000.0
    assert share.wanted == 0.4


@pytest.mark.parametrize("factor", [0.2, 4.0])
def test_one_look_takes_the_share_at_most_half_of_the_way(factor: float) -> None:
    share = ShareTest(1.33, 0)
    levels = [share.look(0.1, int(1e6 * factor), 9 * 10**6) for _ in range(3)]
    half = 2000.0 ** (1.001 / 2.0)
    assert levels[0] == pytest.approx((half + 0.35) / 2.0, abs=0.5)
    assert levels[0] < share.limit <= levels[1] < levels[2]


def test_the_observed_share_is_of_what_came_after_two_looks() -> None:
    share = ShareTest(1.33, 2)
    for canary in (1, 2, 40, 60):
        share.look(0.5, canary, 100)
    assert share.observed == 100 / 300
    share.look(0.4, 5, 5)
    assert share.observed is None


# --- start-up ----------------------------------------------------------------------------------------------------


def test_the_startup_counts_the_smaller_of_its_two_excuses() -> None:
    settings = JudgeSettings()
    startup, limit = Startup(settings), Limit(0.35, OUTAGE)
    assert (startup.begun, startup.running, startup.log_evidence, startup.hasty_until) == (None, True, 0.0, -1.0)
    for bad, log_worse in ((3, 9.0), (4, 9.0), (4, 0.3)):
        startup.look(Arms(5, bad, 100, 0), log_worse, 2.0)
        assert startup.log_evidence == pytest.approx(min(limit.look(5, bad, 2.0), log_worse))
    startup.begun = 10.0
    assert not startup.ends(39.9)
    assert startup.ends(40.0)
    startup.finish(40.0, suspicious=True)
    assert (startup.running, startup.hasty_until) == (False, 85.0)
    assert startup.log_evidence == 0.3 or startup.log_evidence <= 0.0
    assert not startup.ends(100.0)


def test_the_startup_keeps_a_loss_and_throws_a_gain_away() -> None:
    for log_worse, kept in ((2.0, 0.0), (-1.5, -1.5)):
        startup = Startup(JudgeSettings())
        startup.look(Arms(20, 20, 100, 0), log_worse, 9.0)
        startup.finish(30.0, suspicious=False)
        assert startup.log_evidence == kept
        assert startup.hasty_until == -1.0


def test_the_startup_ends_when_it_cost_twice_the_budget() -> None:
    startup = Startup(JudgeSettings(bad_request_budget=5.0))
    assert not startup.ends(1e9)
    startup.begun = 0.0
    startup.look(Arms(20, 10, 100, 0), 1.0, 9.0)
    assert not startup.ends(5.0)
    startup.look(Arms(20, 1, 100, 0), 1.0, 9.0)
    assert startup.ends(5.0)


def test_the_startup_can_be_interrupted() -> None:
    one, two = Startup(JudgeSettings()), Startup(JudgeSettings())
    for begun in (None, 12.0):
        one.begun = begun
        one.look(Arms(20, 7, 100, 0), 1.0, 9.0)
        two.load(one.dump())
        assert (two.begun, two.running, two.log_evidence) == (one.begun, one.running, one.log_evidence)
        assert two.dump() == one.dump()
    one.finish(42.0, suspicious=True)
    two.load(one.dump())
    assert (two.running, two.hasty_until) == (False, 87.0)


# --- user metrics ------------------------------------------------------------------------------------------------


def reading(stable: float, canary: float) -> list[UserValue]:
    return [UserValue("m", Side.STABLE, stable), UserValue("m", Side.CANARY, canary)]


def test_a_user_metric_is_a_coin_and_a_capital_on_each_face() -> None:
    track = UserTrack(UserMetric("m", "q", tolerance=0.1), ceiling=2.5)
    worse, fine = Capital((0.25, 0.5, 0.8, 0.95)), Capital((0.25, 0.5, 0.8, 0.95), ceiling=2.5)
    for i in range(40):
        bad = i % 5 == 0
        track.look(reading(100.0 + i, (111.0 if bad else 109.0) / 100.0 * (100.0 + i)), 0.5)
        sign = 1.0 if bad else -1.0
        worse.settle([log1p(sign * bet) for bet in (0.25, 0.5, 0.8, 0.95)], 1.0, 0.5)
        fine.settle([log1p(-sign * bet) for bet in (0.25, 0.5, 0.8, 0.95)], 1.0)
        assert track.log_worse == pytest.approx(worse.log_wealth)
        assert track.log_fine == pytest.approx(fine.log_wealth)
        assert track.readings == i + 1
    other = UserTrack(UserMetric("m", "q", tolerance=0.1), ceiling=2.5)
    other.load(track.dump())
    assert other.dump() == track.dump()
    assert (other.stable, other.canary, other.readings) == (track.stable, track.canary, 40)
    other.look(reading(track.stable or 0.0, track.canary or 0.0), 0.5)
    assert other.readings == 40
    track.begin()
    assert (track.log_worse, track.log_fine) == (0.0, 0.0)


def test_a_user_metric_that_was_never_read_loads_as_such() -> None:
    one, two = (UserTrack(UserMetric("m", "q"), ceiling=2.5) for _ in range(2))
    two.load(one.dump())
    assert (two.stable, two.canary, two.readings) == (None, None, 0)
    two.look(reading(0.0, 0.0), 1.0)
    assert two.readings == 1


@pytest.mark.parametrize(
    ("better", "canary", "worse"),
    [("higher", 95.0, False), ("higher", 85.0, True), ("lower", 105.0, False), ("lower", 115.0, True)],
)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_user_metric_has_room_on_its_bad_side(better: str, canary: float, worse: bool, sign: float) -> None:
    """The room is a share of stable's size, also where the numbers are negative."""
    track = UserTrack(UserMetric("m", "q", better=better, tolerance=0.1), ceiling=9.0)
    stable = 100.0 * sign
    track.look(reading(stable, stable + (canary - 100.0)), 9.0)
    assert (track.log_worse > 0.0) == worse


def test_a_second_series_of_a_user_metric_on_either_side_is_no_data() -> None:
    for side in Side:
        track = UserTrack(UserMetric("m", "q"), ceiling=9.0)
        track.look([*reading(1.0, 1.0), UserValue("m", side, 1.0)], 9.0)
        assert "several series" in track.problem
        track.look(reading(1.0, 1.0), 9.0)
        assert track.problem == ""


# --- tracks and their weights -----------------------------------------------------------------------------------


def bumps(bets: tuple[float, ...], centre: float, width: float) -> list[float]:
    weights = [exp(-(((log(bet) - centre) / width) ** 2) / 2.0) for bet in bets]
    return [0.3 / len(bets) + 0.7 * weight / sum(weights) for weight in weights]


def test_the_bets_of_a_track_lie_where_the_decision_is() -> None:
    margin = Tolerance(1.2, 0.005)
    for base in (0.0, 0.0001, 0.01, 0.3):
        first = (1.2 * base + 0.005) / (1.1 * base + 0.0001)
        assert relevant_prior(base, TOLERANCE, margin) == pytest.approx(bumps(WORSE, log(first) + 0.4, 0.6))
        fine = log(max(base / (1.2 * base + 0.005), 0.012))
        assert equal_prior(base, margin) == pytest.approx(bumps(BETTER, fine, 0.3))
    far = relevant_prior(0.0, Tolerance(1.1), margin, SLOWER)
    assert far == pytest.approx(bumps(SLOWER, log(500.0) + 0.4, 0.6))
    near = relevant_prior(0.5, Tolerance(1.4), margin)
    assert near == pytest.approx(bumps(WORSE, 0.4, 0.6))
    assert equal_prior(0.0, Tolerance(1.2)) == pytest.approx(bumps(BETTER, 0.0, 0.3))


def test_a_track_bets_both_ways_tempered_and_counts() -> None:
    margin = Tolerance(1.2, 0.005)
    track = Track("errors", TOLERANCE, margin, promote_level=0.05, lag_looks=6)
    assert (track.canary, track.stable, track.base) == (None, None, None)
    track.begin(0.01)
    worse, fine = Capital(WORSE), Capital(BETTER, ceiling=log(100.0 / 0.05))
    worse.restart(relevant_prior(0.01, TOLERANCE, margin))
    fine.restart(equal_prior(0.01, margin))
    noise, excess, sums = Dispersion(6), Excess(), np.zeros(4)
    for arms in looks(9, 80):
        track.look(arms, 1.5)
        temper = noise.look(arms)
        worse.look(arms, TOLERANCE, temper=temper, cap=1.5)
        fine.look(arms, margin, temper=temper)
        excess.look(arms)
        sums += np.array(arms)
        assert (track.worse.log_wealth, track.fine.log_wealth) == (worse.log_wealth, fine.log_wealth)
    assert (track.excess.low, track.excess.high) == (excess.low, excess.high)
    assert track.canary == pytest.approx(sums[1] / sums[0])
    assert track.stable == pytest.approx(sums[3] / sums[2])
    other = Track("errors", TOLERANCE, margin, promote_level=0.05, lag_looks=6)
    other.load(track.dump())
    assert other.dump() == track.dump()
    for one in (track, other):
        one.worse.commit(0.5)
        one.look(Arms(100, 9, 900, 3), 1.5)
    assert other.dump() == track.dump()
    track.begin(None)
    assert track.base == 0.01
    assert (track.canary_n, track.canary_bad, track.stable_n, track.stable_bad) == (0.0, 0.0, 0.0, 0.0)
    assert (track.worse.log_wealth, track.excess.high) == (0.0, 1.0)


def test_a_track_without_a_base_bets_evenly_and_keeps_its_ceiling() -> None:
    track = Track("errors", TOLERANCE, Tolerance(1.2, 0.005), promote_level=0.05, lag_looks=6)
    track.begin(None)
    assert track.base is None
    assert len(set(track.worse.dump()[3:])) == 1
    other = Track("errors", TOLERANCE, Tolerance(1.2, 0.005), promote_level=0.05, lag_looks=6)
    other.load(track.dump())
    assert other.base is None
    for _ in range(5):
        track.look(Arms(10**5, 0, 10**5, 0), 1.5)
    assert track.fine.log_wealth == pytest.approx(log(2000.0))


def ledger(**more: Any) -> Ledger:
    metrics = [UserMetric("a", "q"), UserMetric("b", "q"), UserMetric("c", "q", importance=Importance.INFORMATIONAL)]
    return Ledger(JudgeSettings(**more), user_metrics=metrics)


def test_weighing_adds_the_parts_of_what_counts() -> None:
    book = ledger(max_error_ratio=0.02)
    book.startup.running = False
    book.startup.log_evidence = -0.5
    book.errors.worse.log_wealth = 2.0
    assert book.slo is not None
    book.slo[0].look(100, 8)
    for track, gain in zip(book.user, (0.3, 1.1, 9.0), strict=True):
        track._worse.log_wealth = gain
    parts = {"errors": 6.0, "outage": 2.0, "latency": 2.0, "slo": 1.5, "user": 1.5}
    found = {name: value * 13.0 / parts[name] for name, value in weigh(book).items()}
    slo = min(exp(book.slo[0].log_wealth), exp(2.0))
    assert found == pytest.approx(
        {"errors": exp(2.0), "outage": exp(-0.5), "latency": 1.0, "slo": slo, "user": (exp(0.3) + exp(1.1)) / 2.0}
    )
    book.errors.worse.log_wealth = -2.0
    assert weigh(book)["slo"] == pytest.approx(1.5 / 13.0 * exp(-2.0))


def test_weighing_counts_only_an_outage_during_the_startup() -> None:
    book = ledger(max_error_ratio=0.02)
    book.errors.worse.log_wealth = 5.0
    book.user[0]._worse.log_wealth = 5.0
    book.startup.log_evidence = 3.0
    found = weigh(book)
    assert sum(found.values()) == pytest.approx(1.0 + 2.0 / 13.0 * (exp(3.0) - 1.0))
    book.startup.log_evidence = 5000.0
    assert weigh(book)["outage"] == pytest.approx(2.0 / 13.0 * exp(600.0))


def test_weighing_takes_the_mean_of_the_bounds() -> None:
    book = Ledger(JudgeSettings())
    book.startup.running = False
    book.compare_bounds([Bound(0.1 * i, 0.05, 1.2, 1.4, 0.001, 0.005, required=True) for i in (1, 2)])
    assert book.latency is not None
    for (_, track), gain in zip(book.latency, (1.0, 2.0), strict=True):
        track.worse.log_wealth = gain
    assert weigh(book)["latency"] == pytest.approx(0.2 * (exp(1.0) + exp(2.0)) / 2.0)
