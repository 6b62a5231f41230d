"""What there is to say about one run of one job, as values; how it looks is the renderers' business.

A report is built once and rendered to the merge-request note, HTML, JUnit, JSON and dotenv.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gitlab_mesh.core.judge.model import Judgement

__all__ = [
    "Attempt",
    "Axis",
    "Band",
    "Link",
    "LinksSection",
    "Mark",
    "Outcome",
    "Report",
    "Section",
    "Series",
    "SeriesSection",
    "TableSection",
    "TextSection",
    "Tone",
    "VerdictSection",
]


class Outcome(StrEnum):
    """How a run ended, or that it goes on. Each word is used by log, note, status and JSON alike."""

    RUNNING = "running"
    PROMOTED = "promoted"
    DEPLOYED = "deployed"  # the first release: no stable to compare with
    REJECTED = "rejected"
    ROLLED_BACK = "rolled-back"  # by a person, or by a net
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no-data"
    INTERRUPTED = "interrupted"
    PAUSED = "paused"
    PLANNED = "planned"  # --dry-run
    PASSED = "passed"
    FAILED = "failed"
    REFUSED = "refused"
    UNSAFE = "unsafe"


class Tone(StrEnum):
    """How a fact should be read at a glance; renderers map it to symbol and colour, never colour alone."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Link:
    """A link for people; ``url`` is absolute."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class VerdictSection:
    """The judge's last word: one row a metric with stable, canary, difference, verdict, n.

    ``sides`` names the two columns of values where they are something else (limit and measured, baseline and now).
    """

    judgement: Judgement
    title: str = "Evidence"
    sides: tuple[str, str] = ("Stable", "Canary")


@dataclass(frozen=True, slots=True)
class TableSection:
    """Any other table. ``tones`` gives one tone a row, or is empty."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    tones: tuple[Tone, ...] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart: points (seconds since the run's start, value)."""

    name: str
    points: tuple[tuple[float, float], ...]
    side: str = ""  # "stable", "canary" or empty: fixes the colour


@dataclass(frozen=True, slots=True)
class Band:
    """A named stretch of time behind a chart: a phase, or a step."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment worth a line in the chart: a weight change, a foreign write, the verdict."""

    time: float
    label: str
    tone: Tone = Tone.NEUTRAL


@dataclass(frozen=True, slots=True)
class Axis:
    """A horizontal axis that is not time: ``ticks`` are (position, label), rising, from 0 to the right end."""

    title: str
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class SeriesSection:
    """A chart, over time if it has no ``axis`` of its own.

    ``unit``: ``"percent"`` (0–100), ``"ratio"`` (0–1), ``"seconds"``, ``"per_second"``. ``step`` draws values that hold
    until the next point (weights).
    """

    title: str
    unit: str
    series: tuple[Series, ...]
    bands: tuple[Band, ...] = ()
    marks: tuple[Mark, ...] = ()
    step: bool = False
    axis: Axis | None = None


@dataclass(frozen=True, slots=True)
class LinksSection:
    """Links: job, pipeline, environment, Grafana, Kiali."""

    links: tuple[Link, ...]
    title: str = "Links"


@dataclass(frozen=True, slots=True)
class TextSection:
    """Text for people; ``preformatted`` for commands and foreign text, which is then never interpreted."""

    title: str
    text: str
    preformatted: bool = False
    folded: bool = False


Section = VerdictSection | TableSection | SeriesSection | LinksSection | TextSection


@dataclass(frozen=True, slots=True)
class Attempt:
    """A former run for the same merge request: what the note keeps of it. ``started`` as in ``Report``."""

    outcome: Outcome
    headline: str
    started: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One run of one job for one service.

    Attributes:
        job: The job's name ("canary").
        service: The service's name in ``mesh.yaml``; empty for jobs about no service.
        namespace: Its Kubernetes namespace.
        outcome: How it ended, or RUNNING.
        headline: The decision in one sentence ("shop 1.5.0 was promoted after 12 min: …").
        reason: Why, one or two sentences.
        next_step: What the reader can do next, as a sentence; may hold one command in backticks.
        exit_code: The process' exit code (0 while RUNNING).
        started: RFC 3339 time, UTC, for people.
        duration_seconds: So far.
        facts: Short facts in order, such as image, weight, phase, driver.
        sections: In reading order.
        dotenv: For ``artifacts:reports:dotenv``: ``MESH_…`` keys.
    """

    job: str
    service: str
    namespace: str
    outcome: Outcome
    headline: str
    reason: str = ""
    next_step: str = ""
    exit_code: int = 0
    started: str = ""
    duration_seconds: float = 0.0
    facts: Mapping[str, str] = field(default_factory=dict)
    sections: tuple[Section, ...] = ()
    dotenv: Mapping[str, str] = field(default_factory=dict)
