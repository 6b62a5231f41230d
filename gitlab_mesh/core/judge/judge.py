"""The judge: one look in, one judgement out; between two looks it keeps a few hundred numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log
from typing import Any

from gitlab_mesh.core.judge.betting import Arms
from gitlab_mesh.core.judge.evidence import Standing, check_counts, crash_of
from gitlab_mesh.core.judge.excess import Excess
from gitlab_mesh.core.judge.latency import slower_than
from gitlab_mesh.core.judge.ledger import Ledger
from gitlab_mesh.core.judge.model import Judgement, Look
from gitlab_mesh.core.judge.settings import JudgeSettings, UserMetric
from gitlab_mesh.core.judge.state import dump_ledger, load_ledger
from gitlab_mesh.core.judge.weighing import weigh
from gitlab_mesh.core.judge.words import judgement_of
from gitlab_mesh.core.metrics.counts import Side

__all__ = ["Judge"]

_CALM = 10.0
_SUSPICIOUS = 3.0
_UNCONFIRMED_GUARDS = 4.0
_STAKED_AT_ALARM = 0.4
"""Part of the reserve that is staked when the canary begins to look worse than was usual; the rest is for later."""
_CONFIRMING_SECONDS = 10.0
"""After a suspicious start-up: what it showed counts as persistence, so this much more of it confirms a breach."""


class Judge(Ledger):
    """Decides from counts, at any time, with the promised error rates. Pure and deterministic.

    Args:
        settings: The policy.
        look_seconds: Usual time between two looks; only the guards against bursts count in looks.
        user_metrics: Metrics of the user's own whose readings come in ``Look.user``.
    """

    def __init__(
        self, settings: JudgeSettings, *, look_seconds: float = 5.0, user_metrics: Sequence[UserMetric] = ()
    ) -> None:
        super().__init__(settings, look_seconds=look_seconds, user_metrics=user_metrics)
        self._standing: Standing | None = None
        self._parts: dict[str, float] | None = None

    def look(self, look: Look) -> Judgement:
        """Take one look and say what is known.

        Args:
            look: What came since the look before. A look that cannot be true (negative counts, more errors than
                requests, a time that does not rise) brings no evidence and opens no gate.
        """
        self._standing = self._parts = None
        problem = check_counts(look, self.time)
        self.problems = (*look.problems, problem) if problem else look.problems
        self.fresh = False
        # A fault stays: numbers that could not be compared once are not made comparable by later ones.
        self.layout_problem = self.layout_problem or look.faults.get("latency", "")
        self.crash = self.crash or crash_of(look.health.get(Side.CANARY), self.settings.max_restarts)
        if not problem:
            before, self.time = self.time, look.time_seconds
            if look.weight is not None:
                self._read_counts(look, look.weight, before)
            if look.weight:
                for metric in self.user:
                    metric.look(look.user, self._cap("user"))
        return judgement_of(self, self.evidence_by_metric(), self.standing)

    def _read_counts(self, look: Look, weight: float, before: float | None) -> None:
        start = before if before is not None else look.time_seconds - self.look_seconds
        if before is not None:  # how long the first look took is not known
            rate = (look.stable.requests + look.canary.requests) / (look.time_seconds - before)
            self.rps = rate if self.rps == 0.0 else 0.7 * self.rps + 0.3 * rate
        if abs(weight - self.weight) > 1e-9:
            self.weight, self.step_requests = weight, 0
        self.step_requests += look.canary.requests
        if weight > 0:
            if self.startup.begun is None:
                self.startup.begun = start
                self.errors.begin(self.baseline.error_ratio)
            if self.startup.ends(start):
                self._end_startup(start)
            self._compare(look, weight)
        self.baseline.learn(look.stable, latency=self.latency is None)
        if self.latency is None:
            bounds = self.baseline.plan(self.settings)
            if bounds is not None:
                self.compare_bounds(bounds)

    def _end_startup(self, start: float) -> None:
        """Begin to hold everything against the canary; what was seen so far only guides the bets."""
        suspicious = max(track.worse.log_wealth for track in self.tracks) > log(_CALM)
        self.startup.finish(start, suspicious=suspicious)
        if suspicious:
            self.harm = Excess(self.settings.error_tolerance_ratio)
        for track in self.tracks:
            track.begin(track.stable)
        for metric in self.user:
            metric.begin()

    def _compare(self, look: Look, weight: float) -> None:
        """Bet on one look under a weight above 0."""
        self.fresh = look.canary.requests > 0 and look.stable.requests > 0 and not look.problems
        self.share.look(weight, look.canary.requests, look.stable.requests)
        bad = float(sum(look.canary.errors.values()))
        arms = Arms(
            float(look.canary.requests), bad, float(look.stable.requests), float(sum(look.stable.errors.values()))
        )
        self.errors.look(arms, self._cap("outage" if self.startup.running else "errors"))
        self.harm.look(arms)
        self.recent.look(arms)
        if self.drift.look(arms, self.errors.tolerated, look.time_seconds):
            self.errors.worse.commit(_STAKED_AT_ALARM)
        if self.startup.running:
            self.startup.look(arms, self.errors.worse.log_wealth, self._cap("outage"))
        elif self.slo is not None:
            for limit in self.slo:
                limit.look(arms.canary_n, bad)
        self._compare_latency(look, look.time_seconds)

    def _compare_latency(self, look: Look, time: float) -> None:
        stable, canary = look.stable.latency, look.canary.latency
        if not self.latency or stable is None or canary is None:
            return
        known = self.baseline.histogram
        if stable.upper_bounds != canary.upper_bounds:
            self.layout_problem = "stable and canary report different latency buckets"
            return
        if known is not None and known.upper_bounds != stable.upper_bounds:
            self.layout_problem = "the latency buckets changed during the release"
            return
        canary_n, stable_n = float(sum(canary.counts)), float(sum(stable.counts))
        cap = self._cap("latency", 2.0, len(self.latency))
        telling, slowing = self.telling, False
        for bound, track in self.latency:
            arms = Arms(
                canary_n,
                float(slower_than(canary, bound.seconds)),
                stable_n,
                float(slower_than(stable, bound.seconds)),
            )
            track.look(arms, cap)
            if track is telling:
                slowing = self.slowing.look(arms, track.tolerated, time)
        if slowing:
            for _, track in self.latency:
                track.worse.commit(_STAKED_AT_ALARM)

    def _cap(self, name: str, times: float = 1.0, parts: int = 1) -> float:
        """Log of the most that one look may multiply a metric's capital by, so that a breach needs several."""
        looks = max(2, round(times * self.settings.guard_seconds / self.look_seconds))
        if self.startup.running:
            looks = 2
        elif self.time is not None and self.time < self.startup.hasty_until:
            looks = 1 if self.look_seconds >= _CONFIRMING_SECONDS else 2
        share = self.parts[name] / parts
        return 1.001 * log(1.0 / (self.settings.false_rollback * share)) / looks

    def evidence_by_metric(self) -> dict[str, float]:
        """Return the share of ``evidence`` that each metric brings; their sum rejects at 1 / false_rollback."""
        if self._parts is None:
            self._parts = weigh(self)
        return self._parts

    @property
    def standing(self) -> Standing:
        """Where the judge stands, for the weight schedule."""
        if self._standing is None:
            early = max(track.worse.log_wealth for track in self.tracks) if self.startup.running else 0.0
            evidence = max(sum(self.evidence_by_metric().values()), exp(min(early, 600.0)))
            now = self.time or 0.0
            if evidence > 1.05 * self.peak or evidence < 0.5 * self.peak:
                self.peak, self.peak_time = max(evidence, 1.0), now
            # A suspicion that nothing confirmed must not hold the release for ever.
            stale = now - self.peak_time >= _UNCONFIRMED_GUARDS * self.settings.guard_seconds
            least = min(track.fine.log_wealth for track in self.required)
            self._standing = Standing(
                evidence=evidence,
                excess=max(self.harm.high - self.settings.error_tolerance, 1e-6),
                recent=self.recent.excess,
                rps=self.rps,
                starting=self.startup.running,
                leaning=least > 0.0,
                passing=least >= log(1.0 / self.settings.false_promotion),
                doubtful=evidence >= _SUSPICIOUS and least <= 0.0 and not stale,
                misrouted=self.share.evidence >= _SUSPICIOUS,
                drifting=self.drift.alarmed(now) or self.slowing.alarmed(now),
            )
        return self._standing

    def dump(self) -> dict[str, Any]:
        """Return the whole state as JSON, at most 8 KiB."""
        return dump_ledger(self)

    @classmethod
    def load(
        cls,
        settings: JudgeSettings,
        state: Mapping[str, Any],
        *,
        look_seconds: float = 5.0,
        user_metrics: Sequence[UserMetric] = (),
    ) -> Judge:
        """Build a judge that decides as the one whose ``dump`` this is.

        Raises:
            UsageError: The state is of another version or of other settings.
        """
        judge = cls(settings, look_seconds=look_seconds, user_metrics=user_metrics)
        load_ledger(judge, state)
        return judge
