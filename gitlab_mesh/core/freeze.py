"""Freeze windows: times in which no release may start. Pure; the caller brings the local time."""

from __future__ import annotations

from datetime import date, datetime

__all__ = ["WEEKDAYS", "in_window", "parse_day", "parse_time_of_day"]

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60


def parse_time_of_day(text: str) -> int:
    """Return minutes since midnight of "16:00"; "24:00" is the end of the day.

    Raises:
        ValueError: It is none.
    """
    hours, colon, minutes = text.partition(":")
    if not colon or not (hours.isdecimal() and minutes.isdecimal() and len(minutes) == 2):
        raise ValueError(f'"{text}" is no time of day such as "16:00"')
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > _DAY_MINUTES:
        raise ValueError(f'"{text}" is not between "00:00" and "24:00"')
    return total


def parse_day(text: str) -> date:
    """Return the day of "2026-12-20".

    Raises:
        ValueError: It is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is no day such as "2026-12-20"') from None


def in_window(
    local: datetime,
    *,
    days: tuple[str, ...] = (),
    begin: str | None = None,
    end: str | None = None,
    first_day: str | None = None,
    last_day: str | None = None,
) -> bool:
    """Whether a local time lies in the window; all conditions that are given must hold.

    A window whose ``end`` is not after its ``begin`` reaches past midnight: "22:00" to "06:00"; its days are then
    those on which it begins.
    """
    start = parse_time_of_day(begin) if begin else 0
    stop = parse_time_of_day(end) if end else _DAY_MINUTES
    minute = local.hour * 60 + local.minute
    day = local.date()
    if stop <= start and minute < stop:  # the small hours belong to the window that began the evening before
        day = date.fromordinal(day.toordinal() - 1)
    elif not (start <= minute < stop) and not (stop <= start <= minute):
        return False
    if days and WEEKDAYS[day.weekday()] not in days:
        return False
    if first_day and day < parse_day(first_day):
        return False
    return not (last_day and day > parse_day(last_day))
