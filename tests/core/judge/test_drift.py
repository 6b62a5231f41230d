"""The drift alarm: quick where the canary changes, rare where nothing does, silent where stable changes too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gitlab_mesh.core.judge.betting import Arms, Tolerance
from gitlab_mesh.core.judge.drift import Drift

TOLERANCE = Tolerance(1.1, 0.0001)


def alarms(
    seed: int, rps: float, canary: Callable[[float], float], stable: Callable[[float], float], seconds: float = 600.0
) -> list[float]:
    """Times of the looks after which the alarm is up; 95 % of the requests go to the canary."""
    rng = np.random.default_rng(seed)
    drift = Drift(5.0)
    found = []
    for time in np.arange(5.0, seconds + 1.0, 5.0):
        canary_n, stable_n = rng.poisson(4.75 * rps), rng.poisson(0.25 * rps)
        arms = Arms(canary_n, rng.binomial(canary_n, canary(time)), stable_n, rng.binomial(stable_n, stable(time)))
        drift.look(arms, TOLERANCE, float(time))
        if drift.alarmed(float(time)):
            found.append(float(time))
    return found


def leaking(time: float) -> float:
    return 0.001 + max(0.0, time - 300.0) * 0.0001


@pytest.mark.parametrize(("rps", "within"), [(200.0, 45.0), (500.0, 30.0), (5000.0, 20.0)])
def test_a_leak_is_noticed_long_before_it_passes_the_margin(rps: float, within: float) -> None:
    for seed in range(20):
        found = [time for time in alarms(seed, rps, leaking, lambda _: 0.001) if time > 300.0]
        assert found
        assert found[0] <= 300.0 + within


@pytest.mark.parametrize("base", [0.0001, 0.001, 0.01])
@pytest.mark.parametrize("rps", [50.0, 500.0, 5000.0])
def test_it_is_rarely_up_when_nothing_changes(rps: float, base: float) -> None:
    up = sum(len(alarms(seed, rps, lambda _: base, lambda _: base)) for seed in range(20))
    assert up <= 0.05 * 20 * 120


def test_a_slow_swing_of_both_is_no_drift() -> None:
    def swing(time: float) -> float:
        return float(0.005 * (1.0 + 0.9 * np.sin(2.0 * np.pi * time / 1800.0)))

    assert sum(len(alarms(seed, 500.0, swing, swing)) for seed in range(10)) <= 60


def test_an_outage_of_both_brings_one_probe_at_its_beginning() -> None:
    def outage(time: float) -> float:
        return 0.3 if 300.0 < time <= 500.0 else 0.001

    for seed in range(10):
        found = [time for time in alarms(seed, 500.0, outage, outage) if time > 300.0]
        assert found == [] or found[-1] <= 400.0


def test_it_waits_until_something_is_usual() -> None:
    drift = Drift(5.0)
    drift.look(Arms(10, 10, 300, 0), TOLERANCE, 5.0)
    assert not drift.alarmed(5.0)
    drift.look(Arms(10, 10, 300, 0), TOLERANCE, 10.0)
    assert not drift.alarmed(10.0)
    drift.look(Arms(1000, 100, 300, 0), TOLERANCE, 15.0)
    assert drift.alarmed(15.0)


def test_an_alarm_passes_when_the_comparison_had_its_time() -> None:
    drift = Drift(5.0)
    for look in range(1, 61):
        drift.look(Arms(2000, 2, 100, 0), TOLERANCE, 5.0 * look)
    drift.look(Arms(2000, 20, 100, 0), TOLERANCE, 305.0)
    assert drift.alarmed(305.0)
    assert drift.alarmed(344.9)
    assert not drift.alarmed(345.0)


def test_it_can_be_interrupted() -> None:
    one, two = Drift(5.0), Drift(5.0)
    for look in range(1, 40):
        one.look(Arms(2000, 2 + look % 3, 100, look % 2), TOLERANCE, 5.0 * look)
        two.load(one.dump())
        assert two.dump() == one.dump()
    for drift in (one, two):
        drift.look(Arms(2000, 9, 100, 0), TOLERANCE, 200.0)
    assert one.dump() == two.dump()
