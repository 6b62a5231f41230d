"""From problems to findings: places, fingerprints, suppressions, baseline, order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gitlab_mesh.core.analysis.model import Finding, Level, Path, Problem
from gitlab_mesh.core.analysis.registry import Rule

__all__ = ["Summary", "build_findings", "fingerprint", "json_path", "summarize"]


def json_path(path: Path) -> str:
    """Return a path as ``$.spec.http[0].route``; keys that are no words are quoted."""
    parts = ["$"]
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif step.replace("_", "a").isalnum() and not step[:1].isdigit():
            parts.append(f".{step}")
        else:
            quoted = step.replace("\\", "\\\\").replace("'", "\\'")
            parts.append(f"['{quoted}']")
    return "".join(parts)


def fingerprint(problem: Problem) -> str:
    """Hash of what stays when lines move; the file only where there is no named object."""
    document = problem.document
    path, code, message = json_path((*document.prefix, *problem.path)), problem.code, problem.message
    place = document.resource if document.name and document.kind else document.file
    return hashlib.sha256("\0".join((code, place, path, message)).encode()).hexdigest()[:40]


def build_findings(
    problems: Iterable[Problem], rules: Mapping[str, Rule], locate: Callable[[Problem], tuple[int, int]]
) -> list[Finding]:
    """Turn problems into findings, sorted by file and place; equal ones are merged.

    Args:
        problems: Each with its code.
        rules: All rules by code.
        locate: Finds line and column of a problem.
    """
    findings: dict[tuple[str, int, int, str], Finding] = {}
    for problem in problems:
        rule, document = rules[problem.code], problem.document
        line, column = locate(problem)
        path = json_path((*document.prefix, *problem.path))
        mark = fingerprint(problem)
        findings.setdefault(
            (mark, line, column, document.file),
            Finding(
                code=rule.code,
                istio_code=rule.istio,
                level=problem.level or rule.level,
                resource=document.resource if document.kind else document.file,
                file=document.file,
                line=line,
                column=column,
                path=path,
                message=problem.message,
                why=rule.why,
                hint=problem.hint or rule.mend,
                fingerprint=mark,
                references=rule.references,
            ),
        )
    return sorted(findings.values(), key=lambda item: (item.file, item.line, item.column, item.code))


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything an output needs.

    Attributes:
        findings: Those that count.
        suppressed: Findings that a comment, an annotation or the baseline took out, by the reason given.
        files: Files read.
        objects: Objects read.
        skipped: Objects of kinds that no rule is about.
        facts: Further figures (posture), by name.
        former_facts: The same before the merge request, where only its findings were asked for.
    """

    findings: tuple[Finding, ...]
    suppressed: tuple[tuple[Finding, str], ...] = ()
    files: int = 0
    objects: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    former_facts: Mapping[str, str] = field(default_factory=dict)

    def count(self, level: Level) -> int:
        """Return how many findings have this level."""
        return sum(item.level is level for item in self.findings)


def summarize(findings: Sequence[Finding]) -> str:
    """Return ``2 errors, 1 warning`` or ``no findings``."""
    words = []
    for level, one in ((Level.ERROR, "error"), (Level.WARNING, "warning"), (Level.INFO, "remark")):
        count = sum(item.level is level for item in findings)
        if count:
            words.append(f"{count} {one}{'s' if count > 1 else ''}")
    return ", ".join(words) or "no findings"
