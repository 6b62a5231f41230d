"""One process of the simulation: a job with its ports, its faults, and what the oracles remember about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gitlab_mesh.adapters.kubernetes.lock import LeaseLock
from gitlab_mesh.adapters.kubernetes.routers import build_router
from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.metrics.counts import Side, SideTarget, Snapshot
from gitlab_mesh.core.record import Driver
from gitlab_mesh.testing.ports import ModelPorts, RecordingDeployments, RecordingNotes
from gitlab_mesh.testing.shop import ShopModel
from gitlab_mesh.testing.simulation.door import FaultyCluster
from gitlab_mesh.testing.simulation.faults import Injector
from gitlab_mesh.testing.simulation.metrics import FaultyMetrics
from gitlab_mesh.testing.simulation.script import Script, Word
from gitlab_mesh.testing.simulation.stage import Actor, StageClock

__all__ = ["DriverRun", "SimulationPorts"]

T = TypeVar("T")


@dataclass
class DriverRun:
    """A driver as the oracles see it.

    Attributes:
        name: For messages.
        job: canary, rollback, recover, after-script.
        driver: Its identity.
        injector: Its faults.
        script: Its judge.
        actor: Its process.
        fence: The fence that it wrote last.
        superseded: Name of the driver that took over from it.
        last_weight: What it wrote last.
        phase: That it wrote into the record last.
        image: What it releases, "" for a job that ends a rollout.
        hotfix: It is an emergency.
        reads: When it read counts, and how many requests the canary had had by then.
        sound_reads: When it read counts that nothing had spoiled.
        waits: Calls to GitLab that it waited for while its canary had a weight.
        word: The judge's last word, and the last one before it wrote all of the traffic to the canary.
    """

    name: str
    job: str
    driver: Driver
    injector: Injector
    script: Script
    clock: StageClock
    actor: Actor | None = None
    fence: str | None = None
    superseded: str = ""
    last_weight: float | None = None
    weight_since: float = 0.0
    word: Word | None = None
    promotion_word: Word | None = None
    renewed: float = -1e9
    paused_at_renewal: float = 0.0
    reads: list[tuple[float, int]] = field(default_factory=list)
    phase: str = ""
    image: str = ""
    hotfix: bool = False
    sound_reads: list[float] = field(default_factory=list)
    waits: list[tuple[float, str]] = field(default_factory=list)
    exit_code: int | None = None
    killed: bool = False

    @property
    def holder(self) -> str:
        """Its identity in the Lease."""
        return self.driver.holder

    @property
    def paused(self) -> float:
        """Seconds that it stood still so far."""
        return self.actor.paused if self.actor is not None else 0.0

    def lease_age(self, now: float) -> float:
        """Seconds since it renewed its lease, without those that it stood still."""
        return now - self.renewed - (self.paused - self.paused_at_renewal)

    def wrote_weight(self, share: float, now: float) -> None:
        """It wrote this weight."""
        if share == 1.0 and (self.last_weight or 0.0) < 1.0:
            self.promotion_word = self.word
        self.last_weight, self.weight_since = share, now

    def carry_on(self, before: DriverRun, now: float) -> None:
        """It took a rollout over: what the judge said before the promotion still stands, the rest must be said anew."""
        self.last_weight, self.weight_since = before.last_weight, now
        self.promotion_word = before.promotion_word

    def counted_since(self, requests: float) -> float | None:
        """Beginning of the time that so many requests of the canary, given to the judge after a read, surely took.

        None: there is no earlier read, so they were never counted.
        """
        before = self.reads[:-1]
        found = (time for time, served in reversed(before) if self.reads[-1][1] - served >= requests)
        return next(found, before[0][0] if before else None)

    def stale_since(self, time: float) -> bool:
        """Whether it was shown an old object since then."""
        return self.injector.stale_at >= time


class _TimedMetrics:
    """Notes when the driver read the counts."""

    def __init__(self, inner: FaultyMetrics, run: DriverRun, served: Mapping[Side, int]) -> None:
        self._inner = inner
        self._served = served
        self._run = run

    def check(self, targets: Sequence[SideTarget]) -> None:
        self._inner.check(targets)

    def read(self, targets: Sequence[SideTarget]) -> Snapshot:
        self._run.reads.append((self._run.clock.monotonic(), self._served[Side.CANARY]))
        snapshot = self._inner.read(targets)
        if self._inner.sound:
            self._run.sound_reads.append(self._run.clock.monotonic())
        return snapshot


class SimulationPorts(ModelPorts):
    """``ServicePorts`` of one driver.

    Args:
        model: The world.
        service: Its settings.
        run: Whose ports these are.
        cluster: With faults.
        metrics: With faults.
        gitlab: Called at each call to GitLab; returns why it could not be done, or "".
    """

    def __init__(
        self,
        model: ShopModel,
        service: ServiceConfig,
        run: DriverRun,
        cluster: FaultyCluster,
        metrics: FaultyMetrics,
        gitlab: Callable[[DriverRun, str], str],
    ) -> None:
        super().__init__(model, service, driver=run.driver, cluster=cluster)  # type: ignore[arg-type]
        self._made_of = (model, run, cluster, metrics, gitlab)
        self.clock: Any = run.clock
        self.router = build_router(cluster, service, run.clock)
        self.lock = LeaseLock(
            cluster, service.name, service.namespace, duration_seconds=service.rollout.lease, clock=run.clock
        )
        self.metrics = _TimedMetrics(metrics, run, model.traffic.served)
        self.signal: Any = _Signal(run.injector)
        self.notes: Any = _Notes(run, gitlab)
        self.deployments: Any = _Deployments(run, gitlab)

    def for_service(self, service: ServiceConfig) -> SimulationPorts:
        """Return ports with other settings on the same world."""
        model, run, cluster, metrics, gitlab = self._made_of
        return SimulationPorts(model, service, run, cluster, metrics, gitlab)


class _Signal:
    def __init__(self, injector: Injector) -> None:
        self._injector = injector

    def __call__(self) -> int:
        return self._injector.signal

    def abortable(self, work: Callable[[], T]) -> T | None:
        return work()


class _Notes(RecordingNotes):
    def __init__(self, run: DriverRun, gitlab: Callable[[DriverRun, str], str]) -> None:
        super().__init__()
        self._run, self._gitlab = run, gitlab

    def post(self, *arguments: Any, **options: Any) -> str:
        problem = self._gitlab(self._run, "note")
        return problem or super().post(*arguments, **options)


class _Deployments(RecordingDeployments):
    def __init__(self, run: DriverRun, gitlab: Callable[[DriverRun, str], str]) -> None:
        super().__init__()
        self._run, self._gitlab = run, gitlab

    def record(self, *arguments: Any, **options: Any) -> str:
        problem = self._gitlab(self._run, "deployment")
        return problem or super().record(*arguments, **options)
