"""Running the rules: schema first, then every registered rule whose kinds are there."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence

from gitlab_mesh.core.analysis.custom import CustomSchemas
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Options, Problem
from gitlab_mesh.core.analysis.registry import Check, ObjectCheck, Rule
from gitlab_mesh.core.analysis.ruleset import registered
from gitlab_mesh.core.istio_schema.check import check_document

__all__ = ["analyze", "analyze_schema", "run_rules"]


def analyze_schema(documents: Iterable[Document], custom: CustomSchemas | None = None) -> Iterator[Problem]:
    """Check every object against its schema; the user's own schemas hold instead of those that come along.

    Values of a wrong type are then taken out of the object, so that rules may rely on types.
    """
    for document in documents:
        try:
            own = custom.check(document) if custom is not None else None
            ours = list(check_document(document))
            yield from ours if own is None else own
        except Exception as error:  # one odd object must not hide the others
            yield Problem(document, (), f"the schema check failed: {type(error).__name__}: {error}", code="GM0001")


def analyze(
    documents: Sequence[Document],
    options: Options,
    *,
    suites: tuple[str, ...] = ("validate",),
    strict: bool = True,
    touched: Container[str] | None = None,
    custom: CustomSchemas | None = None,
) -> tuple[list[Problem], Mesh]:
    """Run everything; each problem carries its code.

    Args:
        documents: All objects, those of the inventory too.
        options: What the files cannot say.
        suites: Which rules: ``validate``, ``security``.
        strict: With the rules of profile ``strict``.
        touched: Only these files are looked at by what is about single objects.
        custom: Schemas of the user's own.
    """
    problems = [
        problem
        for problem in analyze_schema(documents, custom)
        if not problem.document.assumed and (touched is None or problem.document.file in touched)
    ]
    if "validate" not in suites:
        problems = []
    mesh = Mesh(documents, options)
    problems += run_rules(mesh, suites=suites, strict=strict, touched=touched)
    return problems, mesh


def run_rules(
    mesh: Mesh,
    *,
    suites: tuple[str, ...],
    strict: bool,
    only: Container[str] | None = None,
    touched: Container[str] | None = None,
) -> list[Problem]:
    """Run the registered rules.

    Args:
        mesh: The objects.
        suites: Which rules.
        strict: With the rules of profile ``strict``.
        only: Only rules that give one of these codes.
        touched: Only objects of these files are looked at by rules about single objects.
    """
    problems: list[Problem] = []
    for rule in registered().values():
        if rule.suite not in suites or (rule.profile == "strict" and not strict):
            continue
        if only is not None and not any(code in only for code in (rule.code, *rule.also)):
            continue
        if rule.each is not None:
            found = _each(rule, rule.each, mesh, touched)
        elif rule.check is not None and (not rule.reads or any(kind in mesh.by_kind for kind in rule.reads)):
            found = _together(rule, rule.check, mesh)
        else:
            continue
        problems += _distinct(rule, found)
    return problems


def _distinct(rule: Rule, found: Iterable[Problem]) -> Iterator[Problem]:
    seen: set[tuple[int, str, str, tuple[str | int, ...]]] = set()
    for problem in found:
        code = problem.code or rule.code
        key = (id(problem.document), code, problem.message, problem.path)
        if key not in seen and not problem.document.assumed:
            seen.add(key)
            yield problem._replace(code=code)


def _each(
    rule: Rule,
    each: ObjectCheck,
    mesh: Mesh,
    touched: Container[str] | None,
) -> Iterator[Problem]:
    for kind in rule.reads:
        for document in mesh.of(kind):
            if document.assumed or (touched is not None and document.file not in touched):
                continue
            try:
                yield from each(document)
            except Exception as error:  # one odd object must not hide what is wrong with the others
                yield _crash(rule, document, error)


def _together(rule: Rule, check: Check, mesh: Mesh) -> Iterator[Problem]:
    try:
        yield from check(mesh)
    except Exception as error:  # one bad rule must not hide what the others found
        documents = (item for kind in rule.reads or mesh.by_kind for item in mesh.of(kind) if not item.assumed)
        document = next(documents, None)
        if document is not None:
            yield _crash(rule, document, error)


def _crash(rule: Rule, document: Document, error: Exception) -> Problem:
    return Problem(document, (), f"rule {rule.code} failed: {type(error).__name__}: {error}", code="GM0001")
