"""Judge recorded samples again: what would have happened with these settings?

A replay cannot show what another weight would have brought: it judges what was served, as it was served.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gitlab_mesh.core.judge.judge import Judge
from gitlab_mesh.core.judge.model import Judgement, Look
from gitlab_mesh.core.judge.settings import JudgeSettings, UserMetric

__all__ = ["Replay", "ReplayLine", "replay"]


@dataclass(frozen=True, slots=True)
class ReplayLine:
    """One look of a replay, as far as it is worth a line."""

    time_seconds: float
    weight: float | None
    what: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What would have happened.

    Attributes:
        looks: Number of looks.
        rejected_at: Time of the first rejection, None if there was none.
        promotable_at: Time at which the promote gate first opened, None if it never did.
        canary_requests: The canary's requests until the end, or until the rejection.
        canary_errors: Its errors until then.
        lines: Each change: a gate that opens or closes, a rejection.
        last: The judgement at the end, or at the rejection; None without looks.
    """

    looks: int
    rejected_at: float | None
    promotable_at: float | None
    canary_requests: int
    canary_errors: int
    lines: tuple[ReplayLine, ...]
    last: Judgement | None


def replay(
    looks: Iterable[Look],
    settings: JudgeSettings,
    *,
    look_seconds: float,
    user_metrics: Sequence[UserMetric] = (),
) -> Replay:
    """Judge the looks in their order, until the first rejection.

    Args:
        looks: Recorded looks.
        settings: The settings to try.
        look_seconds: Usual time between two looks.
        user_metrics: Metrics of the user's own, as configured.
    """
    judge = Judge(settings, look_seconds=look_seconds, user_metrics=user_metrics)
    lines: list[ReplayLine] = []
    count = requests = errors = 0
    promotable: float | None = None
    last: Judgement | None = None
    for look in looks:
        judgement = judge.look(look)
        count += 1
        requests += look.canary.requests
        errors += sum(look.canary.errors.values())
        lines += _changes(last, judgement, look)
        last = judgement
        if judgement.promote_gate.open and promotable is None:
            promotable = look.time_seconds
        if judgement.rejected:
            return Replay(count, look.time_seconds, promotable, requests, errors, tuple(lines), last)
    return Replay(count, None, promotable, requests, errors, tuple(lines), last)


def _changes(before: Judgement | None, now: Judgement, look: Look) -> list[ReplayLine]:
    texts = []
    if now.rejected:
        texts.append(f"rejected: {now.reason}")
    elif before is None or before.promote_gate.open != now.promote_gate.open:
        word = "may be promoted" if now.promote_gate.open else "may not be promoted"
        texts.append(f"{word}: {now.promote_gate.reason}")
    elif before.raise_gate.open != now.raise_gate.open:
        word = "the weight may rise" if now.raise_gate.open else "the weight may not rise"
        texts.append(f"{word}: {now.raise_gate.reason}")
    return [ReplayLine(look.time_seconds, look.weight, text) for text in texts]
