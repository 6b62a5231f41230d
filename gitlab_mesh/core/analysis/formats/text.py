"""Findings for people, with the source line and a mark under the place."""

from __future__ import annotations

from collections.abc import Callable

from gitlab_mesh.core.analysis.findings import Summary, summarize
from gitlab_mesh.core.analysis.model import Finding, Level
from gitlab_mesh.core.report.markdown import clean_text

__all__ = ["render_text"]

_WIDTH = 110
_COLOUR = {Level.ERROR: "31", Level.WARNING: "33", Level.INFO: "36"}
Lines = Callable[[str, int, int], list[str]]
"""(file, first, last) → source lines."""


def render_text(summary: Summary, lines: Lines, *, colour: bool = False) -> str:
    """Render every finding with its source line, then one line that sums up."""
    blocks = [_finding(item, lines, colour) for item in summary.findings]
    skipped = sum(summary.skipped.values())
    tail = f"{summarize(summary.findings)} in {summary.objects} objects of {summary.files} files"
    if skipped:
        tail += f"; {skipped} of kinds that no rule is about"
    if summary.suppressed:
        tail += f"; {len(summary.suppressed)} suppressed"
    return "\n".join([*blocks, tail]) + "\n"


def _finding(item: Finding, lines: Lines, colour: bool) -> str:
    def paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour else text

    code = f"{item.code}/{item.istio_code}" if item.istio_code else item.code
    head = f"{item.file}:{item.line}:{item.column}: {paint(item.level.value, _COLOUR[item.level])} [{code}] "
    text = [head + paint(clean_text(f"{item.resource}: {item.message}"), "1")]
    source = lines(item.file, item.line, item.line)
    if source and source[0].strip():
        number = str(item.line)
        shown = clean_text(source[0].replace("\t", " "))[:_WIDTH]
        text.append(f"  {number} | {shown}")
        if item.column <= _WIDTH:
            text.append(f"  {' ' * len(number)} | {' ' * (item.column - 1)}{paint('^', _COLOUR[item.level])}")
    text.append(f"  why: {item.why}")
    text.append(f"  fix: {clean_text(item.hint)}")
    return "\n".join(text) + "\n"
