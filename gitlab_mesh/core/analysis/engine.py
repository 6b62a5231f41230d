"""Running the rules: schema first, then every registered rule whose kinds are there."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Options, Problem
from gitlab_mesh.core.analysis.registry import Rule, describe, registered
from gitlab_mesh.core.istio_schema.check import check_document

__all__ = ["analyze", "analyze_schema", "run_rules"]

describe(
    "GM0001",
    "a rule failed",
    Level.ERROR,
    why="a rule of ours met something that it did not expect; the other rules ran",
    mend="report it with the document that is named here",
)


def analyze_schema(documents: Iterable[Document]) -> Iterator[Problem]:
    """Check every object against its schema.

    Values of a wrong type are then taken out of the object, so that rules may rely on types.
    """
    for document in documents:
        try:
            yield from check_document(document)
        except Exception as error:  # one odd object must not hide the others
            yield Problem(document, (), f"the schema check failed: {type(error).__name__}: {error}", code="GM0001")


def analyze(
    documents: Sequence[Document],
    options: Options,
    *,
    suites: tuple[str, ...] = ("validate",),
    strict: bool = True,
    on_error: Callable[[str], None] | None = None,
) -> tuple[list[Problem], Mesh]:
    """Run everything; each problem carries its code.

    Args:
        documents: All objects, those of the inventory too.
        options: What the files cannot say.
        suites: Which rules: ``validate``, ``security``.
        strict: With the rules of profile ``strict``.
        on_error: Gets the name of a rule that crashed (a bug) with the reason.
    """
    problems = [problem for problem in analyze_schema(documents) if not problem.document.assumed]
    if "validate" not in suites:
        problems = []
    mesh = Mesh(documents, options)
    problems += run_rules(mesh, suites=suites, strict=strict, on_error=on_error)
    return problems, mesh


def run_rules(
    mesh: Mesh,
    *,
    suites: tuple[str, ...],
    strict: bool,
    only: Container[str] | None = None,
    on_error: Callable[[str], None] | None = None,
) -> list[Problem]:
    """Run the registered rules; ``only`` those that give one of these codes."""
    problems: list[Problem] = []
    for rule in registered().values():
        if rule.check is None or rule.suite not in suites or (rule.profile == "strict" and not strict):
            continue
        if only is not None and not any(code in only for code in (rule.code, *rule.also)):
            continue
        if not rule.reads or any(kind in mesh.by_kind for kind in rule.reads):
            problems += _run(rule, mesh, on_error)
    return problems


def _run(rule: Rule, mesh: Mesh, on_error: Callable[[str], None] | None) -> list[Problem]:
    found: list[Problem] = []
    seen: set[tuple[int, str, str, tuple[str | int, ...]]] = set()
    try:
        for problem in rule.check(mesh) if rule.check else ():
            if problem.document.assumed:
                continue
            code = problem.code or rule.code
            key = (id(problem.document), code, problem.message, problem.path)
            if key not in seen:
                seen.add(key)
                found.append(problem._replace(code=code))
    except Exception as error:  # one bad rule must not hide what the others found
        if on_error:
            on_error(f"rule {rule.code}: {type(error).__name__}: {error}")
        documents = mesh.of(rule.reads[0]) if rule.reads else []
        if documents:
            found.append(
                Problem(documents[0], (), f"rule {rule.code} failed: {type(error).__name__}: {error}", code="GM0001")
            )
    return found
