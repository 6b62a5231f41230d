"""The bets: their mean under the null is at most 1, by exact enumeration and by properties."""

from __future__ import annotations

from itertools import product
from math import comb, exp, inf, isfinite, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.judge.betting import BETTER, SLOWER, WORSE, Arms, Capital, Stake, Tolerance, stake_of

TOLERANCES = (
    Tolerance(1.0),
    Tolerance(1.1, 0.0001),
    Tolerance(1.2, 0.005),
    Tolerance(1.05, 0.1),
    Tolerance(1.3, 0.001, 0.2),
    Tolerance(1.1, 0.005, 0.02),
    Tolerance(1.0, 0.0, 0.4),
)


def binomial(n: int, k: int, p: float) -> float:
    return comb(n, k) * p**k * (1.0 - p) ** (n - k)


def mean_of(stake: Stake, canary_n: int, stable_n: int, canary_p: float, stable_p: float) -> float:
    """The exact mean of a bet's factor over all outcomes of one look."""
    return sum(
        binomial(canary_n, x, canary_p)
        * binomial(stable_n, y, stable_p)
        * exp(x * stake.canary + y * stake.stable - stake.price)
        for x in range(canary_n + 1)
        for y in range(stable_n + 1)
    )


@pytest.mark.parametrize("tolerance", TOLERANCES)
@pytest.mark.parametrize("worse", [*WORSE[::3], *BETTER[::2]])
def test_no_bet_gains_on_average_at_the_boundary(tolerance: Tolerance, worse: float) -> None:
    for canary_n, stable_n in ((1, 1), (2, 9), (9, 2), (6, 6)):
        stake = stake_of(worse, tolerance, canary_n, stable_n)
        for step in range(41):
            stable_p = step / 40
            canary_p = tolerance.ratio * stable_p + tolerance.slack
            if canary_p > 1.0:
                if worse < 1.0:
                    continue  # the null "at least as bad as that" is empty here
                canary_p = 1.0
            assert mean_of(stake, canary_n, stable_n, canary_p, stable_p) <= 1.0 + 1e-9


@pytest.mark.parametrize("worse", [1.3, 2.6, 75.0])
def test_no_bet_on_worse_gains_inside_the_null(worse: float) -> None:
    tolerance = Tolerance(1.2, 0.01, 0.1)
    stake = stake_of(worse, tolerance, 4, 7)
    for a, b in product(range(11), repeat=2):
        stable_p, canary_p = a / 10, b / 10
        if canary_p <= tolerance.ratio * stable_p + tolerance.slack:
            assert mean_of(stake, 4, 7, canary_p, stable_p) <= 1.0 + 1e-9


@pytest.mark.parametrize("worse", [0.86, 0.32, 0.012])
def test_no_bet_on_better_gains_inside_its_null(worse: float) -> None:
    tolerance = Tolerance(1.2, 0.01)
    stake = stake_of(worse, tolerance, 4, 7)
    for a, b in product(range(11), repeat=2):
        stable_p, canary_p = a / 10, b / 10
        if canary_p >= tolerance.ratio * stable_p + tolerance.slack:
            assert mean_of(stake, 4, 7, canary_p, stable_p) <= 1.0 + 1e-9


@pytest.mark.parametrize("worse", WORSE)
def test_random_routing_alone_makes_bets_on_errors_fair(worse: float) -> None:
    """The fates of the requests are fixed (one outage takes 5 of 12 together); only the routing is random."""
    for total, canary_n, bad in ((12, 4, 5), (12, 9, 12), (20, 1, 7), (20, 10, 1)):
        stable_n = total - canary_n
        stake = stake_of(worse, Tolerance(1.1, 0.0001), canary_n, stable_n)
        mean = sum(
            comb(bad, x) * comb(total - bad, canary_n - x) / comb(total, canary_n)
            * exp(x * stake.canary + (bad - x) * stake.stable - stake.price)
            for x in range(max(0, bad - stable_n), min(bad, canary_n) + 1)
        )  # fmt: skip
        assert mean <= 1.0 + 1e-9


def test_a_bet_grows_when_it_is_right() -> None:
    """The mean log growth at the alternative is what makes detection fast; numbers by hand from the formula."""
    stake = stake_of(2.0, Tolerance(1.0), 100, 900)
    gain = (2.0 - 1.0) * 900 / (900 + 2.0 * 100)
    assert stake.canary == pytest.approx(log(1 + gain))
    assert stake.stable == pytest.approx(log(1 - gain * 100 / 900))
    assert stake.price == 0.0
    assert 100 * 0.02 * stake.canary + 900 * 0.01 * stake.stable > 0.3


def test_stakes_tuned_to_a_common_event_grow_faster_on_it() -> None:
    """Half of stable's requests are beyond the bound: the price that is exact beats the Poisson bound."""
    growth = {}
    for base in (0.0, 0.4):
        stake = stake_of(1.3, Tolerance(1.0, 0.0, base), 100, 900)
        growth[base] = 100 * 0.52 * stake.canary + 900 * 0.4 * stake.stable - stake.price
    assert growth[0.4] > 1.3 * growth[0.0] > 0.0


COUNTS = st.integers(0, 10**6)


@given(n=st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), worse=st.sampled_from([*WORSE, *BETTER]))
def test_swapping_the_sides_swaps_the_bet(n: tuple[int, int], worse: float) -> None:
    one = stake_of(worse, Tolerance(1.0), n[0], n[1])
    other = stake_of(1.0 / worse, Tolerance(1.0), n[1], n[0])
    assert one.canary == pytest.approx(other.stable, abs=1e-9)
    assert one.stable == pytest.approx(other.canary, abs=1e-9)


@given(
    n=st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)),
    worse=st.sampled_from([*WORSE, *BETTER]),
    times=st.integers(2, 1000),
    tolerance=st.sampled_from(TOLERANCES),
)
def test_scaling_the_exposure_scales_the_price_only(
    n: tuple[int, int], worse: float, times: int, tolerance: Tolerance
) -> None:
    one = stake_of(worse, tolerance, n[0], n[1])
    many = stake_of(worse, tolerance, n[0] * times, n[1] * times)
    assert many.canary == pytest.approx(one.canary)
    assert many.stable == pytest.approx(one.stable)
    assert many.price == pytest.approx(one.price * times, rel=1e-6, abs=1e-9)


def single(worse: float) -> Capital:
    return Capital([worse], reserve=0.0)


@given(
    halves=st.tuples(st.integers(1, 500), st.integers(1, 5000)),
    bad=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=2),
    worse=st.sampled_from([1.5, 4.8, 0.44]),
)
def test_one_window_or_its_two_halves_are_the_same_evidence(
    halves: tuple[int, int], bad: list[tuple[int, int]], worse: float
) -> None:
    canary_n, stable_n = halves
    tolerance = Tolerance(1.1, 0.001)
    whole, split = single(worse), single(worse)
    whole.look(Arms(2 * canary_n, bad[0][0] + bad[1][0], 2 * stable_n, bad[0][1] + bad[1][1]), tolerance)
    for canary_bad, stable_bad in bad:
        split.look(Arms(canary_n, canary_bad, stable_n, stable_bad), tolerance)
    assert whole.log_wealth == pytest.approx(split.log_wealth, abs=1e-6)


@given(
    looks=st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 9), st.integers(0, 9)), max_size=6
    )
)
def test_the_order_of_looks_does_not_matter_to_one_bet(looks: list[tuple[int, int, int, int]]) -> None:
    forward, backward = single(2.6), single(2.6)
    for capital, order in ((forward, looks), (backward, looks[::-1])):
        for canary_n, stable_n, canary_bad, stable_bad in order:
            arms = Arms(canary_n, min(canary_bad, canary_n), stable_n, min(stable_bad, stable_n))
            capital.look(arms, Tolerance(1.1, 0.001))
    assert forward.log_wealth == pytest.approx(backward.log_wealth, abs=1e-9)


@pytest.mark.parametrize("bets", [WORSE, BETTER], ids=["worse", "better"])
@pytest.mark.parametrize("cap", [inf, 0.5])
@pytest.mark.parametrize("temper", [1.0, 1.7])
def test_capital_never_gains_on_average_over_whole_paths(bets: tuple[float, ...], cap: float, temper: float) -> None:
    """Every path of three looks, with reserve, cap, ceiling, temper and changing weights and shares."""
    tolerance = Tolerance(1.3, 0.05)
    plan = ((2, 3, 0.1), (1, 4, 0.4), (3, 2, 0.05))

    def mean(path: tuple[tuple[int, int], ...], chance: float) -> float:
        if len(path) == len(plan):
            capital = Capital(bets, ceiling=3.0)
            for (canary_n, stable_n, _), (x, y) in zip(plan, path, strict=True):
                capital.look(Arms(canary_n, x, stable_n, y), tolerance, cap=cap, temper=temper)
            return chance * capital.wealth
        canary_n, stable_n, stable_p = plan[len(path)]
        canary_p = tolerance.ratio * stable_p + tolerance.slack
        return sum(
            mean((*path, (x, y)), chance * binomial(canary_n, x, canary_p) * binomial(stable_n, y, stable_p))
            for x in range(canary_n + 1)
            for y in range(stable_n + 1)
        )

    assert mean((), 1.0) <= 1.0 + 1e-9


def test_a_cap_of_one_look_needs_several_looks() -> None:
    capital = Capital(WORSE)
    limit = log(200.0) / 3 * 1.001
    outage = Arms(500, 500, 500, 0)
    levels = [capital.look(outage, Tolerance(1.1, 0.0001), cap=limit) for _ in range(3)]
    assert levels[1] < log(200.0) <= levels[2]


def test_the_ceiling_lets_evidence_for_a_pass_fall_within_two_looks() -> None:
    capital = Capital(BETTER, ceiling=log(2000.0))
    for _ in range(500):
        capital.look(Arms(1000, 1, 1000, 1), Tolerance(1.2, 0.005))
    assert capital.log_wealth == pytest.approx(log(2000.0))
    for _ in range(2):
        capital.look(Arms(1000, 60, 1000, 1), Tolerance(1.2, 0.005))
    assert capital.wealth < 20.0


def test_a_late_change_still_finds_money() -> None:
    capital = Capital(WORSE)
    for _ in range(2000):
        capital.look(Arms(250, 0, 250, 0), Tolerance(1.1, 0.0001))
    before = capital.log_wealth
    assert before > log(0.02)
    for _ in range(4):
        capital.look(Arms(250, 12, 250, 0), Tolerance(1.1, 0.0001))
    assert capital.log_wealth > log(200.0)


def test_a_restart_forgets_the_money_and_keeps_the_bets() -> None:
    fresh, taught = Capital(WORSE), Capital(WORSE)
    for _ in range(5):
        taught.look(Arms(100, 10, 900, 1), Tolerance(1.1, 0.0001))
    taught.restart()
    assert taught.wealth == 1.0
    assert taught.clock == 0.0
    news = Arms(100, 3, 900, 0)
    assert taught.look(news, Tolerance(1.1, 0.0001)) > 0.5 + fresh.look(news, Tolerance(1.1, 0.0001))


def test_an_early_stake_finds_a_change_that_just_began() -> None:
    """An alarm stakes a part of the reserve at once; whoever has no alarm pays the logarithm of the time."""
    tolerance = Tolerance(1.1, 0.0001)
    quiet, news = Arms(5000, 5, 5000, 5), Arms(5000, 25, 5000, 5)
    waiting, warned = Capital(WORSE), Capital(WORSE)
    for _ in range(60):
        assert waiting.look(quiet, tolerance) == warned.look(quiet, tolerance)
    before = warned.reserve
    warned.commit(0.4)
    assert warned.reserve == pytest.approx(0.6 * before)
    assert sum(warned.dump()[2:]) == pytest.approx(1.0)
    for capital in (waiting, warned):
        capital.look(news, tolerance)
    assert warned.log_wealth > waiting.log_wealth + 1.0


def test_bets_on_a_tenth_more_find_what_is_common_and_slower() -> None:
    tolerance = Tolerance(1.1, 0.001, 0.2)
    fine, coarse = Capital(SLOWER), Capital(WORSE)
    for _ in range(40):
        for capital in (fine, coarse):
            capital.look(Arms(1000, 250, 1000, 200), tolerance)
    assert fine.log_wealth > coarse.log_wealth + 1.0


def test_a_capital_that_was_right_for_hours_can_still_be_wrong() -> None:
    """Stakes and reserve underflow to nothing; what is left is kept finite and goes on."""
    capital = Capital((1.3, 2000.0))
    for _ in range(30):
        capital.settle([100.0, -300.0], 1.0)
    assert capital.reserve == 0.0
    capital.settle([-5000.0, 5000.0], 1.0)
    assert isfinite(capital.log_wealth)
    assert capital.log_wealth < 0.0
    assert all(isfinite(number) for number in capital.dump())


def test_no_control_no_evidence() -> None:
    capital = Capital(WORSE)
    assert capital.look(Arms(100, 100, 0, 0), Tolerance(1.1)) == 0.0
    assert capital.look(Arms(0, 0, 100, 100), Tolerance(1.1)) == 0.0


@given(
    n=st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    tolerance=st.sampled_from(TOLERANCES),
    bets=st.sampled_from([WORSE, BETTER]),
)
def test_any_counts_give_finite_numbers(
    n: tuple[int, int], shares: tuple[float, float], tolerance: Tolerance, bets: tuple[float, ...]
) -> None:
    capital = Capital(bets, ceiling=8.0)
    arms = Arms(n[0], int(n[0] * shares[0]), n[1], int(n[1] * shares[1]))
    for _ in range(3):
        assert isfinite(capital.look(arms, tolerance))
    assert all(isfinite(number) for number in capital.dump())
    assert 0.0 <= capital.reserve <= 1.0


def test_a_saved_capital_goes_on_as_the_other() -> None:
    prior = [1.0 + i for i in range(len(WORSE))]
    one, two = Capital(WORSE, prior), Capital(WORSE)
    one.look(Arms(100, 4, 900, 3), Tolerance(1.1, 0.0001))
    two.load(one.dump(), prior)
    for capital in (one, two):
        capital.look(Arms(100, 2, 900, 9), Tolerance(1.1, 0.0001))
    assert one.dump() == two.dump()


@pytest.mark.parametrize("numbers", [[], [0.0] * 5, [float("nan")] * 18])
def test_damaged_state_is_refused(numbers: list[float]) -> None:
    with pytest.raises(ValueError, match="expected 18 finite numbers"):
        Capital(WORSE).load(numbers)
