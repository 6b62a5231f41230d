"""When requests leave: the intended moments of a run, whatever the answers do.

The expected number of arrivals up to a moment is a sum of ramps. Constant arrivals leave where it reaches 0, 1, 2, …;
Poisson arrivals leave where it reaches the sum of exponential draws. One inverse serves both, so that a ramp is as
exact as a plateau.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gitlab_mesh.errors import UsageError

__all__ = ["Profile", "Stage"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of the run.

    Attributes:
        rate: Requests per second at its end.
        seconds: How long it lasts.
        from_rate: Requests per second at its start; None: ``rate`` from the start (a step).
    """

    rate: float
    seconds: float
    from_rate: float | None = None

    @property
    def start_rate(self) -> float:
        """Requests per second at its start."""
        return self.rate if self.from_rate is None else self.from_rate

    @property
    def arrivals(self) -> float:
        """Expected number of requests."""
        return (self.start_rate + self.rate) / 2 * self.seconds


class Profile:
    """Stages one after the other.

    Args:
        stages: At least one; rates at least 0, durations above 0.

    Raises:
        UsageError: A stage is none, or nothing would be sent.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            numbers = (stage.rate, stage.start_rate, stage.seconds)
            if not all(math.isfinite(number) and number >= 0 for number in numbers) or stage.seconds <= 0:
                raise UsageError(
                    f"load: a stage of {stage.seconds:g} s from {stage.start_rate:g} to {stage.rate:g} requests/s",
                    why="its duration must be above 0 and its rates at least 0",
                )
        self.stages = tuple(stages)
        self.seconds = sum(stage.seconds for stage in stages)
        self.arrivals = sum(stage.arrivals for stage in stages)
        self.top_rate = max((max(stage.rate, stage.start_rate) for stage in stages), default=0.0)
        if self.arrivals <= 0:
            raise UsageError("load: this plan sends nothing", hint="give a rate above 0 and a duration above 0")
        self._index = 0
        self._before_seconds = 0.0
        self._before_arrivals = 0.0

    @property
    def mean_rate(self) -> float:
        """Requests per second over the whole run."""
        return self.arrivals / self.seconds

    def moment(self, arrivals: float) -> float:
        """Return the second of the run at which so many arrivals are expected; infinity after the end.

        Calls must rise: the run goes through the stages once.
        """
        while self._index < len(self.stages):
            stage = self.stages[self._index]
            left = arrivals - self._before_arrivals
            if left < stage.arrivals:
                return self._before_seconds + _solve(stage, max(left, 0.0))
            self._before_arrivals += stage.arrivals
            self._before_seconds += stage.seconds
            self._index += 1
        return math.inf

    def expected_until(self, seconds: float) -> float:
        """Return how many arrivals are expected in the first seconds of the run."""
        total = 0.0
        for stage in self.stages:
            if seconds <= 0:
                break
            part = min(seconds, stage.seconds)
            slope = (stage.rate - stage.start_rate) / stage.seconds
            total += (stage.start_rate + slope * part / 2) * part
            seconds -= part
        return total


def _solve(stage: Stage, arrivals: float) -> float:
    """Solve ``start * t + slope / 2 * t² = arrivals`` for t, in the form that does not cancel."""
    slope = (stage.rate - stage.start_rate) / stage.seconds
    root = math.sqrt(max(stage.start_rate**2 + 2 * slope * arrivals, 0.0))
    divisor = stage.start_rate + root
    return min(2 * arrivals / divisor, stage.seconds) if divisor > 0 else 0.0
