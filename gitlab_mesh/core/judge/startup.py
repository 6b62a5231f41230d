"""The start-up of a canary: a cold start is forgiven, an outage is not, and no second is blind.

Until it ends the question is another one: does the canary fail more than any cold start does? Then everything starts
anew, but the bets stay where the start-up taught them to be (``Capital.restart``).
"""

from __future__ import annotations

from collections.abc import Sequence

from gitlab_mesh.core.judge.betting import Arms
from gitlab_mesh.core.judge.limit import OUTAGE, Limit
from gitlab_mesh.core.judge.settings import JudgeSettings

__all__ = ["Startup"]

_ALLOWANCE = 2.0
_HASTE_GUARDS = 3.0
_NOT_YET = -1.0


class Startup:
    """Where the start-up is, and the evidence for an outage in it.

    Attributes:
        begun: When the canary got its first user; None before.
        running: It is not over.
        log_evidence: Log of the evidence for an outage.
        hasty_until: Until then a breach needs two looks only: what the start-up showed counts as persistence.
    """

    __slots__ = ("_bad", "_limit", "_settings", "begun", "hasty_until", "log_evidence", "running")

    def __init__(self, settings: JudgeSettings) -> None:
        self._settings = settings
        tolerated = settings.startup_error_ratio
        beyond = {share: weight for share, weight in OUTAGE.items() if share > tolerated}
        self._limit = Limit(tolerated, beyond)
        self._bad = 0.0
        self.begun: float | None = None
        self.running = True
        self.log_evidence = 0.0
        self.hasty_until = _NOT_YET

    def look(self, arms: Arms, log_worse: float, cap: float) -> None:
        """Learn from one look.

        Args:
            arms: Counts of errors.
            log_worse: Log of the capital of the comparison with stable: an outage of both sides is nobody's fault.
            cap: Log of the most that this look may multiply the evidence by.
        """
        self._bad += arms.canary_bad
        self.log_evidence = min(self._limit.look(arms.canary_n, arms.canary_bad, cap), log_worse)

    def ends(self, start: float) -> bool:
        """Whether a look that began at ``start`` is the first after the start-up: by time, or by what it cost."""
        if not self.running or self.begun is None:
            return False
        over = start >= self.begun + self._settings.startup_seconds - 1e-6
        return over or self._bad > _ALLOWANCE * self._settings.bad_request_budget

    def finish(self, start: float, *, suspicious: bool) -> None:
        """End it; evidence that did not suffice is thrown away (always fair), or it would block promotion for ever."""
        self.running = False
        self.log_evidence = min(self.log_evidence, 0.0)
        if suspicious:
            self.hasty_until = start + _HASTE_GUARDS * self._settings.guard_seconds

    def dump(self) -> list[float]:
        """Return the state as numbers."""
        begun = [0.0, 0.0] if self.begun is None else [1.0, self.begun]
        return [*begun, float(self.running), self._bad, self.log_evidence, self.hasty_until, *self._limit.dump()]

    def load(self, numbers: Sequence[float]) -> None:
        """Take over a state that ``dump`` returned."""
        known, begun, running, self._bad, self.log_evidence, self.hasty_until = numbers[:6]
        self.begun = begun if known else None
        self.running = bool(running)
        self._limit.load(numbers[6:])
