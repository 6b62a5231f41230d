"""Every rule: importing the modules that register some, once, in one place."""

from __future__ import annotations

from functools import cache

from gitlab_mesh.core.analysis import custom, mesh_file, reading, rules, suppress
from gitlab_mesh.core.analysis.model import Level
from gitlab_mesh.core.analysis.registry import Rule, describe, rules_by_code
from gitlab_mesh.core.istio_schema import check

__all__ = ["find_rule", "registered"]

_REGISTERING = (check, custom, mesh_file, reading, rules, suppress)

describe(
    "GM0001",
    "a rule failed",
    Level.ERROR,
    why="a rule of ours met something that it did not expect; the other rules ran",
    mend="report it with the document that is named here",
)


@cache
def registered() -> dict[str, Rule]:
    """Return every rule by code, in order."""
    return rules_by_code()


def find_rule(code: str) -> Rule | None:
    """Return the rule of this code; Istio's codes find the first rule that carries them."""
    rules = registered()
    word = code.upper()
    return rules.get(word) or next((rule for rule in rules.values() if word and rule.istio == word), None)
