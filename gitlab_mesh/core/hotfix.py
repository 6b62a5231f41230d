"""The judge of a hotfix: stable is broken, so nothing is compared with it; absolute limits and readiness hold."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any, Self

from gitlab_mesh.core.judge.model import Gate, Importance, Judgement, Look, Verdict, VerdictKind
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.errors import UsageError

__all__ = ["HotfixJudge"]

_Z = 2.33
"""One-sided 99 %: a limit counts as broken when the lower end of the interval is above it."""


class HotfixJudge:
    """Decides from the canary's own counts: fewer errors than the absolute limit, pods that run.

    The limit is ``judge.max_error_ratio``, or without one ``judge.startup_error_ratio`` (an outage). No data opens no
    gate here either (S7).

    Args:
        settings: The policy.
    """

    def __init__(self, settings: JudgeSettings) -> None:
        self.settings = settings
        self.limit = settings.max_error_ratio or settings.startup_error_ratio
        self.time: float | None = None
        self.requests = 0
        self.errors = 0
        self.weight = 0.0
        self.at_weight = 0

    def look(self, look: Look) -> Judgement:
        """Take one look and say what is known."""
        self.time = look.time_seconds
        if look.weight is not None and look.weight > 0:
            if look.weight != self.weight:
                self.weight, self.at_weight = look.weight, 0
            self.requests += look.canary.requests
            self.at_weight += look.canary.requests
            self.errors += sum(look.canary.errors.values())
        canary = look.health.get(Side.CANARY)
        verdict = self._verdict(look)
        crash = ""
        if canary is not None and (canary.reason or canary.restarts > self.settings.max_restarts):
            crash = canary.reason or f"the canary's containers restarted {canary.restarts} times"
        rejected = bool(crash) or verdict.kind is VerdictKind.BREACH
        reason = crash or verdict.reason
        enough = verdict.kind is VerdictKind.PASS and self.at_weight >= self.settings.min_requests and not crash
        return Judgement((verdict,), Gate(enough, reason), Gate(enough, reason), rejected, reason)

    def _verdict(self, look: Look) -> Verdict:
        n, bad = self.requests, self.errors
        if n == 0:
            why = "; ".join(look.problems) or "the canary has served no request yet"
            return Verdict("errors (absolute)", VerdictKind.NO_DATA, Importance.CRITICAL, reason=why)
        ratio = bad / n
        low = _lower_end(bad, n)
        said = f"hotfix: canary errors {ratio:.2%} of {n} requests, limit {self.limit:.2%}"
        kind = VerdictKind.UNDECIDED
        if low > self.limit and n >= self.settings.min_requests:
            kind = VerdictKind.BREACH
        elif ratio <= self.limit and n >= self.settings.min_requests:
            kind = VerdictKind.PASS
        return Verdict("errors (absolute)", kind, Importance.CRITICAL, canary=ratio, canary_n=n, low=low, reason=said)

    @property
    def standing(self) -> None:
        """Nothing is compared, so no weight can follow the comparison."""
        return

    def dump(self) -> dict[str, Any]:
        """Return the whole state as JSON."""
        return {
            "kind": "hotfix",
            "time": self.time,
            "counts": [self.requests, self.errors, self.at_weight],
            "weight": self.weight,
        }

    @classmethod
    def load(cls, settings: JudgeSettings, state: Mapping[str, Any]) -> Self:
        """Build a judge that decides as the one whose ``dump`` this is.

        Raises:
            UsageError: The state is another judge's.
        """
        if state.get("kind") != "hotfix":
            raise UsageError("the judge's saved state is not that of a hotfix", hint="start the release again")
        judge = cls(settings)
        judge.time, judge.weight = state["time"], float(state["weight"])
        judge.requests, judge.errors, judge.at_weight = (int(count) for count in state["counts"])
        return judge


def _lower_end(bad: int, n: int) -> float:
    """Lower end of Wilson's score interval."""
    ratio, square = bad / n, _Z * _Z
    centre = ratio + square / (2 * n)
    spread = _Z * sqrt(ratio * (1 - ratio) / n + square / (4 * n * n))
    return (centre - spread) / (1 + square / n)
