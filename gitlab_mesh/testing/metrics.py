"""A metric source that serves what a test says: live counters, or a script of readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gitlab_mesh.core.metrics.arithmetic import EMPTY, merge
from gitlab_mesh.core.metrics.counts import Counts, Histogram, PodSample, Side, SideTarget, Snapshot, UserSample
from gitlab_mesh.errors import GitlabMeshError

__all__ = ["ScriptedMetrics", "Step"]

Step = Snapshot | GitlabMeshError | Callable[[Sequence[SideTarget]], Snapshot]
"""One reading of a script: an answer, an error to raise, or a function of the targets."""


class ScriptedMetrics:
    """Fake of ``MetricSource``.

    Without a script each ``read`` shows the cumulative counters that ``serve`` and ``restart`` made, as a proxy
    would; ``queue`` puts readings before them, one each. It keeps to the port's rules: only counters of pods that
    the targets list (all of them where a target lists none), samples stamped with the source's clock.

    Args:
        now: The source's clock, Unix seconds (a fake clock's ``lambda: clock.monotonic()`` does).
        check_error: What ``check`` raises.
    """

    def __init__(self, now: Callable[[], float], *, check_error: GitlabMeshError | None = None) -> None:
        self.now = now
        self.check_error = check_error
        self.user: dict[tuple[str, Side | None], float] = {}
        self.reads: list[tuple[SideTarget, ...]] = []
        self._counters: dict[tuple[Side, str], Counts] = {}
        self._frozen: dict[str, float] = {}
        self._silent: dict[str, str] = {}
        self._queue: list[Step] = []

    def serve(
        self,
        side: Side,
        pod: str,
        requests: int,
        *,
        errors: Mapping[str, int] | None = None,
        latency: Histogram | None = None,
    ) -> None:
        """Count requests served by a pod; the first call (also with 0) makes its counter appear."""
        served = Counts(requests, dict(errors or {}), latency)
        self._counters[side, pod] = merge(self._counters.get((side, pod), EMPTY), served)

    def restart(self, side: Side, pod: str) -> None:
        """Set a pod's counter back to 0, as a restarted proxy does."""
        self._counters[side, pod] = EMPTY

    def remove(self, side: Side, pod: str) -> None:
        """Take a pod away."""
        self._counters.pop((side, pod), None)

    def silence(self, pod: str, problem: str) -> None:
        """Let a pod not answer any more; ``problem`` says why, empty lets it answer again."""
        self._silent.pop(pod, None)
        if problem:
            self._silent[pod] = problem

    def freeze(self, pod: str, time_seconds: float | None) -> None:
        """Stamp a pod's samples with this time whatever the clock says (a stale scrape); None ends it."""
        self._frozen.pop(pod, None)
        if time_seconds is not None:
            self._frozen[pod] = time_seconds

    def queue(self, *steps: Step) -> None:
        """Let the next readings be these."""
        self._queue.extend(steps)

    def check(self, targets: Sequence[SideTarget]) -> None:
        """Raise ``check_error``, if there is one."""
        if self.check_error is not None:
            raise self.check_error

    def read(self, targets: Sequence[SideTarget]) -> Snapshot:
        """Return the next reading of the script, else the counters."""
        self.reads.append(tuple(targets))
        if self._queue:
            step = self._queue.pop(0)
            if isinstance(step, GitlabMeshError):
                raise step
            return step if isinstance(step, Snapshot) else step(targets)
        now = self.now()
        wanted = {target.side: target.pods for target in targets}
        samples = tuple(
            PodSample(pod, side, self._frozen.get(pod, now), counts)
            for (side, pod), counts in sorted(self._counters.items())
            if side in wanted and pod not in self._silent and (not wanted[side] or pod in wanted[side])
        )
        user = tuple(UserSample(name, side, value, now) for (name, side), value in self.user.items())
        problems = tuple(f"pod {pod}: {problem}" for pod, problem in sorted(self._silent.items()))
        return Snapshot(samples, user, problems, now)
