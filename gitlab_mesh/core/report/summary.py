"""The table at the end of the job's log."""

from __future__ import annotations

from gitlab_mesh.core.report.model import Report, TableSection, Tone
from gitlab_mesh.core.report.wording import find_judgements, list_verdict_rows

__all__ = ["render_summary_table"]


def render_summary_table(report: Report) -> TableSection:
    """Return one row a metric, for ``Console.table(table.columns, table.rows)``; no row without verdicts."""
    rows: list[tuple[str, ...]] = []
    tones: list[Tone] = []
    for judgement in find_judgements(report):
        for row in list_verdict_rows(judgement):
            stable, canary = (
                f"{value} ({n})" if n else value
                for value, n in ((row.stable, row.stable_n), (row.canary, row.canary_n))
            )
            rows.append((row.metric, stable, canary, row.difference, row.word))
            tones.append(row.tone)
    columns = ("Metric", "Stable (requests)", "Canary (requests)", "Difference", "Verdict")
    return TableSection("Summary", columns, tuple(rows), tuple(tones))
