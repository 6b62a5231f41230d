"""The note's details: what is folded away until somebody asks why, and tables and texts of the jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gitlab_mesh.core.report.formatting import format_count, format_duration, format_time
from gitlab_mesh.core.report.markdown import code_span, escape_text, fence, link, summary_text, table, table_cell
from gitlab_mesh.core.report.model import Attempt, Outcome, Report, TableSection, TextSection
from gitlab_mesh.core.report.next_step import parse_next_step
from gitlab_mesh.core.report.weight_chart import find_weights, render_mermaid
from gitlab_mesh.core.report.wording import (
    OUTCOME_SYMBOL,
    TONE_SYMBOL,
    VERDICT_SYMBOL,
    find_judgements,
    list_verdict_rows,
)

__all__ = ["MAX_ROWS", "render_folds", "render_next_step", "render_table_section", "render_text_section"]

_OVER = frozenset({Outcome.PROMOTED, Outcome.DEPLOYED, Outcome.REJECTED, Outcome.ROLLED_BACK})
"""What was still missing at the last look is of no use any more."""

MAX_ROWS = 20
"""Of anything listed in a note; the job's report has them all."""


def render_folds(report: Report, history: Sequence[Attempt]) -> Iterator[str]:
    """Yield the folded pieces: facts and reasons, the job's own sections, former attempts (newest first)."""
    found = find_weights(report)
    pieces = [*_list_facts(report), *_list_reasons(report)]
    if found and (mermaid := render_mermaid(*found)):
        pieces.append(f"```mermaid\n{mermaid}\n```")
    if pieces:
        yield _fold("Details", "\n\n".join(pieces))
    for section in report.sections:
        match section:
            case TableSection(folded=True):
                yield _fold(section.title, render_table_section(section))
            case TextSection(folded=True):
                yield _fold(section.title, render_text_section(section))
            case _:
                pass
    if history:
        lines = [
            f"- {OUTCOME_SYMBOL[attempt.outcome]} {escape_text(attempt.headline, 300)}"
            f"{' (' + escape_text(format_time(attempt.started), 40) + ')' if attempt.started else ''}"
            f"{' ' + link('job', attempt.url) if attempt.url else ''}"
            for attempt in history[:MAX_ROWS]
        ]
        if len(history) > MAX_ROWS:
            lines.append(f"- … and {format_count(len(history) - MAX_ROWS)} more")
        yield _fold(f"Former attempts ({format_count(len(history))})", "\n".join(lines))


def _fold(title: str, text: str) -> str:
    """GitLab renders Markdown inside ``<details>`` only between blank lines."""
    return f"<details><summary>{summary_text(title)}</summary>\n\n{text}\n\n</details>"


def _list_facts(report: Report) -> Iterator[str]:
    facts = [
        f"- {escape_text(name, 60)}: {code_span(value, 300) or '–'}"
        for name, value in list(report.facts.items())[:MAX_ROWS]
    ]
    if facts:
        yield "\n".join(facts)


def _list_reasons(report: Report) -> Iterator[str]:
    """Why each metric got its verdict, and the interval of the difference that may be trusted at any time."""
    for judgement in find_judgements(report):
        lines = [
            f"- {VERDICT_SYMBOL[row.verdict.kind]} {escape_text(row.metric, 120)}: "
            f"{escape_text(row.reason, 400).rstrip('.') or row.word}."
            + (f" Difference between {escape_text(row.interval)}." if row.verdict.low is not None else "")
            for row in list(list_verdict_rows(judgement))[:MAX_ROWS]
        ]
        for name, gate in (("raise the weight", judgement.raise_gate), ("promote", judgement.promote_gate)):
            if not gate.open and gate.reason and not judgement.rejected and report.outcome not in _OVER:
                lines.append(f"- Missing to {name}: {escape_text(gate.reason, 400)}")
        if judgement.forecast and report.outcome not in _OVER:
            wait = judgement.forecast.seconds
            lines.append(
                f"- About {format_count(judgement.forecast.requests)} more canary requests are needed"
                + (f", {format_duration(wait)} at this traffic." if wait is not None else ".")
            )
        if lines:
            yield "\n".join(lines)


def render_next_step(text: str) -> str:
    """Render the sentence; commands in blocks of their own, which GitLab lets people copy."""
    step = parse_next_step(text[:1].upper() + text[1:])
    if step.alternatives:
        pieces = [f"{escape_text(words)}\n\n{fence(command, 'shell', 2000)}" for words, command in step.alternatives]
        return "**Next:** " + "\n\n".join(pieces)
    sentence = step.render(escape_text, code_span)
    commands = fence("\n".join(step.commands), "shell", 2000) if step.commands else ""
    return "\n\n".join(part for part in (f"**Next:** {sentence}".rstrip(), commands) if part)


def render_table_section(section: TableSection) -> str:
    """Render the rows as a table, the tone of a row as a symbol in its first cell."""
    tones = section.tones or ()
    rows = []
    for index, row in enumerate(section.rows[:MAX_ROWS]):
        symbol = TONE_SYMBOL[tones[index]] if index < len(tones) else ""
        cells = [table_cell(cell) for cell in (*row, *[""] * len(section.columns))[: len(section.columns)]]
        if symbol and cells:
            cells[0] = f"{symbol} {cells[0]}"
        rows.append(cells)
    text = table([table_cell(column) for column in section.columns], rows)
    if len(section.rows) > MAX_ROWS:
        text += f"\n\n… and {format_count(len(section.rows) - MAX_ROWS)} more rows, in the job's report."
    return text


def render_text_section(section: TextSection) -> str:
    """Render paragraphs, or one fenced block."""
    if section.preformatted:
        return fence(section.text)
    paragraphs = re.split(r"\n\s*\n", section.text.strip())
    return "\n\n".join(escape_text(paragraph, 2000) for paragraph in paragraphs[:MAX_ROWS])
