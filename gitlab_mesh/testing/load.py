"""A load generator that measures what a test says, and files that exist in memory only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gitlab_mesh.core.load.plan import LoadPlan
from gitlab_mesh.core.load.result import KindResult, LoadResult
from gitlab_mesh.errors import ObjectMissingError

__all__ = ["MemoryFiles", "ScriptedLoad"]


@dataclass
class ScriptedLoad:
    """Fake of ``LoadGenerator``: every request of the plan is answered in the same time.

    Attributes:
        seconds: That time.
        change: Changes the result before it is returned, or raises.
        plans: What was run.
    """

    seconds: float = 0.02
    change: Callable[[LoadResult], None] = lambda result: None
    plans: list[LoadPlan] = field(default_factory=list)

    def run(
        self, plan: LoadPlan, *, progress: Callable[[LoadResult], None], interrupted: Callable[[], int]
    ) -> LoadResult:
        """Answer all requests at once."""
        self.plans.append(plan)
        profile = plan.profile
        kinds = plan.kinds
        result = LoadResult(profile.mean_rate, target=plan.url)
        for kind in kinds:
            result.kinds[kind.name] = KindResult(kind.name, checks={name: [0, 0] for name in kind.checks.names})
        for number in range(int(profile.arrivals)):
            one = result.kinds[kinds[number % len(kinds)].name]
            bucket = one.latency.record(self.seconds)
            one.requests += 1
            for counts in one.checks.values():
                counts[0] += 1
            result.slices.count(number / profile.mean_rate, bucket, error=False)
        result.sent = result.planned_requests = result.requests
        result.sending_seconds = result.duration_seconds = profile.seconds
        self.change(result)
        progress(result)
        result.interrupted = bool(interrupted())
        return result


@dataclass
class MemoryFiles:
    """Fake of ``Files``."""

    texts: dict[str, str] = field(default_factory=dict)

    def read(self, path: str) -> str:
        """Return a text, or say that it is missing."""
        if path not in self.texts:
            raise ObjectMissingError(f"{path} does not exist")
        return self.texts[path]
