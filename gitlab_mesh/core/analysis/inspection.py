"""One inspection from files to findings: read, check, locate, suppress, compare with the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from gitlab_mesh.core.analysis.engine import analyze
from gitlab_mesh.core.analysis.findings import Summary, build_findings, json_path
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Finding, Level, Options, Problem
from gitlab_mesh.core.analysis.reading import Manifests, ManifestSet
from gitlab_mesh.core.analysis.registry import registered
from gitlab_mesh.core.analysis.suppress import Suppression, annotation_reason, parse_comment, unused

__all__ = ["Inspection", "Request", "inspect"]


@dataclass(frozen=True, slots=True)
class Request:
    """What to inspect, and how.

    Attributes:
        paths: Files, directories, globs, ``-``.
        inventory: The same for objects that exist elsewhere: read, never reported.
        options: What the files cannot say.
        suites: ``validate``, ``security``.
        strict: With the rules of profile ``strict``.
        level: Findings below it are left out.
        known: Fingerprints of the baseline.
        today: For suppressions that end.
        extra: Objects that come from elsewhere (a live cluster): read, never reported.
    """

    paths: Sequence[str]
    inventory: Sequence[str] = ()
    options: Options = field(default_factory=Options)
    suites: tuple[str, ...] = ("validate",)
    strict: bool = False
    level: Level = Level.INFO
    known: frozenset[str] = frozenset()
    today: date = date.max
    extra: Sequence[Document] = ()


@dataclass(frozen=True, slots=True)
class Inspection:
    """What came out: the summary for outputs, the mesh for further figures."""

    summary: Summary
    mesh: Mesh


def inspect(manifests: Manifests, request: Request) -> Inspection:
    """Read and check everything.

    Raises:
        UsageError: A path does not exist or cannot be read.
    """
    read = manifests.read(request.paths)
    documents = [*read.documents]
    problems = list(read.problems)
    if request.inventory:
        documents += manifests.read(request.inventory, assumed=True).documents
    documents += request.extra
    found, mesh = analyze(documents, request.options, suites=request.suites, strict=request.strict)
    problems += found
    problems = _only_level(problems, request.level)
    summary = _conclude(manifests, read, problems, request)
    return Inspection(summary, mesh)


def _only_level(problems: list[Problem], level: Level) -> list[Problem]:
    rules = registered()
    return [item for item in problems if (item.level or rules[item.code].level).rank <= level.rank]


def _conclude(manifests: Manifests, read: ManifestSet, problems: list[Problem], request: Request) -> Summary:
    rules = registered()
    owners: dict[tuple[str, str, str], Document] = {}
    for item in problems:
        owners[item.document.file, item.document.resource, json_path((*item.document.prefix, *item.path))] = (
            item.document
        )
    findings = build_findings(problems, rules, manifests.locate)
    comments, broken = _suppressions(manifests, read, request)
    kept: list[Finding] = []
    suppressed: list[tuple[Finding, str]] = []
    for finding in findings:
        owner = owners.get((finding.file, finding.resource, finding.path))
        reason = _reason(finding, owner, comments.get(finding.file, []), request.known)
        if reason:
            suppressed.append((finding, reason))
        else:
            kept.append(finding)
    notes = broken + [item for file, list_ in comments.items() for item in unused(file, list_)]
    kept += build_findings(_only_level(notes, request.level), rules, manifests.locate)
    kept.sort(key=lambda item: (item.file, item.line, item.column, item.code))
    return Summary(tuple(kept), tuple(suppressed), read.files, read.objects, read.skipped)


def _reason(finding: Finding, owner: Document | None, comments: Sequence[Suppression], known: frozenset[str]) -> str:
    if finding.fingerprint in known:
        return "baseline"
    if owner is None:
        return ""
    for item in comments:
        if item.covers(finding, owner):
            item.used = True
            return item.reason
    return annotation_reason(owner, finding)


def _suppressions(
    manifests: Manifests, read: ManifestSet, request: Request
) -> tuple[dict[str, list[Suppression]], list[Problem]]:
    found: dict[str, list[Suppression]] = {}
    broken: list[Problem] = []
    for file in dict.fromkeys(document.file for document in read.documents):
        for comment in manifests.comments(file):
            item, problem = parse_comment(comment, request.today)
            if item is not None:
                found.setdefault(file, []).append(item)
            elif problem:
                nowhere = Document("", "", "", file, {}, file, comment.line, comment.line)
                broken.append(Problem(nowhere, (), problem, code="GM0021", place=(comment.line, 1)))
    return found, broken
