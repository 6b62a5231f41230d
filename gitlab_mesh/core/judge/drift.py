"""Is the canary of late worse than was usual? It calls for control and stakes the reserve, it never decides.

While nearly all users have the release, little control is left, and a comparison with it is slow. But the canary then
has nearly all of the traffic, so its own past tells within seconds that something changed. Only the comparison can tell
whose fault that is; so a change brings the control back, the comparison stakes money that it kept for late changes,
and decides. Weights and bets may follow anything in the past (``docs/judge.md``), so this costs none of the promised
error rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, sqrt

from gitlab_mesh.core.judge.betting import Arms, Tolerance

__all__ = ["Drift"]

_ALARM = 3.0
"""Log of the fewest looks between two false alarms, on average (Lorden 1971, for Page's scheme of 1954)."""
_PAST_SECONDS, _NOW_SECONDS = 300.0, 30.0
_PROBE_SECONDS = 40.0
_ENOUGH = 400.0
_NEVER = -1.0


class Drift:
    """Page's cumulative sum of log likelihood ratios: "so many times the tolerated" against the tolerated.

    What is tolerated follows from the fading past of both sides, or from stable's present where that is worse.

    Args:
        look_seconds: Usual time between two looks.
        worse: How many times what is tolerated it looks for, above 1.
    """

    __slots__ = ("_keep_now", "_keep_past", "_now", "_past", "_score", "_until", "_worse")

    def __init__(self, look_seconds: float, worse: float = 2.0) -> None:
        self._worse = worse
        self._keep_past = exp(-look_seconds / _PAST_SECONDS)
        self._keep_now = exp(-look_seconds / _NOW_SECONDS)
        self._past = [0.0, 0.0]
        self._now = [0.0, 0.0]
        self._score = 0.0
        self._until = _NEVER

    def look(self, arms: Arms, tolerance: Tolerance, time_seconds: float) -> bool:
        """Compare the canary with what was usual, then learn from this look; return whether it raises an alarm."""
        raised = False
        self._now = [self._keep_now * self._now[0] + arms.stable_n, self._keep_now * self._now[1] + arms.stable_bad]
        if self._past[0] >= _ENOUGH:
            expected = arms.canary_n * (tolerance.ratio * self._usual() + tolerance.slack)
            self._score = max(0.0, self._score + arms.canary_bad * log(self._worse) - (self._worse - 1.0) * expected)
            raised = self._score >= _ALARM
            if raised:
                self._score, self._until = 0.0, time_seconds + _PROBE_SECONDS
        self._past = [
            self._keep_past * self._past[0] + arms.canary_n + arms.stable_n,
            self._keep_past * self._past[1] + arms.canary_bad + arms.stable_bad,
        ]
        return raised

    def _usual(self) -> float:
        """Share of errors that was usual, or that stable has by itself now, a standard error taken off."""
        past = (self._past[1] + 0.5) / (self._past[0] + 1.0)
        n, bad = self._now
        return max(past, (bad - sqrt(bad)) / n) if n > 0.0 else past

    def alarmed(self, time_seconds: float) -> bool:
        """Whether an alarm was raised so lately that the comparison has not yet had the time to answer it."""
        return time_seconds < self._until

    def dump(self) -> list[float]:
        """Return the state as numbers."""
        return [*self._past, *self._now, self._score, self._until]

    def load(self, numbers: Sequence[float]) -> None:
        """Take over a state that ``dump`` returned."""
        past_n, past_bad, now_n, now_bad, self._score, self._until = numbers
        self._past, self._now = [past_n, past_bad], [now_n, now_bad]
