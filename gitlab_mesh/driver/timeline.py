"""What happened in a run, kept for the chart, the note and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gitlab_mesh.core.judge.model import Judgement
from gitlab_mesh.core.metrics.counts import Counts, Side
from gitlab_mesh.core.report.formatting import format_percent
from gitlab_mesh.core.report.model import (
    Band,
    Mark,
    Section,
    Series,
    SeriesSection,
    TextSection,
    Tone,
    VerdictSection,
)

__all__ = ["Timeline"]

MAX_POINTS = 600
"""Points a series: enough for a chart; an hour of looks at 5 s is 720 and is thinned."""


@dataclass
class Timeline:
    """Collects as the run goes; times are seconds since its start.

    Attributes:
        judgement: The last one.
        objection: When, at which share (0–1) and why the judge rejected first; None: it did not.
        served: Requests and errors a side since judging began.
        refused: Requests that were refused before a pod of either side was chosen.
    """

    judgement: Judgement | None = None
    objection: tuple[float, float, str] | None = None
    served: dict[Side, list[int]] = field(default_factory=lambda: {side: [0, 0] for side in Side})
    refused: int = 0
    _weights: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])
    _series: dict[str, dict[Side, list[tuple[float, float]]]] = field(default_factory=dict)
    _bands: list[Band] = field(default_factory=list)
    _marks: list[Mark] = field(default_factory=list)
    _open: tuple[str, float] | None = None
    _texts: list[TextSection] = field(default_factory=list)

    def explain(self, texts: Sequence[TextSection]) -> None:
        """Keep texts that say why, beside the evidence."""
        self._texts = list(texts) or self._texts

    def phase(self, time: float, name: str) -> None:
        """A phase or step begins; the one before ends."""
        if self._open is not None:
            if self._open[0] == name:
                return
            self._bands.append(Band(self._open[0], self._open[1], time))
        self._open = (name, time)

    def weight(self, time: float, share: float) -> None:
        """A weight was written."""
        self._weights.append((time, share * 100))

    def mark(self, time: float, label: str, tone: Tone = Tone.NEUTRAL) -> None:
        """Something worth a line in the chart happened."""
        self._marks.append(Mark(time, label, tone))

    def look(self, time: float, counts: Mapping[Side, Counts], judgement: Judgement | None) -> None:
        """A look was taken: increments a side since the look before."""
        for side, count in counts.items():
            errors = sum(count.errors.values())
            self.served[side][0] += count.requests
            self.served[side][1] += errors
            if count.requests:
                self._add("Errors", side, time, errors / count.requests)
            slow = _quantile(count, 0.95)
            if slow is not None:
                self._add("Latency p95", side, time, slow)
        if judgement is not None:
            self.judgement = judgement
            if judgement.rejected and self.objection is None:
                self.objection = (time, self._weights[-1][1] / 100, judgement.reason)

    @property
    def latency_bound(self) -> str:
        """Say at which latency the sides are compared, and where it comes from; "" while it is not known."""
        verdicts = self.judgement.verdicts if self.judgement is not None else ()
        found = next((verdict for verdict in verdicts if verdict.metric == "latency" and verdict.label), None)
        if found is None:
            return ""
        slow = f"; {format_percent(found.stable)} of them are slower" if found.stable is not None else ""
        bound = found.label.removeprefix("slower than ")
        chosen = "of the buckets' bounds that are chosen anew in each release from stable's own latencies"
        return f"{bound}, the one that decides now {chosen}{slow}"

    def sections(self, now: float) -> tuple[Section, ...]:
        """Return evidence and charts as sections."""
        bands = (*self._bands, *([Band(self._open[0], self._open[1], now)] if self._open else ()))
        weights = Series("canary", (*self._weights, (now, self._weights[-1][1])), "canary")
        charts: list[Section] = [SeriesSection("Weight", "percent", (weights,), bands, tuple(self._marks), step=True)]
        for title, unit in (("Errors", "ratio"), ("Latency p95", "seconds")):
            sides = self._series.get(title, {})
            lines = tuple(Series(side, _thin(sides[side]), side) for side in Side if side in sides)
            if lines:
                charts.append(SeriesSection(title, unit, lines, bands))
        return (*([VerdictSection(self.judgement)] if self.judgement else ()), *self._texts, *charts)

    def _add(self, title: str, side: Side, time: float, value: float) -> None:
        self._series.setdefault(title, {}).setdefault(side, []).append((time, value))


def _quantile(counts: Counts, rank: float) -> float | None:
    """Upper bound of the bucket that holds the quantile; None without data or beyond the last finite bound."""
    if counts.latency is None or not (total := sum(counts.latency.counts)):
        return None
    seen = 0
    for bound, count in zip(counts.latency.upper_bounds, counts.latency.counts, strict=True):
        seen += count
        if seen >= rank * total:
            return bound if bound != float("inf") else None
    return None


def _thin(points: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    step = max(1, -(-len(points) // MAX_POINTS))
    return tuple(points[::step])
