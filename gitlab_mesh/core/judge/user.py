"""Metrics of the user's own: any number with a direction, judged by how often it is on the wrong side.

A reading is worse if it is beyond stable's by more than the tolerance, or beyond the absolute limit. Nothing is
assumed about the distribution: the null hypothesis says only that a reading is worse at most half of the time
(rollback), or at least half of the time (promotion). Betting on a coin is the oldest e-process (Ville 1939).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, log1p

from gitlab_mesh.core.judge.betting import Capital
from gitlab_mesh.core.judge.model import UserValue
from gitlab_mesh.core.judge.settings import UserMetric
from gitlab_mesh.core.metrics.counts import Side

__all__ = ["UserTrack"]

_BETS = (0.25, 0.5, 0.8, 0.95)


class UserTrack:
    """Evidence about one metric of the user's own.

    Args:
        metric: What the user declared.
        ceiling: Log of the most that evidence for a pass is kept.
    """

    __slots__ = ("_fine", "_last", "_worse", "canary", "metric", "problem", "readings", "stable")

    def __init__(self, metric: UserMetric, ceiling: float) -> None:
        self.metric = metric
        self._worse = Capital(_BETS)
        self._fine = Capital(_BETS, ceiling=ceiling)
        self._last: tuple[float, float] | None = None
        self.stable: float | None = None
        self.canary: float | None = None
        self.readings = 0
        self.problem = ""

    def look(self, values: Sequence[UserValue], cap: float) -> None:
        """Learn from one look's readings; a repeated pair (the query answered from the same scrape) is no news."""
        mine = [value for value in values if value.name == self.metric.name]
        canary = [value.value for value in mine if value.side is not Side.STABLE]
        stable = [value.value for value in mine if value.side is Side.STABLE]
        self.problem = self._refuse(canary, stable)
        if self.problem:
            return
        self.canary = canary[0]
        self.stable = stable[0] if stable else None
        pair = (self.canary, self.stable if self.stable is not None else 0.0)
        if pair == self._last:
            return
        self._last = pair
        self.readings += 1
        sign = 1.0 if self._is_worse(self.canary, self.stable) else -1.0
        self._worse.settle([log1p(sign * bet) for bet in _BETS], 1.0, cap)
        self._fine.settle([log1p(-sign * bet) for bet in _BETS], 1.0)

    def begin(self) -> None:
        """Start anew when the start-up is over: what was seen guides the bets, but is not held against the canary."""
        self._worse.restart()
        self._fine.restart()

    def _refuse(self, canary: Sequence[float], stable: Sequence[float]) -> str:
        """Say why these readings are no data; empty if they are."""
        name = self.metric.name
        if not canary:
            return f"the query of {name} gave nothing for the canary"
        if len(canary) > 1 or len(stable) > 1:
            return f"the query of {name} gave several series; aggregate it, for example with sum()"
        if not all(isfinite(value) for value in (*canary, *stable)):
            return f"the query of {name} gave NaN or infinity"
        if not stable and self.metric.limit is None:
            return f"the query of {name} gave nothing for stable, and it has no limit to compare with"
        return ""

    def _is_worse(self, canary: float, stable: float | None) -> bool:
        up = self.metric.better == "lower"
        if self.metric.limit is not None and (canary > self.metric.limit if up else canary < self.metric.limit):
            return True
        if stable is None:
            return False
        room = self.metric.tolerance * abs(stable)
        return canary > stable + room if up else canary < stable - room

    @property
    def log_worse(self) -> float:
        """Log of the capital against "no worse"."""
        return self._worse.log_wealth

    @property
    def log_fine(self) -> float:
        """Log of the capital against "worse half of the time"."""
        return self._fine.log_wealth

    def dump(self) -> list[float | None]:
        """Return the state as numbers."""
        last = self._last or (None, None)
        return [*self._worse.dump(), *self._fine.dump(), *last, self.stable, self.canary, float(self.readings)]

    def load(self, numbers: Sequence[float | None]) -> None:
        """Take over a state that ``dump`` returned."""
        size = len(self._worse.dump())
        self._worse.load([float(number or 0.0) for number in numbers[:size]])
        self._fine.load([float(number or 0.0) for number in numbers[size : 2 * size]])
        canary, stable, self.stable, self.canary, readings = numbers[2 * size :]
        self._last = (canary, stable) if canary is not None and stable is not None else None
        self.readings = int(readings or 0)
