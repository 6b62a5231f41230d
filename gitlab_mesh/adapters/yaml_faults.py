"""What is wrong with a YAML document, in words and with its place."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

__all__ = ["Fault", "explain_error"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the YAML: a code of ``core.analysis.reading``, line and column from 1, a sentence."""

    code: str
    line: int
    column: int
    message: str


def explain_error(error: yaml.YAMLError, text: str) -> Fault:
    """Return what is wrong with a document that the parser refuses, where people look for it."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:  # the reader met a character that YAML forbids and knows its position only
        position = int(getattr(error, "position", 0))
        before = text[:position]
        line, column = before.count("\n") + 1, position - before.rfind("\n")
        return Fault("GM0002", line, column, "a character that YAML does not allow")
    line, column = mark.line, mark.column
    lines = text.splitlines()
    here = lines[line] if line < len(lines) else ""
    message = str(getattr(error, "problem", None) or "not YAML")
    context = getattr(error, "context", None)
    if "{{" in text:
        place = next(i for i, item in enumerate(lines) if "{{" in item)
        return Fault("GM0004", place + 1, lines[place].index("{{") + 1, "a template of Helm or the like, not rendered")
    if here[: column + 1].count("\t") or here.lstrip(" ").startswith("\t"):
        return Fault("GM0002", line + 1, here.index("\t") + 1, "a tab; YAML is indented with spaces")
    return Fault("GM0002", line + 1, column + 1, f"{message} ({context})" if context else message)
