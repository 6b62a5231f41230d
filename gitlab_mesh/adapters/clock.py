"""The real clock, whose waits a signal ends early, and the signals themselves."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import TypeVar

__all__ = ["Interrupts", "SystemClock"]


T = TypeVar("T")


class _Aborted(BaseException):
    """A signal came during abortable work; no library catches it on the way."""


class Interrupts:
    """Remembers the first signal that asks us to end; the run decides what to do about it.

    SIGTERM comes from GitLab's cancel and from timeouts, SIGHUP from a lost terminal. A second signal changes
    nothing: the way back to stable is already under way and must not be cut short.
    """

    def __init__(self) -> None:
        self.number = 0
        self._came = threading.Event()
        self._abortable = False

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

    def abortable(self, work: Callable[[], T]) -> T | None:
        """Do work that only reads; the first signal ends it at once, also in the middle of a read that hangs.

        The handler runs in the main thread and raises out of the blocked system call (PEP 475), so only work of the
        main thread can be aborted; in another thread it is simply done.
        """
        if threading.current_thread() is not threading.main_thread():
            return work()
        try:
            try:
                self._abortable = True
                return None if self.number else work()
            finally:
                self._abortable = False
        except _Aborted:
            return None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.number:
            self.number = number
            self._came.set()
            if self._abortable:
                self._abortable = False
                raise _Aborted


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
