"""A metric source that goes wrong in the ways that real ones do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gitlab_mesh.core.metrics.counts import Counts, PodSample, Side, SideTarget, Snapshot
from gitlab_mesh.errors import TransientError
from gitlab_mesh.ports import MetricSource
from gitlab_mesh.testing.simulation.stage import Stage

__all__ = ["FaultyMetrics"]


class FaultyMetrics:
    """Port ``MetricSource`` in front of another: dead, stale, NaN or two series for a while.

    Args:
        inner: Answers while all is well.
        stage: For the time.

    Attributes:
        sound: Whether the last reading showed what was there.
        one_sided: One side is gone for good, or nobody knows whose counts to read: no reading is evidence any more.
    """

    def __init__(self, inner: MetricSource, stage: Stage) -> None:
        self._inner = inner
        self._stage = stage
        self._until: dict[str, float] = {}
        self._last: Snapshot | None = None
        self.sound = False
        self.one_sided = False

    def fail(self, kind: str, until: float) -> None:
        """Go wrong until then: dead, stale, nan, two-series."""
        self._until[kind] = max(until, self._until.get(kind, until))
        if kind == "stale":
            self._last = None

    def mend(self) -> None:
        """Work again."""
        self._until.clear()

    def check(self, targets: Sequence[SideTarget]) -> None:
        """Fail while dead."""
        if self._is("dead"):
            raise TransientError("the metric source does not answer")
        self._inner.check(targets)

    def read(self, targets: Sequence[SideTarget]) -> Snapshot:
        """Read, or go wrong."""
        self.sound = not (self.one_sided or self._is("dead") or self._is("nan") or self._is("two-series"))
        if self._is("dead"):
            raise TransientError("the metric source does not answer")
        snapshot = self._inner.read(targets)
        if self._is("stale"):
            self.sound = self.sound and self._last is None  # the first one that is repeated was true
            self._last = self._last or snapshot
            return replace(self._last, time_seconds=snapshot.time_seconds)
        if self._is("nan"):
            return replace(snapshot, samples=tuple(_not_a_number(sample) for sample in snapshot.samples))
        if not self._is("two-series"):
            return snapshot
        twice = (sample for sample in snapshot.samples if sample.side is Side.CANARY)
        return replace(snapshot, samples=(*snapshot.samples, *(_another(sample) for sample in twice)))

    def _is(self, kind: str) -> bool:
        return self._stage.now < self._until.get(kind, -1.0)


def _not_a_number(sample: PodSample) -> PodSample:
    counts = Counts(float("nan"), {"5xx": float("nan")})  # type: ignore[arg-type, dict-item]
    return replace(sample, counts=counts)


def _another(sample: PodSample) -> PodSample:
    """A second series of the same pod that says something else."""
    return replace(sample, counts=Counts(sample.counts.requests * 3 + 7, {}))
