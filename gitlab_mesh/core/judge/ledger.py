"""Everything that the judge has learned about a release; ``Judge`` writes it, the words and the saved state read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log

from gitlab_mesh.core.judge.betting import SLOWER, Tolerance
from gitlab_mesh.core.judge.drift import Drift
from gitlab_mesh.core.judge.evidence import Baseline, Recent
from gitlab_mesh.core.judge.excess import COARSE, Excess
from gitlab_mesh.core.judge.latency import Bound
from gitlab_mesh.core.judge.limit import ABOVE, BELOW, Limit
from gitlab_mesh.core.judge.settings import JudgeSettings, UserMetric
from gitlab_mesh.core.judge.share import ShareTest
from gitlab_mesh.core.judge.startup import Startup
from gitlab_mesh.core.judge.track import Track
from gitlab_mesh.core.judge.user import UserTrack

__all__ = ["Ledger", "parts_of"]

_PARTS: Mapping[str, float] = {"errors": 6.0, "outage": 2.0, "latency": 2.0}
_SLO, _USER = 1.5, 1.5
_SETTLE_LOOKS = 2
_SLOWING = 1.4
"""So many times the tolerated slow requests call for control: they are common, twice as many would be very slow."""
_KEPT = 100.0
"""Evidence for a pass is kept up to so many times what a pass needs."""


class Ledger:
    """The tests and the counts of one release.

    Args:
        settings: The policy.
        look_seconds: Usual time between two looks; only the guards against bursts count in looks.
        user_metrics: Metrics of the user's own whose readings come in ``Look.user``.
    """

    def __init__(
        self, settings: JudgeSettings, *, look_seconds: float = 5.0, user_metrics: Sequence[UserMetric] = ()
    ) -> None:
        self.settings = settings
        self.look_seconds = look_seconds
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
        ceiling = log(_KEPT / settings.false_promotion)
        if settings.max_error_ratio:
            fine = Limit.beside(settings.max_error_ratio, BELOW, ceiling)
            self.slo = (Limit.beside(settings.max_error_ratio, ABOVE), fine)
        self.user = [UserTrack(metric, ceiling) for metric in user_metrics]
        self.share = ShareTest(settings.share_band, _SETTLE_LOOKS)
        self.drift = Drift(look_seconds)
        self.slowing = Drift(look_seconds, _SLOWING)
        self.recent = Recent(settings.guard_seconds / look_seconds)
        self.time: float | None = None
        self.weight = 0.0
        self.step_requests = 0
        self.crash = ""
        self.layout_problem = ""
        self.problems: tuple[str, ...] = ()
        self.fresh = False
        self.rps = 0.0
        self.peak = 1.0
        self.peak_time = 0.0

    def compare_bounds(self, bounds: Sequence[Bound]) -> None:
        """Compare latency at these bounds from now on; without any, latency has no data and nothing is promoted."""
        settings, tracks = self.settings, []
        for bound in bounds:
            track = Track(
                f"latency {bound.seconds:g} s",
                Tolerance(bound.tolerated, bound.slack, bound.base),
                Tolerance(bound.margin, bound.margin_slack, bound.base),
                promote_level=settings.false_promotion,
                lag_looks=self._lag,
                bets=SLOWER,
                ends=COARSE,
            )
            track.begin(bound.base)
            tracks.append((bound, track))
        self.latency = tuple(tracks)

    @property
    def tracks(self) -> list[Track]:
        """Errors and all compared latency bounds."""
        return [self.errors, *(track for _, track in self.latency or ())]

    @property
    def telling(self) -> Track | None:
        """The latency bound at which slowing down shows first: the commonest of those that promotion needs."""
        known = [pair for pair in self.latency or () if pair[0].required and pair[0].base > 0.0]
        return max(known, key=lambda pair: pair[0].base)[1] if known else None

    @property
    def required(self) -> list[Track]:
        """The comparisons that promotion needs."""
        return [self.errors, *(track for bound, track in self.latency or () if bound.required)]


def parts_of(*, slo: bool, user: bool) -> dict[str, float]:
    """Return each test's part of the promised rate; they sum to 1 and are fixed before the first look.

    A weighted mean of e-processes is one, whatever their dependence. Errors get half: they are what users feel most,
    and each costs a bad request to learn from.
    """
    parts = {**_PARTS, **({"slo": _SLO} if slo else {}), **({"user": _USER} if user else {})}
    whole = sum(parts.values())
    return {name: part / whole for name, part in parts.items()}
