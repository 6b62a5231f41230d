"""The weight over time as text bars, and as a Mermaid chart where GitLab would draw it without a click.

The bars are the chart that everybody sees: in e-mail, on a phone, in a terminal. GitLab shows a Mermaid diagram of
over 2,000 characters, or after 2,000 characters on one page, only behind a button (``render_sandboxed_mermaid.js``),
so ours stays far below, and goes into the folded details.
"""

from __future__ import annotations

from gitlab_mesh.core.report.formatting import format_clock, format_number
from gitlab_mesh.core.report.markdown import one_line
from gitlab_mesh.core.report.model import Report, Series, SeriesSection, Tone
from gitlab_mesh.core.report.scale import is_drawable

__all__ = ["MERMAID_LIMIT", "find_weights", "render_bars", "render_mermaid"]

MERMAID_LIMIT = 1000
"""Characters of one diagram; two services' notes then still fit the 2,000 that a page draws by itself."""

_BAR_WIDTH = 12  # with time and percent it fits a phone's 30 characters
_MAX_LINES = 12
_EIGHTHS = " ▏▎▍▌▋▊▉"


def find_weights(report: Report) -> tuple[SeriesSection, Series] | None:
    """Return the weight series: the canary's line in the first chart whose values hold until the next point."""
    for section in report.sections:
        if isinstance(section, SeriesSection) and section.step:
            for series in section.series:
                if series.side != "stable" and any(is_drawable(*point) for point in series.points):
                    return section, series
    return None


def render_bars(section: SeriesSection, series: Series) -> str:
    """Render one line a weight: time since the start, percent, bar, and what happened then.

    At most 12 lines; of more, the first and the last are kept and the gap is said.
    """
    changes = _list_changes(section, series)
    labels: dict[float, list[str]] = {}
    for mark in section.marks:
        if mark.tone is not Tone.NEUTRAL:  # the neutral ones are the weight changes that the bars show anyway
            labels.setdefault(_nearest(changes, mark.time), []).append(one_line(mark.label, 32))
    clocks, values = [format_clock(time) for time, _ in changes], [format_number(percent) for _, percent in changes]
    wide, wide_value = max(map(len, clocks)), max(map(len, values))
    lines = []
    for clock, value, (time, percent) in zip(clocks, values, changes, strict=True):
        said = one_line("; ".join(labels.get(time, [])), 48)
        lines.append(f"{clock:>{wide}} {value:>{wide_value}} %  {_bar(percent)} {said}".rstrip())
    if len(lines) > _MAX_LINES:
        left_out = len(lines) - _MAX_LINES + 1
        lines = [*lines[:4], f"{' ' * wide} … {left_out} changes …", *lines[4 + left_out :]]
    return "\n".join(lines)


def render_mermaid(section: SeriesSection, series: Series) -> str:
    """Render a Mermaid ``xychart-beta`` of at most ``MERMAID_LIMIT`` characters, or "" where there is no course."""
    changes = _list_changes(section, series)
    times = [*(time for time, _ in series.points), *(band.end for band in section.bands)]
    end = max(time for time in times if is_drawable(time))
    start = changes[0][0]
    if len(changes) < 2 or end <= start:
        return ""
    samples = 40
    values = []
    for index in range(samples + 1):
        time = start + (end - start) * index / samples
        values.append(next(percent for at, percent in reversed(changes) if at <= time + 1e-9))
    scale, unit = (60.0, "minutes") if end >= 120 else (1.0, "seconds")
    text = "\n".join(
        [
            "xychart-beta",
            '  title "Weight of the canary"',
            f'  x-axis "{unit} since the start" {start / scale:.4g} --> {end / scale:.4g}',
            '  y-axis "percent" 0 --> 100',
            f"  line [{', '.join(f'{value:.4g}' for value in values)}]",
        ]
    )
    return text if len(text) <= MERMAID_LIMIT else ""


def _list_changes(section: SeriesSection, series: Series) -> list[tuple[float, float]]:
    """Points where the value changes, in percent, by time; the last of one moment wins."""
    factor = 100.0 if section.unit == "ratio" else 1.0
    changes: list[tuple[float, float]] = []
    for time, value in sorted((point for point in series.points if is_drawable(*point)), key=lambda point: point[0]):
        percent = min(100.0, max(0.0, value * factor))
        if changes and changes[-1][0] == time:
            changes.pop()
        if not changes or changes[-1][1] != percent:
            changes.append((time, percent))
    return changes


def _nearest(changes: list[tuple[float, float]], time: float) -> float:
    return min(changes, key=lambda change: abs(change[0] - time))[0]


def _bar(percent: float) -> str:
    eighths = round(percent / 100 * _BAR_WIDTH * 8)
    if percent > 0:
        eighths = max(1, eighths)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")
