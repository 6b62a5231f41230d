"""Whole rollouts on a simulated clock, with faults at every boundary and oracles that watch from outside.

``run_schedule`` plays one schedule: a canary job with its faults, whatever other drivers the faults bring, and at a
random later time the job that ends it (by then the API works again). It returns what happened and every promise
that was broken; the same schedule gives the same result.
"""

from __future__ import annotations

import copy
import math
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.core.judge.judge import Judge
from gitlab_mesh.core.judge.model import Judgement, Look
from gitlab_mesh.core.mesh.route import FENCE_ANNOTATION
from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.rollout import Action, Evidence, RolloutState
from gitlab_mesh.driver.actions import Actions
from gitlab_mesh.errors import GitlabMeshError, ObjectMissingError
from gitlab_mesh.job import Job, JobResult
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.clock import FakeClock
from gitlab_mesh.testing.console import Said
from gitlab_mesh.testing.lean import LeanCluster
from gitlab_mesh.testing.shop import ShopModel, shop_objects
from gitlab_mesh.testing.shop_pods import TAGS, ModelBehaviour
from gitlab_mesh.testing.simulation_driver import DriverRun, SimulationPorts
from gitlab_mesh.testing.simulation_end import check_end, check_exit
from gitlab_mesh.testing.simulation_faults import FaultyCluster, Injector, PlannedFault
from gitlab_mesh.testing.simulation_metrics import FaultyMetrics
from gitlab_mesh.testing.simulation_oracles import Oracles, Shadow, Violation, fence_of, record_of, share_of
from gitlab_mesh.testing.simulation_schedule import SHAPES, Schedule, service_of
from gitlab_mesh.testing.simulation_script import Script, Word
from gitlab_mesh.testing.simulation_stage import EPOCH, Killed, Stage, StageClock
from gitlab_mesh_jobs import JOBS

__all__ = ["Outcome", "Simulation", "catalogue", "run_schedule", "tell_schedule"]

IMAGE = "registry.example/shop"
BEHAVIOURS: Mapping[str, ModelBehaviour] = {
    **TAGS,
    "breaks-in-stable": ModelBehaviour(never_as_stable=True),
}
_JOBS: Mapping[str, Job] = {job.name: job for job in JOBS}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one schedule came to.

    Attributes:
        schedule: It.
        violations: Broken promises.
        faults: Boundary and kind of each fault that struck.
        boundaries: Calls at each boundary of all drivers.
        exits: Job → exit code ("killed" for none), in their order.
        end: Word for the end state.
        seconds: Simulated.
    """

    schedule: Schedule
    violations: tuple[Violation, ...]
    faults: tuple[tuple[str, str], ...]
    boundaries: Mapping[str, int]
    exits: tuple[tuple[str, str], ...]
    end: str
    seconds: float


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
class Simulation:
    """One schedule, being played."""

    schedule: Schedule
    stage: Stage = field(init=False)
    model: ShopModel = field(init=False)
    metrics: FaultyMetrics = field(init=False)
    oracles: Oracles = field(init=False)
    runs: list[DriverRun] = field(default_factory=list)
    foreign: bool = False
    gitlab_down: bool = False
    ending: bool = False
    story: list[str] = field(default_factory=list)
    told: bool = False
    _before: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    _gitops_until: float = -math.inf

    def __post_init__(self) -> None:
        schedule = self.schedule
        draw = random.Random(schedule.seed)
        self.stage = Stage(self._pass, draw)
        self.service = service_of(schedule)
        clock = _WorldClock(self.stage)
        objects = _objects(schedule)
        self.model = ShopModel(
            objects,
            rate=schedule.rate,
            seed=schedule.seed,
            tags=BEHAVIOURS,
            cluster=self._make_cluster(clock),
            clock=clock,
            lag=schedule.lag,
            latency=schedule.real_judge,
        )
        self.metrics = FaultyMetrics(self.model.metrics, self.stage)
        rollout = self.service.rollout
        shadow = Shadow()
        for body in objects:
            if body["kind"] in ("VirtualService", "DestinationRule", "Deployment"):
                shadow.edit(body["kind"], self.model.cluster.get(body["kind"], "shop", "shop"))
        self.oracles = Oracles(
            shadow,
            {f"{IMAGE}:good"},
            3,
            rollout.look_interval,
            rollout.drain,
            rollout.lease,
            lag=schedule.lag,
            first_image=f"{IMAGE}:good",
        )
        self._user = self.model.cluster.as_actor("kustomize-controller")
        self._observe()

    def _make_cluster(self, clock: FakeClock) -> Any:
        lean = LeanCluster(now=clock.now)
        lean.store.pod_proxy = self._answer_pod
        return lean

    def _observe(self) -> None:
        self.model.cluster.store.observers.append(self._wrote)

    def door(self, run: DriverRun) -> FaultyCluster:
        """The driver's way to the cluster."""
        return FaultyCluster(self.model.cluster.as_actor("gitlab-mesh"), run.injector)

    # Time

    def _pass(self, seconds: float) -> None:
        self.model._pass(seconds)
        self._look_around()
        traffic = self.model.traffic
        for time, side, count in traffic.losses:
            self.oracles.lost(time, side, count)
        traffic.losses.clear()

    def _look_around(self) -> None:
        oracles = self.oracles
        oracles.now = self.stage.now
        oracles.last_canary = self.model.traffic.last_canary
        oracles.ready_canaries = len(self.model.workloads.ready(Side.CANARY))
        stables = self.model.workloads.ready(Side.STABLE)
        oracles.ready_stables = len(stables)
        image = next(
            (
                body["spec"]["template"]["spec"]["containers"][0].get("image")
                for body in self.model.cluster.peek("Deployment", "shop")
                if body["metadata"]["name"] == "shop"
            ),
            None,
        )
        oracles.whole_stables = sum(pod.image == image for pod in stables)

    def _answer_pod(self, namespace: str, pod: str, port: int, path: str) -> tuple[int, Mapping[str, str], bytes]:
        found = self.model.workloads.pods.get(pod)
        if found is None or not found.ready:
            raise ConnectionRefusedError("connection refused")
        return 200, {}, b"ok"

    # Writes

    def _wrote(self, before: Object | None, after: Object | None) -> None:
        body = after if after is not None else before
        if body is None:
            return
        if before is not None:
            meta = body["metadata"]
            self._before[body["kind"], meta.get("namespace", ""), meta["name"]] = before
        if body["kind"] in ("Pod", "ReplicaSet"):
            return
        self._look_around()
        driver = None if self.foreign else self._current()
        if self.told:
            self._tell(before, after, driver)
        self.oracles.wrote(before, after, driver)

    def _tell(self, before: Object | None, after: Object | None, driver: DriverRun | None) -> None:
        body = after if after is not None else before
        if body is None or (driver is None and not self.foreign):
            return
        who = driver.name if driver else "somebody else"
        done = "deletes" if after is None else "creates" if before is None else "writes"
        record = record_of(after) if body["kind"] == "ConfigMap" else {}
        detail: dict[str, Any] = {key: record[key] for key in ("phase", "weight", "outcome", "fence") if key in record}
        if body["kind"] == "VirtualService":
            detail = {"share": share_of(after), "fence": fence_of(after)}
        elif body["kind"] == "Lease":
            detail = {"holder": ((after or {}).get("spec") or {}).get("holderIdentity")}
        elif body["kind"] == "Deployment" and after is not None:
            detail = {"replicas": after["spec"].get("replicas")}
        self.story.append(f"{self.stage.now:8.1f}  {who} {done} {body['kind']} {body['metadata']['name']} {detail}")

    def before_version(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return the object as it was before its last change."""
        return copy.deepcopy(self._before.get((kind, namespace, name)))

    def _current(self) -> DriverRun | None:
        actor = self.stage.current
        return next((run for run in self.runs if run.actor is actor), None) if actor is not None else None

    # Drivers

    def launch(
        self, job: str, driver: Driver, options: Mapping[str, Any], faults: tuple[PlannedFault, ...] = (), **when: float
    ) -> DriverRun:
        """Start a process."""
        name = f"{job} {driver.holder} #{len(self.runs) + 1}"
        kind = job if job == "canary" else "end"
        injector = Injector(self.stage, self, kind, list(faults), race=self.schedule.race)
        script = Script(reject_at=self.schedule.reject_at, silent=self.schedule.silent)
        run = DriverRun(name, job, driver, injector, script, StageClock(self.stage))
        ports = SimulationPorts(self.model, self.service, run, self.door(run), self.metrics, self._gitlab)
        run.actor = self.stage.spawn(name, lambda: self._live(run, ports, dict(options)), **when)
        self.runs.append(run)
        if self.told:
            injector.tell = lambda text: self.story.append(f"{self.stage.now:8.1f}  {name}: {text}")
            ports.console.said = _Telling(injector.tell)
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
        self._look_around()
        if not run.killed:
            check_exit(self.oracles, self.model, run)

    def _gitlab(self, run: DriverRun, what: str) -> str:
        actor = run.actor
        if actor is not None and threading.current_thread() is actor.thread:
            self._look_around()
            self.oracles.told_gitlab(run, what)
        return "GitLab answers 502" if self.gitlab_down else ""

    # Faults of the world

    def disturb(self, kind: str, seconds: float, injector: Injector) -> None:
        """Let something happen to the world, now."""
        if self.ending and kind not in ("gitlab-down", "clock-jump", "foreign-fields") and not kind.startswith("metr"):
            seconds = min(seconds, 5.0)
        until = self.stage.now + seconds
        match kind:
            case "second-pipeline" | "person-rollback" | "same-job-again" | "after-script":
                self._start_other(kind)
            case "clock-jump":
                for run in self.runs:
                    if run.injector is injector:
                        run.clock.offset += self.stage.draw.choice((-600.0, 600.0))
            case "stable-dies":
                self._down("shop", Side.STABLE, min(seconds, 60.0))
            case "canary-flaps":
                self._down("shop-canary", Side.CANARY, min(seconds, 60.0))
            case "pods-stuck":
                self.model.workloads.stuck_until = until
            case "gitlab-down":
                self.gitlab_down = True
            case "gitops":
                self._gitops_until = self.stage.now + min(seconds, 60.0)
                self._gitops()
            case _:
                if kind.startswith("metrics-"):
                    self.metrics.fail(kind.removeprefix("metrics-"), until)
                    self.oracles.metric_troubles.append((self.stage.now, until + 2.0))
                else:
                    self._as_foreigner(kind)

    def _down(self, deployment: str, side: Side, seconds: float) -> None:
        until = self.stage.now + seconds
        self.model.workloads.down_until[deployment] = until
        self.oracles.excused.append((side, self.stage.now, until))
        # The destination counts nothing for pods that are not ready.
        self.oracles.blind.append((self.stage.now, until))
        self.model.workloads.control()

    def _gitops(self) -> None:
        if self.stage.now < self._gitops_until:
            self._as_foreigner("foreign-weight")
            self.stage.at(self.stage.now + 3.0, self._gitops)

    def _start_other(self, kind: str) -> None:
        delay = self.stage.draw.choice((0.0, 0.0, 1.0, 5.0))
        if kind == "second-pipeline":
            self.launch("canary", Driver("101", "1101"), {"image": f"{IMAGE}:good-3"}, delay=delay)
        elif kind == "same-job-again":
            tag = self.schedule.tag
            self.launch("canary", Driver("100", "1001"), {"image": f"{IMAGE}:{tag}"}, delay=delay)
        elif kind == "after-script":
            self.launch("after-script", Driver("100", "1000"), {"if_unfinished": True}, delay=delay)
        else:
            self.launch("rollback", Driver(), {}, delay=delay)

    def _as_foreigner(self, kind: str) -> None:
        self.foreign = True
        try:
            self._edit(kind)
        except ObjectMissingError:
            return
        finally:
            self.foreign = False

    def _edit(self, kind: str) -> None:
        user, shadow, now = self._user, self.oracles.shadow, self.stage.now
        never = (None, now, math.inf)
        match kind:
            case "delete-virtualservice":
                user.delete("VirtualService", "shop", "shop")
                shadow.objects["VirtualService", "shop"] = None
                self.oracles.excused.append(never)
                self.oracles.metric_troubles.append((now, math.inf))  # whose counts to read came from the route
            case "delete-destinationrule":
                user.delete("DestinationRule", "shop", "shop")
                shadow.objects["DestinationRule", "shop"] = None
            case "delete-canary":
                user.delete("Deployment", "shop", "shop-canary")
                self.oracles.excused.append((Side.CANARY, now, math.inf))
            case "delete-stable":
                user.delete("Deployment", "shop", "shop")
                self.oracles.metric_troubles.append((now, math.inf))  # one side alone is no comparison
                shadow.objects["Deployment", "shop"] = None
                self.oracles.excused.append((Side.STABLE, now, math.inf))
            case "delete-record":
                user.delete("ConfigMap", "shop", "gitlab-mesh-shop")
            case "delete-lease":
                user.delete("Lease", "shop", "gitlab-mesh-shop")
            case _:
                self._edit_route(kind)

    def _edit_route(self, kind: str) -> None:
        live = self._user.get("VirtualService", "shop", "shop")
        wanted = self.oracles.shadow.objects["VirtualService", "shop"]
        meta = live["metadata"]
        if kind == "foreign-weight":
            live["spec"] = copy.deepcopy(wanted["spec"])
        elif kind == "foreign-spec":
            live["spec"] = copy.deepcopy(wanted["spec"])
            for key in ("labels", "annotations"):
                meta.pop(key, None)
                if wanted[key] is not None:
                    meta[key] = dict(wanted[key])
        elif kind == "foreign-annotation":
            annotations = meta.get("annotations") or {}
            annotations.pop(FENCE_ANNOTATION, None)
            if not annotations and wanted["annotations"] is None:
                meta.pop("annotations", None)
        else:
            number = self.stage.draw.randrange(1000)
            for view, annotations in ((live["spec"], meta), (wanted["spec"], wanted)):
                view["http"][-1]["timeout"] = f"{number}s"
                annotations["labels"] = {**(annotations.get("labels") or {}), "edited": str(number)}
            if number % 2:
                front = {"name": f"front-{number}", "route": [{"destination": {"host": "front"}}]}
                for view in (live["spec"], wanted["spec"]):
                    view["http"].insert(0, copy.deepcopy(front))
        self._user.update(live)

    # The whole

    def play(self) -> Outcome:
        """Play the schedule to its end."""
        schedule = self.schedule
        self.launch("canary", Driver("100", "1000"), {"image": f"{IMAGE}:{schedule.tag}"}, schedule.faults)
        self.stage.run()
        self._calm_down()
        self.ending = True
        self.stage.pass_to(self.stage.now + schedule.delay)
        self._end(schedule.ending, schedule.ending_faults)
        if schedule.ending_faults:
            self._calm_down()
            self.stage.pass_to(self.stage.now + 20.0)
        job = "rollback" if schedule.ending == "after-script" else schedule.ending
        last = self._end(job, ())
        if last.exit_code == 23 and self.stage.now - self.model.traffic.last_canary < schedule.lag + 1.0:
            self.stage.pass_to(self.stage.now + schedule.lag)  # proxies lagged: it was kept, and a person comes back
            last = self._end(job, ())
        self.stage.pass_to(self.stage.now + 10.0)
        self._look_around()
        end = check_end(self.oracles, self.model, last)
        return self._outcome(end)

    def _end(self, job: str, faults: tuple[PlannedFault, ...]) -> DriverRun:
        if job == "recover" and "recover" not in _JOBS:
            job = "rollback"
        same = job == "after-script"
        options = {"if_unfinished": True} if same else {"expired": True} if job == "recover" else {}
        driver = Driver("100", "1000") if same else Driver("", "")
        run = self.launch(job, driver, options, faults)
        self.stage.run()
        return run

    def _calm_down(self) -> None:
        """By now everything outside works again."""
        now = self.stage.now
        self.gitlab_down, self._gitops_until = False, -math.inf
        self.metrics.mend()
        self.oracles.metric_troubles = [
            (start, end if end == math.inf else min(end, now + 2.0)) for start, end in self.oracles.metric_troubles
        ]
        self.oracles.excused = [
            (side, start, end if end == math.inf else min(end, now)) for side, start, end in self.oracles.excused
        ]
        self.model.workloads.stuck_until = -math.inf
        self.model.workloads.down_until.clear()

    def _outcome(self, end: str) -> Outcome:
        for actor in self.stage.overrun:
            self.oracles.violate("S8", f"{actor.name} runs on and on")
        boundaries: dict[str, int] = {}
        for run in self.runs:
            for boundary, count in run.injector.seen.items():
                boundaries[boundary] = boundaries.get(boundary, 0) + count
        return Outcome(
            self.schedule,
            tuple(self.oracles.violations),
            tuple(hit for run in self.runs for hit in run.injector.happened),
            boundaries,
            tuple((run.job, "killed" if run.killed else str(run.exit_code)) for run in self.runs),
            end,
            self.stage.now,
        )


def _objects(schedule: Schedule) -> list[Object]:
    objects = shop_objects()
    for body in objects:
        if body["kind"] == "VirtualService" and not schedule.annotated:
            body["metadata"].pop("annotations")
        if body["kind"] == "DestinationRule" and schedule.subset:
            body["spec"]["subsets"].append({"name": "canary", "labels": {"version": "canary"}})
    return objects


_PLAYING: list[Simulation] = []


@contextmanager
def _probes(simulation: Simulation) -> Iterator[None]:
    """Let the simulation hear the judge's words and the names of actions; nothing else is touched."""
    _PLAYING.append(simulation)
    if len(_PLAYING) > 1:
        raise AssertionError("one simulation at a time")
    perform, look = Actions.perform, Judge.look
    Actions.perform = _perform_probe(perform)  # type: ignore[method-assign]
    Judge.look = _look_probe(look)  # type: ignore[method-assign]
    try:
        yield
    finally:
        Actions.perform, Judge.look = perform, look  # type: ignore[method-assign]
        _PLAYING.pop()


def _perform_probe(perform: Callable[..., Evidence]) -> Any:
    def probed(self: Actions, action: Action, state: RolloutState, evidence: Evidence) -> Evidence:
        run = _PLAYING[0]._current()
        if run is not None:
            run.injector.action = action.verb.value
        return perform(self, action, state, evidence)

    return probed


def _look_probe(real: Callable[[Judge, Look], Judgement]) -> Any:
    def probed(self: Judge, look: Look) -> Judgement:
        simulation = _PLAYING[0]
        run = simulation._current()
        if run is None:
            return real(self, look)
        judgement = real(self, look) if simulation.schedule.real_judge else run.script.look(look)
        requests = float(look.canary.requests)
        simulation._look_around()
        simulation.oracles.judged(run, requests)
        run.word = Word(
            simulation.stage.now,
            look.weight,
            requests,
            judgement.raise_gate.open,
            judgement.promote_gate.open,
            judgement.rejected,
        )
        return judgement

    return probed


def catalogue() -> tuple[dict[str, list[str]], dict[str, int]]:
    """Return the boundaries of each shape in the order of their first call, and how often each is met there."""
    boundaries: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    for name, schedule in SHAPES.items():
        outcome = run_schedule(schedule)
        boundaries[name] = list(outcome.boundaries)
        for boundary, count in outcome.boundaries.items():
            counts.setdefault(boundary, count)
    return boundaries, counts


def run_schedule(schedule: Schedule, *, kind: type[Simulation] = Simulation) -> Outcome:
    """Play one schedule."""
    simulation = kind(schedule)
    with _probes(simulation):
        return simulation.play()


def tell_schedule(schedule: Schedule) -> tuple[Outcome, list[str]]:
    """Play one schedule and return its story, too: writes, faults and what the drivers said, in order."""
    simulation = Simulation(schedule, told=True)
    with _probes(simulation):
        outcome = simulation.play()
    return outcome, simulation.story


class _Telling(list[Said]):
    """What a console says goes into the story."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell

    def append(self, entry: Said) -> None:
        if entry.kind == "line":
            self._tell(f"  says: {entry.text}")
