"""Values inside an object by the pattern of their path, and rules that are about one such value each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Unpack

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem
from gitlab_mesh.core.analysis.registry import Facts, object_rule

__all__ = ["Wrong", "field_rule", "places"]

Wrong = Callable[[Any], str]
"""Says what is wrong with a value; empty: nothing."""


@cache
def _steps(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.replace("[]", ".[]").replace("{}", ".{}").split("."))


def places(body: Any, pattern: str) -> Iterator[tuple[Path, Any]]:
    """Yield path and value of everything that a pattern leads to; what is not there, or of another type, is passed by.

    Args:
        body: The object.
        pattern: ``spec.servers[].tls.mode``: ``[]`` stands for every entry of a list, ``{}`` for every value of a
            mapping, ``a|b`` for either key.
    """
    found: list[tuple[Path, Any]] = [((), body)]
    for step in _steps(pattern):
        found = [item for path, value in found for item in _inside(path, value, step)]
    yield from found


def _inside(path: Path, value: Any, step: str) -> Iterator[tuple[Path, Any]]:
    if step == "[]":
        yield from (((*path, i), item) for i, item in enumerate(value) if item is not None) if _is(value, list) else ()
    elif _is(value, dict):
        keys = value if step == "{}" else step.split("|")
        yield from (((*path, key), value[key]) for key in keys if value.get(key) is not None)


def _is(value: Any, wanted: type) -> bool:
    return value.__class__ is wanted


def field_rule(
    code: str, title: str, level: Level, at: str, wrong: Wrong, *, at_key: bool = False, **facts: Unpack[Facts]
) -> None:
    """Register a rule that looks at single values.

    Args:
        code: See ``registry.Rule``, as for the rest.
        title: What it finds.
        level: Of its findings.
        at: Patterns of ``places``, with spaces between them.
        wrong: What it says about a value.
        at_key: Point to the key.
        facts: The rest.
    """

    def each(document: Document) -> Iterator[Problem]:
        for pattern in at.split():
            for path, value in places(document.body, pattern):
                message = wrong(value)
                if message:
                    yield Problem(document, path, message, at_key=at_key)

    object_rule(code, title, level, **facts)(each)
