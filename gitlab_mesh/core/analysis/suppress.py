"""Suppressions: comments in the YAML, annotations (ours, Istio's, Kiali's), a baseline of known findings.

``# gitlab-mesh: ignore=GM0101,GM0132 served by the legacy gateway until=2026-12-31`` takes out the findings of these
codes on its own line or on the next one; above a document, or on one of its first lines before ``spec``, those of the
whole document. A reason is required, an end date is not. What takes out nothing is reported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from gitlab_mesh.core.analysis.model import Document, Finding, Level, Problem
from gitlab_mesh.core.analysis.reading import Comment
from gitlab_mesh.core.analysis.registry import describe

__all__ = ["Suppression", "annotation_reason", "parse_baseline", "parse_comment", "render_baseline"]

_FORM = re.compile(r"ignore=([A-Za-z0-9,*]+)\s*(.*)$")
_UNTIL = re.compile(r"\buntil=(\d{4}-\d{2}-\d{2})\b")

describe(
    "GM0020",
    "suppression without effect",
    Level.INFO,
    why="what takes out nothing hides the next real finding of that code",
    mend="remove the comment",
)
describe(
    "GM0021",
    "suppression cannot be read",
    Level.WARNING,
    why="nothing is suppressed by it",
    mend="write # gitlab-mesh: ignore=GM0101 reason, optionally until=YYYY-MM-DD",
)


@dataclass(slots=True)
class Suppression:
    """One comment.

    Attributes:
        line: Its line, from 1.
        codes: Ours or Istio's; ``*`` stands for all.
        reason: Why, as written.
        until: Last day on which it holds.
        alone: Nothing but the comment is on its line.
        used: It took out a finding.
    """

    line: int
    codes: tuple[str, ...]
    reason: str
    until: date | None = None
    alone: bool = False
    used: bool = False

    def covers(self, finding: Finding, document: Document) -> bool:
        """Say whether it is about this finding."""
        if not {"*", finding.code, finding.istio_code} & set(self.codes):
            return False
        if finding.line == self.line or (self.alone and finding.line == self.line + 1):
            return True
        return self.alone and document.first_line - 2 <= self.line <= document.first_line + 1


def parse_comment(comment: Comment, today: date) -> tuple[Suppression | None, str]:
    """Return the suppression, or what is wrong with it; both empty where it has expired."""
    match = _FORM.match(comment.text)
    if not match:
        return None, f"cannot read {comment.text!r}"
    rest = match[2]
    until = None
    date_match = _UNTIL.search(rest)
    if date_match:
        try:
            until = date.fromisoformat(date_match[1])
        except ValueError:
            return None, f"{date_match[1]} is no date"
        rest = _UNTIL.sub("", rest)
    if not rest.strip():
        return None, "it gives no reason"
    if until and until < today:
        return None, f"it ended on {until.isoformat()}"
    codes = tuple(code.upper() for code in match[1].split(",") if code)
    return Suppression(comment.line, codes, rest.strip(), until, comment.alone), ""


def annotation_reason(document: Document, finding: Finding) -> str:
    """Return which annotation takes the finding out, or an empty text."""
    notes = document.annotations
    codes = {"*", finding.code, finding.istio_code}
    for key in ("gitlab-mesh.dev/ignore", "galley.istio.io/analyze-suppress"):
        value = notes.get(key)
        if isinstance(value, str) and codes & {item.strip().split(" ")[0] for item in value.split(",")}:
            return f"annotation {key}"
    if "kiali.io/ignore-validations" in notes and not notes["kiali.io/ignore-validations"]:
        return "annotation kiali.io/ignore-validations"
    return ""


def unused(file: str, suppressions: Iterable[Suppression]) -> list[Problem]:
    """Return a problem for each suppression that took out nothing."""
    nowhere = Document("", "", "", file, {}, file, 1, 1)
    return [
        Problem(nowhere, (), f"ignore={','.join(item.codes)} takes out nothing", code="GM0020", place=(item.line, 1))
        for item in suppressions
        if not item.used
    ]


def render_baseline(findings: Sequence[Finding]) -> str:
    """Render the file that makes today's findings known ones."""
    entries = [
        {"fingerprint": item.fingerprint, "code": item.code, "resource": item.resource, "message": item.message}
        for item in findings
    ]
    return json.dumps({"version": 1, "findings": entries}, indent=2, ensure_ascii=False) + "\n"


def parse_baseline(text: str) -> set[str]:
    """Return the fingerprints of a baseline.

    Raises:
        ValueError: It is not one.
    """
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("version") != 1 or not isinstance(data.get("findings"), list):
        raise ValueError("not a baseline of gitlab-mesh, version 1")
    return {str(item.get("fingerprint")) for item in data["findings"] if isinstance(item, dict)}
