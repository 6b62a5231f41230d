"""One note per key and merge request, edited in place, whatever else happens at the same time.

GitLab has neither "create if absent" nor a conditional update, so the note is made one by convergence: the note
with the lowest id is the one that stays; everybody copies the newest state that he sees into it, deletes the other
copies and looks again. Whoever wrote over another job's note looks once more after ``settle_seconds``: by then a
slower writer that had read the old state is through as well, and is corrected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gitlab_mesh.errors import TransientError
from gitlab_mesh.gitlab.connection import Connection, Session
from gitlab_mesh.gitlab.context import Token
from gitlab_mesh.gitlab.marker import NoteOrder, order_of, parse_marker, render_note
from gitlab_mesh.gitlab.merge_request import Located, MergeRequestRef, locate
from gitlab_mesh.gitlab.tokens import Operation, choose_tokens, explain_missing

if TYPE_CHECKING:
    from gitlab_mesh.gitlab.client import BoundedGitlab

__all__ = ["StickyNotes"]

ROUNDS = 8


@dataclass(frozen=True, slots=True)
class _Note:
    id: int
    order: NoteOrder
    body: str


class StickyNotes:
    """The merge request notes of one CI job.

    Args:
        connection: Shared with the rest.
        settle_seconds: Pause before the second look after writing over another job's note.
    """

    def __init__(self, connection: Connection, *, settle_seconds: float = 1.0) -> None:
        self._connection = connection
        self._settle_seconds = settle_seconds
        self._located: Located | None = None
        self._known: dict[tuple[MergeRequestRef, str], int] = {}
        self._own_ids: dict[str, int | None] = {}

    def post(self, key: str, body: str) -> str:
        """Create or update the one note with this key in the pipeline's merge requests.

        A state of an older pipeline or job never replaces a newer one; an equal body is not sent again; the body
        may hold anything: no line of it runs as a quick action.

        Returns:
            "" or one line with what could not be done, why, and which scope or role would allow it.
        """
        what = f"merge request note {key!r}"
        if self._connection.context.available and not choose_tokens(self._connection.tokens, Operation.NOTE):
            return f"{what} not written: {explain_missing(self._connection.context, Operation.NOTE)}"
        return self._connection.attempt(what, lambda session: self._post(session, what, key, body))

    def _post(self, session: Session, what: str, key: str, body: str) -> str:
        located = self._located or locate(session)
        self._located = located
        if not located.merge_requests:
            return f"{what} not written: {located.reason}"
        order = order_of(session.context)
        mine = _Note(0, order, render_note(key, body, order))
        answers = []
        for reference in located.merge_requests:
            upsert = _Upsert(self, reference, key, mine, session)
            answer = session.run(Operation.NOTE, upsert.run)
            answers += [f"{what} of !{reference.iid} not written: {answer}"] if answer else []
        return "; ".join(answers)

    def own_id(self, client: BoundedGitlab, token: Token) -> int | None:
        """Return the id of the user that the token speaks for; None where the token may not ask (fine-grained)."""
        if token.name not in self._own_ids:
            import gitlab.exceptions

            try:
                user = client.http_get("/user")
                if not isinstance(user, dict):
                    raise gitlab.exceptions.GitlabParsingError("no JSON object")
                self._own_ids[token.name] = int(user["id"])
            except gitlab.exceptions.GitlabHttpError as error:
                if error.response_code not in {403, 404}:
                    raise
                self._own_ids[token.name] = None
        return self._own_ids[token.name]


class _Upsert:
    """One upsert: a few rounds of look, write, look again."""

    def __init__(self, owner: StickyNotes, reference: MergeRequestRef, key: str, mine: _Note, session: Session) -> None:
        self._owner = owner
        self._reference = reference
        self._key = key
        self._mine = mine
        self._session = session
        self._foreign: set[int] = set()
        self._creations = 0

    def run(self, client: BoundedGitlab, token: Token) -> str:
        """Return "" or why the note was not written; raises python-gitlab's errors."""
        notes = (
            client.projects.get(self._reference.project, lazy=True)
            .mergerequests.get(self._reference.iid, lazy=True)
            .notes
        )
        answer = self._edit_known(notes)
        if answer is not None:
            return answer
        author = self._owner.own_id(client, token)
        for _ in range(ROUNDS):
            seen = self._list(notes, author)
            if not seen:
                self._create(notes)
                continue
            best = max((*seen, self._mine), key=lambda note: note.order)
            if best.order == self._mine.order:
                best = self._mine
            if self._converge(notes, seen, best):
                self._owner._known[self._reference, self._key] = seen[0].id
                return "" if best is self._mine else _superseded(best)
        return "other jobs kept writing the same note"

    def _edit_known(self, notes: Any) -> str | None:
        """Edit the note that this job wrote before with two requests; None where it must be searched again."""
        slot = (self._reference, self._key)
        note_id = self._owner._known.get(slot)
        if note_id is None:
            return None
        try:
            current = _read(notes.get(note_id), self._key)
            if current is None or current.order != self._mine.order:
                del self._owner._known[slot]
                return None
            if current.body != self._mine.body:
                notes.update(note_id, {"body": self._mine.body})
        except Exception as error:
            if getattr(error, "response_code", None) != 404:
                raise
            del self._owner._known[slot]
            return None
        return ""

    def _list(self, notes: Any, author: int | None) -> list[_Note]:
        """Return our copies, lowest id first. Pages are followed by header: they can be short (hidden notes)."""
        found = []
        for item in notes.list(iterator=True, per_page=100, order_by="created_at", sort="asc"):
            note = _read(item, self._key)
            # Anybody may quote a marker, and GitLab refuses edits of other people's notes.
            is_own = author is None or (item.attributes.get("author") or {}).get("id") == author
            if note and is_own and not item.attributes.get("system") and note.id not in self._foreign:
                found.append(note)
        return sorted(found, key=lambda note: note.id)

    def _create(self, notes: Any) -> None:
        """Create it; where the answer got lost, the next round searches for it before another try."""
        import gitlab.exceptions
        import requests

        self._creations += 1
        try:
            created = notes.create({"body": self._mine.body})
        except (requests.RequestException, gitlab.exceptions.GitlabError) as error:
            lost = isinstance(error, requests.RequestException) or (getattr(error, "response_code", 0) or 0) >= 500
            if not lost or self._creations > 1:
                raise
            self._session.deadline.sleep(0.3)
            return
        if "id" not in created.attributes:
            # 202: GitLab took the whole body for quick actions (notes_helpers.rb, process_note_creation_result).
            raise TransientError("GitLab ran the note as quick actions instead of storing it")

    def _converge(self, notes: Any, seen: list[_Note], best: _Note) -> bool:
        """Make the first note the only one, with the best state; True where that is how it was found."""
        keeper, *copies = seen
        contended = bool(copies) or keeper.order != self._mine.order
        dirty = keeper.body != best.body
        if dirty and not self._write(notes, keeper.id, best.body):
            return False
        for copy in copies:
            try:
                notes.delete(copy.id)
            except Exception as error:
                if getattr(error, "response_code", None) not in {403, 404}:
                    raise
        if not dirty and not copies:
            return True
        if contended:
            if self._session.deadline.remaining() < 2 * self._settle:
                return True  # written; no time for the second look
            self._session.deadline.sleep(self._settle)
            return False
        return True

    @property
    def _settle(self) -> float:
        return self._owner._settle_seconds

    def _write(self, notes: Any, note_id: int, body: str) -> bool:
        try:
            notes.update(note_id, {"body": body})
        except Exception as error:
            code = getattr(error, "response_code", None)
            if code == 404:  # deleted meanwhile
                return False
            if code == 403 and note_id not in self._foreign:
                self._foreign.add(note_id)
                return False
            raise
        return True


def _read(item: Any, key: str) -> _Note | None:
    """Return the note if it carries our marker with this key."""
    body = str(item.attributes.get("body") or "").replace("\r\n", "\n").rstrip()
    marker = parse_marker(body)
    if marker is None or marker[0] != key:
        return None
    return _Note(int(item.attributes["id"]), marker[1], body)


def _superseded(best: _Note) -> str:
    by = f"pipeline {best.order.pipeline}, job {best.order.job}"
    return f"a newer run ({by}) has written it; its state stays"
