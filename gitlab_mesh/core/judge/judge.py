"""The judge: one look in, one judgement out; between two looks it keeps a few hundred numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log
from typing import Any

from gitlab_mesh.core.judge.betting import Arms, Tolerance
from gitlab_mesh.core.judge.evidence import Baseline, Recent, Standing, check_counts, crash_of
from gitlab_mesh.core.judge.excess import COARSE, Excess
from gitlab_mesh.core.judge.latency import Bound, slower_than
from gitlab_mesh.core.judge.limit import ABOVE, BELOW, Limit
from gitlab_mesh.core.judge.model import Judgement, Look
from gitlab_mesh.core.judge.settings import JudgeSettings, UserMetric
from gitlab_mesh.core.judge.share import ShareTest
from gitlab_mesh.core.judge.startup import Startup
from gitlab_mesh.core.judge.state import dump_judge, load_judge
from gitlab_mesh.core.judge.track import Track
from gitlab_mesh.core.judge.user import UserTrack
from gitlab_mesh.core.judge.weighing import parts_of, weigh
from gitlab_mesh.core.judge.words import judgement_of
from gitlab_mesh.core.metrics.counts import Side

__all__ = ["Judge"]

_CALM = 10.0
_SUSPICIOUS = 3.0
_UNCONFIRMED_GUARDS = 4.0
_SETTLE_LOOKS = 2


class Judge:
    """Decides from counts, at any time, with the promised error rates. Pure and deterministic.

    Args:
        settings: The policy.
        look_seconds: Usual time between two looks; only the guards against bursts count in looks.
        user_metrics: Metrics of the user's own whose readings come in ``Look.user``.
    """

    def __init__(
        self, settings: JudgeSettings, *, look_seconds: float = 5.0, user_metrics: Sequence[UserMetric] = ()
    ) -> None:
        self.settings = settings
        self._look_seconds = look_seconds
        self.parts = parts_of(slo=settings.max_error_ratio is not None, user=bool(user_metrics))
        self._lag = max(1, round(2 * settings.guard_seconds / look_seconds))
        self.errors = Track(
            "errors",
            Tolerance(settings.error_tolerance_ratio, settings.error_tolerance),
            Tolerance(settings.error_margin_ratio, settings.error_margin),
            promote_level=settings.false_promotion,
            lag_looks=self._lag,
        )
        self.harm = Excess(settings.error_tolerance_ratio)
        self.latency: tuple[tuple[Bound, Track], ...] | None = None
        self.baseline = Baseline()
        self.startup = Startup(settings)
        self.slo: tuple[Limit, Limit] | None = None
        if settings.max_error_ratio:
            fine = Limit.beside(settings.max_error_ratio, BELOW, log(100.0 / settings.false_promotion))
            self.slo = (Limit.beside(settings.max_error_ratio, ABOVE), fine)
        self.user = [UserTrack(metric, log(100.0 / settings.false_promotion)) for metric in user_metrics]
        self.share = ShareTest(settings.share_band, _SETTLE_LOOKS)
        self.time: float | None = None
        self.weight = 0.0
        self.step_requests = 0
        self.crash = ""
        self.layout_problem = ""
        self.problems: tuple[str, ...] = ()
        self.fresh = False
        self.rps = 0.0
        self.recent = Recent(settings.guard_seconds / look_seconds)
        self.peak = 1.0
        self.peak_time = 0.0
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
            if look.weight and self.user:
                for track in self.user:
                    track.look(look.user, self._cap("user"))
        return judgement_of(self)

    def _read_counts(self, look: Look, weight: float, before: float | None) -> None:
        start = before if before is not None else look.time_seconds - self._look_seconds
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
        if self.startup.running:
            self.startup.look(arms, self.errors.worse.log_wealth, self._cap("outage"))
        elif self.slo is not None:
            for limit in self.slo:
                limit.look(arms.canary_n, bad)
        self._compare_latency(look)

    def _compare_latency(self, look: Look) -> None:
        stable, canary = look.stable.latency, look.canary.latency
        if self.latency is None or stable is None or canary is None:
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
        for bound, track in self.latency:
            arms = Arms(
                canary_n,
                float(slower_than(canary, bound.seconds)),
                stable_n,
                float(slower_than(stable, bound.seconds)),
            )
            track.look(arms, cap)

    def _cap(self, name: str, times: float = 1.0, parts: int = 1) -> float:
        """Log of the most that one look may multiply a metric's capital by, so that a breach needs several."""
        looks = max(2, round(times * self.settings.guard_seconds / self._look_seconds))
        if self.startup.running or (self.time is not None and self.time < self.startup.hasty_until):
            looks = 2
        share = self.parts[name] / parts
        return 1.001 * log(1.0 / (self.settings.false_rollback * share)) / looks

    def compare_bounds(self, bounds: Sequence[Bound]) -> None:
        """Compare latency at these bounds from now on."""
        settings, tracks = self.settings, []
        for bound in bounds:
            track = Track(
                f"latency {bound.seconds:g} s",
                Tolerance(bound.tolerated, bound.slack, bound.base),
                Tolerance(bound.margin, bound.margin_slack, bound.base),
                promote_level=settings.false_promotion,
                lag_looks=self._lag,
                bets=COARSE,
            )
            track.begin(bound.base)
            tracks.append((bound, track))
        self.latency = tuple(tracks)

    @property
    def tracks(self) -> list[Track]:
        """Errors and all compared latency bounds."""
        return [self.errors, *(track for _, track in self.latency or ())]

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
            )
        return self._standing

    @property
    def required(self) -> list[Track]:
        """The comparisons that promotion needs."""
        return [self.errors, *(track for bound, track in self.latency or () if bound.required)]

    def dump(self) -> dict[str, Any]:
        """Return the whole state as JSON, at most 8 KiB."""
        return dump_judge(self)

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
        load_judge(judge, state)
        return judge
