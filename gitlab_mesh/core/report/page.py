"""``report.html``: the whole report as one self-contained page that opens from GitLab's artifact browser.

No external resource, no need for script; a Content-Security-Policy in the page says so too. The artifact browser
may serve it from a sandboxed origin, hence no storage and no requests.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape

from gitlab_mesh.core.report.chart import NARROW, WIDE, format_position, number_class, render_chart
from gitlab_mesh.core.report.formatting import NO_VALUE, format_clock, format_duration, format_time, format_value
from gitlab_mesh.core.report.headline import say_sentence
from gitlab_mesh.core.report.markdown import clean_text
from gitlab_mesh.core.report.model import (
    LinksSection,
    Report,
    Section,
    SeriesSection,
    TableSection,
    TextSection,
    VerdictSection,
)
from gitlab_mesh.core.report.next_step import parse_next_step
from gitlab_mesh.core.report.page_elements import (
    GLYPH,
    page_text,
    render_page_link,
    render_page_section,
    render_page_table,
)
from gitlab_mesh.core.report.page_evidence import render_evidence
from gitlab_mesh.core.report.page_style import SCRIPT, STYLE
from gitlab_mesh.core.report.scale import is_drawable
from gitlab_mesh.core.report.wording import OUTCOME_TONE, OUTCOME_WORD

__all__ = ["render_html"]

_VALUE_ROWS = 60


def render_html(report: Report) -> str:
    """Render the page."""
    charts = [section for section in report.sections if isinstance(section, SeriesSection) and section.series]
    body = [
        _render_header(report),
        _render_next_step(report),
        *(render_evidence(it, said=report.reason) for it in report.sections if isinstance(it, VerdictSection)),
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
            f"<title>{page_text(report.service or report.job)}: {OUTCOME_WORD[report.outcome]}</title>",
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


def _time_end(report: Report, charts: Sequence[SeriesSection]) -> float:
    times = [time for chart in charts if not chart.axis for series in chart.series for time, _ in series.points]
    times += [band.end for chart in charts for band in chart.bands]
    return max(time for time in (1.0, report.duration_seconds, *times) if is_drawable(time))


def _render_header(report: Report) -> str:
    tone = OUTCOME_TONE[report.outcome]
    word = OUTCOME_WORD[report.outcome].capitalize()
    about = " · ".join(
        part
        for part in (
            f"gitlab-mesh {page_text(report.job, 60)}",
            page_text(report.service, 100),
            f"namespace {page_text(report.namespace, 100)}" if report.namespace else "",
        )
        if part
    )
    reason = f'<p class="why">{page_text(say_sentence(report.reason))}</p>' if report.reason else ""
    return (
        f'<header class="{tone.value}">\n<p class="eyebrow">{about}</p>\n'
        f'<p class="badge"><span aria-hidden="true">{GLYPH[tone]}</span>{word}</p>\n'
        f"<h1>{page_text(report.headline, 400)}</h1>\n{reason}\n</header>"
    )


def _render_next_step(report: Report) -> str:
    if not report.next_step:
        return ""
    step = parse_next_step(report.next_step[:1].upper() + report.next_step[1:])
    if step.alternatives:
        content = "".join(f"<p>{page_text(words)}</p>\n{_command(command)}" for words, command in step.alternatives)
    else:
        sentence = step.render(page_text, lambda code: f"<code>{page_text(code)}</code>")
        content = f"<p>{sentence}</p>\n" + "".join(_command(command) for command in step.commands)
    return f"<section>\n<h2>What to do next</h2>\n{content}</section>"


def _command(command: str) -> str:
    return (
        f'<div class="command"><pre><code>{page_text(command)}</code></pre>'
        '<button type="button" data-copy hidden>Copy</button></div>\n'
    )


def _render_charts(charts: Sequence[SeriesSection], end: float) -> str:
    if not charts:
        return ""
    # one time axis: what happened is shown in every chart, also where the job put it into one only
    marks = max((chart.marks for chart in charts), key=len)
    bands = max((chart.bands for chart in charts), key=len)
    charts = [chart if chart.axis else replace(chart, marks=marks, bands=chart.bands or bands) for chart in charts]
    figures = [_render_figure(chart, end, index) for index, chart in enumerate(charts)]
    events = "\n".join(
        f'<li class="{mark.tone.value}"><b aria-hidden="true">{number}</b><time>{format_clock(mark.time)}</time>'
        f"<span>{page_text(mark.label, 300)}</span></li>"
        for number, mark in enumerate(marks, 1)
    )
    listed = f'\n<section>\n<h2>Events</h2>\n<ol class="events">\n{events}\n</ol>\n</section>' if marks else ""
    return "<section>\n<h2>Charts</h2>\n" + "\n".join(figures) + "\n</section>" + listed


def _render_figure(chart: SeriesSection, end: float, index: int) -> str:
    legend = "".join(
        f'<li><i class="{number_class(chart, place)}"></i>{page_text(series.name, 80)}</li>'
        for place, series in enumerate(chart.series)
    )
    return "\n".join(
        [
            "<figure>",
            f'<figcaption><h3>{page_text(chart.title)}</h3><ul class="legend">{legend}</ul></figcaption>',
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
            format_position(time, chart.axis),
            *(format_value(values[time], chart.unit) if time in values else NO_VALUE for values in lookup),
        )
        for time in shown
    ]
    return render_page_table(
        (chart.axis.title if chart.axis else "Time", *(series.name for series in chart.series)), rows
    )


def _render_other(section: Section) -> str:
    match section:
        case TableSection():
            content = f'<div class="scroll">{render_page_table(section.columns, section.rows, section.tones)}</div>'
            return render_page_section(section.title, content, folded=section.folded)
        case TextSection():
            return render_page_section(section.title, "\n".join(_render_text(section)), folded=section.folded)
        case LinksSection():
            items = "".join(f"<li>{render_page_link(item)}</li>" for item in section.links)
            return render_page_section(section.title, f'<ul class="links">{items}</ul>', folded=False) if items else ""
        case VerdictSection() | SeriesSection():
            return ""


def _render_text(section: TextSection) -> Iterator[str]:
    if section.preformatted:
        yield f"<pre>{escape(clean_text(section.text))}</pre>"
        return
    for paragraph in re.split(r"\n\s*\n", section.text.strip()):
        yield f"<p>{page_text(paragraph, 10_000)}</p>"


def _render_facts(report: Report) -> str:
    if not report.facts:
        return ""
    facts = "\n".join(
        f"<dt>{page_text(name, 200)}</dt><dd>{page_text(value)}</dd>" for name, value in report.facts.items()
    )
    return f'<section>\n<h2>Facts</h2>\n<dl class="facts">\n{facts}\n</dl>\n</section>'


def _render_footer(report: Report) -> str:
    parts = [f"Started {page_text(format_time(report.started), 60)}"] if report.started else []
    if report.duration_seconds:
        parts.append(f"took {escape(format_duration(report.duration_seconds))}")
    parts.append(f"exit code {report.exit_code}")
    return f"<footer>{' · '.join(parts)} · the same data is in report.json</footer>"
