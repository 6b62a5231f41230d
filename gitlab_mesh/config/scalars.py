"""One value: from YAML to base units, and back to text for people.

Inside there are seconds and ratios; ``90s``, ``5m``, ``1h30m`` and ``5%`` exist in YAML only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from enum import Enum
from typing import Any

from gitlab_mesh.config.shape import Many, Shape, ValueKind, fields_of, shorthand_of

__all__ = [
    "DURATION_PATTERN",
    "LABEL_PATTERN",
    "NAME_PATTERN",
    "PERCENT_PATTERN",
    "parse_scalar",
    "render_number",
    "render_one",
    "render_value",
]

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
PERCENT_PATTERN = r"^[0-9]+(\.[0-9]+)?%$"
LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
NAME_PATTERN = r"^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_scalar(shape: Shape, raw: Any) -> Any:
    """Return the value of one scalar in base units.

    Args:
        shape: The field.
        raw: None, bool, int, float or str, as YAML has it; text is read as the unit wants it.

    Raises:
        ValueError: It is no such value; the message says what is expected, and the reason of a broken limit.
    """
    try:
        return _parse(shape, raw)
    except ValueError:
        if shape.about.secret:  # the message would show it
            raise ValueError(f"expected {_expected(shape)}") from None
        raise


def _parse(shape: Shape, raw: Any) -> Any:
    if isinstance(raw, (list, dict)):
        kind = "a list" if isinstance(raw, list) else "a mapping"
        raise ValueError(f"{kind} stands here; expected {_expected(shape)}")
    if shape.about.choices:
        return _choice(shape, raw)
    if shape.kind is ValueKind.TEXT:
        return _text(shape, raw)
    if shape.kind is ValueKind.BOOLEAN:
        if not isinstance(raw, bool):
            raise ValueError(f"{_shown(raw)} stands here; expected true or false")
        return raw
    return _limited(shape, _number(shape, raw))


def _choice(shape: Shape, raw: Any) -> Any:
    words = [str(choice) for choice in shape.about.choices]
    if not isinstance(raw, str) or raw not in words:
        raise ValueError(f"{_shown(raw)} is none of {', '.join(words)}{_why(shape)}")
    return shape.enum(raw) if shape.enum else raw


def _text(shape: Shape, raw: Any) -> str:
    if not isinstance(raw, str):
        raise ValueError(f"{_shown(raw)} is no text; put it in quotes if it is meant so")
    if shape.about.unit == "label" and not re.fullmatch(LABEL_PATTERN, raw):
        raise ValueError(
            f"{_shown(raw)} is no Kubernetes name (RFC 1123): at most 63 of a–z, 0–9 and -, "
            "beginning and ending with a letter or digit"
        )
    if shape.about.unit == "name" and not re.fullmatch(NAME_PATTERN, raw):
        raise ValueError(
            f"{_shown(raw)} is no Kubernetes name (RFC 1123): at most 253 of a–z, 0–9, - and ., "
            "each part beginning and ending with a letter or digit"
        )
    return raw


def _number(shape: Shape, raw: Any) -> float:
    unit = shape.about.unit
    readers: dict[str, Callable[[str], float | None]] = {"duration": _seconds, "ratio": _ratio, "percent": _percent}
    value: float | None = None
    if isinstance(raw, str) and unit in readers:
        value = readers[unit](raw.removeprefix("-"))
        value = -value if value is not None and raw.startswith("-") else value
    elif isinstance(raw, (int, float)) and not isinstance(raw, bool):
        try:
            value = float(raw)
        except OverflowError:
            value = math.inf
    if value is None or not math.isfinite(value):
        raise ValueError(f"{_shown(raw)} stands here; expected {_expected(shape)}")
    if shape.kind is ValueKind.INTEGER and not value.is_integer():
        raise ValueError(f"{_shown(raw)} is no whole number")
    return value


def _limited(shape: Shape, value: float) -> float | int:
    low, high = shape.about.minimum, shape.about.maximum
    for limit, broken, word in (
        (low, low is not None and value < low, "below the smallest allowed"),
        (high, high is not None and value > high, "above the largest allowed"),
    ):
        if broken:
            shown = render_number(value, shape.about.unit)
            hint = "; write 5 % as 0.05 or 5%" if shape.about.unit == "ratio" and value > 1 else ""
            raise ValueError(f"{shown} is {word}, {render_number(limit or 0.0, shape.about.unit)}{_why(shape)}{hint}")
    if shape.about.unit == "duration" and value < 0:
        raise ValueError(f"{value:g}s stands here; a duration is never negative")
    return int(value) if shape.kind is ValueKind.INTEGER else value


def _seconds(text: str) -> float | None:
    if not re.fullmatch(DURATION_PATTERN, text):
        return None
    parts = re.findall(r"([0-9.]+)(ms|s|m|h|d)", text)
    return math.fsum(float(number) * _SECONDS[unit] for number, unit in parts)


def _percent(text: str) -> float | None:
    return float(text[:-1]) if re.fullmatch(PERCENT_PATTERN, text) else None


def _ratio(text: str) -> float | None:
    percent = _percent(text)
    return None if percent is None else percent / 100


def _expected(shape: Shape) -> str:
    about = shape.about
    if about.choices:
        return f"one of {', '.join(map(str, about.choices))}"
    units = {
        "duration": "a duration such as 90s, 5m or 1h30m",
        "ratio": "a ratio such as 0.05 or 5%",
        "percent": "a percentage such as 5 or 5%",
        "count": "a number",
        "name": "a Kubernetes name",
        "label": "a Kubernetes name",
    }
    types = {ValueKind.TEXT: "text", ValueKind.BOOLEAN: "true or false", ValueKind.INTEGER: "a whole number"}
    return units.get(about.unit) or types.get(shape.kind, "a number")


def _why(shape: Shape) -> str:
    return f" ({shape.about.why})" if shape.about.why else ""


def _shown(raw: Any) -> str:
    """Show a value of the file, short."""
    if isinstance(raw, str):
        text = raw if len(raw) <= 60 else f"{raw[:57]}..."
        return f'"{text}"'
    if raw is None:
        return "nothing"
    if isinstance(raw, bool):
        return "true" if raw else "false"
    return str(raw) if isinstance(raw, float) or abs(raw) < 10**20 else "a number far too large"


def render_number(value: float, unit: str) -> str:
    """Render a number in its unit for people: 90.0 seconds as ``1m30s``, 0.05 as ``5%``."""
    if unit == "duration":
        return _render_seconds(value)
    if unit == "ratio":
        return f"{value * 100:.6g}%"
    if unit == "percent":
        return f"{value:.6g}%"
    return f"{value:.10g}"


def _render_seconds(value: float) -> str:
    if value < 0 or not math.isfinite(value):
        return f"{value:g}s"
    if value < 1:
        return f"{value * 1000:.6g}ms" if value else "0s"
    whole, rest = divmod(value, 60)
    hours, minutes = divmod(int(whole), 60)
    seconds = f"{rest:.6g}s" if rest else ""
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "") + seconds


def render_value(shape: Shape, value: Any) -> str:
    """Render a setting's value in the way it would stand in YAML; ``-`` where there is none."""
    if shape.about.secret and value is not None:
        return "(hidden)"
    if value is None:
        return "-"
    if shape.many is Many.LIST:
        return ", ".join(render_one(shape, item) for item in value) or "(none)"
    if shape.many is Many.MAP:
        return ", ".join(f"{key}: {render_one(shape, item)}" for key, item in value.items()) or "(none)"
    return render_one(shape, value)


def render_one(shape: Shape, value: Any) -> str:
    """Render one item of a setting."""
    if shape.model is not None:
        return _render_object(shape.model, value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return render_number(value, shape.about.unit)
    text = str(value.value if isinstance(value, Enum) else value)
    # A password in an address is nobody's business.
    return re.sub(r"(?<=://)([^/@\s:]*):[^/@\s]*@", r"\1:***@", text) or '""'


def _render_object(model: type[Any], value: Any) -> str:
    said = {
        key: (inner, getattr(value, inner.attribute))
        for key, inner in fields_of(model).items()
        if inner.required or getattr(value, inner.attribute) != inner.default
    }
    short = shorthand_of(model)
    if short is not None and set(said) == {short.key}:
        return render_value(*said[short.key])
    shown = {key: (inner.many, render_value(inner, one)) for key, (inner, one) in said.items()}
    brackets = {Many.ONE: ("", ""), Many.LIST: ("[", "]"), Many.MAP: ("{", "}")}
    return "{" + ", ".join(f"{key}: {text.join(brackets[many])}" for key, (many, text) in shown.items()) + "}"
