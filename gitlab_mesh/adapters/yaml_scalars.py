"""What a plain scalar means to Kubernetes: Go's rules of YAML 1.1 (sigs.k8s.io/yaml)."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["resolve"]

_MISS: Any = object()
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|[0-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_YES = ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")
_NO = ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")
_RESOLVED: dict[str, Any] = {
    **dict.fromkeys(_YES, True),
    **dict.fromkeys(_NO, False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    "-.inf": float("-inf"),
    ".nan": float("nan"),
    ".NaN": float("nan"),
}


def resolve(text: str) -> Any:
    """Return what a plain scalar means to Kubernetes."""
    value = _RESOLVED.get(text, _MISS)
    if value is not _MISS:
        return value
    if text[0] in "0123456789+-." and len(text) <= 64:
        if _INTEGER.fullmatch(text):
            return _integer(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def _integer(text: str) -> Any:
    plain = text.replace("_", "")
    sign, digits = (plain[0], plain[1:]) if plain[0] in "+-" else ("", plain)
    if len(digits) > 1 and digits[0] == "0" and digits.isdigit():
        if not set(digits) <= set("01234567"):
            return float(plain)
        return int(sign + digits, 8)
    try:
        return int(plain, 0)
    except ValueError:
        return text
