"""Findings as text, JSON, SARIF, JUnit, and as GitLab's code quality and SAST reports."""

from __future__ import annotations

from gitlab_mesh.core.analysis.formats.gitlab import render_code_quality, render_sast
from gitlab_mesh.core.analysis.formats.machine import render_json, render_junit, render_sarif
from gitlab_mesh.core.analysis.formats.text import render_text

__all__ = ["render_code_quality", "render_json", "render_junit", "render_sarif", "render_sast", "render_text"]
