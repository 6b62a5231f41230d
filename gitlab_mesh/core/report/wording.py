"""The words and symbols for outcomes and verdicts, and a verdict as a row of text: shared by all renderers.

A symbol always stands beside its word: nothing is said by symbol or colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gitlab_mesh.core.judge.model import Importance, Judgement, Verdict, VerdictKind
from gitlab_mesh.core.report.formatting import (
    NO_VALUE,
    THIN_SPACE,
    format_count,
    format_difference,
    format_number,
    format_value,
)
from gitlab_mesh.core.report.model import Outcome, Report, Tone, VerdictSection

__all__ = [
    "OUTCOME_SYMBOL",
    "OUTCOME_TONE",
    "OUTCOME_WORD",
    "TONE_SYMBOL",
    "VERDICT_SYMBOL",
    "VERDICT_TONE",
    "VERDICT_WORD",
    "VerdictRow",
    "find_judgements",
    "find_verdict_sections",
    "list_verdict_rows",
]

OUTCOME_WORD = {
    Outcome.RUNNING: "in progress",
    Outcome.PROMOTED: "promoted",
    Outcome.DEPLOYED: "deployed",
    Outcome.REJECTED: "rejected",
    Outcome.ROLLED_BACK: "rolled back",
    Outcome.INCONCLUSIVE: "inconclusive",
    Outcome.NO_DATA: "no data",
    Outcome.INTERRUPTED: "interrupted",
    Outcome.PAUSED: "paused",
    Outcome.PLANNED: "plan only",
    Outcome.PASSED: "passed",
    Outcome.FAILED: "failed",
    Outcome.REFUSED: "refused",
    Outcome.UNSAFE: "unsafe",
}

OUTCOME_TONE = {
    Outcome.RUNNING: Tone.NEUTRAL,
    Outcome.PROMOTED: Tone.GOOD,
    Outcome.DEPLOYED: Tone.GOOD,
    Outcome.REJECTED: Tone.BAD,
    Outcome.ROLLED_BACK: Tone.WARN,
    Outcome.INCONCLUSIVE: Tone.WARN,
    Outcome.NO_DATA: Tone.WARN,
    Outcome.INTERRUPTED: Tone.WARN,
    Outcome.PAUSED: Tone.NEUTRAL,
    Outcome.PLANNED: Tone.NEUTRAL,
    Outcome.PASSED: Tone.GOOD,
    Outcome.FAILED: Tone.BAD,
    Outcome.REFUSED: Tone.WARN,
    Outcome.UNSAFE: Tone.BAD,
}

OUTCOME_SYMBOL = {
    Outcome.RUNNING: "⏳",
    Outcome.PROMOTED: "✅",
    Outcome.DEPLOYED: "✅",
    Outcome.REJECTED: "❌",
    Outcome.ROLLED_BACK: "↩️",
    Outcome.INCONCLUSIVE: "❔",
    Outcome.NO_DATA: "❔",
    Outcome.INTERRUPTED: "⚠️",
    Outcome.PAUSED: "⏸️",
    Outcome.PLANNED: "📝",
    Outcome.PASSED: "✅",
    Outcome.FAILED: "❌",
    Outcome.REFUSED: "⛔",
    Outcome.UNSAFE: "🚨",
}

VERDICT_WORD = {
    VerdictKind.PASS: "pass",
    VerdictKind.BREACH: "breach",
    VerdictKind.UNDECIDED: "undecided",
    VerdictKind.NO_DATA: "no data",
    VerdictKind.ERROR: "error",
}

VERDICT_TONE = {
    VerdictKind.PASS: Tone.GOOD,
    VerdictKind.BREACH: Tone.BAD,
    VerdictKind.UNDECIDED: Tone.NEUTRAL,
    VerdictKind.NO_DATA: Tone.WARN,
    VerdictKind.ERROR: Tone.WARN,
}

VERDICT_SYMBOL = {
    VerdictKind.PASS: "✅",
    VerdictKind.BREACH: "❌",
    VerdictKind.UNDECIDED: "⏳",
    VerdictKind.NO_DATA: "❔",
    VerdictKind.ERROR: "⚠️",
}

TONE_SYMBOL = {Tone.GOOD: "✅", Tone.BAD: "❌", Tone.WARN: "⚠️", Tone.NEUTRAL: ""}


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One verdict as text, unescaped.

    ``stable_n`` and ``canary_n`` are empty where nothing was counted; ``reason`` does not repeat the metric's name.
    """

    verdict: Verdict
    metric: str
    stable: str
    canary: str
    stable_n: str
    canary_n: str
    difference: str
    interval: str
    reason: str
    word: str
    symbol: str
    tone: Tone


def list_verdict_rows(judgement: Judgement) -> Iterator[VerdictRow]:
    """Yield one row a verdict, in the judge's order."""
    for verdict in judgement.verdicts:
        informational = verdict.importance is Importance.INFORMATIONAL
        yield VerdictRow(
            verdict=verdict,
            metric=(verdict.label or verdict.metric) + (" (informational)" if informational else ""),
            stable=format_value(verdict.stable, verdict.unit),
            canary=format_value(verdict.canary, verdict.unit),
            stable_n=format_count(verdict.stable_n) if verdict.stable_n else "",
            canary_n=format_count(verdict.canary_n) if verdict.canary_n else "",
            difference=format_difference(verdict.effect, verdict.unit),
            interval=_format_interval(verdict),
            reason=_strip_name(verdict),
            word=VERDICT_WORD[verdict.kind],
            symbol=VERDICT_SYMBOL[verdict.kind],
            tone=VERDICT_TONE[verdict.kind],
        )


def _strip_name(verdict: Verdict) -> str:
    """The reason without the name of the row that it explains."""
    for name in (verdict.label, verdict.metric):
        if name and verdict.reason.startswith(f"{name}: "):
            return verdict.reason.removeprefix(f"{name}: ")
    return verdict.reason


def find_judgements(report: Report) -> tuple[Judgement, ...]:
    """Return the judgements of the report's verdict sections, in reading order."""
    return tuple(section.judgement for section in find_verdict_sections(report))


def find_verdict_sections(report: Report) -> tuple[VerdictSection, ...]:
    """Return the sections with verdicts, in reading order."""
    return tuple(section for section in report.sections if isinstance(section, VerdictSection))


def _format_interval(verdict: Verdict) -> str:
    """Both ends in the unit of the upper one, the unit once: ``+3.9 … +5.5 pp``."""
    if verdict.low is None or verdict.high is None:
        return NO_VALUE
    if verdict.unit == "seconds":
        scale, unit = (1000.0, "ms") if max(abs(verdict.low), abs(verdict.high)) < 1 else (1.0, "s")
    elif verdict.unit in {"ratio", "percent"}:
        scale, unit = (100.0 if verdict.unit == "ratio" else 1.0), "pp"
    else:
        scale, unit = 1.0, verdict.unit
    ends = [_signed(end * scale) for end in (verdict.low, verdict.high)]
    return f"{ends[0]} … {ends[1]}{THIN_SPACE}{unit}" if unit else f"{ends[0]} … {ends[1]}"


def _signed(value: float) -> str:
    text = format_number(value)
    return f"+{text}" if value > 0 else text
