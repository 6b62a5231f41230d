"""Which share the canary gets next, so that a bad release costs a budget of bad requests and a good one little time.

Two facts shape it. The harm of the next reaction time is ``weight * rps * reaction * excess``: with the upper end of
the excess that the data still allow, it must fit the budget. And a bad request teaches more the smaller the canary's
share is, because stable then shows what is normal for free: the smallest share that still decides by the end of the
bake is the cheapest (``docs/judge.md``, with the numbers).
"""

from __future__ import annotations

from dataclasses import dataclass

from gitlab_mesh.core.judge.evidence import Standing
from gitlab_mesh.core.judge.settings import JudgeSettings

__all__ = ["BudgetSchedule", "first_weight"]

_SUSPICIOUS = 3.0
_CALM = 10.0


@dataclass(frozen=True, slots=True)
class BudgetSchedule:
    """The shape of the ramp.

    Attributes:
        least: Smallest share that the route can express.
        first: Largest share to begin with.
        learn: Share up to which a bad request teaches nearly as much as at the smallest.
        most: Share of the last step before promotion.
        growth: Largest factor of one raise.
        pause_seconds: Time between two raises.
        dwell_seconds: Time at ``most`` before promotion: load shows there.
    """

    least: float = 0.0001
    first: float = 0.10
    learn: float = 0.10
    most: float = 0.50
    growth: float = 3.0
    pause_seconds: float = 10.0
    dwell_seconds: float = 120.0

    def next_weight(
        self,
        weight: float,
        standing: Standing,
        settings: JudgeSettings,
        *,
        elapsed: float,
        since_change: float,
        needed: float | None,
    ) -> float:
        """Return the share for the time until the next look.

        Args:
            weight: The present share.
            standing: Where the judge stands.
            settings: The policy (budget, reaction, bake).
            elapsed: Seconds since the first user.
            since_change: Seconds since the share last changed.
            needed: Canary requests that the promotion still needs; None if that is not known.
        """
        rate = max(standing.rps * settings.reaction_seconds, 1e-9)
        if standing.evidence >= _CALM:
            # Confirm at a small share: what the budget allows at the excess seen of late.
            harm = max(standing.recent, standing.excess, 1e-6)
            calm = max(settings.bad_request_budget / (rate * harm), self.least)
            return min(weight, calm)
        if since_change < self.pause_seconds - 1e-6 or standing.evidence >= _SUSPICIOUS or weight >= self.most:
            return weight
        allowed = settings.bad_request_budget / (rate * standing.excess)
        goal = min(self.most, max(self.learn, self._in_time(standing, settings, elapsed, needed)))
        raised = min(weight * self.growth, allowed, goal)
        return raised if raised > weight * 1.02 else weight

    def _in_time(self, standing: Standing, settings: JudgeSettings, elapsed: float, needed: float | None) -> float:
        """Share that the promotion needs to be decided when the bake is over."""
        left = settings.bake_seconds - self.dwell_seconds - elapsed
        ramp = 3.0 * self.pause_seconds
        if left <= ramp or needed is None:
            return self.most
        if not standing.leaning:
            return 0.0
        return needed / (standing.rps * (left - ramp)) if standing.rps > 0 else 0.0


def first_weight(rps: float, settings: JudgeSettings, schedule: BudgetSchedule) -> float:
    """Return the share to begin with: an outage of the whole start-up and reaction would cost the budget.

    Args:
        rps: Requests per second of both sides.
        settings: The policy.
        schedule: The limits of the ramp.
    """
    wait = settings.startup_seconds + settings.reaction_seconds
    share = settings.bad_request_budget / max(rps * wait, 1e-9)
    return min(max(share, schedule.least), schedule.first)
