"""The invariants S1–S10 as oracles: they watch the world from outside and never ask the code what it believes.

They see every write (object before and after, and which driver made it), every word of the judge, every request that
was lost, and the exit code of every process. What a fault itself explains is no violation; each excuse is here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.simulation.driver import DriverRun
from gitlab_mesh.testing.simulation.views import RECORD, Shadow, record_of

__all__ = ["Oracles", "Span", "Violation"]

Span = tuple[float, float]
"""Seconds of the simulated clock, from and to."""

AFTERMATH = 2.0
"""Seconds after a trouble of the metrics in which nobody can be blamed for not seeing requests."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise."""

    invariant: str
    time: float
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.time:.1f} s: {self.text}"


@dataclass
class Oracles:
    """What has been seen of one simulation, and which promises were broken.

    Attributes:
        shadow: The user's objects.
        stable_images: Images that stable ever had.
        replicas: Of stable.
        look_seconds: Between two looks.
        drain_seconds: Longest wait after weight 0.
        lease_seconds: The lease's duration.
        last_step: The canary's share at the last step; more needs the promote gate.
        lag: Seconds until proxies follow a route.
        violations: Found so far.
        fenced: Driver that wrote the fence last, of any route.
        fences: Driver that wrote each route's fence last.
        shares: The canary's share in each route.
        led: Services to which each HTTPRoute leads requests.
        zero_since: When the canary's live share last became 0 everywhere; None while it is above.
        disturbed: Sides whose pods somebody evicts, and when.
        alike: Whether callers that bypass the route look like proxies that lag: at small shares, on several routes.
        refused: Images that somebody took back after their promotion.
        gone: Sides whose Service somebody deleted, and when; a driver that writes weight 0 leads past it.
        never_stable: The user's stable cannot run; only the release could.
        frozen: A freeze window has held since long ago: only a hotfix may begin.
        lease_run: Driver that took or renewed the lease last; None once it is free. ``after_script`` has the identity
            of its job, so the holder's name does not tell.
    """

    shadow: Shadow
    stable_images: set[str]
    replicas: int
    look_seconds: float
    drain_seconds: float
    lease_seconds: float
    last_step: float
    lag: float = 0.0
    violations: list[Violation] = field(default_factory=list)
    fenced: DriverRun | None = None
    fences: dict[str, DriverRun] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    led: dict[str, set[str]] = field(default_factory=dict)
    zero_since: float | None = -math.inf
    foreign_writes: list[float] = field(default_factory=list)
    excused: list[tuple[Side | None, float, float]] = field(default_factory=list)
    disturbed: list[tuple[Side | None, float, float]] = field(default_factory=list)
    metric_troubles: list[Span] = field(default_factory=list)
    blind: list[Span] = field(default_factory=list)
    last_canary: float = -math.inf
    ready_canaries: int = 0
    ready_stables: int = 0
    whole_stables: int = 0
    now: float = 0.0
    lease_holder: str = ""
    lease_run: DriverRun | None = None
    record_destroyed: bool = False
    promoted_images: set[str] = field(default_factory=set)
    user_images: set[str] = field(default_factory=set)
    alike: bool = False
    refused: set[str] = field(default_factory=set)
    gone: list[tuple[Side | None, float, float]] = field(default_factory=list)
    frozen: bool = False
    never_stable: bool = False

    def violate(self, invariant: str, text: str) -> None:
        """Note a broken promise."""
        self.violations.append(Violation(invariant, self.now, text))

    # Lease and record

    def wrote_lease(self, after: Object | None, driver: DriverRun) -> None:
        """A driver wrote the Lease; whoever deletes or edits it from outside takes nothing over."""
        self.lease_holder = str(((after or {}).get("spec") or {}).get("holderIdentity") or "")
        self.lease_run = driver if self.lease_holder else None
        if self.lease_holder == driver.holder:
            driver.renewed, driver.paused_at_renewal = self.now, driver.paused

    def wrote_record(self, before: Object | None, after: Object | None, driver: DriverRun) -> None:
        """A driver wrote the record."""
        if after is None:
            self.violate("S2", f"{driver.name} deleted the record {RECORD}")
            return
        record = record_of(after)
        driver.phase = str(record.get("phase", ""))
        fence = record.get("fence", 0)
        if "promoted" in (record.get("ending"), record.get("outcome")):
            self.promoted_images.add(str((record.get("canary") or {}).get("image")))
        if before is not None and fence < record_of(before).get("fence", 0):
            self.violate("S4", f"{driver.name} wrote the record with the older fence {fence}")

    def lost_lease_long_ago(self, driver: DriverRun) -> bool:
        """Whether somebody else holds the lease, and had the time to fence it off, or it to notice."""
        if self.lease_run is driver:
            return False
        return bool(driver.superseded) or driver.lease_age(self.now) > self.lease_seconds

    # Words of the judge

    def judged(self, driver: DriverRun, canary_requests: float) -> None:
        """The judge was given a look with these requests of the canary."""
        start = driver.counted_since(canary_requests)
        if canary_requests > 0 and start is not None and not driver.stale_since(start):
            spoiled = [time for time in self.foreign_writes if start <= time < self.now]
            if spoiled and not self.metrics_down(since=start):
                self.violate(
                    "S6", f"{driver.name} counted the window {start:.1f}–{self.now:.1f} s with a foreign write in it"
                )
        if not math.isfinite(canary_requests):
            self.violate("S7", f"{driver.name} gave the judge {canary_requests} requests")

    def has_evidence(self, driver: DriverRun, since: float) -> bool:
        """Whether two sound readings of the counts enclose some time in which nobody else wrote the route."""
        sound = [time for time in driver.sound_reads if time >= since]
        return any(
            first < second and not any(first <= time <= second for time in self.foreign_writes)
            for first, second in pairwise(sound)
        )

    # Requests

    def lost(self, time: float, side: Side | None, count: int) -> None:
        """Requests found no ready pod."""
        self.now = max(self.now, time)
        if not self.is_excused(side, self.lag + 3.0):
            self.violate("S9", f"{count} requests found no ready pod of {side or 'any side'}")

    def is_excused(self, side: Side | None, after: float = 3.0) -> bool:
        """Whether a fault explains that a side has no pods now, or had none so many seconds ago."""
        return self._within((*self.excused, *self.gone), side, after)

    def is_disturbed(self, side: Side, after: float) -> bool:
        """Whether a fault explains that a side has not all of its pods."""
        return self._within((*self.excused, *self.gone, *self.disturbed), side, after)

    def _within(self, spans: Iterable[tuple[Side | None, float, float]], side: Side | None, after: float) -> bool:
        return any(its in (side, None) and start <= self.now <= end + after for its, start, end in spans)

    def metrics_down(self, *, since: float | None = None) -> bool:
        """Whether a trouble of the metrics explains that something was not seen."""
        begin = self.now - 2 * self.look_seconds if since is None else since
        troubles = [(start, end + AFTERMATH) for start, end in self.metric_troubles]
        return any(start <= self.now and end >= begin for start, end in (*troubles, *self.blind))

    # GitLab

    def told_gitlab(self, driver: DriverRun, what: str) -> None:
        """A call to GitLab was made by the driver itself, not beside it."""
        if self.zero_since is None and self.fenced is driver:
            driver.waits.append((self.now, what))
