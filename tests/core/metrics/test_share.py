"""The share test against exact binomial sums, and quiet counters."""

from __future__ import annotations

import math
import time

import pytest

from gitlab_mesh.core.metrics.counts import Counts, PodSample, Side, Snapshot
from gitlab_mesh.core.metrics.share import flat_since, observed_share_contradicts


def exact_tails(count: int, total: int, weight: float) -> tuple[float, float]:
    terms = [math.comb(total, k) * weight**k * (1 - weight) ** (total - k) for k in range(total + 1)]
    return sum(terms[: count + 1]), sum(terms[count:])


@pytest.mark.parametrize("weight", [0.0005, 0.05, 0.5, 0.93])
def test_agrees_with_the_exact_binomial_test(weight: float) -> None:
    for total in (1, 7, 60, 200):
        for count in range(total + 1):
            lower, upper = exact_tails(count, total, weight)
            tail = lower if count <= total * weight else upper
            for alpha in (0.05, 1e-3, 1e-9):
                if abs(2 * tail / alpha - 1) > 1e-6:
                    assert observed_share_contradicts(total - count, count, weight, alpha) == (2 * tail < alpha)


@pytest.mark.parametrize(
    ("stable", "canary", "weight", "contradicts"),
    [
        (0, 0, 0.1, False),
        (5, 0, 0.1, False),  # low traffic contradicts nothing
        (200, 0, 0.1, True),
        (10, 0, 0.0, False),
        (10, 1, 0.0, True),
        (0, 10, 1.0, False),
        (1, 10, 1.0, True),
        (95_000, 5_000, 0.05, False),
        (95_400, 4_600, 0.05, True),
        (95 * 10**10, 5 * 10**10, 0.05, False),
        (95 * 10**10 + 10**7, 5 * 10**10 - 10**7, 0.05, True),
        (1999 * 10**5, 10**5, 1 / 2000, False),
        (10**12, 0, 0.5, True),
    ],
)
def test_known_cases(stable: int, canary: int, weight: float, contradicts: bool) -> None:
    assert observed_share_contradicts(stable, canary, weight) is contradicts


def test_is_fast_at_the_border_to_the_normal_law() -> None:
    start = time.perf_counter()
    for shift in (0, 5_000, -5_000):
        observed_share_contradicts(2_000_000 + shift, 1_900_000 - shift, 0.5)
    assert time.perf_counter() - start < 0.5


def reading(time_seconds: float, **pods: int) -> Snapshot:
    samples = [PodSample(pod, Side.CANARY, time_seconds, Counts(requests)) for pod, requests in pods.items()]
    return Snapshot((*samples, PodSample("stable", Side.STABLE, time_seconds, Counts(int(time_seconds * 100)))))


def test_flat_since() -> None:
    moving = [reading(0, a=5, b=7), reading(1, a=6, b=7)]
    assert flat_since(moving) is None
    quiet = [*moving, reading(2, a=6, b=7), reading(3, a=6, b=7)]
    assert flat_since(quiet) == (1, 3)
    assert flat_since([*quiet, reading(4, a=6, b=8)]) is None
    assert flat_since([]) is None
    assert flat_since([reading(0, a=5)]) is None
    assert flat_since([*quiet, reading(9)]) == (1, 3)  # nobody could be read: silence is not quiet
    assert flat_since([*quiet, reading(9, a=6)]) == (1, 3)
    assert flat_since([*quiet, reading(2, a=99)]) == (1, 3)  # late
    assert flat_since([*quiet, reading(4, a=0, b=7), reading(6, a=0, b=7)]) == (4, 6)  # a restart is a movement
