"""When bytes arrived: the moment at which the system handed them over, not the moment at which we got to them.

After a stall hundreds of answers come at once. Each waits until those before it are read, and that wait is ours, not
the target's. All events of one ``select`` had arrived when it returned, so that moment is closer to the truth, and
never too early by more than the target's own time.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["run_stamped"]

T = TypeVar("T")


class _StampedSelector(selectors.DefaultSelector):
    """Remembers when ``select`` last returned."""

    def __init__(self) -> None:
        super().__init__()
        self.returned = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(timeout)
        self.returned = time.monotonic()
        return ready


def run_stamped(work: Callable[[Callable[[], float]], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a loop of its own; it gets a function that tells when the events of this turn had arrived."""
    selector = _StampedSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        return runner.run(work(lambda: selector.returned))
