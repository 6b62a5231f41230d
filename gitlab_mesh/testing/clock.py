"""A clock that tests move."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = ["FakeClock"]

_START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """Port ``Clock`` without waiting: ``sleep`` moves the time on.

    Args:
        start: Wall time at the beginning.
        on_sleep: Called after each sleep with its seconds: lets the world go on while the code under test waits.
    """

    def __init__(self, start: datetime = _START, *, on_sleep: Callable[[float], None] | None = None) -> None:
        self._start = start
        self._elapsed = 0.0
        self.on_sleep = on_sleep
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        """Return the seconds that went by since the beginning."""
        return self._elapsed

    def now(self) -> datetime:
        """Return the wall time."""
        return self._start + timedelta(seconds=self._elapsed)

    def sleep(self, seconds: float) -> None:
        """Move the time on and remember the wait."""
        self.sleeps.append(seconds)
        self.advance(max(seconds, 0.0))
        if self.on_sleep is not None:
            self.on_sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Move the time on without anybody having waited."""
        if seconds < 0:
            raise ValueError("time never goes back")
        self._elapsed += seconds
