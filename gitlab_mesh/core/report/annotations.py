"""``artifacts:reports:annotations``: links on the job's page, to the report, Grafana, Kiali, the environment.

Form: ``{"section": [{"external_link": {"label": …, "url": …}}]}`` (GitLab docs, "artifacts:reports:annotations").
"""

from __future__ import annotations

import json
import re

from gitlab_mesh.core.report.markdown import one_line
from gitlab_mesh.core.report.model import LinksSection, Report

__all__ = ["render_annotations"]

_MAX_LINKS = 30


def render_annotations(report: Report) -> str:
    """Render the report's links; what is not http(s) is left out, and so is the job itself, on whose page they are."""
    links = [link for section in report.sections if isinstance(section, LinksSection) for link in section.links]
    shown = {
        one_line(link.url, 2000): one_line(link.label, 200)
        for link in links
        if link.label != "Job log" and re.match(r"https?://[^\s]", one_line(link.url, 2000), re.IGNORECASE)
    }
    entries = [{"external_link": {"label": label or url, "url": url}} for url, label in shown.items()]
    name = f"gitlab-mesh {one_line(report.service, 80)}".strip()
    return json.dumps({name: entries[:_MAX_LINKS]}, indent=2, ensure_ascii=False) + "\n"
