"""Numbers for people."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.report import formatting as f


def plain(text: str) -> str:
    return text.replace("\u202f", " ").replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0, "0 %"), (0.05, "5 %"), (0.0512, "5.12 %"), (0.000421, "0.0421 %"), (0.99996, "100 %"), (math.nan, "NaN %")],
)
def test_percent(ratio: float, text: str) -> None:
    assert plain(f.format_percent(ratio)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.00035, "0.35 ms"), (0.123, "123 ms"), (0.9996, "1 s"), (1.254, "1.25 s"), (-0.02, "−20 ms")],
)
def test_latency(seconds: float, text: str) -> None:
    assert plain(f.format_seconds(seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (3.21, "3.2 s"),
        (9.97, "10 s"),
        (59.6, "1 min"),
        (725, "12 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (3780, "1 h 3 min"),
        (90000, "1 d 1 h"),
        (math.inf, "∞"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert plain(f.format_duration(seconds)) == text


@pytest.mark.parametrize(
    ("effect", "unit", "text"),
    [
        (0.0471, "ratio", "+4.71 pp"),
        (-0.011, "seconds", "−11 ms"),
        (0.0, "ratio", "0 pp"),
        (2.0, "jobs", "+2 jobs"),
        (None, "ratio", "–"),
    ],
)
def test_difference(effect: float | None, unit: str, text: str) -> None:
    assert plain(f.format_difference(effect, unit)) == text


def test_counts_are_grouped() -> None:
    assert [plain(f.format_count(n)) for n in (0, 999, 1000, 1234567)] == ["0", "999", "1 000", "1 234 567"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-23T06:46:38+00:00", "2026-11-23 06:46 UTC"),
        ("2026-11-23T06:46:38Z", "2026-11-23 06:46 UTC"),
        ("2026-11-23T01:46:38.5-05:00", "2026-11-23 06:46 UTC"),
        ("2026-11-23T06:46:38", "2026-11-23T06:46:38"),
        ("just now", "just now"),
    ],
)
def test_time(text: str, shown: str) -> None:
    assert plain(f.format_time(text)) == shown


def test_stopwatch() -> None:
    assert [f.format_clock(s) for s in (0, 59.6, 725, 3725)] == ["0:00", "1:00", "12:05", "1:02:05"]


@given(st.floats(min_value=1e-6, max_value=1e14))
def test_numbers_keep_three_digits(value: float) -> None:
    shown = float(plain(f.format_number(value)).replace(" ", ""))
    assert shown == pytest.approx(value, rel=5.1e-3)


@given(st.floats(), st.sampled_from(["ratio", "seconds", "percent", "per_second", "", "jobs"]))
def test_no_value_breaks_the_formatting(value: float, unit: str) -> None:
    for text in (f.format_value(value, unit), f.format_difference(value, unit), f.format_duration(value)):
        assert text
        assert " " not in text  # a figure never breaks over two lines
