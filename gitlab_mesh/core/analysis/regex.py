"""Regular expressions as Envoy reads them: RE2. What Python accepts and RE2 does not is refused here."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

__all__ = ["matches_anything", "regex_problem"]

_LIMIT = 1024
_UNSUPPORTED = (
    (re.compile(r"(?<!\\)\(\?[=!]"), "lookahead, which RE2 does not support"),
    (re.compile(r"(?<!\\)\(\?<[=!]"), "lookbehind, which RE2 does not support"),
    (re.compile(r"(?<!\\)\\[1-9]"), "a back reference, which RE2 does not support"),
    (re.compile(r"(?<!\\)\(\?>"), "an atomic group, which RE2 does not support"),
    (re.compile(r"(?<!\\)\(\?\("), "a conditional, which RE2 does not support"),
)
_NESTED = re.compile(r"(?<!\\)([*+?]|\{\d+,?\d*\})(\+|\*)")
_POSIX = re.compile(r"\[:\^?[a-z]+:\]")
_UNICODE_CLASS = re.compile(r"\\[pP](\{\^?\w+\}|\w)")


@lru_cache(maxsize=4096)
def regex_problem(pattern: str) -> str:
    """Say why Envoy would refuse a pattern; empty: it would not."""
    if len(pattern.encode()) > _LIMIT:
        return f"is longer than {_LIMIT} bytes"
    for found, what in _UNSUPPORTED:
        if found.search(pattern):
            return f"has {what}"
    if _NESTED.search(re.sub(r"\[[^\]]*\]", "x", pattern)):
        return "has a repetition of a repetition"
    plain = _POSIX.sub("a-z", pattern).replace(r"\z", r"\Z").replace(r"\C", ".")
    plain = _UNICODE_CLASS.sub(r"\\w", plain)
    plain = re.sub(r"\\Q(.*?)(\\E|$)", lambda match: re.escape(match[1]), plain)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(plain)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression: {error}"
    return ""


def matches_anything(pattern: str) -> bool:
    """Say whether the pattern matches every text."""
    return pattern in (".*", "^.*$", "^.*", ".*$", "(.*)", ".+", "^.+$")
