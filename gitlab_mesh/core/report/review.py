"""What a run's end means for the merge request beside its note: the label, and the thread that blocks the merge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from gitlab_mesh.core.report.headline import say_sentence
from gitlab_mesh.core.report.markdown import escape_text
from gitlab_mesh.core.report.model import Outcome, Report
from gitlab_mesh.core.report.note_details import render_next_step
from gitlab_mesh.core.report.wording import OUTCOME_SYMBOL

__all__ = ["LABELS", "Review", "ThreadChange", "choose_label", "plan_review"]


class ThreadChange(StrEnum):
    """What happens to the service's thread."""

    OPEN = "open"
    RESOLVE = "resolve"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Review:
    """The change.

    Attributes:
        outcome: How the run ended.
        thread: Open it, resolve it, or leave it.
        body: Text of the thread, Markdown.
    """

    outcome: Outcome
    thread: ThreadChange
    body: str = ""


_LABEL = {
    Outcome.UNSAFE: "mesh::unsafe",
    Outcome.REJECTED: "mesh::rejected",
    Outcome.ROLLED_BACK: "mesh::rolled-back",
    Outcome.INTERRUPTED: "mesh::rolled-back",
    Outcome.NO_DATA: "mesh::inconclusive",
    Outcome.INCONCLUSIVE: "mesh::inconclusive",
    Outcome.PAUSED: "mesh::paused",
    Outcome.DEPLOYED: "mesh::promoted",
    Outcome.PROMOTED: "mesh::promoted",
}
"""Worst first: with several services the worst one names the merge request."""

LABELS = tuple(dict.fromkeys(_LABEL.values()))
"""All of them; at most one is set."""

_OPENS = frozenset({Outcome.REJECTED, Outcome.UNSAFE})
_RESOLVES = frozenset({Outcome.PROMOTED, Outcome.DEPLOYED})


def choose_label(outcomes: Iterable[Outcome]) -> str:
    """Return the label for the outcomes of all services, "" where none of them has one."""
    found = set(outcomes)
    return next((label for outcome, label in _LABEL.items() if outcome in found), "")


def plan_review(report: Report) -> Review | None:
    """Return what to change, None for a run that says nothing about the release (still running, refused, failed).

    A rejected release opens the thread, and only a good one resolves it: an inconclusive run or a rollback does not
    make the rejected release better.
    """
    if report.outcome not in _LABEL:
        return None
    if report.outcome in _OPENS:
        return Review(report.outcome, ThreadChange.OPEN, _render_open(report))
    if report.outcome in _RESOLVES:
        text = f"{OUTCOME_SYMBOL[report.outcome]} {escape_text(report.headline, 300)}. This resolved the thread."
        return Review(report.outcome, ThreadChange.RESOLVE, text)
    return Review(report.outcome, ThreadChange.KEEP)


def _render_open(report: Report) -> str:
    parts = [f"{OUTCOME_SYMBOL[report.outcome]} **{escape_text(report.headline, 300)}**"]
    if report.reason:
        parts.append(escape_text(say_sentence(report.reason), 1000))
    if report.next_step:
        parts.append(render_next_step(report.next_step))
    parts.append("_The next good release resolves this thread; so can you. The numbers are in the release's note._")
    return "\n\n".join(parts)
