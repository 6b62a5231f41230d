"""Runs that never happened: results made of drawn times, for tests of what is done with results."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from gitlab_mesh.core.load.result import KindResult, LoadResult

Law = Callable[[random.Random, float], float]


def lognormal(median: float = 0.02, sigma: float = 0.35) -> Law:
    return lambda luck, moment: median * math.exp(sigma * luck.gauss(0, 1))


def make_run(
    law: Law, *, rate: float = 200, seconds: float = 30, seed: int = 1, error_ratio: float = 0.0, name: str = "request"
) -> LoadResult:
    """Draw a run: the time of a request that is due at a moment of the run comes from the law."""
    luck = random.Random(seed)
    kind = KindResult(name, checks={"status": [0, 0]})
    result = LoadResult(rate, {name: kind}, target="http://127.0.0.1/")
    for number in range(int(rate * seconds)):
        bad = luck.random() < error_ratio
        bucket = kind.latency.record(law(luck, number / rate))
        kind.requests += 1
        kind.checks["status"][bad] += 1
        if bad:
            kind.errors["http_5xx"] = kind.errors.get("http_5xx", 0) + 1
        result.slices.count(number / rate, bucket, error=bad)
    result.sent = result.planned_requests = kind.requests
    result.sending_seconds = result.duration_seconds = seconds
    return result
