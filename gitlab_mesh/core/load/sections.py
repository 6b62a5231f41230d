"""A load run as sections of a report: what was asked and found, by request, by class of error, and over time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gitlab_mesh.core.judge.model import Gate, Judgement, Verdict
from gitlab_mesh.core.load.result import KindResult, LoadResult
from gitlab_mesh.core.load.slices import Slice
from gitlab_mesh.core.report.formatting import format_count, format_percent, format_seconds, format_value
from gitlab_mesh.core.report.model import (
    Axis,
    Section,
    Series,
    SeriesSection,
    TableSection,
    TextSection,
    Tone,
    VerdictSection,
)

__all__ = ["describe_progress", "render_sections", "wrap_verdicts"]

_LINES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
_CLOSED_LOOP = (
    "The users of this load waited for each answer before they sent again. While the target stood still it got fewer "
    "requests, and those that were not sent do not count as slow: the times are a lower bound."
)
_SPECTRUM = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999)


def describe_progress(result: LoadResult) -> str:
    """Say in one line how it goes."""
    latency = result.latency
    times = f"p50 {format_seconds(latency.quantile(0.5))}, p99 {format_seconds(latency.quantile(0.99))}"
    errors = f"{format_count(result.failed)} errors" if result.failed else "no errors"
    return (
        f"{result.duration_seconds:.0f} s: {format_value(result.achieved_rate, 'per_second')}, {times}, "
        f"{errors} of {format_count(result.requests)} requests"
    )


def wrap_verdicts(title: str, verdicts: Sequence[Verdict], sides: tuple[str, str], reason: str = "") -> VerdictSection:
    """Return verdicts as a section whose two columns are named as given."""
    judgement = Judgement(tuple(verdicts), Gate(open=True), Gate(open=True), reason=reason)
    return VerdictSection(judgement, title, sides)


def render_sections(result: LoadResult) -> tuple[Section, ...]:
    """Return the sections about what was measured, in reading order."""
    sections: list[Section] = []
    if result.limits:
        sections.append(TextSection("The generator was the limit", "\n\n".join(f"{text}." for text in result.limits)))
    if result.closed_loop:
        sections.append(TextSection("How it was measured", _CLOSED_LOOP))
    sections.append(_render_kinds(result))
    if result.failed:
        sections.append(_render_errors(result))
    checks = [row for kind in result.kinds.values() for row in _render_checks(kind)]
    if any(row[1] != "status" or row[3] != "0" for row in checks):
        tones = tuple(Tone.BAD if row[3] != "0" else Tone.GOOD for row in checks)
        sections.append(TableSection("Checks", ("Request", "Check", "Passed", "Failed"), tuple(checks), tones))
    if len(result.answers) > 1 or (result.answers and "" not in result.answers):
        rows = tuple(
            (name or "(header missing)", format_count(one.requests), format_count(one.errors))
            for name, one in sorted(result.answers.items())
        )
        sections.append(TableSection("Who answered", ("Version", "Answers", "5xx"), rows))
    sections += [*_render_charts(result), *_render_spectrum(result)]
    return tuple(sections)


def _render_kinds(result: LoadResult) -> TableSection:
    columns = ("Request", "Requests", "Errors", "p50", "p90", "p99", "p99.9", "Max")
    kinds = list(result.kinds.values())
    rows = [_kind_row(kind) for kind in kinds]
    if len(kinds) > 1:
        rows.append(_kind_row(result.total))
    title = "Latency, from the send" if result.closed_loop else "Latency, from the intended send"
    return TableSection(title, columns, tuple(rows))


def _kind_row(kind: KindResult) -> tuple[str, ...]:
    latency = kind.latency
    times = (format_seconds(latency.quantile(share)) for share in (0.5, 0.9, 0.99, 0.999))
    errors = format_percent(kind.failed / kind.requests) if kind.requests else "–"
    return (kind.name, format_count(kind.requests), errors, *times, format_seconds(latency.maximum_seconds))


def _render_errors(result: LoadResult) -> TableSection:
    rows = tuple(
        (name, format_count(count), format_percent(count / result.requests))
        for name, count in sorted(result.errors.items(), key=lambda item: -item[1])
    )
    return TableSection("Errors", ("Class", "Requests", "Share"), rows)


def _render_checks(kind: KindResult) -> Iterator[tuple[str, ...]]:
    for name, (passed, failed) in kind.checks.items():
        yield kind.name, name, format_count(passed), format_count(failed)


def _render_charts(result: LoadResult) -> Iterator[SeriesSection]:
    slices, width = result.slices.entries(), result.slices.width_seconds
    if not slices:
        return
    latency = tuple(Series(name, _points(slices, share)) for name, share in _LINES)
    by = "send" if result.closed_loop else "intended send"
    yield SeriesSection(f"Latency by the {by}", "seconds", latency)
    sent = tuple((start, one.requests / width) for start, one in slices)
    failed = tuple((start, one.errors / width) for start, one in slices)
    rates = (Series("requests", sent), Series("errors", failed))
    yield SeriesSection(f"Requests by the {by}", "per_second", rates)


def _points(slices: Sequence[tuple[float, Slice]], share: float) -> tuple[tuple[float, float], ...]:
    found = ((start, one.quantile(share)) for start, one in slices)
    return tuple((start, value) for start, value in found if value is not None)


def _render_spectrum(result: LoadResult) -> Iterator[Section]:
    """The percentiles as far as the number of requests carries them; in the chart each nine is as wide as the last."""
    latency = result.latency
    carried = [share for share in _SPECTRUM if latency.count * (1 - share) >= 1]
    points = tuple((-math.log10(1 - share), latency.quantile(share)) for share in carried)
    if len(points) > 1:
        axis = Axis(
            "percentile",
            tuple((place, _percentile_name(share)) for (place, _), share in zip(points, carried, strict=True)),
        )
        yield SeriesSection("Latency by percentile", "seconds", (Series("latency", points),), axis=axis)
    rows = tuple(
        (
            _percentile_name(share),
            format_seconds(latency.quantile(share)),
            format_count(round(latency.count * (1 - share))),
        )
        for share in carried
    )
    yield TableSection("Percentiles", ("Percentile", "Latency", "Slower requests"), rows, folded=True)


def _percentile_name(share: float) -> str:
    return f"p{share * 100:g}" if share else "min"
