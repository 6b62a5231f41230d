"""Times in buckets of our own: exact to 0.4 %, and two of them add up to the one that a single recorder had had."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from typing import Any, Self

__all__ = ["COARSE_SHIFT", "Histogram", "bucket_of", "coarse_limit", "middle_of"]

_SUB_BITS = 7
_SUB = 1 << _SUB_BITS
_MAX_BITS = 36  # 2**36 µs is 19 hours: more than any run lasts
_SIZE = (_MAX_BITS - _SUB_BITS + 1) << _SUB_BITS

COARSE_SHIFT = 3
"""Eight neighbours make one coarse bucket (16 for each doubling, 3 % off at most): for slices of time."""


class Histogram:
    """Times in buckets: 1 µs wide below 128 µs, above that 128 buckets for each doubling.

    A quantile is at most 0.4 % away from the recorded value. 30 KB, whatever is recorded.
    """

    __slots__ = ("_counts", "count", "maximum_seconds", "total_seconds")

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * _SIZE))
        self.count = 0
        self.total_seconds = 0.0
        self.maximum_seconds = 0.0

    def record(self, seconds: float) -> int:
        """Count one time (seconds; below zero counts as zero) and return its bucket."""
        index = bucket_of(seconds)
        self._counts[index] += 1
        self.count += 1
        self.total_seconds += seconds
        if seconds > self.maximum_seconds:
            self.maximum_seconds = seconds
        return index

    @property
    def mean_seconds(self) -> float:
        """Mean, from the exact times; 0.0 if nothing was recorded."""
        return self.total_seconds / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """Return the time (seconds) that ``share`` (0–1) of the values do not exceed; 0.0 if nothing was recorded."""
        if not self.count:
            return 0.0
        wanted = max(1, min(self.count, math.ceil(share * self.count - 1e-9)))
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return min(middle_of(index), self.maximum_seconds)
        return self.maximum_seconds

    def buckets(self) -> Iterator[tuple[int, int]]:
        """Yield (bucket, count) of the buckets in use, rising."""
        return ((index, count) for index, count in enumerate(self._counts) if count)

    def merge(self, other: Histogram) -> None:
        """Add what another one recorded."""
        for index, count in other.buckets():
            self._counts[index] += count
        self.count += other.count
        self.total_seconds += other.total_seconds
        self.maximum_seconds = max(self.maximum_seconds, other.maximum_seconds)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; only buckets in use are listed."""
        used = {str(index): count for index, count in self.buckets()}
        return {"buckets": used, "total_seconds": self.total_seconds, "maximum_seconds": self.maximum_seconds}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` returned.

        Raises:
            KeyError, TypeError, ValueError, IndexError, OverflowError: It is something else.
        """
        histogram = cls()
        for index, count in value["buckets"].items():
            if int(index) < 0:
                raise IndexError(f"bucket {index}")
            histogram._counts[int(index)] = count
            histogram.count += count
        histogram.total_seconds = float(value["total_seconds"])
        histogram.maximum_seconds = float(value["maximum_seconds"])
        return histogram


def bucket_of(seconds: float) -> int:
    """Return the bucket of a time."""
    micros = int(seconds * 1e6)
    if micros < _SUB:
        return max(micros, 0)
    shift = min(micros, (1 << _MAX_BITS) - 1).bit_length() - 1 - _SUB_BITS
    return min((shift << _SUB_BITS) + (micros >> shift), _SIZE - 1)


def middle_of(index: int) -> float:
    """Return the middle of a bucket in seconds."""
    low, width = _edges(index)
    return (low + width / 2) / 1e6


def coarse_limit(coarse: int) -> float:
    """Return the upper limit of a coarse bucket (``bucket >> COARSE_SHIFT``) in seconds."""
    low, _ = _edges((coarse + 1) << COARSE_SHIFT)
    return low / 1e6


def _edges(index: int) -> tuple[int, int]:
    """Return a bucket's lower edge and width in µs."""
    if index < _SUB:
        return index, 1
    shift = (index >> _SUB_BITS) - 1
    return (index - (shift << _SUB_BITS)) << shift, 1 << shift
