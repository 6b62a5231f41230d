"""Calibration by simulation: the promised rates hold at the hardest nulls, with the Monte-Carlo interval."""

from __future__ import annotations

import math
from math import log

import numpy as np
import pytest

from gitlab_mesh.core.judge.betting import BETTER, WORSE, Arms, Capital, Tolerance
from gitlab_mesh.core.judge.excess import Excess

RUNS = 200
LOOKS = 240


def allowed(rate: float) -> float:
    """The promised rate plus three standard errors of its simulation."""
    return rate + 3.0 * math.sqrt(rate * (1.0 - rate) / RUNS)


def arms_of(rng: np.random.Generator, canary_n: float, stable_n: float, canary_p: float, stable_p: float) -> Arms:
    n_c, n_s = int(rng.poisson(canary_n)), int(rng.poisson(stable_n))
    return Arms(n_c, int(rng.binomial(n_c, canary_p)), n_s, int(rng.binomial(n_s, stable_p)))


@pytest.mark.parametrize(
    ("canary_n", "stable_n", "stable_p"), [(125, 125, 0.01), (25, 225, 0.02), (2500, 2500, 0.001)], ids=str
)
def test_rollback_at_the_edge_of_the_tolerance(canary_n: float, stable_n: float, stable_p: float) -> None:
    tolerance = Tolerance(1.1, 0.0001)
    canary_p = tolerance.ratio * stable_p + tolerance.slack
    alpha, hits = 0.05, 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        capital = Capital(WORSE)
        drift = 1.0
        for look in range(LOOKS):
            drift = 1.0 + 0.9 * math.sin(look / 20.0)  # stable's own ratio swings; the comparison does not care
            arms = arms_of(rng, canary_n, stable_n, (canary_p - 0.0001) * drift + 0.0001, stable_p * drift)
            if capital.look(arms, tolerance) >= log(1.0 / alpha):
                hits += 1
                break
    assert hits / RUNS <= allowed(alpha)


@pytest.mark.parametrize(("canary_n", "stable_n", "stable_p"), [(125, 125, 0.001), (25, 225, 0.01)], ids=str)
def test_promotion_at_the_edge_of_the_margin(canary_n: float, stable_n: float, stable_p: float) -> None:
    margin = Tolerance(1.2, 0.005)
    canary_p = margin.ratio * stable_p + margin.slack
    beta, hits = 0.05, 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        capital = Capital(BETTER, ceiling=log(100.0 / beta))
        for _ in range(LOOKS):
            if capital.look(arms_of(rng, canary_n, stable_n, canary_p, stable_p), margin) >= log(1.0 / beta):
                hits += 1
                break
    assert 0 < hits <= allowed(beta) * RUNS


def test_common_events_keep_the_promise_with_a_wrong_guess_of_the_base() -> None:
    """The stakes are tuned to a share of 30 %; the truth is 10–50 %: the price does not need the guess."""
    tolerance = Tolerance(1.2, 0.001, 0.3)
    alpha, hits = 0.1, 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        stable_p = 0.1 + 0.4 * (seed % 5) / 4
        canary_p = tolerance.ratio * stable_p + tolerance.slack
        capital = Capital(WORSE)
        for _ in range(LOOKS):
            if capital.look(arms_of(rng, 50, 200, canary_p, stable_p), tolerance) >= log(1.0 / alpha):
                hits += 1
                break
    assert hits / RUNS <= allowed(alpha)


@pytest.mark.parametrize(("canary_p", "stable_p"), [(0.01, 0.01), (0.03, 0.01), (0.001, 0.02), (0.5, 0.4)], ids=str)
def test_the_interval_covers_at_every_look(canary_p: float, stable_p: float) -> None:
    missed = 0
    widths = []
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        excess = Excess()
        wrong = False
        for _ in range(60):
            excess.look(arms_of(rng, 60, 190, canary_p, stable_p))
            wrong = wrong or not excess.low <= canary_p - stable_p <= excess.high
        missed += wrong
        widths.append(excess.high - excess.low)
    assert missed / RUNS <= allowed(0.1)
    assert float(np.median(widths)) < 12.0 * math.sqrt((canary_p + stable_p) / 3600) + 0.02


def test_the_interval_narrows_to_the_truth_with_much_traffic() -> None:
    excess = Excess()
    assert (excess.low, excess.high) == (-1.0, 1.0)
    for _ in range(50):
        excess.look(Arms(100_000, 1100, 100_000, 1000))
    assert 0.0005 < excess.low < 0.001 < excess.high < 0.0015


def test_a_saved_interval_goes_on() -> None:
    one, two = Excess(1.1), Excess(1.1)
    one.look(Arms(100, 3, 900, 4))
    two.load(one.dump())
    for excess in (one, two):
        excess.look(Arms(50, 0, 400, 4))
    assert (one.low, one.high) == (two.low, two.high)
