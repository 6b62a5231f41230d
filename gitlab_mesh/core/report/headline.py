"""The first line that a reviewer reads: which release, what happened, where traffic is now."""

from __future__ import annotations

import re

from gitlab_mesh.core.report.formatting import format_duration, format_percent
from gitlab_mesh.core.report.model import Outcome

__all__ = ["name_release", "say_headline", "say_sentence"]

_IMAGE = re.compile(
    r"(?:[^\s,/]+/)*(?P<name>[^\s,/:@]+)(?::(?P<tag>[^\s,@]+))?(?:@[a-z0-9]+:(?P<digest>[0-9a-f]{12,}))?"
)


def name_release(service: str, what: str) -> str:
    """Return how people call the release: ``shop 1.5.0`` for ``registry.example/team/shop:1.5.0``.

    Args:
        service: Its name.
        what: The image, several with commas, or "".
    """
    names = []
    for image in filter(None, (part.strip() for part in what.split(","))):
        found = _IMAGE.fullmatch(image)
        if found is None:
            names.append(image)
            continue
        version = found["tag"] or (found["digest"] or "")[:12]
        names.append(" ".join(part for part in ("" if found["name"] == service else found["name"], version) if part))
    said = ", ".join(name for name in names if name)
    return f"{service} {said}".strip() if len(names) < 2 else f"{service} ({said})"


def say_headline(outcome: Outcome, name: str, seconds: float, share: float) -> str:
    """Say it in one line without a full stop.

    Args:
        outcome: How it ended, or RUNNING.
        name: From ``name_release``.
        seconds: Since the run's start.
        share: What the canary gets now, 0–1, as written to the route.
    """
    took = format_duration(seconds)
    gets = f"the canary keeps {format_percent(share)} of the requests" if share > 0 else "stable serves everything"
    match outcome:
        case Outcome.RUNNING if share > 0:
            return f"{name} gets {format_percent(share)} of the requests"
        case Outcome.RUNNING:
            return f"{name} is on its way; stable serves everything"
        case Outcome.PROMOTED:
            return f"{name} was promoted after {took}"
        case Outcome.DEPLOYED:
            return f"{name} was deployed as the first release, after {took}"
        case Outcome.REJECTED:
            return f"{name} was rejected after {took}; {gets}"
        case Outcome.ROLLED_BACK:
            return f"{name} was taken back; {gets}"
        case Outcome.INCONCLUSIVE:
            return f"{name} could not be judged within {took}; {gets}"
        case Outcome.NO_DATA:
            return f"{name} could not be judged: no data within {took}; {gets}"
        case Outcome.INTERRUPTED:
            return f"{name} was interrupted after {took}; {gets}"
        case Outcome.PAUSED:
            return f"{name} waits for a person; {gets}"
        case Outcome.UNSAFE:
            return f"{name}: a person is needed now"
        case Outcome.FAILED:
            return f"{name} stopped by a fault after {took}; {gets}"
        case Outcome.REFUSED:
            return f"{name} was refused before traffic moved"
        case Outcome.PLANNED:
            return f"{name}: plan only, nothing was written"
        case Outcome.PASSED:
            return f"{name}: passed"


def say_sentence(text: str) -> str:
    """Return text as a sentence: a capital where it begins with a plain word, a full stop at its end."""
    said = text.strip()
    if re.match(r"[a-z]+(?:[\s:;,]|\.?$|\.\s)", said):
        said = said[0].upper() + said[1:]
    return said if not said or said[-1] in ".!?…`" else f"{said}."
