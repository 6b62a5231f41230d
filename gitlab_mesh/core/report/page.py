"""``report.html``: the whole report as one self-contained page that opens from GitLab's artifact browser.

No external resource, no need for script; a Content-Security-Policy in the page says so too. The artifact browser
may serve it from a sandboxed origin, hence no storage and no requests.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from gitlab_mesh.core.report.chart import NARROW, WIDE, number_class, render_chart
from gitlab_mesh.core.report.formatting import NO_VALUE, format_clock, format_duration, format_value
from gitlab_mesh.core.report.markdown import clean_text, one_line
from gitlab_mesh.core.report.model import (
    Link,
    LinksSection,
    Mark,
    Report,
    Section,
    SeriesSection,
    TableSection,
    TextSection,
    Tone,
    VerdictSection,
)
from gitlab_mesh.core.report.page_style import SCRIPT, STYLE
from gitlab_mesh.core.report.wording import OUTCOME_TONE, OUTCOME_WORD, VerdictRow, list_verdict_rows

__all__ = ["render_html"]

_GLYPH = {Tone.GOOD: "✓", Tone.BAD: "✕", Tone.WARN: "!", Tone.NEUTRAL: "…"}
_VALUE_ROWS = 60


def render_html(report: Report) -> str:
    """Render the page."""
    charts = [section for section in report.sections if isinstance(section, SeriesSection) and section.series]
    body = [
        _render_header(report),
        _render_next_step(report),
        *(_render_evidence(section) for section in report.sections if isinstance(section, VerdictSection)),
        _render_charts(charts, _time_end(report, charts)),
        *(_render_other(section) for section in report.sections),
        _render_facts(report),
        _render_footer(report),
    ]
    script_hash = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script_hash}'; img-src data:"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<link rel="icon" href="data:,">',
            f"<title>{_text(report.service or report.job)}: {OUTCOME_WORD[report.outcome]}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            "<main>",
            *(part for part in body if part),
            "</main>",
            f"<script>{SCRIPT}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _text(text: str, limit: int = 2000) -> str:
    return escape(one_line(text, limit))


def _time_end(report: Report, charts: Sequence[SeriesSection]) -> float:
    times = [time for chart in charts for series in chart.series for time, _ in series.points]
    return max([1.0, *times, *(band.end for chart in charts for band in chart.bands), report.duration_seconds])


def _render_header(report: Report) -> str:
    tone = OUTCOME_TONE[report.outcome]
    word = OUTCOME_WORD[report.outcome].capitalize()
    about = " · ".join(
        part
        for part in (
            f"gitlab-mesh {_text(report.job, 60)}",
            _text(report.service, 100),
            f"namespace {_text(report.namespace, 100)}" if report.namespace else "",
        )
        if part
    )
    reason = f'<p class="why">{_text(report.reason)}</p>' if report.reason else ""
    return (
        f'<header class="{tone.value}">\n<p class="eyebrow">{about}</p>\n'
        f'<p class="badge"><span aria-hidden="true">{_GLYPH[tone]}</span>{word}</p>\n'
        f"<h1>{_text(report.headline, 400)}</h1>\n{reason}\n</header>"
    )


def _render_next_step(report: Report) -> str:
    if not report.next_step:
        return ""
    sentence, *commands = re.split(r"`([^`]+)`", report.next_step, maxsplit=1)
    if commands:
        command, rest = commands
        sentence = sentence if rest.strip(" .") == "" else f"{sentence}{command}{rest}"
        block = (
            f'<div class="command"><pre><code>{_text(command)}</code></pre>'
            '<button type="button" data-copy hidden>Copy</button></div>'
        )
    else:
        block = ""
    return f"<section>\n<h2>What to do next</h2>\n<p>{_text(sentence)}</p>\n{block}\n</section>"


def _render_evidence(section: VerdictSection) -> str:
    rows = "\n".join(_render_verdict(row) for row in list_verdict_rows(section.judgement))
    reason = f"<p>{_text(section.judgement.reason)}</p>" if section.judgement.reason else ""
    heads = "".join(
        f'<th scope="col"{css}>{name}</th>'
        for name, css in (
            ("Metric", ""),
            ("Stable", ' class="number"'),
            ("Canary", ' class="number"'),
            ("Difference", ' class="number"'),
            ("Verdict", ""),
        )
    )
    return (
        f'<section>\n<h2>{_text(section.title)}</h2>\n{reason}\n<div class="scroll"><table class="verdicts">\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>\n</section>"
    )


def _render_verdict(row: VerdictRow) -> str:
    def value(name: str, text: str, n: str, extra: str = "") -> str:
        count = f'<span class="n">n {_text(n)}</span>' if n else ""
        return f'<td class="number" data-name="{name}">{_text(text, 60)}{count}{extra}</td>'

    reason = f'<span class="reason">{_text(row.verdict.reason)}</span>' if row.verdict.reason else ""
    return (
        f'<tr class="{row.tone.value}"><td>{_text(row.metric, 120)}{reason}</td>'
        + value("Stable", row.stable, row.stable_n)
        + value("Canary", row.canary, row.canary_n)
        + value("Difference", row.difference, "", _draw_interval(row))
        + f'<td class="verdict"><span aria-hidden="true">{_GLYPH[row.tone]} </span>{row.word}</td></tr>'
    )


def _draw_interval(row: VerdictRow) -> str:
    """The interval of the difference around zero, small: does it touch the dashed line?"""
    low, high, effect = row.verdict.low, row.verdict.high, row.verdict.effect
    if low is None or high is None or effect is None:
        return ""
    reach = max(abs(low), abs(high), abs(effect)) * 1.1
    if not 0 < reach < float("inf"):
        return ""

    def x(value: float) -> float:
        return round(60 + value / reach * 58, 1)

    label = f"difference between {row.interval}"
    return (
        f'<svg class="interval" viewBox="0 0 120 18" role="img" aria-label="{escape(label)}"><title>{escape(label)}'
        f'</title><line x1="60" x2="60" y1="1" y2="17"/><rect x="{x(low)}" y="6" rx="3" '
        f'width="{max(2.0, x(high) - x(low)):.1f}" height="6"/><circle cx="{x(effect)}" cy="9" r="3.5"/></svg>'
    )


def _render_charts(charts: Sequence[SeriesSection], end: float) -> str:
    if not charts:
        return ""
    figures = [_render_figure(chart, end, index) for index, chart in enumerate(charts)]
    marks: list[Mark] = []
    for chart in charts:
        if len(chart.marks) > len(marks):
            marks = list(chart.marks)
    events = "\n".join(
        f'<li class="{mark.tone.value}"><b aria-hidden="true">{number}</b><time>{format_clock(mark.time)}</time>'
        f"<span>{_text(mark.label, 300)}</span></li>"
        for number, mark in sorted(enumerate(marks, 1), key=lambda item: item[1].time)
    )
    listed = f'\n<section>\n<h2>Events</h2>\n<ol class="events">\n{events}\n</ol>\n</section>' if marks else ""
    return "<section>\n<h2>Over time</h2>\n" + "\n".join(figures) + "\n</section>" + listed


def _render_figure(chart: SeriesSection, end: float, index: int) -> str:
    legend = "".join(
        f'<li><i class="{number_class(chart, place)}"></i>{_text(series.name, 80)}</li>'
        for place, series in enumerate(chart.series)
    )
    return "\n".join(
        [
            "<figure>",
            f'<figcaption><h3>{_text(chart.title)}</h3><ul class="legend">{legend}</ul></figcaption>',
            render_chart(chart, end, WIDE, f"chart{index}w"),
            render_chart(chart, end, NARROW, f"chart{index}n"),
            "<details><summary>Values as a table</summary>",
            f'<div class="scroll">{_render_values(chart)}</div></details>',
            "</figure>",
        ]
    )


def _render_values(chart: SeriesSection) -> str:
    times = sorted({time for series in chart.series for time, _ in series.points})
    shown = times[:: max(1, -(-len(times) // _VALUE_ROWS))]
    lookup = [dict(series.points) for series in chart.series]
    rows = [
        (
            format_clock(time),
            *(format_value(values[time], chart.unit) if time in values else NO_VALUE for values in lookup),
        )
        for time in shown
    ]
    return _render_table(("Time", *(series.name for series in chart.series)), rows)


def _render_table(columns: Iterable[str], rows: Iterable[Sequence[str]], tones: Sequence[Tone] = ()) -> str:
    heads = "".join(f'<th scope="col">{_text(column, 200)}</th>' for column in columns)
    lines = []
    for index, row in enumerate(rows):
        tone = tones[index] if index < len(tones) else None
        glyph = f'<span class="verdict" aria-hidden="true">{_GLYPH[tone]} </span>' if tone else ""
        cells = "".join(f"<td>{'' if place else glyph}{_text(cell)}</td>" for place, cell in enumerate(row))
        lines.append(f'<tr class="{tone.value}">{cells}</tr>' if tone else f"<tr>{cells}</tr>")
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody>\n</table>"


def _render_other(section: Section) -> str:
    match section:
        case TableSection():
            content = f'<div class="scroll">{_render_table(section.columns, section.rows, section.tones)}</div>'
            return _wrap(section.title, content, folded=section.folded)
        case TextSection():
            return _wrap(section.title, "\n".join(_render_text(section)), folded=section.folded)
        case LinksSection():
            items = "".join(f"<li>{_render_link(item)}</li>" for item in section.links)
            return _wrap(section.title, f'<ul class="links">{items}</ul>', folded=False) if items else ""
        case VerdictSection() | SeriesSection():
            return ""


def _wrap(title: str, content: str, *, folded: bool) -> str:
    if folded:
        return f"<section>\n<details><summary>{_text(title)}</summary>\n{content}\n</details>\n</section>"
    return f"<section>\n<h2>{_text(title)}</h2>\n{content}\n</section>"


def _render_text(section: TextSection) -> Iterator[str]:
    if section.preformatted:
        yield f"<pre>{escape(clean_text(section.text))}</pre>"
        return
    for paragraph in re.split(r"\n\s*\n", section.text.strip()):
        yield f"<p>{_text(paragraph, 10_000)}</p>"


def _render_link(item: Link) -> str:
    address = one_line(item.url, 4000)
    if not re.match(r"https?://[^\s]", address, re.IGNORECASE):
        return _text(f"{item.label}: {address}")
    return f'<a href="{escape(address)}" rel="noopener noreferrer">{_text(item.label, 200)}</a>'


def _render_facts(report: Report) -> str:
    if not report.facts:
        return ""
    facts = "\n".join(f"<dt>{_text(name, 200)}</dt><dd>{_text(value)}</dd>" for name, value in report.facts.items())
    return f'<section>\n<h2>Facts</h2>\n<dl class="facts">\n{facts}\n</dl>\n</section>'


def _render_footer(report: Report) -> str:
    parts = [f"Started {_text(report.started, 60)}"] if report.started else []
    if report.duration_seconds:
        parts.append(f"took {escape(format_duration(report.duration_seconds))}")
    parts.append(f"exit code {report.exit_code}")
    return f"<footer>{' · '.join(parts)} · the same data is in report.json</footer>"
