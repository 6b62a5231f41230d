"""``artifacts:reports:dotenv``: what later jobs of the pipeline need to know, by GitLab's rules.

At most 5 KB and 20 variables (the default of self-managed GitLab); names of ``[A-Za-z0-9_]``; no empty line, no
comment, no line break, no space in a value, no quoting (GitLab, "artifacts:reports:dotenv").
"""

from __future__ import annotations

import re

from gitlab_mesh.core.report.markdown import clean_text
from gitlab_mesh.core.report.model import Report

__all__ = ["MAX_BYTES", "MAX_VARIABLES", "render_dotenv"]

MAX_BYTES = 5 * 1024
MAX_VARIABLES = 20


def render_dotenv(report: Report) -> str:
    """Render ``MESH_OUTCOME``, ``MESH_SERVICE``, ``MESH_EXIT_CODE`` and the report's own variables.

    Blanks in a value become ``_``. A variable that breaks a rule or no longer fits is left out whole: a missing
    variable is found by the job that needs it, a cut one is quietly wrong.
    """
    variables = {
        "MESH_OUTCOME": report.outcome.value,
        "MESH_SERVICE": report.service,
        "MESH_EXIT_CODE": str(report.exit_code),
        **report.dotenv,
    }
    lines: list[str] = []
    size = 0
    for name, value in variables.items():
        if not re.fullmatch(r"[A-Za-z0-9_]+", name):
            continue
        text = re.sub(r"\s+", "_", clean_text(value).strip())
        line = f"{name}={text}\n"
        if size + len(line.encode()) <= MAX_BYTES and len(lines) < MAX_VARIABLES:
            lines.append(line)
            size += len(line.encode())
    return "".join(lines)
