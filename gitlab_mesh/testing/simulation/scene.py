"""The scene of one schedule: a world with its clock, and processes that run the real jobs in it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.core.record import Driver
from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh.job import Job, JobResult
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.clock import FakeClock
from gitlab_mesh.testing.lean import LeanCluster
from gitlab_mesh.testing.shop import ShopModel, shop_objects
from gitlab_mesh.testing.shop_pods import TAGS, ModelBehaviour
from gitlab_mesh.testing.simulation.door import FaultyCluster
from gitlab_mesh.testing.simulation.driver import DriverRun, SimulationPorts
from gitlab_mesh.testing.simulation.end import check_exit
from gitlab_mesh.testing.simulation.faults import Injector
from gitlab_mesh.testing.simulation.kinds import PlannedFault
from gitlab_mesh.testing.simulation.metrics import FaultyMetrics
from gitlab_mesh.testing.simulation.oracles import Oracles
from gitlab_mesh.testing.simulation.schedule import IMAGE, Schedule, objects_of, service_of
from gitlab_mesh.testing.simulation.script import Script
from gitlab_mesh.testing.simulation.stage import EPOCH, Killed, Stage, StageClock
from gitlab_mesh.testing.simulation.story import Story
from gitlab_mesh.testing.simulation.views import Shadow, image_of
from gitlab_mesh.testing.simulation.world import ShopWorld
from gitlab_mesh.testing.simulation.write_oracles import check_write
from gitlab_mesh_jobs import JOBS

__all__ = ["Scene"]

BEHAVIOURS: Mapping[str, ModelBehaviour] = {
    **TAGS,
    "breaks-in-stable": ModelBehaviour(never_as_stable=True),
    "broken": ModelBehaviour(error_ratio=0.6),
}
_JOBS: Mapping[str, Job] = {job.name: job for job in JOBS}
REPLICAS = 3


class _WorldClock(FakeClock):
    """The cluster's clock: the stage's, never wrong."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(EPOCH)
        self._stage = stage

    def monotonic(self) -> float:
        return self._stage.now

    def now(self) -> Any:
        self._elapsed = self._stage.now
        return super().now()

    def advance(self, seconds: float) -> None:
        self._stage.now += seconds


@dataclass
class Scene:
    """What one schedule is played on.

    Attributes:
        schedule: It.
        story: Told while it is played; None: nobody listens.
        beside: Above 0 while something is done beside the driver, not by it.
    """

    schedule: Schedule
    story: Story | None = None
    stage: Stage = field(init=False)
    model: ShopModel = field(init=False)
    oracles: Oracles = field(init=False)
    world: ShopWorld = field(init=False)
    runs: list[DriverRun] = field(default_factory=list)
    beside: int = 0

    def __post_init__(self) -> None:
        schedule = self.schedule
        self.stage = Stage(self._pass, random.Random(schedule.seed))
        self.service = service_of(schedule)
        clock = _WorldClock(self.stage)
        self.model = ShopModel(
            objects_of(schedule),
            rate=schedule.rate,
            seed=schedule.seed,
            tags=BEHAVIOURS,
            cluster=self._make_cluster(clock),
            clock=clock,
            lag=schedule.lag,
            latency=schedule.real_judge,
            bypass=schedule.bypass,
        )
        self.metrics = FaultyMetrics(self.model.metrics, self.stage)
        rollout = self.service.rollout
        self.oracles = Oracles(
            self._make_shadow(),
            {f"{IMAGE}:{schedule.stable}"},
            REPLICAS,
            rollout.look_interval,
            rollout.drain,
            rollout.lease,
            rollout.steps[-1].weight / 100,
            schedule.lag,
            user_images={f"{IMAGE}:{schedule.stable}"},
            frozen=schedule.frozen == "now",
            never_stable=schedule.stable == "never-ready",
        )
        self.oracles.alike = schedule.bypass > 0 and (schedule.budget or schedule.both)
        if schedule.first:  # requests find nobody before the first release, and after it was taken back
            self.oracles.excused.append((None, 0.0, float("inf")))
        if schedule.stable == "never-ready":  # until somebody brings the remedy
            self.oracles.excused.append((Side.STABLE, 0.0, float("inf")))
        self.world = ShopWorld(
            self.stage, self.model, self.metrics, self.oracles, self._start_other, schedule.routes, schedule.kind
        )
        self._observe()

    def _make_shadow(self) -> Shadow:
        shadow = Shadow()
        shadow.edit("Deployment", None)
        for body in objects_of(self.schedule):
            if body["kind"] != "Service" or self.schedule.http_route:
                kind, name = body["kind"], body["metadata"]["name"]
                shadow.edit(kind, self.model.cluster.get(kind, "shop", name), name)
        return shadow

    def _make_cluster(self, clock: FakeClock) -> Any:
        lean = LeanCluster(now=clock.now)
        lean.store.pod_proxy = self._answer_pod
        return lean

    def _observe(self) -> None:
        self.model.cluster.store.observers.append(self._wrote)

    def door(self, run: DriverRun) -> FaultyCluster:
        """The driver's way to the cluster."""
        return FaultyCluster(self.model.cluster.as_actor("gitlab-mesh"), run.injector)

    # Time and writes

    def _pass(self, seconds: float) -> None:
        self.model._pass(seconds)
        if self.schedule.autoscaled:
            self.world.autoscale()
        self.look_around()
        traffic = self.model.traffic
        for time, side, count in traffic.losses:
            self.oracles.lost(time, side, count)
        traffic.losses.clear()

    def look_around(self) -> None:
        """Let the oracles see what is there now."""
        oracles, workloads = self.oracles, self.model.workloads
        oracles.now = self.stage.now
        oracles.last_canary = self.model.traffic.last_canary
        oracles.ready_canaries = len(workloads.ready(Side.CANARY))
        stables = workloads.ready(Side.STABLE)
        oracles.ready_stables = len(stables)
        deployments = self.model.cluster.peek("Deployment", "shop")
        image = next((image_of(body) for body in deployments if body["metadata"]["name"] == "shop"), None)
        oracles.whole_stables = sum(pod.image == image for pod in stables)

    def _answer_pod(self, namespace: str, pod: str, port: int, path: str) -> tuple[int, Mapping[str, str], bytes]:
        found = self.model.workloads.pods.get(pod)
        if found is None or not found.ready:
            raise ConnectionRefusedError("connection refused")
        return 200, {}, b"ok"

    def _wrote(self, before: Object | None, after: Object | None) -> None:
        if before is not None:
            self.world.remember(before)
        body = after if after is not None else before
        if body is None or body["kind"] in ("Pod", "ReplicaSet", "EndpointSlice"):
            return
        self.look_around()
        driver = None if self.world.foreign else self.current()
        if self.story is not None and (driver is not None or self.world.foreign):
            self.story.wrote(self.stage.now, before, after, driver)
        check_write(self.oracles, before, after, driver)

    def current(self) -> DriverRun | None:
        """The driver whose turn it is."""
        actor = self.stage.current
        return next((run for run in self.runs if run.actor is actor), None) if actor is not None else None

    # Drivers

    def launch(
        self,
        stage: str,
        job: str,
        driver: Driver,
        options: Mapping[str, Any],
        faults: tuple[PlannedFault, ...] = (),
        *,
        delay: float = 0.0,
    ) -> DriverRun:
        """Start a process.

        Args:
            stage: First part of its boundaries.
            job: Name of the job.
            driver: Its identity.
            options: Of the job.
            faults: Those of its boundaries are its.
            delay: Seconds until it begins.
        """
        name = f"{job if stage in ('canary', 'end') else stage} {driver.holder} #{len(self.runs) + 1}"
        clock = StageClock(self.stage)
        mine = [fault for fault in faults if fault.boundary.startswith(f"{stage}:") or not fault.boundary]
        injector = Injector(self.stage, self.world, clock, stage, mine, race=self.schedule.race)
        script = Script(reject_at=self.schedule.reject_at, silent=self.schedule.silent, alone=self.schedule.hotfix)
        run = DriverRun(name, job, driver, injector, script, clock, image=str(options.get("image") or ""))
        run.hotfix = bool(options.get("hotfix"))
        ports = SimulationPorts(self.model, self.service, run, self.door(run), self.metrics, self._gitlab)
        run.actor = self.stage.spawn(name, lambda: self._live(run, ports, dict(options)), delay=delay)
        self.runs.append(run)
        if self.story is not None:
            self.story.listen(self.stage, run, ports.console)
        return run

    def _live(self, run: DriverRun, ports: SimulationPorts, options: dict[str, Any]) -> None:
        try:
            found = _JOBS["rollback" if run.job == "after-script" else run.job]
            result: JobResult = found.run(ports, options)
            run.exit_code = result.exit_code
        except Killed:
            run.killed = True
        except GitlabMeshError as error:
            run.exit_code = error.exit_code
        except Exception as error:
            run.exit_code = 1
            self.oracles.violate("S2", f"{run.name} ended with a bug: {type(error).__name__}: {error}")
        self.look_around()
        if not run.killed:
            check_exit(self.oracles, self.model, run)

    def _gitlab(self, run: DriverRun, what: str) -> str:
        if not self.beside:
            self.look_around()
            self.oracles.told_gitlab(run, what)
        return "GitLab answers 502" if self.world.gitlab_down else ""

    def _start_other(self, kind: str) -> None:
        delay = self.stage.draw.choice((0.0, 0.0, 1.0, 5.0))
        match kind:
            case "second-pipeline":
                self.launch("canary", "canary", Driver("101", "1101"), self.release("good-3"), delay=delay)
            case "same-job-again":
                self.launch("canary", "canary", Driver("100", "1001"), self.release(self.schedule.tag), delay=delay)
            case "after-script":
                self.launch("end", kind, Driver("100", "1000"), {"if_unfinished": True}, delay=delay)
            case _:
                self.launch("end", "rollback", Driver(), {}, delay=delay)

    def release(self, tag: str) -> dict[str, Any]:
        """Options of a release of this tag."""
        if not self.schedule.first:
            hotfix = self.schedule.hotfix and tag == self.schedule.tag
            return {"image": f"{IMAGE}:{tag}"} | ({"hotfix": "orders are lost"} if hotfix else {})
        return {"manifest": next(body for body in shop_objects(image=f"{IMAGE}:{tag}") if body["kind"] == "Deployment")}
