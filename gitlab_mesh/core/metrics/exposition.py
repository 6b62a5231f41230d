"""Parser of the Prometheus text format, as far as a proxy's counters need it.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text, version 0.0.4); OpenMetrics' additions
(``# EOF``, exemplars, timestamps in seconds) are tolerated. Limits hold whatever a pod answers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from gitlab_mesh.errors import TransientError

__all__ = ["MAX_BYTES", "MAX_SAMPLES", "ExpositionError", "Sample", "parse_exposition"]

MAX_BYTES = 32 * 1024 * 1024
"""An idle Envoy with full statistics of a large mesh shows some 10 MB; more is not a proxy's page."""

MAX_SAMPLES = 200_000
_MAX_LINE = 64 * 1024

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(,|(?=\}))')
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\]*)"')
_PLAIN = re.compile(r"\{{{0}(?:,{0})*,?\}}".format(r'[a-zA-Z_][a-zA-Z0-9_]*="[^"\\]*"'))
"""Labels as every exporter writes them, without blanks and escapes: read by two calls instead of two a label."""

_VALUES = re.compile(r"[ \t]+(\S+)(?:[ \t]+([-+0-9.eE]+))?[ \t]*(?:#.*)?")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|[iI]nf(?:inity)?|[nN]a[nN])")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "\\": "\\", '"': '"'}


class ExpositionError(TransientError):
    """The text is not what it says it is; the message names the line. One pod's page, so its caller goes on."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One line.

    Attributes:
        name: Name of the metric, ``_bucket`` and the like included.
        labels: Unescaped.
        value: May be NaN or ±Inf: the format allows it, whoever uses it decides.
        time_seconds: The line's own timestamp in Unix seconds, if it has one.
        line: Its number, from 1.
    """

    name: str
    labels: Mapping[str, str]
    value: float
    time_seconds: float | None = None
    line: int = 0


def parse_exposition(text: str, *, names: Collection[str] | None = None) -> Iterator[Sample]:
    """Parse the text line by line.

    Args:
        text: The whole answer. Its last line must end: a page that was cut off in the middle of a number would
            look like a counter that fell.
        names: Only these metrics; other lines are passed over unread, which is what makes a page of 50,000
            lines cheap.

    Raises:
        ExpositionError: While iterating, at the first bad line or at a limit.
    """
    if len(text) > MAX_BYTES:
        raise ExpositionError(f"metrics page has {len(text)} characters; at most {MAX_BYTES} are read")
    if text and not text.endswith("\n"):
        raise ExpositionError(f"line {text.count(chr(10)) + 1} does not end", why="the answer was cut off")
    scale = 1.0 if text.endswith("# EOF\n") else 0.001  # OpenMetrics counts seconds, the older format milliseconds
    found = 0
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip(" \t\r")
        if not stripped or stripped.startswith("#"):
            continue
        if len(stripped) > _MAX_LINE:
            raise ExpositionError(f"line {number} has {len(stripped)} characters; at most {_MAX_LINE} are read")
        match = _NAME.match(stripped)
        if match is None:
            raise ExpositionError(f"line {number}: no metric name: {_shown(stripped)}")
        if names is not None and match.group() not in names:
            continue
        found += 1
        if found > MAX_SAMPLES:
            raise ExpositionError(f"line {number}: more than {MAX_SAMPLES} samples")
        yield _parse_line(stripped, match, number, scale)


def _parse_line(line: str, name: re.Match[str], number: int, scale: float) -> Sample:
    labels, position = _parse_labels(line, name.end(), number)
    values = _VALUES.fullmatch(line, position) or _VALUES.fullmatch(" " + line[position:])
    if values is None or _NUMBER.fullmatch(values.group(1)) is None:
        raise ExpositionError(f"line {number}: no number after {name.group()}: {_shown(line[position:])}")
    return Sample(name.group(), labels, float(values.group(1)), _parse_time(values.group(2), number, scale), number)


def _parse_labels(line: str, position: int, number: int) -> tuple[dict[str, str], int]:
    """Return the labels and where they end."""
    plain = _PLAIN.match(line, position)
    if plain is not None:
        pairs = _PAIR.findall(line, position, plain.end())
        labels = dict(pairs)
        if len(labels) == len(pairs):
            return labels, plain.end()
    labels = {}
    rest = line[position:].lstrip(" \t")
    if not rest.startswith("{"):
        return labels, position
    position = len(line) - len(rest) + 1
    while not line[position:].lstrip(" \t").startswith("}"):
        label = _LABEL.match(line, position)
        if label is None:
            raise ExpositionError(f"line {number}: bad label at column {position + 1}: {_shown(line[position:])}")
        if label.group(1) in labels:
            raise ExpositionError(f"line {number}: label {label.group(1)} occurs twice")
        labels[label.group(1)] = _ESCAPE.sub(lambda m: _ESCAPED.get(m.group(1), m.group()), label.group(2))
        position = label.end()
    return labels, line.index("}", position) + 1


def _parse_time(text: str | None, number: int, scale: float) -> float | None:
    if text is None:
        return None
    if _NUMBER.fullmatch(text) is None:
        raise ExpositionError(f"line {number}: {_shown(text)} is not a timestamp")
    return float(text) * scale


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")
