"""A chart as inline SVG: both sides, phases as bands, marks as numbered flags, values on hover.

No script is needed: a strip per sample shows a cursor by ``:hover`` and its values by ``<title>``. Colours come from
the page's custom properties, so one drawing serves light and dark. The page draws each chart twice, wide and narrow,
because SVG text shrinks with its picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from gitlab_mesh.core.report.formatting import format_clock, format_value
from gitlab_mesh.core.report.markdown import one_line
from gitlab_mesh.core.report.model import Axis, SeriesSection
from gitlab_mesh.core.report.scale import is_drawable, list_time_ticks, list_value_ticks, thin_out

__all__ = ["NARROW", "WIDE", "ChartSize", "format_position", "number_class", "render_chart"]


@dataclass(frozen=True, slots=True)
class ChartSize:
    """Size of the drawing in px; ``samples`` bounds the hover strips, ``ticks`` the labels of the time axis."""

    name: str
    width: int
    height: int
    samples: int
    ticks: int


WIDE = ChartSize("wide", 960, 260, 120, 8)
NARROW = ChartSize("narrow", 320, 230, 40, 4)

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 46, 38
_PATH_POINTS = 400


@dataclass(frozen=True, slots=True)
class _Frame:
    """Maps seconds and values to px."""

    size: ChartSize
    end: float
    ticks: list[float]

    @property
    def right(self) -> float:
        return self.size.width - _RIGHT

    @property
    def bottom(self) -> float:
        return self.size.height - _BOTTOM

    def x(self, seconds: float) -> float:
        share = min(1.0, max(0.0, seconds / self.end))
        return round(_LEFT + share * (self.right - _LEFT), 1)

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return round(self.bottom - share * (self.bottom - _TOP), 1)


def number_class(section: SeriesSection, index: int) -> str:
    """CSS class that fixes the colour of a series: its side, or its place."""
    side = section.series[index].side
    return side if side in {"stable", "canary"} else f"other{index % 4}"


def render_chart(section: SeriesSection, end: float, size: ChartSize, ident: str) -> str:
    """Draw the chart from 0 to ``end`` seconds (> 0).

    Args:
        section: What to draw; points that cannot be drawn (NaN, infinite) are left out.
        end: Right end of the time axis, shared by all charts of a page that are over time.
        size: ``WIDE`` or ``NARROW``.
        ident: Prefix for the ids of title and description, unique on the page.
    """
    values = [value for series in section.series for _, value in series.points if is_drawable(value)]
    low, high = min([0.0, *values]), max([0.0, *values])
    if section.unit == "percent" and low >= 0 and high <= 100:
        ticks = [0.0, 25.0, 50.0, 75.0, 100.0]
    else:
        ticks = list_value_ticks(low, high)
    frame = _Frame(size, section.axis.ticks[-1][0] if section.axis else end, ticks)
    names = ", ".join(one_line(series.name) for series in section.series)
    over = f"over {one_line(section.axis.title)}" if section.axis else f"over {format_clock(end)} (min:s)"
    about = f"{names} {over}; the values are in the table below."
    parts = [
        f'<svg class="chart {size.name}" viewBox="0 0 {size.width} {size.height}"',
        f' role="img" aria-labelledby="{ident}-t {ident}-d">',
        f'<title id="{ident}-t">{escape(one_line(section.title))}</title>',
        f'<desc id="{ident}-d">{escape(about)}</desc>',
        *_draw_bands(section, frame),
        *_draw_axes(section, frame),
        *_draw_marks(section, frame),
        *_draw_series(section, frame),
        *_draw_strips(section, frame),
        "</svg>",
    ]
    return "\n".join(parts)


def _draw_bands(section: SeriesSection, frame: _Frame) -> Iterator[str]:
    free_from = 0.0
    for index, band in enumerate(section.bands):
        left, right = frame.x(band.start), frame.x(min(band.end, frame.end))
        width = round(right - left, 1)
        if width <= 0 or not is_drawable(band.start, band.end):
            continue
        name = one_line(band.name, 40)
        title = f"{name}, {format_clock(band.start)} to {format_clock(band.end)}"
        yield (
            f'<rect class="band{" odd" if index % 2 else ""}" x="{left}" y="{_TOP}" width="{width}" '
            f'height="{frame.bottom - _TOP:g}"><title>{escape(title)}</title></rect>'
        )
        if width >= len(name) * 6.4 + 6 and left >= free_from:
            yield f'<text class="band-name" x="{left + 4:g}" y="14">{escape(name)}</text>'
            free_from = left + len(name) * 6.4 + 8


def _draw_axes(section: SeriesSection, frame: _Frame) -> Iterator[str]:
    for tick in frame.ticks:
        y = frame.y(tick)
        yield f'<line class="grid" x1="{_LEFT}" x2="{frame.right}" y1="{y}" y2="{y}"/>'
        label = escape(one_line(format_value(tick, section.unit), 12))
        yield f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:g}" text-anchor="end">{label}</text>'
    axis = section.axis
    positions = _axis_positions(axis, frame) if axis else list_time_ticks(frame.end, frame.size.ticks)
    for tick in positions:
        x, label = frame.x(tick), escape(format_position(tick, axis))
        anchor = "end" if axis and x >= frame.right else "middle"
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{frame.bottom}" y2="{frame.bottom + 4}"/>'
        yield f'<text class="tick" x="{x}" y="{frame.bottom + 17}" text-anchor="{anchor}">{label}</text>'
    title = axis.title if axis else f"time since the start ({'h:min:s' if frame.end >= 3600 else 'min:s'})"
    yield (
        f'<text class="axis" x="{frame.right}" y="{frame.size.height - 5}" text-anchor="end">'
        f"{escape(one_line(title))}</text>"
    )


def _axis_positions(axis: Axis, frame: _Frame) -> Iterator[float]:
    """Yield the ticks that have room for their labels, the last one first: it ends where the axis ends."""
    free_until = float(frame.size.width)
    for position, label in reversed(axis.ticks):
        x, half = frame.x(position), len(label) * 3.2 + 3
        if x >= frame.right:
            x -= half
        if x + half <= free_until:
            yield position
            free_until = x - half


def format_position(position: float, axis: Axis | None) -> str:
    """Say where on the horizontal axis a value stands: its tick's label, or the time."""
    if axis is None:
        return format_clock(position)
    return one_line(dict(axis.ticks).get(position, f"{position:g}"), 20)


def _draw_marks(section: SeriesSection, frame: _Frame) -> Iterator[str]:
    """A line and a number each; flags that would overlap stand below one another."""
    last_x, level = -100.0, 0
    marks = [item for item in enumerate(section.marks, 1) if is_drawable(item[1].time)]
    for number, mark in sorted(marks, key=lambda item: item[1].time):
        x = frame.x(mark.time)
        level = (level + 1) % 4 if x - last_x < 18 else 0
        last_x = x
        y = _TOP - 15 + level * 18
        yield (
            f'<g class="mark {mark.tone.value}"><line x1="{x}" x2="{x}" y1="{y}" y2="{frame.bottom}"/>'
            f'<circle cx="{x}" cy="{y}" r="8"/><text x="{x}" y="{y + 3.5:g}" text-anchor="middle">{number}</text>'
            f"<title>{escape(format_clock(mark.time) + ' ' + one_line(mark.label, 200))}</title></g>"
        )


def _draw_series(section: SeriesSection, frame: _Frame) -> Iterator[str]:
    for index, series in enumerate(section.series):
        points = thin_out(sorted(series.points), _PATH_POINTS)
        if not points:
            continue
        path = f"M{frame.x(points[0][0])} {frame.y(points[0][1])}"
        for time, value in points[1:]:
            x, y = frame.x(time), frame.y(value)
            path += f"H{x}V{y}" if section.step else f"L{x} {y}"
        name = number_class(section, index)
        yield f'<path class="line {name}" data-series="{escape(one_line(series.name))}" d="{path}"/>'
        x, y = frame.x(points[-1][0]), frame.y(points[-1][1])
        yield f'<circle class="dot {name}" cx="{x}" cy="{y}" r="3"/>'


def _draw_strips(section: SeriesSection, frame: _Frame) -> Iterator[str]:
    """Invisible strips that show a cursor and the values at their time while the pointer is on them."""
    samples = sorted({point[0] for series in section.series for point in series.points if is_drawable(*point)})
    if not samples:
        return
    samples = samples[:: max(1, -(-len(samples) // frame.size.samples))]
    middles = [(frame.x(one) + frame.x(two)) / 2 for one, two in pairwise(samples)]
    for left, right, time in zip([_LEFT, *middles], [*middles, frame.right], samples, strict=True):
        dots, texts = "", [format_position(time, section.axis)]
        for index, series in enumerate(section.series):
            value = _value_at(series.points, time, step=section.step)
            if value is None:
                continue
            texts.append(one_line(f"{series.name}: {format_value(value, section.unit)}", 120))
            dots += (
                f'<circle class="dot {number_class(section, index)}" cx="{frame.x(time)}" cy="{frame.y(value)}" r="4"/>'
            )
        yield (
            f'<g class="strip"><rect x="{left:.1f}" y="{_TOP}" width="{max(0.0, right - left):.1f}" '
            f'height="{frame.bottom - _TOP:g}"/><line x1="{frame.x(time)}" x2="{frame.x(time)}" y1="{_TOP}" '
            f'y2="{frame.bottom}"/>{dots}<title>{escape(chr(10).join(texts))}</title></g>'
        )


def _value_at(points: tuple[tuple[float, float], ...], time: float, *, step: bool) -> float | None:
    if step:
        before = [value for at, value in points if at <= time and is_drawable(value)]
        return before[-1] if before else None
    return next((value for at, value in points if at == time and is_drawable(value)), None)
