"""Pieces that the report page is made of: escaped text, tables, links, sections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from gitlab_mesh.core.report.markdown import one_line
from gitlab_mesh.core.report.model import Link, Tone

__all__ = ["GLYPH", "page_text", "render_page_link", "render_page_section", "render_page_table"]

GLYPH = {Tone.GOOD: "✓", Tone.BAD: "✕", Tone.WARN: "!", Tone.NEUTRAL: "…"}


def page_text(text: str, limit: int = 2000) -> str:
    """Escape a sentence: one line, at most ``limit`` characters."""
    return escape(one_line(text, limit))


def render_page_table(columns: Iterable[str], rows: Iterable[Sequence[str]], tones: Sequence[Tone] = ()) -> str:
    """Render a table; ``tones`` gives a glyph and a colour to the rows that have one."""
    heads = "".join(f'<th scope="col">{page_text(column, 200)}</th>' for column in columns)
    lines = []
    for index, row in enumerate(rows):
        tone = tones[index] if index < len(tones) else None
        glyph = f'<span class="verdict" aria-hidden="true">{GLYPH[tone]} </span>' if tone else ""
        cells = "".join(f"<td>{'' if place else glyph}{page_text(cell)}</td>" for place, cell in enumerate(row))
        lines.append(f'<tr class="{tone.value}">{cells}</tr>' if tone else f"<tr>{cells}</tr>")
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody>\n</table>"


def render_page_section(title: str, content: str, *, folded: bool) -> str:
    """Render a section, open or behind its title."""
    if folded:
        return f"<section>\n<details><summary>{page_text(title)}</summary>\n{content}\n</details>\n</section>"
    return f"<section>\n<h2>{page_text(title)}</h2>\n{content}\n</section>"


def render_page_link(item: Link) -> str:
    """Render a link; anything but http and https stays text."""
    address = one_line(item.url, 4000)
    if not re.match(r"https?://[^\s]", address, re.IGNORECASE):
        return page_text(f"{item.label}: {address}")
    return f'<a href="{escape(address)}" rel="noopener noreferrer">{page_text(item.label, 200)}</a>'
