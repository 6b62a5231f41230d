"""Telling people what goes on: log, live note, final report. It only listens; nothing here decides."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.core.report.formatting import format_count, format_percent
from gitlab_mesh.core.report.headline import name_release, say_headline, say_sentence
from gitlab_mesh.core.report.model import Link, LinksSection, Outcome, Report, Section, TextSection
from gitlab_mesh.core.report.renderers import carry_history, render_note
from gitlab_mesh.core.report.review import plan_review
from gitlab_mesh.core.rollout import Action, End, Evidence, Phase, RolloutState, Verb
from gitlab_mesh.driver.feedback import Feedback
from gitlab_mesh.driver.opinion import say_opinion
from gitlab_mesh.driver.outcome import deployment_status
from gitlab_mesh.driver.progress import name_phase, say_progress, say_where
from gitlab_mesh.driver.timeline import Timeline
from gitlab_mesh.job import ServicePorts

__all__ = ["Narrator"]

_TONES = {Outcome.PROMOTED: "good", Outcome.DEPLOYED: "good", Outcome.UNSAFE: "bad", Outcome.REJECTED: "bad"}


@dataclass
class Narrator:
    """Listens to one run.

    Attributes:
        ports: Of the job.
        job: Its name.
        what: What is released, for people (the image).
        timeline: Of the run.
        started: Monotonic time of the run's start.
        rollout: Id of the rollout, once there is one.
        commit: Whose deployment ends here, where another pipeline's is ended.
        hotfix: Why it is a hotfix; "" for an ordinary release.
    """

    ports: ServicePorts
    job: str
    what: str
    timeline: Timeline
    started: float
    rollout: str = ""
    commit: str = ""
    hotfix: str = ""
    feedback: Feedback = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack)
    _shown: str = ""
    _began: str = field(init=False)
    _announced: bool = False
    _objected: bool = False
    _bound_said: bool = False

    def __post_init__(self) -> None:
        self._began = self.ports.clock.now().isoformat(timespec="seconds")
        self.feedback = Feedback(self._publish, self._warn, self.ports.clock.monotonic)

    def section(self, state: RolloutState) -> None:
        """Open the log's section of the current phase or step, closing the one before."""
        if state.phase is Phase.DONE:
            self.close()
            return
        name, title = name_phase(state)
        if name == self._shown:
            return
        self.close()
        self._shown = name
        self.timeline.phase(self.elapsed, name)
        opened: AbstractContextManager[None] = self.ports.console.section(name, title)
        self._stack.enter_context(opened)

    def close(self) -> None:
        """Close the open section of the log."""
        self._stack.close()
        self._stack = ExitStack()
        self._shown = ""

    def after(self, state: RolloutState, action: Action, evidence: Evidence) -> None:
        """Tell what an action did (the executor's ``Progress``)."""
        console = self.ports.console
        match action.verb:
            case Verb.LOOK | Verb.DRAIN | Verb.AWAIT_CANARY | Verb.AWAIT_STABLE | Verb.AWAIT_GONE:
                self._say_once(state)
                stable, canary = (self.timeline.served[side][0] for side in Side)
                now = self.ports.clock.monotonic()
                console.progress(say_progress(state, action, evidence, served=(stable, canary), now=now))
            case Verb.END if action.end is not None:
                console.line(f"{action.end.outcome}: {action.end.reason}", tone=_TONES.get(action.end.outcome, "warn"))
            case Verb.SMOKE if not self.ports.service.smoke:
                console.line("no smoke checks are configured (mesh.yaml: smoke)", tone="warn")
            case Verb.PREFLIGHT | Verb.LOCK | Verb.SMOKE | Verb.PREPARE | Verb.DEPLOY | Verb.CONFIRM:
                console.line(f"{action.verb}: done" + (f" ({action.why})" if action.why else ""), tone="good")
            case Verb.SET_WEIGHT | Verb.REASSERT:
                console.line(f"weight {format_percent(action.share)} written and read back: {action.why}", tone="good")
            case Verb.NEXT_STEP | Verb.BEGIN_WATCH | Verb.BEGIN_PROMOTION:
                judgement = self.timeline.judgement
                console.line(judgement.reason if judgement else action.why, tone="good")
            case Verb.CLOSE | Verb.RELEASE | Verb.FINISH | Verb.END:
                pass
            case _:
                console.line(f"{action.verb}: done" + (f" ({action.why})" if action.why else ""))
        self.section(state)
        # Between a decision to go back and weight 0 nothing but the way back happens.
        if (state.end is None or state.written == 0) and self.feedback.due:
            self._prepare()
            self.feedback.offer(self.report(state, None))

    def _say_once(self, state: RolloutState) -> None:
        """Say once at which latency is compared; a judge that only reports says once what it would have done."""
        if self.timeline.latency_bound and not self._bound_said:
            self._bound_said = True
            self.ports.console.line(f"latency is compared at {self.timeline.latency_bound}")
        if not state.plan.enforce and self.timeline.objection is not None and not self._objected:
            self._objected = True
            self.ports.console.line(say_opinion(self.timeline)[1], tone="warn")

    def conclude(self, report: Report) -> None:
        """Post the final note, then deployment, label and thread.

        Traffic is where it belongs by now, so this may wait for a slow GitLab a little. Label and thread are only
        touched after a note that was written: what forbids one forbids the others, and is said once.
        """
        self._prepare()
        written = self.feedback.finish(report, seconds=15.0)
        ports = self.ports
        if ports.environment:
            self._warn(
                ports.deployments.record(ports.environment, deployment_status(report.outcome), commit=self.commit)
            )
        change = plan_review(report)
        if written and change is not None:
            self._warn(ports.notes.review(ports.service.name, change))

    def _prepare(self) -> None:
        """Have the ports built (and their libraries imported) by this thread, before the feedback's uses them."""
        _ = self.ports.notes, self.ports.deployments

    def _publish(self, report: Report) -> str:
        """Send one state; in the thread of the feedback."""
        ports = self.ports
        if not self._announced and ports.environment and report.outcome is Outcome.RUNNING and self.job == "canary":
            self._announced = True
            self._warn(ports.deployments.record(ports.environment, "running"))
        # A job that ends somebody else's rollout tells the newest fact, from whichever pipeline it was started.
        return ports.notes.post(
            ports.service.name,
            lambda former: render_note(report, carry_history(former, report)),
            explicit=self.job != "canary",
        )

    def _warn(self, problem: str) -> None:
        if problem:
            self.ports.console.line(problem, tone="warn")

    @property
    def elapsed(self) -> float:
        """Seconds since the run's start."""
        return self.ports.clock.monotonic() - self.started

    def report(self, state: RolloutState, end: End | None, *, exit_code: int = 0, next_step: str = "") -> Report:
        """Build the report of now: live while ``end`` is None."""
        service = self.ports.service
        outcome = end.outcome if end else Outcome.RUNNING
        weight = format_percent(state.written)
        facts = {
            "image": self.what,
            "hotfix": self.hotfix,
            "phase": state.phase.value if end is None else "",
            "canary weight": weight,
            "rollout": self.rollout,
            "driver": self.ports.driver.holder,
        }
        stable, canary = (self.timeline.served[side] for side in Side)
        if canary[0] or stable[0]:
            facts["served by the canary"] = f"{format_count(canary[0])} requests, {format_count(canary[1])} failed"
        if self.timeline.latency_bound:
            facts["latency is compared at"] = self.timeline.latency_bound
        if self.timeline.refused:
            facts["refused before a pod was chosen"] = f"{format_count(self.timeline.refused)} requests, of either side"
        sections: list[Section] = list(self.timeline.sections(self.elapsed))
        links = [Link(label, url) for label, url in service.links.items()]
        if end is not None and self.ports.report_url:
            links.insert(0, Link("Report", self.ports.report_url))
        if self.ports.driver.url:
            links.insert(0, Link("Job log", self.ports.driver.url))
        if links:
            sections.append(LinksSection(tuple(links)))
        dotenv = {}
        if service.judge.mode == "dry-run" and self.job == "canary":
            opinion, said = say_opinion(self.timeline)
            sections.insert(0, TextSection("Judge", f"The judge only reports here (judge: {{mode: dry-run}}). {said}"))
            dotenv["MESH_JUDGE"] = opinion
        return Report(
            job=self.job,
            service=service.name,
            namespace=service.namespace,
            outcome=outcome,
            headline=say_headline(outcome, name_release(service.name, self.what), self.elapsed, state.written),
            reason=self._reason(state, end),
            next_step=next_step,
            exit_code=exit_code,
            started=self._began,
            duration_seconds=self.elapsed,
            facts={key: value for key, value in facts.items() if value},
            sections=tuple(sections),
            dotenv={
                "MESH_SERVICE": service.name,
                "MESH_OUTCOME": outcome.value,
                "MESH_PHASE": state.phase.value,
                "MESH_WEIGHT": f"{state.written * 100:g}",
                "MESH_IMAGE": self.what,
                "MESH_ROLLOUT": self.rollout,
                **dotenv,
            },
        )

    def _reason(self, state: RolloutState, end: End | None) -> str:
        """Say why it ended, or what is going on and what is still missing."""
        if end is not None:
            return say_sentence(end.reason)
        return say_sentence(say_where(state, self.timeline.judgement, self.ports.clock.monotonic()))
