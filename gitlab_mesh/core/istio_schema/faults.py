"""What a check of a schema gives back, and how it says it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from gitlab_mesh.core.analysis.model import Path

__all__ = [
    "DUPLICATE",
    "EXCLUSIVE",
    "MISSING",
    "TYPE",
    "UNKNOWN",
    "VALUE",
    "Check",
    "Fault",
    "limits_of",
    "name_type",
    "shown",
    "size_fault",
    "wrong_type",
]


class Fault(NamedTuple):
    """A place that does not fit the schema."""

    path: Path
    code: str
    message: str
    hint: str = ""
    at_key: bool = False


Check = Callable[[Any], "list[Fault] | None"]
UNKNOWN, TYPE, MISSING, VALUE, EXCLUSIVE, DUPLICATE = "GM0010", "GM0011", "GM0012", "GM0013", "GM0014", "GM0015"
_LIMITS = re.compile(r"(-?\d+)?\.\.(-?\d+)?")
_WORDS = {str: "a text", int: "an integer", float: "a number", bool: "true or false", list: "a list", dict: "a mapping"}


def name_type(value: Any) -> str:
    """Return a value's type in words."""
    return _WORDS.get(value.__class__, type(value).__name__)


def shown(value: Any) -> str:
    """Return a value for people, as YAML would write it, cut to 60 characters."""
    if value is True or value is False:
        return str(value).lower()
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def wrong_type(value: Any, wanted: str, hint: str = "") -> list[Fault]:
    """Return the fault of a value that is not what is wanted."""
    if wanted == "a text" and not isinstance(value, (list, dict)):
        hint = f'put it in quotes: "{shown(value)}"'
        return [Fault((), TYPE, f"{shown(value)} is {name_type(value)}; a text is wanted here", hint)]
    said = "" if isinstance(value, (list, dict)) else f"{shown(value)} is "
    return [Fault((), TYPE, f"{said}{name_type(value)}; {wanted} is wanted here", hint)]


def limits_of(text: str) -> tuple[int | None, int | None]:
    """Return the limits of a notation such as ``1..16``; a pattern at its end is none."""
    match = _LIMITS.search(re.sub(r"/.*/$", "", text))
    if not match:
        return None, None
    return (int(match[1]) if match[1] else None), (int(match[2]) if match[2] else None)


def size_fault(count: int, low: int | None, high: int | None, what: str) -> list[Fault] | None:
    """Return the fault of a number of things outside of its limits."""
    if low is not None and count < low:
        return [Fault((), VALUE, f"at least {low} {what}{'s' if low > 1 else ''} wanted; there are {count}")]
    if high is not None and count > high:
        return [Fault((), VALUE, f"at most {high} {what}s allowed; there are {count}")]
    return None
