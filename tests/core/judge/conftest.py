"""Simulated traffic for the judge's tests: Poisson arrivals, log-normal latencies, seeded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from gitlab_mesh.core.judge.judge import Judge
from gitlab_mesh.core.judge.model import Judgement, Look
from gitlab_mesh.core.metrics.counts import Counts, Histogram

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, math.inf)
Profile = Callable[[float], float]


def always(value: float) -> Profile:
    return lambda _time: value


@dataclass
class Traffic:
    """Looks of one release; each profile maps the time to a value."""

    seed: int = 1
    rps: float = 200.0
    look_seconds: float = 5.0
    stable_errors: Profile = field(default_factory=lambda: always(0.001))
    canary_errors: Profile = field(default_factory=lambda: always(0.001))
    stable_median: Profile = field(default_factory=lambda: always(0.06))
    canary_median: Profile = field(default_factory=lambda: always(0.06))
    weight: Profile = field(default_factory=lambda: always(0.25))
    routed: float = 1.0
    latency: bool = True

    def counts(self, rng: np.random.Generator, n: int, errors: float, median: float) -> Counts:
        histogram = None
        if self.latency:
            z = (np.log(np.array(BOUNDS[:-1])) - math.log(median)) / 0.613
            cdf = np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in z])
            shares = np.diff(np.concatenate([[0.0], cdf, [1.0]]))
            histogram = Histogram(BOUNDS, tuple(int(x) for x in rng.multinomial(n, shares / shares.sum())))
        return Counts(n, {"5xx": int(rng.binomial(n, min(errors, 1.0)))}, histogram)

    def looks(self, seconds: float, start: float = 0.0) -> Iterator[Look]:
        rng = np.random.default_rng(self.seed)
        if start == 0.0:
            history = self.counts(rng, int(self.rps * 600), self.stable_errors(0), self.stable_median(0))
            yield Look(0.0, history, Counts(), 0.0)
        time = start
        while time < seconds - 1e-9:
            time += self.look_seconds
            weight = self.weight(time)
            total = self.rps * self.look_seconds
            canary_n = int(rng.poisson(total * weight * self.routed))
            stable_n = int(rng.poisson(total * (1 - weight)))
            yield Look(
                time,
                self.counts(rng, stable_n, self.stable_errors(time), self.stable_median(time)),
                self.counts(rng, canary_n, self.canary_errors(time), self.canary_median(time)),
                weight,
            )


@dataclass
class Outcome:
    """What the judge said over one release."""

    rejected_at: float | None = None
    promotable_at: float | None = None
    last: Judgement | None = None


def judge_release(judge: Judge, traffic: Traffic, seconds: float) -> Outcome:
    """Feed the looks until the first rejection."""
    outcome = Outcome()
    for look in traffic.looks(seconds):
        outcome.last = judge.look(look)
        if outcome.last.promote_gate.open and outcome.promotable_at is None:
            outcome.promotable_at = look.time_seconds
        if outcome.last.rejected:
            outcome.rejected_at = look.time_seconds
            break
    return outcome


@pytest.fixture
def traffic() -> type[Traffic]:
    return Traffic


@pytest.fixture
def release() -> Callable[..., Outcome]:
    def run(judge: Judge, seconds: float = 700.0, **profile: Any) -> Outcome:
        values = {
            name: always(value) if isinstance(value, float) and name not in ("rps", "look_seconds", "routed") else value
            for name, value in profile.items()
        }
        return judge_release(judge, Traffic(**values), seconds)

    return run
