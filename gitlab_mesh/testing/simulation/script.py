"""The judge of a simulated rollout: a script that still asks for evidence, and a record of every word it said."""

from __future__ import annotations

from dataclasses import dataclass, field

from gitlab_mesh.core.judge.model import Gate, Importance, Judgement, Look, Verdict, VerdictKind

__all__ = ["Script", "Word"]


@dataclass(frozen=True, slots=True)
class Word:
    """What the judge said at one look, as the oracles remember it."""

    time: float
    weight: float | None
    canary_requests: float
    raise_open: bool
    promote_open: bool
    rejected: bool


@dataclass
class Script:
    """A verdict that is known beforehand; only looks that bring requests of both sides count.

    Attributes:
        looks: Looks with evidence at one weight that open its gates.
        reject_at: Number of the weight (from 1) at which the release is rejected; 0: never.
        silent: The gates never open: the deadline decides.
        alone: Nothing is compared with stable (a hotfix).
    """

    looks: int = 2
    reject_at: int = 0
    silent: bool = False
    alone: bool = False
    _weight: float | None = None
    _weights: set[float] = field(default_factory=set)
    _seen: int = 0

    def look(self, look: Look) -> Judgement:
        """Answer as the script says, if there is evidence."""
        if look.weight is not None and look.weight != self._weight:
            self._weight, self._seen = look.weight, 0
            self._weights |= {look.weight} - {0.0}
        both = look.canary.requests > 0 and (self.alone or look.stable.requests > 0)
        fresh = bool(look.weight) and both and not look.problems
        self._seen += fresh
        enough = fresh and self._seen >= self.looks
        rejected = enough and self.reject_at == len(self._weights)
        is_open = enough and not rejected and not self.silent
        kind = VerdictKind.PASS if is_open else VerdictKind.UNDECIDED
        if rejected:
            kind = VerdictKind.BREACH
        elif not self._seen:
            kind = VerdictKind.NO_DATA
        gate = Gate(is_open, "as the script says")
        verdict = Verdict("errors", kind, Importance.CRITICAL, reason="as the script says")
        return Judgement((verdict,), gate, gate, rejected=rejected, reason=f"script: {kind}")
