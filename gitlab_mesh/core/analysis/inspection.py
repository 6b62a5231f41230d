"""One inspection from files to findings: read, check, locate, suppress, compare with the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from gitlab_mesh.core.analysis.custom import CustomSchemas
from gitlab_mesh.core.analysis.engine import analyze, analyze_schema, run_rules
from gitlab_mesh.core.analysis.findings import Summary, build_findings, fingerprint, json_path
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.mesh_file import MeshFile
from gitlab_mesh.core.analysis.model import Document, Finding, Level, Options, Problem
from gitlab_mesh.core.analysis.reading import Manifests, ManifestSet
from gitlab_mesh.core.analysis.ruleset import registered
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
        base: Former content of the files that a merge request changes, by their path from the working directory
            (None: new). Empty mapping: it changes nothing; None: there is nothing to compare with.
        only_changed: With a base: keep only findings that the merge request causes.
        extra: Objects that come from elsewhere (a live cluster): read, never reported.
        custom: Schemas of the user's own.
        mesh_file: What ``mesh.yaml`` says; its services are checked against the objects.
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
    base: Mapping[str, bytes | None] | None = None
    only_changed: bool = True
    custom: CustomSchemas | None = None
    mesh_file: MeshFile = MeshFile()


@dataclass(frozen=True, slots=True)
class Inspection:
    """What came out.

    Attributes:
        summary: For outputs.
        mesh: For further figures.
        former: The mesh before the merge request, where it was asked for.
    """

    summary: Summary
    mesh: Mesh
    former: Mesh | None = None


def inspect(manifests: Manifests, request: Request) -> Inspection:
    """Read and check everything.

    Raises:
        UsageError: A path does not exist or cannot be read.
    """
    defined = request.custom.kinds if request.custom is not None else ()
    read = manifests.read(request.paths, defined=defined)
    documents = [*read.documents, *request.mesh_file.documents]
    if request.inventory:
        documents += manifests.read(request.inventory, assumed=True).documents
    documents += request.extra
    former = None if request.base is None else _read_former(manifests, request, request.base, read, documents)
    if former is None or not request.only_changed:
        found, mesh = analyze(
            documents, request.options, suites=request.suites, strict=request.strict, custom=request.custom
        )
        problems = [*read.problems, *found, *_further(request)]
    else:
        problems, mesh = _changed(request, former, read, documents)
    summary = _conclude(manifests, read, _only_level(problems, request.level), request)
    return Inspection(summary, mesh, former.mesh if former is not None else None)


def _further(request: Request) -> list[Problem]:
    """Return what is wrong with mesh.yaml, and which rules of the user's schemas could not be evaluated."""
    if "validate" not in request.suites:
        return []
    return [*request.mesh_file.problems, *(request.custom.finish() if request.custom is not None else ())]


@dataclass(frozen=True, slots=True)
class _Former:
    """What was there before the merge request: all of it, what was wrong with its YAML, which files it touches."""

    mesh: Mesh
    problems: Sequence[Problem]
    touched: frozenset[str]


def _read_former(
    manifests: Manifests,
    request: Request,
    base: Mapping[str, bytes | None],
    read: ManifestSet,
    documents: Sequence[Document],
) -> _Former:
    files = {item.file for item in documents}
    files |= {item.document.file for item in (*read.problems, *request.mesh_file.problems)}
    spelled = {manifests.name(file): file for file in files}
    touched = {file for name, file in spelled.items() if name in base}
    kept = [item for item in documents if item.file not in touched]
    problems: list[Problem] = []
    defined = request.custom.kinds if request.custom is not None else ()
    for name, content in base.items():
        if content is not None and (name in spelled or manifests.covers((*request.paths, *request.inventory), name)):
            former = manifests.parse(spelled.get(name, name), content, defined=defined)
            kept += former.documents
            problems += former.problems
            touched.add(spelled.get(name, name))
    return _Former(Mesh(_in_reading_order(kept, documents), request.options), problems, frozenset(touched))


def _changed(
    request: Request, former: _Former, read: ManifestSet, documents: Sequence[Document]
) -> tuple[list[Problem], Mesh]:
    """Return what is wrong now and was not before the merge request.

    What is wrong with one object alone is the same in files that were not touched, so it is looked for in the others
    only. What is wrong with several together is looked for in everything, before and now.
    """
    touched = former.touched
    found, mesh = analyze(
        documents, request.options, suites=request.suites, strict=request.strict, touched=touched, custom=request.custom
    )
    problems = [item for item in (*read.problems, *_further(request)) if item.document.file in touched] + found
    objects = (item for kind in former.mesh.by_kind for item in former.mesh.of(kind) if item.file in touched)
    before = [*former.problems, *analyze_schema(objects, request.custom)]
    # rules that find nothing now need not be asked what they found before
    codes = {item.code for item in problems}
    before += run_rules(former.mesh, suites=request.suites, strict=request.strict, only=codes, touched=touched)
    known = {fingerprint(item) for item in before}
    return [item for item in problems if fingerprint(item) not in known], mesh


def _in_reading_order(former: list[Document], documents: Sequence[Document]) -> list[Document]:
    """Sort former objects as they were read: of two that contradict each other, rules name the second one."""
    places: dict[str, float] = {}
    for item in documents:
        places.setdefault(item.file, len(places))
    for file in {item.file for item in former} - places.keys():
        places[file] = sum(other < file for other in places) - 0.5
    return sorted(former, key=lambda item: places[item.file])


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
