"""What the actions of one run share: ports, ledger, watch, the release, and what they remember between two of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.report.formatting import format_percent
from gitlab_mesh.core.report.model import Tone
from gitlab_mesh.driver.events import EventLog
from gitlab_mesh.driver.ledger import Ledger
from gitlab_mesh.driver.release import Release
from gitlab_mesh.driver.watch import Watch
from gitlab_mesh.job import ServicePorts

__all__ = ["POLL_SECONDS", "Run"]

POLL_SECONDS = 1.0
"""Between two looks at pods that start or end."""

JUDGE_STATE_BYTES = 8 * 1024


@dataclass
class Run:
    """One driver's run.

    Attributes:
        ports: Of the job.
        ledger: Lock and record.
        watch: Evidence.
        release: What is released; None where a rollout found in the cluster is ended.
        doubtful: A weight may still be on its way: its answer never came.
        checkpoint: Monotonic time at which the judge's state was recorded last.
        events: Kubernetes Events on the route.
    """

    ports: ServicePorts
    ledger: Ledger
    watch: Watch
    release: Release | None = None
    doubtful: bool = False
    checkpoint: float = 0.0
    events: EventLog = field(init=False)

    def __post_init__(self) -> None:
        self.events = EventLog(self.ports, self.ledger.record.id)

    def elapsed(self) -> float:
        """Seconds since the run's start."""
        return self.ports.clock.monotonic() - self.watch.started

    def lost_to(self) -> str:
        """Say who owns the rollout now, by fence or record; "" while it is ours."""
        fence = self.ports.router.read().fence
        if fence not in (None, self.ledger.fence):
            return f"the route carries the fence {fence}: another driver took over"
        return self.ledger.taken_by()

    def releasing(self) -> Release:
        """Return what is released."""
        if self.release is None:
            raise AssertionError("the machine chose a release's action for a rollout that only ends")
        return self.release

    def judged(self) -> dict[str, Any]:
        """What the judge knows, for the record: a job that resumes must not spend the error budget twice."""
        judge = self.watch.judge
        if judge is None:
            return {}
        state = dict(judge.dump())
        return {"judge_state": state if len(json.dumps(state)) <= JUDGE_STATE_BYTES else {}}

    def applied(self, route: RouteState, share: float) -> None:
        """A weight of ours is in the route: a new window begins."""
        self.watch.written(route, share)
        if share > 0:
            self.watch.timeline.mark(self.elapsed(), format_percent(share), Tone.NEUTRAL)
