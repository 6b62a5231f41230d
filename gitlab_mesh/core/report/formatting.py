"""Numbers for people, formatted once: log, note, page and JUnit must show the same figure in the same words.

Groups of thousands and units are set off by no-break spaces (U+202F, U+00A0), so that a figure never breaks over
two lines; the console turns them into plain ones.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import floor, isfinite, isnan, log10

__all__ = [
    "NO_VALUE",
    "THIN_SPACE",
    "format_clock",
    "format_count",
    "format_difference",
    "format_duration",
    "format_number",
    "format_percent",
    "format_seconds",
    "format_time",
    "format_value",
]

THIN_SPACE = "\u202f"
NO_VALUE = "–"
_MINUS = "−"


def format_number(value: float, significant: int = 3) -> str:
    """Format with so many significant digits, but never fewer than the whole number has.

    Args:
        value: Any float; NaN and infinities are named, never hidden.
        significant: Digits that carry meaning; trailing zeros after the point are dropped.
    """
    if isnan(value):
        return "NaN"
    if not isfinite(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-6 or size >= 1e15:
        return f"{value:.{significant}g}".replace("-", _MINUS)
    decimals = max(0, significant - 1 - floor(log10(size)))
    text = f"{size:,.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return (_MINUS if value < 0 else "") + text.replace(",", THIN_SPACE)


def format_count(count: int) -> str:
    """Format a whole number with groups of thousands: ``12 345``."""
    return f"{count:,}".replace(",", THIN_SPACE).replace("-", _MINUS)


def format_percent(ratio: float) -> str:
    """Format a ratio (0–1) as percent: 0.0512 → ``5.12 %``."""
    return f"{format_number(ratio * 100)}{THIN_SPACE}%"


def format_seconds(seconds: float) -> str:
    """Format a latency: ``0.35 ms``, ``123 ms``, ``1.25 s``."""
    size = abs(seconds)
    if isfinite(size) and 0 < size < 0.9995:
        return f"{format_number(seconds * 1000)}{THIN_SPACE}ms"
    return f"{format_number(seconds)}{THIN_SPACE}s"


def format_duration(seconds: float) -> str:
    """Format how long something takes, in at most two units: ``3.2 s``, ``12 min 5 s``, ``1 h 3 min``."""
    if not isfinite(seconds):
        return format_number(seconds)
    if seconds < 0:
        return _MINUS + format_duration(-seconds)
    if seconds < 9.95:
        return f"{format_number(round(seconds, 1))}{THIN_SPACE}s"
    whole = round(seconds)
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        amount, whole = divmod(whole, size)
        if amount:
            parts.append(f"{amount}{THIN_SPACE}{unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return "\u00a0".join(parts)


def format_clock(seconds: float) -> str:
    """Format a time since the start as on a stopwatch: ``0:07``, ``12:05``, ``1:02:05``."""
    if not isfinite(seconds):
        return format_number(seconds)
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_time(text: str) -> str:
    """Format an RFC 3339 time for people: ``2026-11-23 06:46 UTC``; anything else comes back as it is."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    if time.tzinfo is None:
        return text
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC".replace(" ", "\u00a0")


def format_value(value: float | None, unit: str) -> str:
    """Format a metric's value: unit ``ratio`` (0–1), ``seconds``, ``percent`` (0–100), or the user's own word."""
    if value is None:
        return NO_VALUE
    if unit == "ratio":
        return format_percent(value)
    if unit == "percent":
        return f"{format_number(value)}{THIN_SPACE}%"
    if unit == "seconds":
        return format_seconds(value)
    if unit == "per_second":
        return f"{format_number(value)}{THIN_SPACE}/s"
    return f"{format_number(value)}{THIN_SPACE}{unit}" if unit else format_number(value)


def format_difference(effect: float | None, unit: str) -> str:
    """Format canary − stable with its sign; ratios differ in percentage points (``pp``)."""
    if effect is None:
        return NO_VALUE
    if unit in {"ratio", "percent"}:
        text = f"{format_number(effect * 100 if unit == 'ratio' else effect)}{THIN_SPACE}pp"
    else:
        text = format_value(effect, unit)
    return f"+{text}" if effect > 0 else text
