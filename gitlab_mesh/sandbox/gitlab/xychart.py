"""Draw Mermaid's ``xychart-beta`` with lines as a small SVG; any other diagram is left to GitLab."""

from __future__ import annotations

import re
from html import escape

__all__ = ["draw_xychart"]

_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_TITLE = re.compile(r'\s*title\s+"([^"]*)"')
_AXIS = re.compile(rf'\s*([xy])-axis\s+(?:"([^"]*)"\s+)?({_NUMBER})\s+-->\s+({_NUMBER})')
_LINE = re.compile(r"\s*line\s+(?:\"[^\"]*\"\s+)?\[([^\]]*)\]")
_WIDTH, _HEIGHT = 640, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 32, 40
_MAX_POINTS = 1000


def draw_xychart(text: str) -> str:
    """Return an SVG element, or "" where the text is not an xychart of lines with numeric axes."""
    lines = [line for line in text.strip().split("\n") if line.strip()]
    if not lines or lines[0].strip() not in {"xychart-beta", "xychart"}:
        return ""
    title, axes, series = "", {}, []
    for line in lines[1:]:
        if found := _TITLE.fullmatch(line.rstrip()):
            title = found[1]
        elif found := _AXIS.fullmatch(line.rstrip()):
            axes[found[1]] = (found[2] or "", float(found[3]), float(found[4]))
        elif found := _LINE.fullmatch(line.rstrip()):
            values = [value.strip() for value in found[1].split(",")]
            if not all(re.fullmatch(_NUMBER, value) for value in values):
                return ""
            series.append([float(value) for value in values])
        else:
            return ""
    drawable = series and all(2 <= len(values) <= _MAX_POINTS for values in series)
    if not drawable or set(axes) != {"x", "y"} or axes["y"][1] == axes["y"][2]:
        return ""
    return _svg(title, axes["x"], axes["y"], series)


def _svg(
    title: str, x_axis: tuple[str, float, float], y_axis: tuple[str, float, float], series: list[list[float]]
) -> str:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    low, high = y_axis[1], y_axis[2]

    def y_at(value: float) -> float:
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return bottom - share * (bottom - _TOP)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}" class="chart">',
        f'<text x="{_LEFT}" y="18" class="chart-title">{escape(title)}</text>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + share * (high - low)
        y = y_at(value)
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="chart-grid"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for values in series:
        step = (right - _LEFT) / (len(values) - 1)
        points = " ".join(f"{_LEFT + index * step:.1f},{y_at(value):.1f}" for index, value in enumerate(values))
        parts.append(f'<polyline points="{points}" class="chart-line"/>')
    parts += [
        f'<text x="{_LEFT}" y="{bottom + 16}">{x_axis[1]:g}</text>',
        f'<text x="{right}" y="{bottom + 16}" text-anchor="end">{x_axis[2]:g}</text>',
        f'<text x="{(_LEFT + right) / 2:.0f}" y="{bottom + 32}" text-anchor="middle">{escape(x_axis[0])}</text>',
        f'<text x="{_LEFT}" y="{_TOP - 4}" class="chart-unit">{escape(y_axis[0])}</text>',
        "</svg>",
    ]
    return "".join(parts)
