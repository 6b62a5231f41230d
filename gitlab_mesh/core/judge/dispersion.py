"""How much more the split of bad requests between the sides varies than independent requests would.

Errors come in clusters, pods pause for garbage collection: then counts vary more than the model says, on one side
alone. The factor found here divides all log gains (``Capital.look(temper=...)``), which keeps them fair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gitlab_mesh.core.judge.betting import Arms

__all__ = ["Dispersion"]

_PRIOR = 3.0
_MEMORY = 0.9
_BINS = 6
"""Looks that wait are kept in so many sums at most: memory stays constant however short the looks are."""


class Dispersion:
    """Pearson dispersion of the split around its own running ratio, from looks older than a lag.

    The lag lets a sudden onset be judged at full power: only what was already noisy before counts as noise.

    Args:
        lag_looks: How many looks must pass before one counts, at least 1.
    """

    __slots__ = ("_canary", "_expected", "_filled", "_lag", "_squares", "_variance", "_waiting", "_width")

    def __init__(self, lag_looks: int) -> None:
        self._width = max(1, -(-lag_looks // _BINS))
        self._lag = max(1, lag_looks // self._width)
        self._filled = 0
        self._squares = self._variance = 0.0
        self._canary = self._expected = 0.0
        self._waiting: deque[tuple[float, float]] = deque()

    @property
    def factor(self) -> float:
        """The dispersion, at least 1; near 1 while little is known."""
        return max(1.0, (_PRIOR + self._squares) / (_PRIOR + self._variance))

    def look(self, arms: Arms) -> float:
        """Return the factor for this look (from the past alone), then learn from it."""
        factor = self.factor
        if arms.canary_n <= 0 or arms.stable_n <= 0:
            return factor
        self._canary = _MEMORY * self._canary + arms.canary_bad
        self._expected = _MEMORY * self._expected + arms.stable_bad * arms.canary_n / arms.stable_n
        share = (self._canary + 0.5) / (self._expected + 0.5) * arms.canary_n
        share /= share + arms.stable_n
        bad = arms.canary_bad + arms.stable_bad
        square, variance = (arms.canary_bad - bad * share) ** 2, bad * share * (1.0 - share)
        if self._filled:
            last = self._waiting.pop()
            square, variance = square + last[0], variance + last[1]
        self._waiting.append((square, variance))
        self._filled = (self._filled + 1) % self._width
        if len(self._waiting) > self._lag:
            square, variance = self._waiting.popleft()
            self._squares += square
            self._variance += variance
        return factor

    def dump(self) -> list[float]:
        """Return the state as numbers."""
        flat = [number for pair in self._waiting for number in pair]
        return [self._squares, self._variance, self._canary, self._expected, float(self._filled), *flat]

    def load(self, numbers: Sequence[float]) -> None:
        """Take over a state that ``dump`` returned."""
        self._squares, self._variance, self._canary, self._expected, filled = numbers[:5]
        self._filled = int(filled)
        rest = numbers[5:]
        self._waiting = deque(zip(rest[::2], rest[1::2], strict=True))
