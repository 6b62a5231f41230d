"""One note per key and merge request, edited in place, whatever else happens at the same time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from gitlab_mesh.gitlab.connection import Connection, Session
from gitlab_mesh.gitlab.context import Token
from gitlab_mesh.gitlab.marker import THREAD_PREFIX
from gitlab_mesh.gitlab.merge_request import MergeRequestRef, locate
from gitlab_mesh.gitlab.tokens import Operation, choose_tokens, explain_missing
from gitlab_mesh.gitlab.upsert import NoteText, Upsert, list_own_notes

if TYPE_CHECKING:
    from gitlab_mesh.gitlab.client import BoundedGitlab

__all__ = ["NoteText", "StickyNotes"]


class StickyNotes:
    """The merge request notes of one CI job.

    Args:
        connection: Shared with the rest.
        settle_seconds: Pause before the second look after writing over another job's note.
    """

    def __init__(self, connection: Connection, *, settle_seconds: float = 1.0) -> None:
        self._connection = connection
        self._settle_seconds = settle_seconds
        self._known: dict[tuple[MergeRequestRef, str], int] = {}

    def post(self, key: str, text: NoteText, *, explicit: bool = False) -> str:
        """Create or update the one note with this key in the pipeline's merge requests.

        A state of an older pipeline or job never replaces a newer one; an equal body is not sent again; the body
        may hold anything: no line of it runs as a quick action.

        Args:
            key: Which note: one a service.
            text: The body; or a function that gets the body which this one replaces ("" where there is none) and
                returns the new one, so that it can carry things on. Given its own result it must return the same.
            explicit: A person asked for what the note tells, just now (a button of an older pipeline): it counts
                as news of the newest pipeline, if the job started later than that one's.

        Returns:
            "" or one line with what could not be done, why, and which scope or role would allow it.
        """
        what = f"merge request note {key!r}"
        if self._connection.context.available and not choose_tokens(self._connection.tokens, Operation.NOTE):
            return f"{what} not written: {explain_missing(self._connection.context, Operation.NOTE)}"

        def work(session: Session) -> str:
            return self._post(session, what, key, Upsert(key, text, session, self._settle_seconds, explicit=explicit))

        return self._connection.attempt(what, work)

    def read_all(self) -> tuple[dict[str, str], str]:
        """Return the bodies of all notes of this kind in the pipeline's merge requests by key (one a service).

        Returns:
            The bodies (the newest, where several merge requests have one), and "" or why they could not be read.
        """
        found: dict[str, str] = {}

        def work(session: Session) -> str:
            def read(client: BoundedGitlab, token: Token) -> None:
                # The job token cannot ask who it is; notes of the markers' form are then taken as they are.
                author = client.own_id() if token.kind != "job" else None
                for reference in locate(session).merge_requests:
                    notes = _manager(client, reference)
                    for note in sorted(list_own_notes(notes, author), key=lambda note: note.order):
                        if not note.key.startswith(THREAD_PREFIX):
                            found[note.key] = note.text

            session.run(Operation.READ, read)
            return ""

        return found, self._connection.attempt("reading of the merge request's notes", work)

    def _post(self, session: Session, what: str, key: str, upsert: Upsert) -> str:
        located = locate(session)
        if not located.merge_requests:
            return f"{what} not written: {located.reason}"
        answers = []
        for reference in located.merge_requests:
            write = partial(self._write, upsert, (reference, key))
            answer = session.run(Operation.NOTE, write)
            answers += [f"{what} of !{reference.iid} not written: {answer}"] if answer else []
        return "; ".join(answers)

    def _write(self, upsert: Upsert, slot: tuple[MergeRequestRef, str], client: BoundedGitlab, _token: Token) -> str:
        notes = _manager(client, slot[0])
        note_id = self._known.pop(slot, None)
        if note_id is not None and upsert.edit(notes, note_id):
            self._known[slot] = note_id
            return ""
        note_id, answer = upsert.run(notes, client.own_id())
        if note_id is not None:
            self._known[slot] = note_id
        return answer


def _manager(client: BoundedGitlab, reference: MergeRequestRef) -> Any:
    return client.projects.get(reference.project, lazy=True).mergerequests.get(reference.iid, lazy=True).notes
