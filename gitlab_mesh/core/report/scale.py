"""Scales for charts: round axes, and long series thinned out without losing a peak."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

__all__ = ["is_drawable", "list_time_ticks", "list_value_ticks", "thin_out"]

_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)

_LARGEST = 1e12

Point = tuple[float, float]


def is_drawable(*numbers: float) -> bool:
    """Return whether all of them can be places on a scale: no NaN, no infinity, nothing absurd."""
    return all(-_LARGEST <= number <= _LARGEST for number in numbers)


def list_value_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return ticks at round values, about ``count`` steps, that enclose ``low`` and ``high`` (low <= high)."""
    if high - low <= max(1e-9, abs(low) * 1e-9):
        high = low + (abs(low) if abs(low) > 1e-9 else 1.0)
    raw = (high - low) / count
    power = 10.0 ** floor(log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def list_time_ticks(end: float, count: int = 6) -> list[float]:
    """Return ticks from 0 s at steps that people count in (…, 10 s, 15 s, 30 s, 1 min, 2 min, …), within ``end``."""
    step = next((step for step in _TIME_STEPS if end / step <= count), None)
    if step is None:
        step = ceil(end / count / 86400) * 86400
    return [float(step * index) for index in range(floor(end / step + 1e-9) + 1)]


def thin_out(points: Sequence[Point], limit: int) -> list[Point]:
    """Return at most ``limit`` (even, >= 4) drawable points: the lowest and the highest of each stretch are kept."""
    drawable = [point for point in points if is_drawable(*point)]
    if len(drawable) <= limit:
        return drawable
    size = ceil(len(drawable) / (limit // 2))
    kept: list[Point] = []
    for start in range(0, len(drawable), size):
        stretch = drawable[start : start + size]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept.extend(sorted(ends))
    return kept
