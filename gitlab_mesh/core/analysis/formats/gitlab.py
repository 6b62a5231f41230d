"""GitLab's reports: code quality (a list) and SAST (security report schema 15)."""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any

from gitlab_mesh.core.analysis.findings import Summary
from gitlab_mesh.core.analysis.model import Finding, Level
from gitlab_mesh.core.analysis.ruleset import registered

__all__ = ["render_code_quality", "render_sast"]

_QUALITY = {Level.ERROR: "critical", Level.WARNING: "major", Level.INFO: "info"}
_SEVERITY = {Level.ERROR: "High", Level.WARNING: "Medium", Level.INFO: "Low"}
_SCHEMA = "15.0.7"


def _relative(file: str) -> str:
    """GitLab wants paths relative to the project, without ``./``."""
    return posixpath.normpath(file.replace("\\", "/"))


def render_code_quality(summary: Summary) -> str:
    """Render the code quality report (GitLab docs, "Code Quality report format")."""
    body = [
        {
            "description": f"{item.resource}: {item.message}. {item.hint}",
            "check_name": item.code,
            "fingerprint": item.fingerprint,
            "severity": _QUALITY[item.level],
            "location": {"path": _relative(item.file), "lines": {"begin": item.line}},
        }
        for item in summary.findings
    ]
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _tool(version: str) -> dict[str, Any]:
    return {"id": "gitlab-mesh", "name": "gitlab-mesh", "version": version, "vendor": {"name": "gitlab-mesh"}}


def render_sast(summary: Summary, *, version: str, started: str, ended: str) -> str:
    """Render the SAST report.

    Args:
        summary: The findings.
        version: Of this tool.
        started: ``YYYY-MM-DDTHH:MM:SS``, UTC.
        ended: Likewise.
    """
    tool = _tool(version)
    body = {
        "version": _SCHEMA,
        "vulnerabilities": [_vulnerability(item) for item in summary.findings],
        "scan": {
            "analyzer": tool,
            "scanner": tool,
            "type": "sast",
            "start_time": started,
            "end_time": ended,
            "status": "success",
        },
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _vulnerability(item: Finding) -> dict[str, Any]:
    rule = registered()[item.code]
    return {
        "id": _uuid(item.fingerprint),
        "name": rule.title[:255],
        "description": f"{item.resource}: {item.message}. {item.why}",
        "severity": _SEVERITY[item.level],
        "solution": item.hint[:7000],
        "location": {"file": _relative(item.file), "start_line": item.line, "end_line": item.line},
        "identifiers": [
            {"type": "gitlab_mesh_rule", "name": item.code, "value": item.code},
            *({"type": "reference", "name": name, "value": name} for name in item.references),
        ],
        "tracking": {
            "type": "source",
            "items": [
                {
                    "file": _relative(item.file),
                    "start_line": item.line,
                    "end_line": item.line,
                    "signatures": [{"algorithm": "scope_offset", "value": f"{item.resource}|{item.path}|{item.code}"}],
                }
            ],
        },
    }


def _uuid(fingerprint: str) -> str:
    digits = re.sub(r"[^0-9a-f]", "0", fingerprint).ljust(32, "0")
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"
