"""Before the release: what can be detected in what time, and at what price in bad requests?

The answers follow from the growth of the best bet (its Kullback–Leibler rate) and the spread of its sum: they are
forecasts, not promises; ``docs/judge.md`` has them beside simulated releases.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

from gitlab_mesh.core.judge.betting import BETTER, WORSE, Tolerance, stake_of
from gitlab_mesh.core.judge.ledger import parts_of
from gitlab_mesh.core.judge.settings import JudgeSettings

__all__ = ["Detection", "detection_of", "pass_seconds", "smallest_caught"]

_ERRORS_PART = parts_of(slo=False, user=False)["errors"]
"""Share of the false-rollback rate that the errors have."""
_MIXTURE = log(4.0)
"""What it costs to not know the size of the regression beforehand, measured: docs/judge.md."""
_PASS_MIXTURE = 1.5
_OUTAGE_REQUESTS = 8.0
"""Failed requests that tell an outage from a cold start."""
_Z95 = 1.645


@dataclass(frozen=True, slots=True)
class Detection:
    """How one regression would be found.

    Attributes:
        canary_ratio: The canary's error ratio.
        usual_seconds: Half of such releases are rejected by then; None if never: it is tolerated.
        most_seconds: 95 % of such releases are rejected by then.
        bad_requests: Failed requests of the canary until the usual time, background errors included.
    """

    canary_ratio: float
    usual_seconds: float | None
    most_seconds: float | None
    bad_requests: float | None


def detection_of(
    rps: float, stable_ratio: float, canary_ratio: float, share: float, settings: JudgeSettings
) -> Detection:
    """Forecast the rejection of a canary that is this bad from its first request, at one share.

    Args:
        rps: Requests per second of both sides.
        stable_ratio: Stable's error ratio, 0–1.
        canary_ratio: The canary's, 0–1.
        share: Share of the canary, above 0 and below 1.
        settings: The policy.
    """
    tolerance = Tolerance(settings.error_tolerance_ratio, settings.error_tolerance)
    mean, spread = max(_growth(worse, tolerance, share, stable_ratio, canary_ratio) for worse in WORSE)
    if mean <= 0.0:
        return Detection(canary_ratio, None, None, None)
    need = log(1.0 / (settings.false_rollback * _ERRORS_PART)) + _MIXTURE
    rate = rps * share
    usual = _crossing(need, mean, spread, 0.0) / rate
    most = _crossing(need, mean, spread, _Z95) / rate
    # The start-up forgives until its time or its allowance of bad requests is over; an outage it does not forgive.
    forgiven = min(settings.startup_seconds, 2.0 * settings.bad_request_budget / (rate * canary_ratio))
    if canary_ratio > settings.startup_error_ratio + 0.3:
        forgiven = min(forgiven, _OUTAGE_REQUESTS / rate)
    wait = forgiven + settings.guard_seconds
    usual, most = usual + wait, most + wait
    return Detection(canary_ratio, usual, most, usual * rate * canary_ratio)


def pass_seconds(rps: float, stable_ratio: float, share: float, settings: JudgeSettings) -> float | None:
    """Forecast when a canary that is as good as stable is shown to be within the margin; None if never."""
    margin = Tolerance(settings.error_margin_ratio, settings.error_margin)
    mean, _ = max(_growth(worse, margin, share, stable_ratio, stable_ratio) for worse in BETTER)
    if mean <= 0.0:
        return None
    need = log(1.0 / settings.false_promotion)
    return settings.startup_seconds + _PASS_MIXTURE * need / mean / (rps * share)


def smallest_caught(
    rps: float, stable_ratio: float, share: float, seconds: float, settings: JudgeSettings
) -> float | None:
    """Return the smallest canary error ratio that 95 % of releases are rejected for within this time.

    None: not even a total outage.
    """
    low, high = stable_ratio, 1.0
    if not _caught(rps, stable_ratio, high, share, seconds, settings):
        return None
    for _ in range(40):
        middle = (low + high) / 2.0
        if _caught(rps, stable_ratio, middle, share, seconds, settings):
            high = middle
        else:
            low = middle
    return high


def _caught(rps: float, stable: float, canary: float, share: float, seconds: float, settings: JudgeSettings) -> bool:
    most = detection_of(rps, stable, canary, share, settings).most_seconds
    return most is not None and most <= seconds


def _growth(worse: float, tolerance: Tolerance, share: float, stable_p: float, canary_p: float) -> tuple[float, float]:
    """Mean and standard deviation of one bet's log growth, a canary request."""
    stable_n = (1.0 - share) / share
    stake = stake_of(worse, tolerance, 1.0, stable_n)
    mean = canary_p * stake.canary + stable_n * stable_p * stake.stable - stake.price
    variance = canary_p * stake.canary**2 + stable_n * stable_p * stake.stable**2
    return mean, sqrt(variance)


def _crossing(need: float, mean: float, spread: float, z: float) -> float:
    """Requests n with ``n * mean - z * sqrt(n) * spread = need``."""
    root = (z * spread + sqrt((z * spread) ** 2 + 4.0 * mean * need)) / (2.0 * mean)
    return root * root
