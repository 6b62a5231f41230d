"""The merge request's note: the decision first, understood in ten seconds; details folded.

Written in GitLab Flavored Markdown that also reads as plain text in an e-mail. The marker by which the note is found
again is the notes adapter's business. Whatever comes from outside (image names, pods' messages, names of metrics and
branches) passes ``core.report.markdown``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gitlab_mesh.core.judge.model import VerdictKind
from gitlab_mesh.core.report.formatting import format_count, format_duration, format_time
from gitlab_mesh.core.report.headline import say_sentence
from gitlab_mesh.core.report.history import render_state
from gitlab_mesh.core.report.markdown import code_span, escape_text, fence, link, table, table_cell
from gitlab_mesh.core.report.model import (
    Attempt,
    LinksSection,
    Report,
    TableSection,
    TextSection,
)
from gitlab_mesh.core.report.note_details import (
    MAX_ROWS,
    render_folds,
    render_next_step,
    render_table_section,
    render_text_section,
)
from gitlab_mesh.core.report.weight_chart import find_weights, render_bars
from gitlab_mesh.core.report.wording import (
    OUTCOME_SYMBOL,
    OUTCOME_WORD,
    find_verdict_sections,
    list_verdict_rows,
)

__all__ = ["NOTE_LIMIT", "render_note"]

NOTE_LIMIT = 50_000
"""Characters. GitLab takes 1,000,000; what a person reads, and what a mail holds, is far less."""

_MAX_LINKS = 12
_LEFT_OUT = "_Some details were left out here because the note would be too long; they are in the job's report._"


@dataclass(frozen=True, slots=True)
class _Block:
    """A piece of the note. Folded pieces go first when space is short, then the other optional ones."""

    text: str
    required: bool = False
    folded: bool = False


def render_note(report: Report, history: Sequence[Attempt] = (), *, limit: int = NOTE_LIMIT) -> str:
    """Render the note's body, without marker; its last line is hidden and holds the state for the next note.

    Args:
        report: The run, finished or going on.
        history: Former attempts, newest first.
        limit: Characters; pieces are left out, and that is said, to keep it. The decision itself needs up to
            30,000 in the worst case.
    """
    blocks = [
        _Block(_render_decision(report), required=True),
        *(_Block(text, required=True) for text in _render_verdicts(report)),
        *_render_weights(report),
        *(_Block(text, required=True) for text in _render_next_step(report)),
        *_render_sections(report),
        *(_Block(text, folded=True) for text in render_folds(report, history)),
        _Block(f"{_render_foot(report)}\n\n{render_state(report, history)}", required=True),
    ]
    return _fit([block for block in blocks if block.text], limit)


def _fit(blocks: list[_Block], limit: int) -> str:
    kept = list(blocks)

    def text() -> str:
        shortened = [_LEFT_OUT] if len(kept) < len(blocks) else []
        return "\n\n".join([*(block.text for block in kept[:-1]), *shortened, kept[-1].text]) + "\n"

    for folded in (True, False):
        for block in reversed(blocks):
            if len(text()) <= limit:
                return text()
            if not block.required and block.folded is folded:
                kept = [other for other in kept if other is not block]
    return text()


def _render_decision(report: Report) -> str:
    symbol = OUTCOME_SYMBOL[report.outcome]
    lines = [f"### {symbol} {escape_text(report.headline, 300)}"]
    if report.reason:
        lines.append(escape_text(say_sentence(report.reason), 1000))
    return "\n\n".join(lines)


def _render_verdicts(report: Report) -> Iterator[str]:
    for section in find_verdict_sections(report):
        judgement = section.judgement
        # How traffic was split is the tool's own check: it is among the details unless something is wrong with it.
        rows = [
            row
            for row in list_verdict_rows(judgement)
            if row.verdict.metric != "share" or row.verdict.kind is not VerdictKind.PASS
        ]
        if not rows:
            continue
        cells = [
            (
                # The symbol comes first: on a phone the last columns are beyond the edge.
                f"{row.symbol}\u00a0{table_cell(row.metric)}",
                _with_n(row.stable, row.stable_n),
                _with_n(row.canary, row.canary_n),
                table_cell(row.difference),
                row.word,
            )
            for row in rows[:MAX_ROWS]
        ]
        yield table(("Metric", *section.sides, "Difference", "Verdict"), cells, "lrrrl")
        if len(rows) > MAX_ROWS:
            yield f"… and {format_count(len(rows) - MAX_ROWS)} more metrics, in the job's report."
        if judgement.reason and not report.reason:
            yield escape_text(judgement.reason, 1000)


def _with_n(value: str, n: str) -> str:
    return f"{table_cell(value, 60)} (n\u00a0{n})" if n else table_cell(value, 60)


def _render_weights(report: Report) -> Iterator[_Block]:
    found = find_weights(report)
    if found:
        yield _Block("**Weight of the canary over time**\n\n" + fence(render_bars(*found)))


def _render_next_step(report: Report) -> Iterator[str]:
    if report.next_step:
        yield render_next_step(report.next_step)


def _render_sections(report: Report) -> Iterator[_Block]:
    """Tables and texts that the job wants seen; charts other than the weight are on the page (``report.html``)."""
    for section in report.sections:
        match section:
            case TableSection(folded=False):
                yield _Block(_titled(section.title, render_table_section(section)))
            case TextSection(folded=False):
                yield _Block(_titled(section.title, render_text_section(section)))
            case _:
                pass


def _titled(title: str, text: str) -> str:
    name = escape_text(title, 100)
    return f"**{name}**\n\n{text}" if name else text


def _render_foot(report: Report) -> str:
    about = [
        code_span(report.service or report.job, 80),
        f"job {code_span(report.job, 80)}",
        OUTCOME_WORD[report.outcome],
    ]
    if report.duration_seconds:
        about.append(format_duration(report.duration_seconds))
    if report.started:
        about.append(f"started {escape_text(format_time(report.started), 40)}")
    links = [
        link(item.label, item.url)
        for section in report.sections
        if isinstance(section, LinksSection)
        for item in section.links
    ]
    return " · ".join([*about, *links[:_MAX_LINKS]])
