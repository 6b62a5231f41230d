"""Registration of rules: one decorator, one table, ordered by code."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Required, TypedDict, Unpack

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Problem

__all__ = [
    "Check",
    "Facts",
    "ObjectCheck",
    "Rule",
    "Suite",
    "describe",
    "object_rule",
    "rule",
    "rules_by_code",
]

Check = Callable[[Mesh], Iterable[Problem]]
ObjectCheck = Callable[[Document], Iterable[Problem]]
Suite = str
"""``"validate"``: it will not work. ``"security"``: it works for an attacker."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule and everything that its documentation page says.

    Attributes:
        code: ``GM`` and four digits; the digits of Istio's code where it has one.
        title: What it finds, a few words.
        level: Of its findings, where a finding does not say otherwise.
        why: Why it matters: what happens to requests or policies.
        mend: What to do, generally; a finding may know better.
        istio: Istio's message code, or empty.
        reads: Kinds that the rule looks at; it does not run where none of the first is there.
        check: The rule, if it looks at several objects together.
        each: The rule, if what it says about an object depends on that object alone; without either the code is
            given by other rules or by the reader.
        bad: An example with the finding (YAML).
        good: The same, mended.
        also: Sibling codes that it may give.
        suite: Which job runs it.
        profile: ``baseline`` or ``strict`` (security only).
        references: Ids of CIS, NSA, OWASP, CVE, Kiali.
    """

    code: str
    title: str
    level: Level
    why: str
    mend: str
    istio: str = ""
    reads: tuple[str, ...] = ()
    check: Check | None = None
    each: ObjectCheck | None = None
    bad: str = ""
    good: str = ""
    also: tuple[str, ...] = ()
    suite: Suite = "validate"
    profile: str = "baseline"
    references: tuple[str, ...] = ()


class Facts(TypedDict, total=False):
    """What ``rule`` and ``object_rule`` take; see ``Rule``."""

    why: Required[str]
    mend: Required[str]
    reads: Required[tuple[str, ...]]
    bad: Required[str]
    good: Required[str]
    istio: str
    also: tuple[str, ...]
    suite: Suite
    profile: str
    references: tuple[str, ...]


_RULES: dict[str, Rule] = {}


def _add(new: Rule) -> None:
    if new.code in _RULES:
        raise ValueError(f"two rules have the code {new.code}")
    _RULES[new.code] = new


def describe(
    code: str,
    title: str,
    level: Level,
    *,
    why: str,
    mend: str,
    istio: str = "",
    bad: str = "",
    good: str = "",
    suite: Suite = "validate",
) -> None:
    """Register a code that the reader, the schema check or another rule gives."""
    _add(Rule(code, title, level, why, mend, istio=istio, bad=bad, good=good, suite=suite))


def rule(code: str, title: str, level: Level, **facts: Unpack[Facts]) -> Callable[[Check], Check]:
    """Register the decorated function as a rule about objects that belong together."""

    def register(check: Check) -> Check:
        _add(Rule(code, title, level, check=check, **facts))
        return check

    return register


def object_rule(code: str, title: str, level: Level, **facts: Unpack[Facts]) -> Callable[[ObjectCheck], ObjectCheck]:
    """Register the decorated function as a rule about each object of the kinds that it ``reads``."""

    def register(each: ObjectCheck) -> ObjectCheck:
        _add(Rule(code, title, level, each=each, **facts))
        return each

    return register


def rules_by_code() -> dict[str, Rule]:
    """Return what has been registered so far, in the order of codes; ``ruleset`` has everything."""
    return dict(sorted(_RULES.items()))
