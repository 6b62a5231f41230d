"""Playing one schedule: a release with its faults, the jobs that follow, whoever else drives, and the job that ends it.

By the time of the last job everything outside works again; what it leaves is compared with what was there before.
The same schedule gives the same result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gitlab_mesh.core.record import Driver
from gitlab_mesh.testing.simulation.driver import DriverRun
from gitlab_mesh.testing.simulation.end import check_end, find, waits
from gitlab_mesh.testing.simulation.kinds import PlannedFault
from gitlab_mesh.testing.simulation.oracles import Violation
from gitlab_mesh.testing.simulation.scene import Scene
from gitlab_mesh.testing.simulation.schedule import IMAGE, Schedule
from gitlab_mesh.testing.simulation.views import RECORD, record_of

__all__ = ["Outcome", "Simulation"]

_STAGES: Mapping[str, tuple[str, str]] = {
    "canary": ("canary", "1000"),
    "continue": ("canary", "1002"),
    "promote": ("promote", "1003"),
    "previous": ("rollback", "1004"),
    "again": ("canary", "1200"),
}
"""First part of its boundaries → the job's name in the product, and its id in GitLab."""


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


class Simulation(Scene):
    """One schedule, being played."""

    def play(self) -> Outcome:
        """Play the schedule to its end."""
        schedule = self.schedule
        last = self._stage("canary", schedule.faults)
        for stage in schedule.later:
            if not self._follows(stage, last):
                break
            self.stage.pass_to(self.stage.now + (60.0 if schedule.frozen == "soon" else 5.0))
            if stage == "deploy-stable":
                self.world.deploy_stable(f"{IMAGE}:{schedule.tag}")
            elif stage == "other":  # a release of another image in between; faults that never struck may strike now
                left = tuple(self.runs[0].injector.planned)
                last = self.launch("canary", "canary", Driver("102", "1100"), self.release("good-3"), left)
                self.stage.run()
            else:
                last = self._stage(stage, schedule.ending_faults)
        self.world.calm_down()
        self.world.ending = True
        self.stage.pass_to(self.stage.now + schedule.delay)
        last = self._end_all()
        self.stage.pass_to(self.stage.now + 10.0)
        self.look_around()
        return self._outcome(check_end(self.oracles, self.model, last))

    def _stage(self, stage: str, faults: tuple[PlannedFault, ...]) -> DriverRun:
        job, number = _STAGES[stage]
        options = self.release(self.schedule.tag)
        options |= {"continue": True} if stage == "continue" else {}
        if stage in ("promote", "previous"):
            options = {"to_previous": True} if stage == "previous" else {}
        run = self.launch(stage, job, Driver("103" if stage == "again" else "100", number), options, faults)
        self.stage.run()
        return run

    def _follows(self, stage: str, last: DriverRun) -> bool:
        """Whether a pipeline would come to this job."""
        if stage in ("continue", "deploy-stable", "promote"):
            return waits(self.model)
        outcome = record_of(find(self.model, "ConfigMap", RECORD)).get("outcome")
        return last.exit_code == 0 and (stage in ("other", "again") or outcome == "promoted")

    def _end_all(self) -> DriverRun:
        """End it as the schedule says, and once more with nothing in the way."""
        schedule = self.schedule
        self._end(schedule.ending, schedule.ending_faults)
        if any(fault.boundary.startswith("end:") for fault in schedule.ending_faults):
            self.world.calm_down()
            self.stage.pass_to(self.stage.now + 20.0)
        # Nets leave alone what waits by plan; a person ends it.
        job = "rollback" if schedule.ending == "after-script" or waits(self.model) else schedule.ending
        last = self._end(job, ())
        if last.exit_code == 23 and self.stage.now - self.model.traffic.last_canary < schedule.lag + 1.0:
            self.stage.pass_to(self.stage.now + schedule.lag)  # proxies lagged: it was kept, and a person comes back
            last = self._end(job, ())
        if last.exit_code == 23 and self.oracles.alike:  # a person looked at the proxies and says so
            last = self._end("rollback", (), proxies_follow=True)
        return last

    def _end(self, job: str, faults: tuple[PlannedFault, ...], **said: bool) -> DriverRun:
        net = job in ("after-script", "recover")
        waited, drivers = net and waits(self.model), len(self.runs) + 1
        options = {"after-script": {"if_unfinished": True}, "recover": {"expired": True}}.get(job, {}) | said
        driver = Driver("100", "1000") if job == "after-script" else Driver("", "")
        run = self.launch("end", job, driver, options, faults)
        self.stage.run()
        if waited and len(self.runs) == drivers and not waits(self.model):
            self.oracles.violate("S2", f"{run.name} ended a rollout that waits by plan")
        return run

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
