"""The ``Report`` of an inspection: for the merge-request note, the page and the job's log."""

from __future__ import annotations

from collections.abc import Sequence

from gitlab_mesh.core.analysis.findings import Summary, summarize
from gitlab_mesh.core.analysis.model import Finding, Level
from gitlab_mesh.core.report.model import Outcome, Report, TableSection, Tone

__all__ = ["build_report", "parse_threshold"]

_TONE = {Level.ERROR: Tone.BAD, Level.WARNING: Tone.WARN, Level.INFO: Tone.NEUTRAL}
_ROWS = 100


def parse_threshold(word: str) -> Level | None:
    """Return the level from which findings fail the job; None for ``never``."""
    return None if word == "never" else Level(word)


def failing(findings: Sequence[Finding], threshold: Level | None) -> list[Finding]:
    """Return the findings that fail the job."""
    return [] if threshold is None else [item for item in findings if item.level.rank <= threshold.rank]


def build_report(job: str, summary: Summary, threshold: Level | None, *, started: str, seconds: float) -> Report:
    """Build the report.

    Args:
        job: ``validate`` or ``security-scan``.
        summary: The findings.
        threshold: From which level on they fail the job; None: never.
        started: RFC 3339.
        seconds: How long it took.
    """
    findings = sorted(summary.findings, key=lambda item: (item.level.rank, item.file, item.line))
    failed = failing(findings, threshold)
    rows = tuple(
        (item.level.value, item.code, f"{item.file}:{item.line}", item.resource, item.message)
        for item in findings[:_ROWS]
    )
    sections = []
    if rows:
        tones = tuple(_TONE[item.level] for item in findings[:_ROWS])
        sections.append(TableSection("Findings", ("Level", "Code", "Place", "Object", "What"), rows, tones))
    if summary.facts:
        sections.append(_posture(summary))
    first = failed[0] if failed else None
    return Report(
        job=job,
        service="",
        namespace="",
        outcome=Outcome.FAILED if failed else Outcome.PASSED,
        headline=f"{job}: {summarize(findings)} in {summary.objects} objects",
        reason=f"{first.resource}: {first.message}" if first else "",
        next_step=f"`gitlab-mesh explain {first.code}`" if first else "",
        exit_code=13 if failed else 0,
        started=started,
        duration_seconds=seconds,
        facts={
            "files": str(summary.files),
            "objects": str(summary.objects),
            "suppressed": str(len(summary.suppressed)),
        },
        sections=tuple(sections),
        dotenv={
            "MESH_OUTCOME": "failed" if failed else "passed",
            "MESH_FINDINGS": str(len(findings)),
            "MESH_ERRORS": str(summary.count(Level.ERROR)),
        },
    )


def _posture(summary: Summary) -> TableSection:
    if not summary.former_facts:
        return TableSection("Posture", ("What", "Share"), tuple(summary.facts.items()))
    rows = tuple((name, share, summary.former_facts.get(name, "–")) for name, share in summary.facts.items())
    return TableSection("Posture", ("What", "Share", "Before the merge request"), rows)
