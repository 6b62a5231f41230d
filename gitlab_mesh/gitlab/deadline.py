"""A bound on time that is carried through everything one call does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gitlab_mesh.errors import TransientError

__all__ = ["Deadline"]


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the monotonic clock, with the clock itself.

    Attributes:
        at: Monotonic seconds.
        monotonic: The clock.
        wait: Its sleep, in seconds.
    """

    at: float
    monotonic: Callable[[], float]
    wait: Callable[[float], None]

    def remaining(self) -> float:
        """Return the seconds left, negative once it has passed."""
        return self.at - self.monotonic()

    def require(self) -> float:
        """Return the seconds left; raises TransientError once none are."""
        left = self.remaining()
        if left <= 0:
            raise TransientError("GitLab did not answer in time")
        return left

    def sleep(self, seconds: float) -> None:
        """Sleep, but not past the deadline; raises TransientError where there is no time for the whole sleep."""
        if seconds >= self.require():
            raise TransientError("GitLab did not answer in time")
        self.wait(seconds)
