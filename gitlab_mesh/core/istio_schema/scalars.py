"""Checks of single values: texts, numbers, words, durations, by their names in the notation of ``types``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gitlab_mesh.core.analysis.names import nearest
from gitlab_mesh.core.istio_schema.faults import (
    TYPE,
    VALUE,
    Check,
    Fault,
    limits_of,
    name_type,
    shown,
    size_fault,
    wrong_type,
)

__all__ = ["SCALARS"]

_DURATION = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*|0")
_SECONDS = re.compile(r"-?\d+(\.\d{1,9})?s")
_DNS_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_HOSTNAME = rf"(\*\.)?{_DNS_NAME}"
_ENOUGH = re.compile(r"[1-9][\d.]*(ms|s|m|h)|0?\.\d*[1-9]\d*(s|m|h)|\d{4,}(us|µs|μs)|\d{7,}ns")


def _text(limits: str) -> Check:
    low, high = limits_of(limits)
    pattern = re.search(r"/(.*)/", limits)
    matches = re.compile(pattern[1]).fullmatch if pattern else None
    if not limits:

        def plain(value: Any) -> list[Fault] | None:
            return None if value.__class__ is str else wrong_type(value, "a text")

        return plain

    def check(value: Any) -> list[Fault] | None:
        if value.__class__ is not str:
            return wrong_type(value, "a text")
        if matches and not matches(value):
            return [Fault((), VALUE, f"{shown(value)} does not match {pattern[1] if pattern else ''}")]
        return size_fault(len(value), low, high, "character")

    return check


def _number(wanted: str, *types: type) -> Callable[[str], Check]:
    def build(limits: str) -> Check:
        low, high = limits_of(limits)

        def check(value: Any) -> list[Fault] | None:
            if type(value) not in types and not (isinstance(value, float) and value.is_integer()):
                return wrong_type(value, wanted, "write the number without quotes" if isinstance(value, str) else "")
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
        return None if value.__class__ is bool else wrong_type(value, "true or false", hint)

    return check


def _enum(limits: str) -> Check:
    words = limits.split()
    known = frozenset(words)

    def check(value: Any) -> list[Fault] | None:
        if value.__class__ is str and value in known:
            return None
        if not isinstance(value, str):
            return wrong_type(value, "a text")
        near = nearest(value, words)
        hint = f"did you mean {near}?" if near else ""
        return [Fault((), VALUE, f"{shown(value)} is not one of {', '.join(words)}", hint)]

    return check


def _duration(limits: str) -> Check:
    def check(value: Any) -> list[Fault] | None:
        if value.__class__ is not str:
            hint = f"durations have a unit: {value}s" if value.__class__ in (int, float) else ""
            return [Fault((), TYPE, f"{shown(value)} is {name_type(value)}; a duration such as 5s is wanted", hint)]
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
        return [Fault((), TYPE, f"{shown(value)} is no duration in seconds", "write it as 0s, 1.5s or 3600s")]

    return check


def _anything(limits: str) -> Check:
    return lambda value: None


def _object(limits: str) -> Check:
    return lambda value: None if value.__class__ is dict else wrong_type(value, "a mapping")


def _integer_or_text(limits: str) -> Check:
    return lambda value: None if value.__class__ in (int, str) else wrong_type(value, "an integer or a text")


SCALARS: dict[str, Callable[[str], Check]] = {
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
