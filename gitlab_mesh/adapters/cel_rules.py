"""Rules in CEL (``x-kubernetes-validations``), evaluated with the library common-expression-language.

Functions that Kubernetes adds to CEL are added here as far as they are simple. What the library cannot parse or does
not have is not evaluated; who asks gets to know that (``Unevaluated``).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Evaluator", "Unevaluated", "passes", "typed"]


class Unevaluated(Exception):  # noqa: N818 - an outcome, not a fault
    """The library cannot say whether a rule holds; the text says why."""


def passes(test: Callable[[str], Any]) -> Callable[[str], bool]:
    """Return a function that says whether ``test`` takes a text without a ValueError."""

    def check(text: str) -> bool:
        try:
            test(text)
        except ValueError:
            return False
        return True

    return check


def _url(text: str) -> str:
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")):
        raise ValueError(f"{text} is no URL")
    return text


def _substring(text: str, first: int, last: int | None = None) -> str:
    end = len(text) if last is None else last
    if not 0 <= first <= end <= len(text):
        raise ValueError("index out of range")
    return text[first:end]


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found[0] if found else ""


# Kubernetes' CEL libraries (docs "Common Expression Language in Kubernetes": strings, lists, regex, URL, IP, CIDR)
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "charAt": lambda text, i: text[i : i + 1],
    "find": _find,
    "findAll": lambda text, pattern, most=-1: [m[0] for m in re.finditer(pattern, text)][: most if most >= 0 else None],
    "getEscapedPath": lambda url: urlsplit(url).path,
    "getHost": lambda url: urlsplit(url).netloc.rpartition("@")[2],
    "getHostname": lambda url: urlsplit(url).hostname or "",
    "getPort": lambda url: str(urlsplit(url).port or ""),
    "getScheme": lambda url: urlsplit(url).scheme,
    "indexOf": lambda value, part, start=0: value.find(part, start) if isinstance(value, str) else _index(value, part),
    "isCIDR": passes(lambda text: ip_network(text, strict=False)),
    "isIP": passes(ip_address),
    "isSorted": lambda items: all(one <= other for one, other in pairwise(items)),
    "isURL": passes(_url),
    "join": lambda items, by="": by.join(items),
    "lastIndexOf": lambda text, part: text.rfind(part),
    "lowerAscii": lambda text: text.lower(),
    "replace": lambda text, old, new, most=-1: text.replace(old, new, most),
    "split": lambda text, by, most=-1: text.split(by, most - 1) if most > 0 else text.split(by),
    "substring": _substring,
    "sum": lambda items: sum(items),
    "trim": lambda text: text.strip(),
    "upperAscii": lambda text: text.upper(),
    "url": _url,
}


def _index(items: list[Any], part: Any) -> int:
    return items.index(part) if part in items else -1


class Evaluator:
    """Compiles each expression once and evaluates it for values of ``self``."""

    def __init__(self) -> None:
        from cel import Context

        logging.getLogger("cel").setLevel(logging.CRITICAL)  # it logs what functions raise, too
        self._context = Context(functions=_FUNCTIONS)
        self._programs: dict[str, Any] = {}

    def holds(self, rule: str, value: Any) -> bool:
        """Say whether a rule holds for a value.

        A key that the object does not have, or a function that refuses its argument (``duration("apple")``), makes
        the API server refuse the object, so the rule does not hold then.

        Raises:
            Unevaluated: The library cannot parse the rule or lacks a function.
        """
        result = self._evaluate(rule, value)
        if result.__class__ is not bool:
            raise Unevaluated(f"{rule!r} gives {type(result).__name__}, not true or false")
        return bool(result)

    def text(self, expression: str, value: Any) -> str:
        """Return what a ``messageExpression`` says, or an empty text."""
        try:
            result = self._evaluate(expression, value)
        except Unevaluated:
            return ""
        return result if isinstance(result, str) else ""

    def _evaluate(self, rule: str, value: Any) -> Any:
        try:
            program = self._programs.get(rule)
            if program is None:
                from cel import compile as compile_rule

                program = self._programs[rule] = compile_rule(rule)
            self._context.add_variable("self", value)
            return program.execute(self._context)
        except KeyError:
            return False
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in Rust is no Exception
            first = str(error).partition("\n")[0].partition(". Check")[0]
            if first.startswith("Function '"):
                return False
            raise Unevaluated(first or type(error).__name__) from error


def typed(value: Any, form: str) -> Any:
    """Return a text of a schema's ``format`` as the CEL type that Kubernetes gives it; itself if it is none."""
    if form == "date-time":
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    if form == "duration":
        parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?", value)
        if parts and value:
            hours, minutes, seconds, milliseconds = (float(part or 0) for part in parts.groups())
            return timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)
    return value
