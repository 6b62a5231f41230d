"""What the judge reads at each look and what it says.

A *verdict* is about one metric; a *judgement* is about the release at this moment. The rollout machine
(``core.rollout``) turns judgements into a *decision*; the judge never moves traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gitlab_mesh.core.metrics.counts import Counts, Side

__all__ = [
    "Forecast",
    "Gate",
    "Importance",
    "Judgement",
    "Look",
    "SideHealth",
    "UserValue",
    "Verdict",
    "VerdictKind",
]


class VerdictKind(StrEnum):
    """What is known about one metric. A breach outranks no-data; no-data is never a pass."""

    PASS = "pass"  # noqa: S105
    BREACH = "breach"
    UNDECIDED = "undecided"
    NO_DATA = "no-data"
    ERROR = "error"


class Importance(StrEnum):
    """Critical: must pass before promotion, a breach rejects. Normal: a breach rejects. Informational: neither."""

    CRITICAL = "critical"
    NORMAL = "normal"
    INFORMATIONAL = "informational"


@dataclass(frozen=True, slots=True)
class SideHealth:
    """What the cluster says about one side's pods since the last look.

    ``restarts`` counts container restarts since the release began; ``reason`` is a waiting reason such as
    ``CrashLoopBackOff`` or empty.
    """

    desired: int
    ready: int
    restarts: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class UserValue:
    """One reading of a metric that the user declared; ``side`` is None where the query compares by itself."""

    name: str
    side: Side | None
    value: float


@dataclass(frozen=True, slots=True)
class Look:
    """The evidence that came since the look before.

    Attributes:
        time_seconds: Since judging began; never falls.
        stable: Increments served by stable while the weight below was in force for all of it.
        canary: The same for the canary.
        weight: Share of the canary in this time, 0–1; None when the weight was not ours for all of it, and the
            increments are then empty.
        health: Of each side that the cluster tells about.
        user: Readings of the user's own metrics.
        problems: Why data is missing, for the sentence of a no-data verdict.
        faults: Metric → why its numbers cannot be used although they are there (bucket bounds that differ between
            the sides); that metric's verdict is ``error``.
    """

    time_seconds: float
    stable: Counts
    canary: Counts
    weight: float | None
    health: Mapping[Side, SideHealth] = field(default_factory=dict)
    user: tuple[UserValue, ...] = ()
    problems: tuple[str, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about one metric at this look.

    Attributes:
        metric: Its name ("errors", "latency", "share", …).
        kind: See ``VerdictKind``.
        importance: See ``Importance``.
        unit: "ratio" or "seconds" or the user's own; of stable, canary, effect, low and high.
        stable: Point estimate on stable, None without data.
        canary: Point estimate on the canary.
        effect: canary − stable.
        low: Lower end of the always-valid interval of the effect.
        high: Upper end.
        stable_n: Requests behind the estimate.
        canary_n: Requests behind the estimate.
        reason: One sentence that a tired person understands.
        label: What the values are, where the metric's name does not say it ("slower than 25 ms" for "latency").
    """

    metric: str
    kind: VerdictKind
    importance: Importance = Importance.CRITICAL
    unit: str = "ratio"
    stable: float | None = None
    canary: float | None = None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    stable_n: int = 0
    canary_n: int = 0
    reason: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """May the rollout pass here, and if not, what is missing (one sentence)?"""

    open: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Forecast:
    """How much more the judge needs before it can promote, if the canary goes on as it does.

    ``requests`` counts the canary's; ``seconds`` is None where the traffic is unknown.
    """

    requests: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the judge says at one look.

    Attributes:
        verdicts: One a metric.
        raise_gate: No breach, bound on further harm within the budget, minimum evidence at this weight.
        promote_gate: Every critical metric passes (and the policy's minimum time is over).
        rejected: A metric that counts is in breach; the reason names it.
        reason: One sentence for the log and the note.
        forecast: None when nothing is missing or nothing can be said.
        weight_limit: Largest share (0–1) that the budget of bad requests allows next; None: no limit.
    """

    verdicts: tuple[Verdict, ...]
    raise_gate: Gate
    promote_gate: Gate
    rejected: bool = False
    reason: str = ""
    forecast: Forecast | None = None
    weight_limit: float | None = None
