"""All renderers of the one ``Report`` model, in one place to import them from."""

from __future__ import annotations

from gitlab_mesh.core.report.annotations import render_annotations
from gitlab_mesh.core.report.changes import render_change_counts
from gitlab_mesh.core.report.document import parse_report_json, render_json
from gitlab_mesh.core.report.history import carry_history, note_key
from gitlab_mesh.core.report.junit import render_junit
from gitlab_mesh.core.report.metrics_text import render_metrics
from gitlab_mesh.core.report.note import render_note
from gitlab_mesh.core.report.page import render_html
from gitlab_mesh.core.report.summary import render_summary_table
from gitlab_mesh.core.report.variables import render_dotenv

__all__ = [
    "carry_history",
    "note_key",
    "parse_report_json",
    "render_annotations",
    "render_change_counts",
    "render_dotenv",
    "render_html",
    "render_json",
    "render_junit",
    "render_metrics",
    "render_note",
    "render_summary_table",
]
