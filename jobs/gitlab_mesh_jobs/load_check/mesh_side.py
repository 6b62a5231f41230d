"""Reading what the mesh counts on the canary's side, before and after the load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gitlab_mesh.core.load.canary_side import CanarySide, judge_canary
from gitlab_mesh.core.load.sections import wrap_verdicts
from gitlab_mesh.core.load.settings import LoadConfig
from gitlab_mesh.core.load.thresholds import Threshold
from gitlab_mesh.core.metrics.arithmetic import EMPTY, increment, merge
from gitlab_mesh.core.metrics.counts import Counts, Side, SideTarget, Snapshot
from gitlab_mesh.core.report.model import VerdictSection
from gitlab_mesh.driver.release import targets_of
from gitlab_mesh.driver.workloads import read_workload
from gitlab_mesh.errors import ConfigError, GitlabMeshError, ObjectMissingError, UsageError
from gitlab_mesh.job import ServicePorts
from gitlab_mesh.ports import MetricSource

__all__ = ["MeshSide"]

_POLL_SECONDS = 1.0


class MeshSide:
    """The counters of one run.

    Args:
        ports: Of the job.
        config: ``load`` of the service.
        thresholds: Of the canary's side.

    Raises:
        UsageError: The job is about no service.
    """

    def __init__(self, ports: ServicePorts, config: LoadConfig, thresholds: Sequence[Threshold]) -> None:
        if not ports.service.name:
            raise UsageError("load-check: the mesh's side needs a service", hint="name one with --service")
        self._ports = ports
        self._config = config
        self._thresholds = thresholds
        self._views = {name: _Counters(source) for name, source in _sources(ports).items()}

    def begin(self) -> None:
        """Read the counters before the load.

        Raises:
            ObjectMissingError: There is no canary.
            GitlabMeshError: The counters cannot be read.
        """
        targets = self._targets()
        if all(target.side is not Side.CANARY for target in targets):
            service = self._ports.service
            raise ObjectMissingError(
                f"Deployment {service.namespace}/{service.canary_workload} does not exist: there is no canary to load",
                hint="run load-check while the canary runs, or set load: {mesh: {canary: off}} in mesh.yaml",
            )
        for view in self._views.values():
            view.begin(targets)

    def end(self) -> VerdictSection:
        """Wait until the counters are complete, and judge what they say."""
        clock = self._ports.clock
        deadline = clock.monotonic() + self._config.mesh.settle
        targets = self._targets()
        while True:
            for view in self._views.values():
                view.read(targets)
            missing = [view.problem for view in self._views.values() if view.problem]
            if not missing or clock.monotonic() >= deadline or self._ports.signal():
                break
            self._ports.console.progress(f"waiting for the mesh's counters: {missing[0]}")
            clock.sleep(_POLL_SECONDS)
        sender, receiver = self._views.get("source"), self._views.get("destination")
        views = [view for view in (sender, receiver) if view is not None]
        side = CanarySide(
            sender=sender.served(Side.CANARY) if sender else None,
            receiver=receiver.served(Side.CANARY) if receiver else None,
            stable_requests=max((view.served(Side.STABLE).requests for view in views), default=0),
            unplaced=sender.unplaced() if sender else EMPTY,
            share=self._share(),
            problem=missing[0] if missing else "",
        )
        return wrap_verdicts(
            "The canary's side, by the mesh", judge_canary(side, self._thresholds), ("Limit", "Counted")
        )

    def _targets(self) -> tuple[SideTarget, ...]:
        service, cluster = self._ports.service, self._ports.cluster
        stable = read_workload(cluster, service.namespace, service.stable_workload)
        canary = read_workload(cluster, service.namespace, service.canary_workload)
        return targets_of(service, None, stable, canary)

    def _share(self) -> float | None:
        """The canary's weight, to explain why nothing arrived; nothing depends on it."""
        try:
            return self._ports.router.read().share
        except GitlabMeshError:
            return None


def _sources(ports: ServicePorts) -> dict[str, MetricSource]:
    """Return both views: the sender's where a gateway is known, the receiver's always."""
    found = {}
    for reporter in ("source", "destination"):
        service = replace(ports.service, metrics=replace(ports.service.metrics, reporter=reporter))
        try:
            found[reporter] = ports.for_service(service).metrics
        except ConfigError:
            if reporter == "destination":
                raise
    return found


class _Counters:
    """What one source counts, by side and pod, since the load began."""

    def __init__(self, source: MetricSource) -> None:
        self._source = source
        self._before: dict[tuple[Side, str], Counts] = {}
        self._now: dict[tuple[Side, str], Counts] = {}
        self._unplaced_before: dict[str, Counts] = {}
        self._unplaced: dict[str, Counts] = {}
        self._since: float | None = None
        self.problem = ""

    def begin(self, targets: tuple[SideTarget, ...]) -> None:
        snapshot = self._source.read(targets)
        self._before = _by_pod(snapshot)
        self._unplaced_before = self._unplaced = dict(snapshot.unplaced)

    def read(self, targets: tuple[SideTarget, ...]) -> None:
        """Read once more; ``problem`` says why the counts are not complete yet."""
        try:
            snapshot = self._source.read(targets)
        except GitlabMeshError as error:
            self.problem = error.what
            return
        if self._since is None:
            times = [sample.time_seconds for sample in snapshot.samples]
            self._since = max(times, default=None) if snapshot.time_seconds is None else snapshot.time_seconds
        self._now.update(_by_pod(snapshot))
        self._unplaced = {**self._unplaced, **snapshot.unplaced}
        self.problem = self._find_problem(snapshot)

    def _find_problem(self, snapshot: Snapshot) -> str:
        if snapshot.problems:
            return snapshot.problems[0]
        since = self._since
        late = [sample.pod for sample in snapshot.samples if since is not None and sample.time_seconds < since]
        if late:
            return f"{late[0]} has no sample from after the load yet"
        for side in Side:
            counts = self.served(side)
            if counts.latency is not None and sum(counts.latency.counts) < counts.requests:
                return f"the latencies of {side} are not complete yet"
        return ""

    def served(self, side: Side) -> Counts:
        """Return what a side served since ``begin``; a pod that is new began at 0."""
        total = EMPTY
        for (its_side, pod), now in self._now.items():
            if its_side is side:
                added = increment(self._before.get((side, pod), EMPTY), now)
                total = merge(total, added or EMPTY)
        return total

    def unplaced(self) -> Counts:
        """Return what the senders refused since ``begin`` without a pod."""
        total = EMPTY
        for pod, now in self._unplaced.items():
            total = merge(total, increment(self._unplaced_before.get(pod, EMPTY), now) or EMPTY)
        return total


def _by_pod(snapshot: Snapshot) -> dict[tuple[Side, str], Counts]:
    return {(sample.side, sample.pod): sample.counts for sample in snapshot.samples}
