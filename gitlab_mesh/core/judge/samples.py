"""What the judge saw, one JSON line a look: enough to judge the release again with other settings.

The first line says how to read the rest. Latency counts are written in base 36, and health only when it changed, so
that an hour of looks every 5 s takes less than 200 KB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Any

from gitlab_mesh.core.judge.model import Look, SideHealth, UserValue
from gitlab_mesh.core.metrics.counts import Counts, Histogram, Side
from gitlab_mesh.errors import UsageError

__all__ = ["SCHEMA", "SampleWriter", "parse_samples", "read_look_seconds"]

SCHEMA = 1
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"


class SampleWriter:
    """Renders looks as lines; keeps what it need not repeat.

    Args:
        look_seconds: Usual time between two looks, for the header.
    """

    def __init__(self, look_seconds: float) -> None:
        self._look_seconds = look_seconds
        self._begun = False
        self._bounds: tuple[float, ...] | None = None
        self._health: Mapping[Side, SideHealth] = {}

    def render(self, look: Look) -> str:
        """Return one look as text, each line ended; the first look brings the header with it."""
        lines = []
        if not self._begun:
            self._begun = True
            lines.append({"schema": SCHEMA, "look_seconds": self._look_seconds})
        line: dict[str, Any] = {"t": round(look.time_seconds, 3)}
        if look.weight is not None:
            line["w"] = round(look.weight, 6)
        for key, counts in (("s", look.stable), ("c", look.canary)):
            line[key] = self._counts(counts, lines)
        if look.health != self._health:
            self._health = dict(look.health)
            line["h"] = {
                side.value: [one.desired, one.ready, one.restarts, one.reason] for side, one in look.health.items()
            }
        if look.user:
            line["u"] = [[one.name, one.side.value if one.side else "", one.value] for one in look.user]
        if look.problems:
            line["p"] = list(look.problems)
        if look.faults:
            line["f"] = dict(look.faults)
        lines.append(line)
        return "".join(json.dumps(one, separators=(",", ":"), ensure_ascii=False) + "\n" for one in lines)

    def _counts(self, counts: Counts, lines: list[dict[str, Any]]) -> list[Any]:
        parts: list[Any] = [counts.requests, dict(counts.errors)]
        histogram = counts.latency
        if histogram is None:
            return parts
        if histogram.upper_bounds != self._bounds:
            self._bounds = histogram.upper_bounds
            lines.append({"bounds": [bound if bound < inf else "inf" for bound in histogram.upper_bounds]})
        return [*parts, " ".join(_base36(count) for count in histogram.counts)]


def parse_samples(lines: Iterable[str]) -> Iterator[Look]:
    """Read looks back; the header's ``look_seconds`` is what ``read_look_seconds`` returns.

    Args:
        lines: The file's lines; empty ones are skipped.

    Raises:
        UsageError: A line cannot be read; names it.
    """
    bounds: tuple[float, ...] = ()
    health: dict[Side, SideHealth] = {}
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            if "schema" in line:
                _check_schema(line)
                continue
            if "bounds" in line:
                bounds = tuple(inf if bound == "inf" else float(bound) for bound in line["bounds"])
                continue
            if "h" in line:
                health = {Side(side): _read_health(*values) for side, values in line["h"].items()}
            yield Look(
                time_seconds=float(line["t"]),
                stable=_read_counts(line["s"], bounds),
                canary=_read_counts(line["c"], bounds),
                weight=float(line["w"]) if "w" in line else None,
                health=dict(health),
                user=tuple(
                    UserValue(str(name), Side(side) if side else None, float(value))
                    for name, side, value in line.get("u", ())
                ),
                problems=tuple(str(problem) for problem in line.get("p", ())),
                faults={str(metric): str(why) for metric, why in line.get("f", {}).items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UsageError(
                f"line {number} of the samples cannot be read",
                why=f"{type(error).__name__}: {error}",
                hint="give the samples file of a canary job's artifact, unchanged",
            ) from error


def read_look_seconds(first_line: str) -> float:
    """Return the usual time between two looks from the header line.

    Raises:
        UsageError: This is not a samples file.
    """
    try:
        header = json.loads(first_line)
        _check_schema(header)
        return float(header["look_seconds"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            "this is not a file of recorded samples",
            why="its first line must be a header with schema and look_seconds",
            hint="give the samples file of a canary job's artifact, unchanged",
        ) from error


def _check_schema(header: Mapping[str, Any]) -> None:
    if header["schema"] != SCHEMA:
        raise ValueError(f"schema {header['schema']}, this version reads {SCHEMA}")


def _read_health(desired: Any, ready: Any, restarts: Any, reason: Any) -> SideHealth:
    return SideHealth(int(desired), int(ready), int(restarts), str(reason))


def _read_counts(parts: list[Any], bounds: tuple[float, ...]) -> Counts:
    latency = None
    if len(parts) > 2:
        counts = tuple(int(digits, 36) for digits in parts[2].split())
        if len(counts) != len(bounds):
            raise ValueError(f"{len(counts)} latency counts for {len(bounds)} bounds")
        latency = Histogram(bounds, counts)
    return Counts(int(parts[0]), {str(name): int(count) for name, count in parts[1].items()}, latency)
