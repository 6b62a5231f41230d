"""The verdicts on the report page: one row a metric, with the interval of its difference drawn small."""

from __future__ import annotations

from html import escape

from gitlab_mesh.core.report.model import VerdictSection
from gitlab_mesh.core.report.page_elements import GLYPH, page_text
from gitlab_mesh.core.report.wording import VerdictRow, list_verdict_rows

__all__ = ["render_evidence"]


def render_evidence(section: VerdictSection, *, said: str) -> str:
    """Render the section; the judge's reason is left out where ``said`` is the same."""
    rows = "\n".join(_render_verdict(row, section.sides) for row in list_verdict_rows(section.judgement))
    reason = f"<p>{page_text(section.judgement.reason)}</p>" if section.judgement.reason not in {"", said} else ""
    heads = "".join(
        f'<th scope="col"{css}>{name}</th>'
        for name, css in (
            ("Metric", ""),
            *((page_text(side, 60), ' class="number"') for side in section.sides),
            ("Difference", ' class="number"'),
            ("Verdict", ""),
        )
    )
    return (
        f'<section>\n<h2>{page_text(section.title)}</h2>\n{reason}\n<div class="scroll"><table class="verdicts">\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>\n</section>"
    )


def _render_verdict(row: VerdictRow, sides: tuple[str, str]) -> str:
    def value(name: str, text: str, n: str, extra: str = "") -> str:
        count = f'<span class="n">n {page_text(n)}</span>' if n else ""
        return f'<td class="number" data-name="{page_text(name, 60)}">{page_text(text, 60)}{count}{extra}</td>'

    reason = f'<span class="reason">{page_text(row.reason)}</span>' if row.reason else ""
    return (
        f'<tr class="{row.tone.value}"><td>{page_text(row.metric, 120)}{reason}</td>'
        + value(sides[0], row.stable, row.stable_n)
        + value(sides[1], row.canary, row.canary_n)
        + value("Difference", row.difference, "", _draw_interval(row))
        + f'<td class="verdict"><span aria-hidden="true">{GLYPH[row.tone]} </span>{row.word}</td></tr>'
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
