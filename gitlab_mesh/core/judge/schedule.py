"""Which share the canary gets next, so that a bad release costs a budget of bad requests and a good one little time.

Two facts shape it. The harm of the next reaction time is ``weight * rps * reaction * excess``: with the upper end of
the excess that the data still allow, it must fit the budget. And a bad request teaches more the smaller the canary's
share is, because stable then shows what is normal for free: the smallest share that still decides by the end of the
bake is the cheapest (``docs/judge.md``, with the numbers).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log

from gitlab_mesh.core.judge.evidence import Standing
from gitlab_mesh.core.judge.settings import JudgeSettings

__all__ = ["BudgetSchedule", "first_weight"]

_CALM = 10.0
_DOUBT = 2.0
_CONFIRM = 0.5


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
        look_seconds: Time between two looks.
        control: Share that stable keeps in the holdback.
    """

    least: float = 0.0001
    first: float = 0.10
    learn: float = 0.18
    most: float = 0.50
    growth: float = 2.0
    pause_seconds: float = 10.0
    dwell_seconds: float = 120.0
    look_seconds: float = 5.0
    control: float = 0.05

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
        last = self._last_ramp(weight, settings, elapsed)
        if last and standing.passing:
            allowed = self.most  # what may be promoted may be shown to half of the users
        else:
            reaction = max(settings.reaction_seconds, 2.0 * self.look_seconds)  # no breach is found in less
            allowed = _budget(standing, settings) / (reaction * standing.excess)
        if standing.evidence >= _CALM:
            allowed = min(allowed, self._bearable(standing, settings))
            if max(allowed, self.least) < weight:
                return max(allowed, self.least)
        if since_change < self.pause_seconds - 1e-6 or not self._may_raise(standing, settings, elapsed):
            return weight
        goal = self.most if last else max(self.learn, self._in_time(weight, standing, settings, elapsed, needed))
        return self._raised(weight, min(max(allowed, self.least), goal), self.most)

    def watch_weight(
        self, weight: float, standing: Standing, settings: JudgeSettings, *, elapsed: float, since_change: float
    ) -> float:
        """Return the share while most users have the release and stable is kept as control (holdback).

        A little control teaches slowly: at the first doubt, or when the canary fails more than was usual, stable gets
        its half back, which also halves the harm. A suspicion takes the share down to what a confirmation costs little
        at; one that nothing confirms gives it back step by step.
        """
        top = 1.0 - self.control
        if standing.evidence >= _DOUBT or standing.drifting:
            top = min(top, self.most)
        if standing.evidence >= _CALM:
            top = min(top, max(self._bearable(standing, settings), self.least))
        if top < weight:
            return top
        if since_change < self.pause_seconds - 1e-6 or not self._may_raise(standing, settings, elapsed):
            return weight
        return self._raised(weight, top, top)

    def _raised(self, weight: float, goal: float, top: float) -> float:
        raised = min(weight * self.growth, goal)
        if raised >= top * 0.95:
            return max(weight, min(top, goal / 0.95))
        return raised if raised > weight * 1.05 else weight

    def _bearable(self, standing: Standing, settings: JudgeSettings) -> float:
        """Share to confirm a suspicion at: a breach needs a few bad requests more, not the whole budget."""
        seconds = max(settings.guard_seconds, 2.0 * self.look_seconds)
        return _CONFIRM * _budget(standing, settings) / (seconds * max(standing.recent, 1e-6))

    def _last_ramp(self, weight: float, settings: JudgeSettings, elapsed: float) -> bool:
        """Whether it is time to go to ``most``, so that the dwell there ends with the bake."""
        return elapsed >= settings.bake_seconds - self.dwell_seconds - self._ramp_seconds(weight)

    def _ramp_seconds(self, weight: float) -> float:
        pause = max(self.pause_seconds, self.look_seconds)
        return pause * ceil(log(max(self.most / weight, 1.0)) / log(self.growth))

    @staticmethod
    def _may_raise(standing: Standing, settings: JudgeSettings, elapsed: float) -> bool:
        # When the start-up ends, what is left of the budget buys a quick answer, doubt or not.
        if standing.misrouted:
            return False
        return not standing.doubtful or (standing.starting and elapsed >= settings.startup_seconds - 1e-6)

    def _in_time(
        self, weight: float, standing: Standing, settings: JudgeSettings, elapsed: float, needed: float | None
    ) -> float:
        """Share that the promotion needs to be decided when the bake is over."""
        left = settings.bake_seconds - self.dwell_seconds - elapsed - self._ramp_seconds(weight)
        if needed is None or left <= 0.0:
            return self.most
        if not standing.leaning:
            return 0.0
        return needed / (standing.rps * left) if standing.rps > 0 else 0.0


def _budget(standing: Standing, settings: JudgeSettings) -> float:
    """Bad requests that may be spent, in seconds of all traffic."""
    return settings.bad_request_budget / max(standing.rps, 1e-9)


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
