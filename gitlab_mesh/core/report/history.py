"""What a note remembers: the state in its last lines, hidden from readers, and the former attempts in it.

The note itself is the memory: no file, no artifact and no other service has to live as long as the merge request.
The state is one HTML comment with JSON, ``<!-- gitlab-mesh:state {…} -->``; GitLab keeps it in the raw body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.core.report.markdown import one_line
from gitlab_mesh.core.report.model import Attempt, LinksSection, Outcome, Report

__all__ = ["MAX_HISTORY", "NoteState", "carry_history", "is_release_key", "note_key", "parse_state", "render_state"]

MAX_HISTORY = 20
"""Attempts that a note keeps; of older ones only the number is known."""

_STATE = re.compile(r"^<!-- gitlab-mesh:state (?P<json>\{.*\}) -->$", re.MULTILINE)
# Runs of these jobs tell about the release before them; they are attempts of their own only where they ended one.
_STILL_OPEN = frozenset({Outcome.RUNNING, Outcome.PLANNED})


@dataclass(frozen=True, slots=True)
class NoteState:
    """What one note says, for programs.

    Attributes:
        job: The job's name.
        attempt: The run that the note tells about.
        history: Former attempts, newest first.
    """

    job: str
    attempt: Attempt
    history: tuple[Attempt, ...] = ()


_RELEASE_JOBS = frozenset({"canary", "promote", "rollback", "recover"})
"""They tell about one and the same rollout, so they share the service's note."""


def note_key(job: str, service: str) -> str:
    """Return the key of a job's note: the service's for a release, else one of the job's own."""
    if not service:
        return job
    return service if job in _RELEASE_JOBS else f"{job}:{service}"


def is_release_key(key: str) -> bool:
    """Return whether it is a service's own note (names of services hold no colon)."""
    return ":" not in key


def attempt_of(report: Report) -> Attempt:
    """Return what a later note keeps of this run."""
    links = [link for section in report.sections if isinstance(section, LinksSection) for link in section.links]
    url = next((link.url for link in links if link.label == "Job log"), "")
    return Attempt(report.outcome, one_line(report.headline, 300), one_line(report.started, 40), one_line(url, 500))


def carry_history(former: str, report: Report) -> tuple[Attempt, ...]:
    """Return the former attempts for the note of ``report`` that replaces the note ``former``; newest first.

    A run that the note told about live is no attempt by itself: what ended it writes the note after it. The same
    run (job, start, address) posted again adds nothing.

    Args:
        former: Body of the note before, or "".
        report: The run that the new note tells about.
    """
    state = parse_state(former)
    if state is None:
        return ()
    now = attempt_of(report)
    same = (state.job, state.attempt.started, state.attempt.url) == (report.job, now.started, now.url)
    if same or state.attempt.outcome in _STILL_OPEN:
        return state.history
    return (state.attempt, *state.history)[:MAX_HISTORY]


def render_state(report: Report, history: Sequence[Attempt] = ()) -> str:
    """Render the hidden comment; nothing in it can end the comment early."""
    document = {
        "job": one_line(report.job, 80),
        "attempt": _encode(attempt_of(report)),
        "history": [_encode(attempt) for attempt in history[:MAX_HISTORY]],
    }
    text = json.dumps(document, separators=(",", ":"))
    # In JSON these stand in texts only, where the escape is the same character.
    for character in "<>-":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"<!-- gitlab-mesh:state {text} -->"


def parse_state(body: str) -> NoteState | None:
    """Parse the state out of a note's body; None where there is none that can be read. Never raises."""
    found = _STATE.findall(body)
    try:
        document = json.loads(found[-1]) if found else None
        if not isinstance(document, dict):
            return None
        attempt = _decode(document["attempt"])
        history = tuple(_decode(item) for item in document.get("history", [])[:MAX_HISTORY])
        return NoteState(str(document.get("job", "")), attempt, history)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _encode(attempt: Attempt) -> dict[str, str]:
    return {
        "outcome": attempt.outcome.value,
        "headline": attempt.headline,
        "started": attempt.started,
        "url": attempt.url,
    }


def _decode(item: Mapping[str, Any]) -> Attempt:
    texts = [str(item.get(name, "")) for name in ("headline", "started", "url")]
    return Attempt(Outcome(item["outcome"]), *texts)
