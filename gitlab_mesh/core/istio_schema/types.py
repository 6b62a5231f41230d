"""The notation in which the schemas are written, and its compilation into fast checks.

A type begins in the first column; its fields follow, indented::

    Server open                 other fields are allowed
      port!: GatewayPort        required
      hosts: [str](1..16)       a list, with limits of its length
      labels: {str}             a mapping
      mode: enum(A B)           one of these words
      number: int(1..65535)     limits of the value
      name: str(1..253 /[a-z]+/)    limits of the length, a pattern that the whole text matches
      ports: [Port](key=name)   names are unique in the list; ``set``: the values themselves are
      ! oneof a b c             at most one of them
      ! one a b                 exactly one
      ! any a b                 at least one

A check returns None, or faults with paths relative to its value: nothing is built where nothing is wrong.
Null is the same as absent, as the API server prunes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gitlab_mesh.core.analysis.model import Path
from gitlab_mesh.core.analysis.names import nearest
from gitlab_mesh.core.istio_schema.faults import (
    DUPLICATE,
    EXCLUSIVE,
    MISSING,
    UNKNOWN,
    VALUE,
    Check,
    Fault,
    limits_of,
    size_fault,
    wrong_type,
)
from gitlab_mesh.core.istio_schema.scalars import SCALARS

__all__ = ["Rules", "Schema"]

Rules = Mapping[str, Callable[[dict[str, Any]], Iterable[tuple[Path, str]]]]
"""Rules of a type that the notation cannot say, by type: each yields (path, message)."""
_FIELD = re.compile(r"^  ([A-Za-z0-9_$-]+)(!?): (.+)$")


class Schema:
    """Compiled types by name.

    Args:
        text: Definitions in the notation above.
        rules: Further rules by type.
    """

    def __init__(self, text: str, rules: Rules | None = None) -> None:
        self._rules = rules or {}
        self._source: dict[str, list[str]] = {}
        self._compiled: dict[str, Check] = {}
        lines: list[str] = []
        for line in text.splitlines():
            if line[:1].isalpha():
                lines = self._source[line] = []
            elif line.strip():
                lines.append(line)
        self._source = {name.split()[0]: [name, *lines] for name, lines in self._source.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._source

    def fields(self, name: str) -> dict[str, str]:
        """Return the fields of a type with the notation of their types."""
        found = (_FIELD.match(line) for line in self._source[name][1:])
        return {match[1]: match[3] for match in found if match}

    def check(self, name: str) -> Check:
        """Return the check of a type."""
        check = self._compiled.get(name)
        if check is None:
            check = self._compiled[name] = self._compile(name)
        return check

    def _compile(self, name: str) -> Check:
        head, *lines = self._source[name]
        fields: dict[str, Check] = {}
        required: list[str] = []
        groups: list[tuple[str, list[str]]] = []
        for line in lines:
            match = _FIELD.match(line)
            if match:
                fields[match[1]] = self._type(match[3])
                if match[2]:
                    required.append(match[1])
            else:
                mark, kind, *words = line.split()
                if mark != "!":
                    raise ValueError(f"{name}: cannot read {line!r}")
                groups.append((kind, words))
        return _message(name, fields, required, groups, " open" in head, self._rules.get(name))

    def _type(self, text: str) -> Check:
        text = text.strip().removesuffix("?")
        if text[0] in "[{":
            end = _closing(text)
            inner, limits = self._type(text[1:end]), text[end + 1 :].strip("()")
            return _list(inner, limits) if text[0] == "[" else _map(inner, limits)
        base, _, limits = text.partition("(")
        limits = limits.removesuffix(")") if limits else ""
        base = base.removesuffix("?")
        if base in SCALARS:
            return SCALARS[base](limits)
        return self._lazily(base)

    def _lazily(self, name: str) -> Check:
        if name not in self._source:
            raise ValueError(f"no type {name}")

        def check(value: Any) -> list[Fault] | None:
            return self.check(name)(value)

        return check


def _closing(text: str) -> int:
    depth = 0
    for i, char in enumerate(text):
        depth += (char in "[{") - (char in "]}")
        if depth == 0:
            return i
    raise ValueError(f"unbalanced: {text}")


def _message(
    name: str,
    fields: dict[str, Check],
    required: list[str],
    groups: list[tuple[str, list[str]]],
    is_open: bool,
    rule: Callable[[dict[str, Any]], Iterable[tuple[Path, str]]] | None,
) -> Check:
    find = fields.get
    plain = not (required or groups or rule)

    def check(value: Any) -> list[Fault] | None:
        if value.__class__ is not dict:
            return wrong_type(value, "a mapping")
        faults: list[Fault] | None = None
        for key, item in value.items():
            field = find(key)
            if field is None:
                if not is_open:
                    faults = faults or []
                    faults.append(_unknown(name, key, list(fields)))
            elif item is not None:
                found = field(item)
                if found:
                    faults = faults or []
                    faults += [fault._replace(path=(key, *fault.path)) for fault in found]
        if plain:
            return faults
        for key in required:
            if value.get(key) is None:
                faults = faults or []
                faults.append(Fault((), MISSING, f"{key} is missing", f"add {key}"))
        if groups:
            found = _exclusive(value, groups)
            faults = (faults or []) + found if found else faults
        if rule and not faults:
            found = [Fault(path, VALUE, message) for path, message in rule(value)]
            return found or None
        return faults

    return check


def _unknown(name: str, key: Any, known: list[str]) -> Fault:
    near = nearest(str(key), known)
    hint = f"did you mean {near}?" if near else f"known here: {', '.join(sorted(known)[:12])}"
    return Fault((key,), UNKNOWN, f"{key} is not a field of {name}", hint, at_key=True)


def _exclusive(value: dict[str, Any], groups: list[tuple[str, list[str]]]) -> list[Fault]:
    faults = []
    for kind, words in groups:
        there = [word for word in words if value.get(word) is not None]
        if len(there) > 1 and kind != "any":
            text = f"{' and '.join(there)} exclude one another"
            faults.append(Fault((there[1],), EXCLUSIVE, text, f"keep one of {', '.join(there)}", at_key=True))
        elif not there and kind != "oneof":
            faults.append(Fault((), MISSING, f"one of {', '.join(words)} is missing"))
    return faults


def _list(inner: Check, limits: str) -> Check:
    low, high = limits_of(limits)
    key = re.search(r"key=(\S+)", limits)
    unique = key[1] if key else ""
    is_set = "set" in limits.split()

    def check(value: Any) -> list[Fault] | None:
        if value.__class__ is not list:
            return wrong_type(value, "a list", "write it as a list: - …")
        faults: list[Fault] | None = None
        for i, item in enumerate(value):
            found = inner(item)
            if found:
                faults = faults or []
                faults += [fault._replace(path=(i, *fault.path)) for fault in found]
        if low is not None or high is not None:
            faults = (faults or []) + (size_fault(len(value), low, high, "entry") or []) or None
        if (unique or is_set) and len(value) > 1:
            faults = (faults or []) + _repeated(value, unique) or None
        return faults

    return check


def _repeated(value: list[Any], unique: str) -> list[Fault]:
    seen: set[Any] = set()
    faults = []
    for i, item in enumerate(value):
        word = tuple(item.get(key) for key in unique.split(",")) if unique and isinstance(item, dict) else item
        parts = word if isinstance(word, tuple) else (word,)
        if any(isinstance(part, (dict, list)) for part in parts):
            continue
        if word in seen:
            shown = ", ".join(str(part) for part in word if part is not None) if isinstance(word, tuple) else word
            faults.append(Fault((i,), DUPLICATE, f"{unique or 'value'} {shown} stands twice in this list"))
        seen.add(word)
    return faults


def _map(inner: Check, limits: str) -> Check:
    low, high = limits_of(limits)

    def check(value: Any) -> list[Fault] | None:
        if value.__class__ is not dict:
            return wrong_type(value, "a mapping")
        faults: list[Fault] | None = None
        for key, item in value.items():
            found = inner(item) if item is not None else None
            if found:
                faults = faults or []
                faults += [fault._replace(path=(key, *fault.path)) for fault in found]
        if low is not None or high is not None:
            faults = (faults or []) + (size_fault(len(value), low, high, "entry") or []) or None
        return faults

    return check
