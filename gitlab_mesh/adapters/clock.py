"""The real clock, whose waits a signal ends early, and the signals themselves."""

from __future__ import annotations

import signal
import threading
import time
from datetime import UTC, datetime
from types import FrameType

__all__ = ["Interrupts", "SystemClock"]


class Interrupts:
    """Remembers the first signal that asks us to end; the run decides what to do about it.

    SIGTERM comes from GitLab's cancel and from timeouts, SIGHUP from a lost terminal. A second signal changes
    nothing: the way back to stable is already under way and must not be cut short.
    """

    def __init__(self) -> None:
        self.number = 0
        self._came = threading.Event()

    def install(self) -> None:
        """Take over SIGTERM, SIGINT and SIGHUP; only in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._handle)

    def __call__(self) -> int:
        """Return the number of the first signal, or 0."""
        return self.number

    def wait(self, seconds: float) -> None:
        """Wait, but no longer than until a signal comes."""
        if self._came.wait(seconds):
            self._came.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.number:
            self.number = number
            self._came.set()


class SystemClock:
    """Port ``Clock`` on the machine's clocks."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def monotonic(self) -> float:
        """Return seconds of a clock that never jumps."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the wall time, aware, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait; a pending signal ends the wait early."""
        self._interrupts.wait(max(0.0, seconds))
