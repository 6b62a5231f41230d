"""The run in slices of time: what the charts show and what a comparison learns its scatter from; bounded in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from gitlab_mesh.core.load.histogram import COARSE_SHIFT, coarse_limit

__all__ = ["MAX_SLICES", "Slice", "Slices"]

MAX_SLICES = 120
"""When a run has more, two neighbours become one: a long run has longer slices, not more."""


@dataclass(slots=True)
class Slice:
    """Requests that were to leave in one slice.

    Attributes:
        requests: That ended, in an answer or an error.
        errors: Of them, in an error of any class.
        buckets: Coarse bucket → answers (and requests that were given up) with such a time.
    """

    requests: int = 0
    errors: int = 0
    buckets: dict[int, int] = field(default_factory=dict)

    def merge(self, other: Slice) -> None:
        """Add what another one holds."""
        self.requests += other.requests
        self.errors += other.errors
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def quantile(self, share: float) -> float | None:
        """Return the upper limit (seconds) of the bucket in which the quantile lies; None without times."""
        total = sum(self.buckets.values())
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= share * total:
                return coarse_limit(bucket)
        return None


class Slices:
    """Slices of equal width from the first intended send on.

    Attributes:
        width_seconds: Of one slice; it doubles when there are too many.
    """

    __slots__ = ("_slices", "width_seconds")

    def __init__(self, width_seconds: float = 0.25) -> None:
        self.width_seconds = width_seconds
        self._slices: dict[int, Slice] = {}

    def at(self, seconds: float) -> Slice:
        """Return the slice of a moment of the run."""
        index = max(0, int(seconds / self.width_seconds))
        found = self._slices.get(index)
        if found is None:
            while index >= MAX_SLICES:
                self._halve()
                index >>= 1
            found = self._slices.setdefault(index, Slice())
        return found

    def count(self, seconds: float, bucket: int | None, *, error: bool) -> None:
        """Count a request that was to leave at this moment of the run; ``bucket`` of the full histogram, if timed."""
        one = self.at(seconds)
        one.requests += 1
        one.errors += error
        if bucket is not None:
            coarse = bucket >> COARSE_SHIFT
            one.buckets[coarse] = one.buckets.get(coarse, 0) + 1

    def entries(self) -> list[tuple[float, Slice]]:
        """Return (start in seconds, slice), rising; slices without requests are left out."""
        return [(index * self.width_seconds, self._slices[index]) for index in sorted(self._slices)]

    def merge(self, other: Slices) -> None:
        """Add another run's slices; the finer ones are made as wide as the others."""
        while self.width_seconds < other.width_seconds:
            self._halve()
        for start, one in other.entries():
            self.at(start).merge(one)

    def _halve(self) -> None:
        halved: dict[int, Slice] = {}
        for index, one in self._slices.items():
            halved.setdefault(index >> 1, Slice()).merge(one)
        self._slices = halved
        self.width_seconds *= 2

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON values: index → [requests, errors, {coarse bucket: count}]."""
        return {
            "width_seconds": self.width_seconds,
            "slices": {
                str(index): [one.requests, one.errors, {str(b): n for b, n in sorted(one.buckets.items())}]
                for index, one in sorted(self._slices.items())
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` returned.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        slices = cls(float(value["width_seconds"]))
        for index, (requests, errors, buckets) in value["slices"].items():
            if not 0 <= int(index) < MAX_SLICES:
                raise ValueError(f"slice {index}")
            counted = {int(bucket): int(count) for bucket, count in buckets.items()}
            slices._slices[int(index)] = Slice(int(requests), int(errors), counted)
        return slices
