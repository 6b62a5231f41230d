"""What has been counted since the last weight was written: nothing from before it is ever mixed in (S6)."""

from __future__ import annotations

from dataclasses import dataclass, field

from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.metrics.counts import Side, SideTarget, Snapshot
from gitlab_mesh.core.metrics.refusals import Refusals, count_refusals, find_material_refusals, mark_refusals
from gitlab_mesh.core.metrics.share import observed_share_contradicts
from gitlab_mesh.core.metrics.window import Increments, MeterState, advance, mark

__all__ = ["Window"]

SHARE_ALPHA = 1e-4
"""Chance that a step's confirmation waits although the share is right; it only waits then."""

RATE_SECONDS = 8.0
"""Shortest time over which a rate of requests is believed: two looks, as a rule."""


@dataclass
class Window:
    """Counts under one weight.

    Attributes:
        meter: From cumulative samples to increments.
        requests: By side.
        errors: By side.
        seconds: That the counts cover.
        looks: Readings that brought increments.
        refusals: Requests that belong to no side.
    """

    meter: MeterState = field(default_factory=MeterState)
    requests: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    errors: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    seconds: float = 0.0
    looks: int = 0
    refusals: Refusals = field(default_factory=Refusals)

    def begin(self) -> None:
        """A weight of ours is in force from now on."""
        self.spoil()
        self.forget()
        self.errors = dict.fromkeys(Side, 0)
        self.seconds, self.looks = 0.0, 0
        self.refusals = mark_refusals(self.refusals)

    def spoil(self) -> None:
        """Somebody else wrote the route: what was served since the last reading counts for nothing."""
        self.meter = mark(self.meter)

    def forget(self) -> None:
        """Count requests anew."""
        self.requests = dict.fromkeys(Side, 0)

    def note_usual(self, snapshot: Snapshot) -> None:
        """Take a reading from before the release; one that brought nothing says nothing."""
        if snapshot.samples:
            self.refusals = count_refusals(self.refusals, snapshot)

    def advance(self, snapshot: Snapshot, targets: tuple[SideTarget, ...], max_age: float) -> Increments:
        """Take one reading in.

        Args:
            snapshot: The reading.
            targets: The sides as they were asked for.
            max_age: Seconds; an older sample is no data.
        """
        self.meter, increments = advance(self.meter, snapshot, max_age_seconds=max_age, targets=targets)
        self.refusals = count_refusals(self.refusals, snapshot)
        if increments.seconds > 0:
            self.looks += 1
            self.seconds += increments.seconds
            for side, counts in ((Side.STABLE, increments.stable), (Side.CANARY, increments.canary)):
                self.requests[side] += counts.requests
                self.errors[side] += sum(counts.errors.values())
        return increments

    @property
    def total(self) -> int:
        """Requests of both sides."""
        return sum(self.requests.values())

    @property
    def rate(self) -> float | None:
        """Requests per second of both sides, once they were watched long enough."""
        return self.total / self.seconds if self.seconds >= RATE_SECONDS else None

    def contradicts(self, share: float | None) -> bool | None:
        """Whether the observed share contradicts the written one; None: nothing to tell it from."""
        if share is None or self.total == 0:
            return None
        return observed_share_contradicts(
            self.requests[Side.STABLE], self.requests[Side.CANARY], share, alpha=SHARE_ALPHA
        )

    def exceeds(self, share: float) -> bool:
        """Whether the canary surely gets more than this share (0–1)."""
        return self.requests[Side.CANARY] > self.total * share and bool(self.contradicts(share))

    def refused(self, settings: JudgeSettings) -> str:
        """Say why requests that belong to no side hold everything up; "" if they do not."""
        stable, canary = ((self.requests[side], self.errors[side]) for side in Side)
        return find_material_refusals(self.refusals, stable=stable, canary=canary, settings=settings)
