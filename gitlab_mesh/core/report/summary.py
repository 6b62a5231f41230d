"""The table at the end of the job's log."""

from __future__ import annotations

from gitlab_mesh.core.report.model import Report, TableSection, Tone
from gitlab_mesh.core.report.wording import find_verdict_sections, list_verdict_rows

__all__ = ["render_summary_table"]


def render_summary_table(report: Report) -> TableSection:
    """Return one row a metric, for ``Console.table(table.columns, table.rows)``; no row without verdicts."""
    rows: list[tuple[str, ...]] = []
    tones: list[Tone] = []
    sections = find_verdict_sections(report)
    sides = {section.sides for section in sections}
    left, right = sides.pop() if len(sides) == 1 else ("Held against", "Measured")
    for section in sections:
        for row in list_verdict_rows(section.judgement):
            stable, canary = (
                f"{value} ({n})" if n else value
                for value, n in ((row.stable, row.stable_n), (row.canary, row.canary_n))
            )
            rows.append((row.metric, stable, canary, row.difference, row.word))
            tones.append(row.tone)
    columns = ("Metric", f"{left} (requests)", f"{right} (requests)", "Difference", "Verdict")
    return TableSection("Summary", columns, tuple(rows), tuple(tones))
