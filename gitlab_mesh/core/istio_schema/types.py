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
from typing import Any, NamedTuple

from gitlab_mesh.core.analysis.model import Path
from gitlab_mesh.core.analysis.names import nearest

__all__ = ["Check", "Fault", "Rules", "Schema"]


class Fault(NamedTuple):
    """A place that does not fit the schema."""

    path: Path
    code: str
    message: str
    hint: str = ""
    at_key: bool = False


Check = Callable[[Any], "list[Fault] | None"]
Rules = Mapping[str, Callable[[dict[str, Any]], Iterable[tuple[Path, str]]]]
"""Rules of a type that the notation cannot say, by type: each yields (path, message)."""

UNKNOWN, TYPE, MISSING, VALUE, EXCLUSIVE, DUPLICATE = "GM0010", "GM0011", "GM0012", "GM0013", "GM0014", "GM0015"
_FIELD = re.compile(r"^  ([A-Za-z0-9_$-]+)(!?): (.+)$")
_LIMITS = re.compile(r"(-?\d+)?\.\.(-?\d+)?")
_DURATION = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*|0")
_SECONDS = re.compile(r"-?\d+(\.\d{1,9})?s")
_DNS_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_HOSTNAME = rf"(\*\.)?{_DNS_NAME}"
_ENOUGH = re.compile(r"[1-9][\d.]*(ms|s|m|h)|0?\.\d*[1-9]\d*(s|m|h)|\d{4,}(us|µs|μs)|\d{7,}ns")
_WORDS = {str: "a text", int: "an integer", float: "a number", bool: "true or false", list: "a list", dict: "a mapping"}


def name_type(value: Any) -> str:
    """Return a value's type in words."""
    return _WORDS.get(value.__class__, type(value).__name__)


def _shown(value: Any) -> str:
    if value is True or value is False:
        return str(value).lower()
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _wrong(value: Any, wanted: str, hint: str = "") -> list[Fault]:
    if wanted == "a text" and not isinstance(value, (list, dict)):
        hint = f'put it in quotes: "{_shown(value)}"'
        return [Fault((), TYPE, f"{_shown(value)} is {name_type(value)}; a text is wanted here", hint)]
    shown = "" if isinstance(value, (list, dict)) else f"{_shown(value)} is "
    return [Fault((), TYPE, f"{shown}{name_type(value)}; {wanted} is wanted here", hint)]


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
        if base in _SCALARS:
            return _SCALARS[base](limits)
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
            return _wrong(value, "a mapping")
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


def _limits(text: str) -> tuple[int | None, int | None]:
    match = _LIMITS.search(re.sub(r"/.*/$", "", text))
    if not match:
        return None, None
    return (int(match[1]) if match[1] else None), (int(match[2]) if match[2] else None)


def _size(count: int, low: int | None, high: int | None, what: str) -> list[Fault] | None:
    if low is not None and count < low:
        return [Fault((), VALUE, f"at least {low} {what}{'s' if low > 1 else ''} wanted; there are {count}")]
    if high is not None and count > high:
        return [Fault((), VALUE, f"at most {high} {what}s allowed; there are {count}")]
    return None


def _list(inner: Check, limits: str) -> Check:
    low, high = _limits(limits)
    key = re.search(r"key=(\S+)", limits)
    unique = key[1] if key else ""
    is_set = "set" in limits.split()

    def check(value: Any) -> list[Fault] | None:
        if value.__class__ is not list:
            return _wrong(value, "a list", "write it as a list: - …")
        faults: list[Fault] | None = None
        for i, item in enumerate(value):
            found = inner(item)
            if found:
                faults = faults or []
                faults += [fault._replace(path=(i, *fault.path)) for fault in found]
        if low is not None or high is not None:
            faults = (faults or []) + (_size(len(value), low, high, "entry") or []) or None
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
    low, high = _limits(limits)

    def check(value: Any) -> list[Fault] | None:
        if value.__class__ is not dict:
            return _wrong(value, "a mapping")
        faults: list[Fault] | None = None
        for key, item in value.items():
            found = inner(item) if item is not None else None
            if found:
                faults = faults or []
                faults += [fault._replace(path=(key, *fault.path)) for fault in found]
        if low is not None or high is not None:
            faults = (faults or []) + (_size(len(value), low, high, "entry") or []) or None
        return faults

    return check


def _text(limits: str) -> Check:
    low, high = _limits(limits)
    pattern = re.search(r"/(.*)/", limits)
    matches = re.compile(pattern[1]).fullmatch if pattern else None
    if not limits:

        def plain(value: Any) -> list[Fault] | None:
            return None if value.__class__ is str else _wrong(value, "a text")

        return plain

    def check(value: Any) -> list[Fault] | None:
        if value.__class__ is not str:
            return _wrong(value, "a text")
        if matches and not matches(value):
            return [Fault((), VALUE, f"{_shown(value)} does not match {pattern[1] if pattern else ''}")]
        return _size(len(value), low, high, "character")

    return check


def _number(wanted: str, *types: type) -> Callable[[str], Check]:
    def build(limits: str) -> Check:
        low, high = _limits(limits)

        def check(value: Any) -> list[Fault] | None:
            if type(value) not in types and not (isinstance(value, float) and value.is_integer()):
                return _wrong(value, wanted, "write the number without quotes" if isinstance(value, str) else "")
            if low is not None and value < low:
                return [Fault((), VALUE, f"{value} is less than {low}")]
            if high is not None and value > high:
                return [Fault((), VALUE, f"{value} is more than {high}")]
            return None

        return check

    return build


def _boolean(limits: str) -> Check:
    def check(value: Any) -> list[Fault] | None:
        hint = "write true or false without quotes" if isinstance(value, str) else ""
        return None if value.__class__ is bool else _wrong(value, "true or false", hint)

    return check


def _enum(limits: str) -> Check:
    words = limits.split()
    known = frozenset(words)

    def check(value: Any) -> list[Fault] | None:
        if value.__class__ is str and value in known:
            return None
        if not isinstance(value, str):
            return _wrong(value, "a text")
        near = nearest(value, words)
        hint = f"did you mean {near}?" if near else ""
        return [Fault((), VALUE, f"{_shown(value)} is not one of {', '.join(words)}", hint)]

    return check


def _duration(limits: str) -> Check:
    def check(value: Any) -> list[Fault] | None:
        if value.__class__ is not str:
            hint = f"durations have a unit: {value}s" if value.__class__ in (int, float) else ""
            return [Fault((), TYPE, f"{_shown(value)} is {name_type(value)}; a duration such as 5s is wanted", hint)]
        if _DURATION.fullmatch(value):
            short = value == "0" or not _ENOUGH.search(value)
            return [Fault((), VALUE, f"{value!r} is less than 1ms", "leave it out for the default")] if short else None
        return [Fault((), VALUE, f"{value!r} is not a duration", "write it as 500ms, 5s, 1m30s or 1h")]

    return check


def _seconds(limits: str) -> Check:
    """Durations where Istio reads protocol buffers' JSON: seconds only."""

    def check(value: Any) -> list[Fault] | None:
        if value.__class__ is str and _SECONDS.fullmatch(value):
            return None
        return [Fault((), TYPE, f"{_shown(value)} is no duration in seconds", "write it as 0s, 1.5s or 3600s")]

    return check


def _anything(limits: str) -> Check:
    return lambda value: None


def _object(limits: str) -> Check:
    return lambda value: None if value.__class__ is dict else _wrong(value, "a mapping")


def _integer_or_text(limits: str) -> Check:
    return lambda value: None if value.__class__ in (int, str) else _wrong(value, "an integer or a text")


_SCALARS: dict[str, Callable[[str], Check]] = {
    "str": _text,
    "int": _number("an integer", int),
    "num": _number("a number", int, float),
    "bool": _boolean,
    "enum": _enum,
    "dur": _duration,
    "seconds": _seconds,
    "any": _object,
    "raw": _anything,
    "intstr": _integer_or_text,
    "Group": lambda limits: _text(rf"..253 /|{_DNS_NAME}/"),
    "KindName": lambda limits: _text("1..63 /[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?/"),
    "NamespaceName": lambda limits: _text("1..63 /[a-z0-9]([-a-z0-9]*[a-z0-9])?/"),
    "SectionName": lambda limits: _text(rf"1..253 /{_DNS_NAME}/"),
    "NoWildcard": lambda limits: _text("..63 /[^*]*/"),
    "Hostname": lambda limits: _text(f"1..253 /{_HOSTNAME}/"),
    "PreciseHostname": lambda limits: _text(rf"1..253 /{_DNS_NAME}/"),
    "GatewayDuration": lambda limits: _text(r"/([0-9]{1,5}(h|m|s|ms)){1,4}/"),
}
