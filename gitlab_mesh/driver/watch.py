"""Gathering evidence: one look reads route, pods and counts, and asks the judge.

A window counts only if the weight was ours for all of it (S6): the route is read at every look, and a window in
which anybody wrote the VirtualService is thrown away, even if the weights look right again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.judge.model import Judgement, Look
from gitlab_mesh.core.judge.samples import SampleWriter
from gitlab_mesh.core.mesh.fencing import is_older
from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.mesh.weights import find_grain
from gitlab_mesh.core.metrics.counts import Counts, Side, SideTarget, Snapshot
from gitlab_mesh.core.metrics.window import Increments
from gitlab_mesh.core.rollout import Drift, Evidence
from gitlab_mesh.core.workload import SideState
from gitlab_mesh.driver.judging import JudgeLike
from gitlab_mesh.driver.release import targets_of
from gitlab_mesh.driver.timeline import Timeline
from gitlab_mesh.driver.window import Window
from gitlab_mesh.driver.workloads import NEVER, Written, health_of, read_workload
from gitlab_mesh.errors import GitlabMeshError, ObjectMissingError
from gitlab_mesh.job import ServicePorts

__all__ = ["Watch"]


@dataclass
class Watch:
    """One run's eyes.

    Attributes:
        ports: Of the job.
        judge: Asked at each look; None on the way out.
        timeline: For the report.
        started: Monotonic time of the run's start.
        fence: Our fence annotation.
        expected: The share that we wrote last; None before the first write.
        former: The share that proxies surely followed before weight 0; 0 if there never was one, None if nobody knows.
        told: Whether a person says that every proxy follows the route: what still comes then bypasses it.
        replaced: The stable Deployment since we gave it a template, or took it over.
        version: resourceVersion of the route after our last write.
        samples: What the judge saw, rendered for ``judge replay``.
    """

    ports: ServicePorts
    timeline: Timeline
    started: float
    fence: str = ""
    judge: JudgeLike | None = None
    expected: float | None = None
    former: float | None = 0.0
    told: bool = False
    replaced: Written = NEVER
    version: str = ""
    window: Window = field(default_factory=Window)
    route: RouteState | None = None
    judging_since: float | None = None
    quiet_looks: int = 0
    written_at: float = 0.0
    samples: list[str] = field(default_factory=list)
    _writer: SampleWriter = field(init=False)

    def __post_init__(self) -> None:
        self._writer = SampleWriter(self.ports.service.rollout.look_interval)

    @property
    def service(self) -> ServiceConfig:
        """The service that is released."""
        return self.ports.service

    def written(self, route: RouteState, share: float) -> None:
        """A weight of ours is in force from now on: a new window begins."""
        self.route, self.expected, self.version = route, share, route.version
        if share > 0:  # until it is seen to be followed, proxies may follow the one before
            # Of several routes some may not have it yet: then nobody knows which part of the requests follows.
            self.former = min(share, self.former or share) if route.uniform else None
        self.window.begin()
        self.quiet_looks = 0
        self.written_at = self._elapsed()
        if self.judging_since is None and share > 0:
            self.judging_since = self.ports.clock.monotonic()
        self.timeline.weight(self._elapsed(), share)

    def unrouted(self) -> None:
        """The route is gone: no weight of ours is in force, and nobody can tell who reaches the canary."""
        self.route, self.expected = None, 0.0
        self.timeline.weight(self._elapsed(), 0.0)

    def look_before(self) -> None:
        """Before the canary exists: what senders refuse as a rule is not held against it."""
        stable, _ = self._sides()
        self.window.note_usual(self._read_source(targets_of(self.service, self.route, stable, None)))

    def look(self) -> Evidence:
        """Read everything once and judge it."""
        stable, canary = self._sides()
        targets = targets_of(self.service, self.route, stable, canary)
        snapshot = self._read_source(targets)
        # Counts first, then the route: a foreign write between the two spoils this window, not the next one.
        drift, lost, clean = self._check_route()
        if clean:
            increments = self.window.advance(snapshot, targets, self.service.metrics.max_age)
        else:
            self.window.spoil()
            increments = Increments(problems=snapshot.problems)
        judgement = self._judge(increments, stable, canary, clean=clean and drift is None)
        contradicts = self._contradicts()
        # That a few requests do not contradict the new weight says nothing: the old one must be ruled out.
        # Without a pod of stable nobody counts its part: the canary's looks like all of the requests.
        seen = contradicts is False and stable is not None and stable.ready_pods
        if seen and self.expected and self.window.exceeds(((self.former or 0.0) + self.expected) / 2):
            self.former = self.expected
        return Evidence(
            judgement=judgement,
            standing=self.judge.standing if self.judge is not None and judgement is not None else None,
            rate=self.window.rate,
            grain=find_grain(self.route.objects.values(), sum(self.route.pair)) if self.route is not None else 100,
            contradicts=contradicts,
            pending=self.route.pending if self.route is not None else "",
            canary=health_of(canary),
            stable=health_of(stable),
            drift=drift,
            lost_lock=lost,
            canary_gone=canary is None or not canary.pods,
            canary_down=canary is None or not canary.ready_pods,
            stable_down=stable is None or not stable.ready_pods,
        )

    def look_at_drain(self) -> Evidence:
        """After weight 0: has the canary's counter gone flat? None: nobody can tell."""
        stable, canary = self._sides()
        drift = self._drift_while_draining()
        if canary is None or not canary.pods:
            return Evidence(canary_flat=True, stable=health_of(stable), drift=drift)
        if self.route is None:  # without a route nobody knows who is lagging and who never asked it
            return Evidence(canary=health_of(canary), stable=health_of(stable))
        before = self.window.looks
        if self._elapsed() - self.written_at < self.service.rollout.drain * 3 / 4:
            self.window.forget()  # proxies may be following just now: the last quarter tells
        targets = targets_of(self.service, self.route, stable, canary)
        increments = self.window.advance(self._read_source(targets), targets, self.service.metrics.max_age)
        if self.window.looks > before:
            self.quiet_looks = 0 if increments.canary.requests else self.quiet_looks + 1
        flat: bool | None = None
        if self.window.looks and self.quiet_looks != 1:  # one quiet look may be chance, two in a row are flat
            flat = self.quiet_looks > 1
        if self.route.lagging:  # known to lag: that nobody came so far says nothing about the next request
            flat = False
        return Evidence(
            canary_flat=flat,
            follows=None if self.route.lagging else self._follows(),
            pending=self.route.lagging,
            canary=health_of(canary),
            stable=health_of(stable),
            drift=drift,
        )

    def _follows(self) -> bool | None:
        """Whether more than half of the canary's former share is gone while it drains."""
        if self.told:
            return True
        if self.route is not None and self.route.common:
            return True  # the control plane has taken it up; what still comes does so through the Service of both sides
        if self.former is None or self.window.total == 0:
            return None
        if self.former == 0:
            return True  # no route ever led there
        return self.window.requests[Side.CANARY] < self.window.total * self.former / 2

    def _drift_while_draining(self) -> Drift | None:
        """Say who gave the canary a weight again after we wrote 0."""
        if self.route is None:
            return None
        try:
            route = self.ports.router.read()
        except ObjectMissingError:
            self.route = None
            return None
        self.route = route
        return Drift(route.writer, route.share) if route.share else None

    def look_at_pods(self) -> Evidence:
        """Only the pods: while waiting for them."""
        stable, canary = self._sides()
        return Evidence(
            canary=health_of(canary),
            stable=health_of(stable),
            canary_gone=canary is None or not canary.pods,
            canary_down=canary is None or not canary.ready_pods,
            stable_down=stable is None or not stable.ready_pods,
        )

    def look_at_route(self, evidence: Evidence) -> Evidence:
        """Add whether the weight is still ours: while stable is replaced it must get nothing (S9)."""
        drift, lost, _ = self._check_route()
        return replace(evidence, drift=drift, lost_lock=lost)

    def resume(self, judge: JudgeLike) -> None:
        """Go on with a judge that looked before, in another process: its time goes on from its last look."""
        self.judge = judge
        if judge.time is not None:
            self.judging_since = self.ports.clock.monotonic() - judge.time

    def _sides(self) -> tuple[SideState | None, SideState | None]:
        cluster, service = self.ports.cluster, self.service
        return (
            read_workload(cluster, service.namespace, service.stable_workload, since=self.replaced),
            read_workload(cluster, service.namespace, service.canary_workload),
        )

    def _check_route(self) -> tuple[Drift | None, str, bool]:
        """Return drift, who took our lock, and whether nobody wrote the route since our last look."""
        route = self.ports.router.read()
        self.route = route
        version, before = route.version, self.version
        self.version = version
        older = is_older(route.fence, self.fence)
        if route.fence not in (self.fence, None) and not older:
            return None, f"the route carries the fence {route.fence}: another driver took over", False
        if route.missing:  # whoever deleted it cannot be overruled by writing weights
            return Drift(route.writer, None), "", False
        # Nobody takes over with a lower number: it was read, or put back, as it was before we came.
        if route.fence is None or older or route.share != self.expected or not route.uniform:
            return Drift(route.writer, route.share), "", False
        return None, "", version == before

    def _read_source(self, targets: tuple[SideTarget, ...]) -> Snapshot:
        try:
            return self.ports.metrics.read(targets)
        except GitlabMeshError as error:
            return Snapshot(problems=(error.what,))

    def _judge(
        self, increments: Increments, stable: SideState | None, canary: SideState | None, *, clean: bool
    ) -> Judgement | None:
        sides = {Side.STABLE: increments.stable, Side.CANARY: increments.canary}
        judgement = None
        comparable = self.expected is None or self.expected < 1  # at 100 % there is no stable to compare with
        if self.judge is not None and self.judging_since is not None and comparable:
            health = {Side.STABLE: health_of(stable), Side.CANARY: health_of(canary)}
            empty, refused = Counts(), self.window.refused(self.service.judge)
            look = Look(
                time_seconds=self.ports.clock.monotonic() - self.judging_since,
                stable=increments.stable if clean else empty,
                canary=increments.canary if clean else empty,
                weight=self.expected if clean else None,
                health={side: state for side, state in health.items() if state is not None},
                user=increments.user,
                problems=(*increments.problems, *((refused,) if refused else ())),
                faults=increments.faults,
            )
            judgement = self.judge.look(look)
            self.samples.append(self._writer.render(look))
        self.timeline.refused = self.window.refusals.total
        self.timeline.look(self._elapsed(), sides, judgement)
        return judgement

    def _contradicts(self) -> bool | None:
        if self.route is not None and self.route.pending:
            return True
        return self.window.contradicts(self.expected)

    def _elapsed(self) -> float:
        return self.ports.clock.monotonic() - self.started
