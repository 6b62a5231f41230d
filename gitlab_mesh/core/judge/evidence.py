"""What goes into the judge, checked, and where the judge stands, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isfinite

from gitlab_mesh.core.judge.betting import Arms, Tolerance
from gitlab_mesh.core.judge.latency import Bound, bound_at, plan_bounds
from gitlab_mesh.core.judge.model import Look, SideHealth
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.metrics.counts import Counts, Histogram

__all__ = ["Baseline", "Standing", "check_counts", "crash_of"]

_FATAL = ("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError")
_MOST = 10**18
"""More requests than anything can have served since the look before; beyond it arithmetic would fail too."""
_ENOUGH = 400
"""Stable's requests before anything is read off them: its 99th percentile then rests on four."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the judge stands, for the weight schedule.

    Attributes:
        evidence: Capital against "no worse than tolerated", of all metrics; 1 at the start.
        excess: Upper end of the canary's error ratio beyond the tolerated, 0–1.
        recent: The canary's error ratio of late minus stable's, an estimate on the high side, 0–1.
        rps: Requests per second of both sides.
        starting: The start-up is not over.
        leaning: Evidence leans to "within the margin" on each comparison that promotion needs.
        passing: Each of them passes.
        doubtful: The canary looks worse than stable, and that has been confirmed lately: the weight stays.
        drifting: The canary is of late worse than was usual; the comparison has not had the time to answer.
        misrouted: The canary may not get the share that it was given; the weight stays until that is settled.
    """

    evidence: float
    excess: float
    recent: float
    rps: float
    starting: bool
    leaning: bool
    passing: bool
    doubtful: bool
    drifting: bool = False
    misrouted: bool = False


class Recent:
    """Fading counts of errors: what goes on now, to choose a weight by; it never decides.

    Args:
        looks: Time constant, in looks.
    """

    __slots__ = ("_keep", "_sums")

    def __init__(self, looks: float) -> None:
        self._keep = exp(-1.5 / max(looks, 1.0))
        self._sums = [0.0, 0.0, 0.0, 0.0]

    def look(self, arms: Arms) -> None:
        """Learn from one look."""
        self._sums = [self._keep * old + new for old, new in zip(self._sums, arms, strict=True)]

    @property
    def excess(self) -> float:
        """The canary's error ratio minus stable's, two errors added to be careful; 0–1."""
        canary_n, canary_bad, stable_n, stable_bad = self._sums
        usual = stable_bad / stable_n if stable_n > 0 else 0.0
        return min(max((canary_bad + 2.0) / (canary_n + 2.0) - usual, 0.0), 1.0)

    def dump(self) -> list[float]:
        """Return the state as numbers."""
        return list(self._sums)

    def load(self, numbers: Sequence[float]) -> None:
        """Take over a state that ``dump`` returned."""
        self._sums = list(numbers)


class Baseline:
    """What stable has served so far: guides the bets and chooses the latency bounds, never decides."""

    __slots__ = ("errors", "histogram", "requests")

    def __init__(self) -> None:
        self.requests = 0.0
        self.errors = 0.0
        self.histogram: Histogram | None = None

    def learn(self, stable: Counts, *, latency: bool) -> None:
        """Add one look's requests of stable; latencies only until the bounds are chosen."""
        self.requests += stable.requests
        self.errors += sum(stable.errors.values())
        new = stable.latency
        if new is None or not latency:
            return
        old = self.histogram
        if old is None or old.upper_bounds != new.upper_bounds:
            self.histogram = new
        else:
            counts = tuple(a + b for a, b in zip(old.counts, new.counts, strict=True))
            self.histogram = Histogram(old.upper_bounds, counts)

    @property
    def error_ratio(self) -> float | None:
        """Stable's share of errors, half an error added; None while too little is known."""
        return (self.errors + 0.5) / (self.requests + 1.0) if self.requests >= _ENOUGH else None

    def plan(self, settings: JudgeSettings) -> tuple[Bound, ...] | None:
        """Choose the latency bounds; None while too little is known."""
        if self.histogram is None or sum(self.histogram.counts) < _ENOUGH:
            return None
        bounds = plan_bounds(self.histogram, tolerance=settings.latency_tolerance, margin=settings.latency_margin)
        if settings.slow_seconds:
            tolerated = Tolerance(settings.error_tolerance_ratio, settings.error_tolerance)
            margin = Tolerance(settings.error_margin_ratio, settings.error_margin)
            slow = bound_at(self.histogram, settings.slow_seconds, tolerated, margin)
            bounds += (slow,) if slow is not None else ()
        return bounds


def crash_of(canary: SideHealth | None, max_restarts: int) -> str:
    """Say why the canary's pods count as crashed; empty if they do not, or nobody tells."""
    if canary is None:
        return ""
    if canary.restarts > max_restarts:
        return f"the canary's containers restarted {canary.restarts} times"
    return f"the canary does not run: {canary.reason}" if canary.reason in _FATAL else ""


def check_counts(look: Look, before: float | None) -> str:
    """Say why this look cannot be true; empty if it can.

    Args:
        look: The look.
        before: Time of the look before.
    """
    if not isfinite(look.time_seconds) or (before is not None and look.time_seconds <= before):
        return "the clock of the looks did not advance"
    if look.weight is not None and not 0.0 <= look.weight <= 1.0:
        return f"the weight {look.weight} is not a share"
    for name, counts in (("stable", look.stable), ("canary", look.canary)):
        errors = counts.errors.values()
        if counts.requests > _MOST:
            return f"{name} cannot have served more than 10^18 requests since the look before"
        if counts.requests < 0 or any(count < 0 for count in errors) or sum(errors) > counts.requests:
            return f"{name}'s counts contradict themselves: {counts.requests} requests, {sum(errors)} errors"
        histogram = counts.latency
        if histogram is not None and (
            len(histogram.counts) != len(histogram.upper_bounds)
            or any(not 0 <= count <= _MOST for count in histogram.counts)
        ):
            return f"{name}'s latency histogram contradicts itself"
    return ""
