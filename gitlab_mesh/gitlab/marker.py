"""The text of a sticky note: the hidden marker that finds it again, and what makes a body harmless. All pure.

The marker is the last line, an HTML comment: it keeps the first line of e-mail notifications readable, it
survives in the raw ``body`` that the API returns, and whoever quotes a note above his own words does not make a copy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from urllib.parse import quote, unquote

from gitlab_mesh.gitlab.context import CIContext, parse_time

__all__ = [
    "MAX_BODY_CHARACTERS",
    "THREAD_PREFIX",
    "NoteOrder",
    "neutralise_quick_actions",
    "order_of",
    "parse_marker",
    "render_note",
    "strip_marker",
]

MAX_BODY_CHARACTERS = 1_000_000
"""GitLab's limit of a note (GitLab docs, "Notes API")."""

THREAD_PREFIX = "thread:"
"""Begins the keys of threads: they are notes too, and must not be taken for the sticky ones."""

_MARKER = re.compile(
    r"<!-- gitlab-mesh:note key=(?P<key>\S*) pipeline=(?P<pipeline>\d+) started=(?P<started>[0-9TZ:.-]*) "
    r"job=(?P<job>\d+) -->"
)
_SLASH = re.compile(r" {0,3}/")
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})(?P<rest>.*)")


@dataclass(frozen=True, slots=True, order=True)
class NoteOrder:
    """Which of two states is newer: the higher pipeline, then the later start of the job, then the higher job.

    All three come from GitLab, so no runner's clock takes part. Equal means: the same job, which may always edit.

    Attributes:
        pipeline: ``CI_PIPELINE_ID``, which is unique and rising in the whole instance.
        started: ``CI_JOB_STARTED_AT`` as RFC 3339 in UTC (so text order is time order), or "".
        job: ``CI_JOB_ID``.
    """

    pipeline: int = 0
    started: str = ""
    job: int = 0


def order_of(context: CIContext) -> NoteOrder:
    """Return the place of this job in time."""
    started = parse_time(context.job_started_at)
    text = started.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if started else ""
    return NoteOrder(context.pipeline_id, text, context.job_id)


def parse_marker(body: str) -> tuple[str, NoteOrder] | None:
    """Return key and order of a note of ours, None for any other note."""
    found = _MARKER.fullmatch(body.rstrip().rpartition("\n")[2])
    if found is None:
        return None
    return unquote(found["key"]), NoteOrder(int(found["pipeline"]), found["started"], int(found["job"]))


def strip_marker(body: str) -> str:
    """Return a note's body without its marker."""
    text = body.rstrip()
    return text.rpartition("\n")[0].rstrip() if parse_marker(text) else text


def render_note(key: str, body: str, order: NoteOrder) -> str:
    """Return the body as it is sent: no quick actions, within the size limit, marker last."""
    # quote() leaves "-" alone; two of them could end the comment early.
    safe_key = quote(key, safe="").replace("-", "%2D")
    marker = (
        f"<!-- gitlab-mesh:note key={safe_key} pipeline={order.pipeline} started={order.started} job={order.job} -->"
    )
    text = neutralise_quick_actions(body.replace("\r\n", "\n").replace("\r", "\n")).rstrip()
    return f"{_cut(text, MAX_BODY_CHARACTERS - len(marker) - 2)}\n\n{marker}"


def neutralise_quick_actions(text: str) -> str:
    r"""Return the text so that no line can run as a quick action, looking the same when rendered.

    GitLab takes every line that begins with ``/<command>`` outside of the code blocks that its own pattern finds
    (``lib/gitlab/quick_actions/extractor.rb``), and that pattern knows neither ``~~~`` nor a fence of four
    backticks. So a line in code gets one space in front, and a line outside gets the backslash escape ``\/``,
    which Markdown shows as ``/``. The pattern removes carriage returns first: callers must have done so too.
    """
    lines = []
    fence = ""
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if found and not fence:
            fence = found["fence"]
        elif found and fence and found["fence"].startswith(fence) and not found["rest"].strip():
            fence = ""
        elif fence and line.startswith("/"):
            line = f" {line}"
        elif not fence and _SLASH.match(line):
            line = line.replace("/", "\\/", 1)
        lines.append(line)
    return "\n".join(lines)


def _cut(text: str, limit: int) -> str:
    """Cut at a line's end, close what the cut left open, and say that something is missing."""
    if len(text) <= limit:
        return text
    closing = "\n</details>\n\n"
    notice = f"_Cut: {len(text)} characters, GitLab takes {MAX_BODY_CHARACTERS}. The job's artifacts hold all of it._"
    room = limit - len(notice) - 300
    head = text[: text.rfind("\n", 0, room) if "\n" in text[:room] else room]
    fence = _open_fence(head)
    open_details = min(head.count("<details") - head.count("</details"), 10)
    return head + (f"\n{fence}" if fence else "") + "\n" + closing * max(0, open_details) + "\n" + notice


def _open_fence(text: str) -> str:
    fence = ""
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if found and not fence:
            fence = found["fence"]
        elif found and found["fence"].startswith(fence) and not found["rest"].strip():
            fence = ""
    return fence if len(fence) < 100 else ""
