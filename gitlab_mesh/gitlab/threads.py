"""A thread that asks for attention: opened for a bad state, resolved by the next good one.

Where the project demands that all threads are resolved, an open one keeps the merge request from being merged
(GitLab docs, "Discussions API"; "Prevent merge unless all threads are resolved"). The job token can neither open
nor resolve threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from gitlab_mesh.gitlab.connection import Connection, Session
from gitlab_mesh.gitlab.context import Token
from gitlab_mesh.gitlab.marker import THREAD_PREFIX, NoteOrder, order_of, parse_marker, render_note
from gitlab_mesh.gitlab.merge_request import MergeRequestRef, locate
from gitlab_mesh.gitlab.tokens import Operation, choose_tokens, explain_missing
from gitlab_mesh.gitlab.upsert import superseded

if TYPE_CHECKING:
    from gitlab_mesh.gitlab.client import BoundedGitlab

__all__ = ["ReviewThreads"]

ROUNDS = 4


@dataclass(frozen=True, slots=True)
class _Thread:
    """A thread of ours: its id, its first note, and whose state it tells."""

    id: str
    note_id: int
    order: NoteOrder
    body: str
    resolved: bool


class ReviewThreads:
    """The threads of one CI job in the pipeline's merge requests, one a key."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open(self, key: str, body: str) -> str:
        """Open the key's thread, or take the one that there is: newest text, unresolved.

        Returns:
            "" or one line with what could not be done, and which scope or role would allow it.
        """
        return self._each(f"thread {key!r}", key, body, self._open_one)

    def resolve(self, key: str, body: str) -> str:
        """Resolve the key's thread if there is one; ``body`` then says what resolved it.

        Returns:
            "" (also without a thread) or one line with what could not be done.
        """
        return self._each(f"thread {key!r}", key, body, self._resolve_one)

    def _each(self, what: str, key: str, body: str, work: Callable[[Any, int | None, _Thread], str]) -> str:
        context = self._connection.context
        if context.available and not choose_tokens(self._connection.tokens, Operation.RESOLVE):
            return f"{what} not written: {explain_missing(context, Operation.RESOLVE)}"

        def run(session: Session) -> str:
            located = locate(session)
            if not located.merge_requests:
                return f"{what} not written: {located.reason}"
            name, order = f"{THREAD_PREFIX}{key}", order_of(session.context)
            mine = _Thread("", 0, order, render_note(name, body, order), resolved=False)
            answers = []
            for reference in located.merge_requests:
                answer = session.run(Operation.RESOLVE, partial(self._on, reference, mine, work))
                answers += [f"{what} of !{reference.iid} not written: {answer}"] if answer else []
            return "; ".join(answers)

        return self._connection.attempt(what, run)

    @staticmethod
    def _on(
        reference: MergeRequestRef,
        mine: _Thread,
        work: Callable[[Any, int | None, _Thread], str],
        client: BoundedGitlab,
        _token: Token,
    ) -> str:
        project = client.projects.get(reference.project, lazy=True)
        discussions = project.mergerequests.get(reference.iid, lazy=True).discussions
        return work(discussions, client.own_id(), mine)

    def _open_one(self, discussions: Any, author: int | None, mine: _Thread) -> str:
        for _ in range(ROUNDS):
            found = _list(discussions, author, mine)
            if not found:
                # A lost answer is found in the next round; a refusal is the caller's business.
                _create(discussions, mine.body)
                continue
            keeper, *copies = found
            newest = max(found, key=lambda thread: thread.order)
            if newest.order > mine.order:
                return superseded(newest.order)
            for copy in copies:  # two jobs opened it at the same moment
                discussions.get(copy.id, lazy=True).notes.delete(copy.note_id)
            if keeper.body != mine.body:
                discussions.get(keeper.id, lazy=True).notes.update(keeper.note_id, {"body": mine.body})
            if keeper.resolved:
                discussions.update(keeper.id, {"resolved": False})
            return ""
        return "it was not there after it had been created"

    def _resolve_one(self, discussions: Any, author: int | None, mine: _Thread) -> str:
        for thread in _list(discussions, author, mine):
            if thread.order > mine.order:
                return superseded(thread.order)
            if not thread.resolved:
                discussions.get(thread.id, lazy=True).notes.update(thread.note_id, {"body": mine.body})
                discussions.update(thread.id, {"resolved": True})
        return ""


def _list(discussions: Any, author: int | None, mine: _Thread) -> list[_Thread]:
    """Return our threads with the key of ``mine``, oldest first."""
    marker = parse_marker(mine.body)
    found = []
    for item in discussions.list(iterator=True, per_page=100):
        notes = item.attributes.get("notes") or []
        first = notes[0] if notes else {}
        body = str(first.get("body") or "").replace("\r\n", "\n").rstrip()
        seen = parse_marker(body)
        own = author is None or (first.get("author") or {}).get("id") == author
        if seen and marker and seen[0] == marker[0] and own and first.get("resolvable"):
            resolved = all(note.get("resolved") for note in notes if note.get("resolvable"))
            found.append(_Thread(str(item.attributes["id"]), int(first["id"]), seen[1], body, resolved))
    return sorted(found, key=lambda thread: thread.note_id)


def _create(discussions: Any, body: str) -> None:
    import gitlab.exceptions
    import requests

    try:
        discussions.create({"body": body})
    except requests.RequestException:
        return
    except gitlab.exceptions.GitlabError as error:
        if (error.response_code or 0) < 500:
            raise
