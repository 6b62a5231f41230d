"""How one note stays one note: look, write, look again.

GitLab has neither "create if absent" nor a conditional update, so the note is made one by convergence: the note
with the lowest id is the one that stays; everybody copies the newest state that he sees into it, deletes the other
copies and looks again. Whoever wrote over another job's note looks once more after ``settle_seconds``: by then a
slower writer that had read the old state is through as well, and is corrected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from gitlab_mesh.errors import TransientError
from gitlab_mesh.gitlab.connection import Session
from gitlab_mesh.gitlab.marker import NoteOrder, order_of, parse_marker, render_note, strip_marker

__all__ = ["NoteText", "OwnNote", "Upsert", "list_own_notes", "superseded"]

ROUNDS = 8

NoteText = str | Callable[[str], str]
"""A note's body, or a function from the body that it replaces ("" for none)."""


@dataclass(frozen=True, slots=True)
class OwnNote:
    """A note with a marker of ours; ``body`` is with the marker."""

    id: int
    key: str
    order: NoteOrder
    body: str

    @property
    def text(self) -> str:
        """The body without the marker."""
        return strip_marker(self.body)


def list_own_notes(notes: Any, author: int | None) -> Iterator[OwnNote]:
    """Yield the notes with our marker. Pages are followed by header: they can be short (hidden notes).

    Args:
        notes: python-gitlab's manager of a merge request's notes.
        author: Only this user's: anybody may quote a marker, and GitLab refuses edits of other people's notes.
    """
    for item in notes.list(iterator=True, per_page=100, order_by="created_at", sort="asc"):
        note = _read(item)
        is_own = author is None or (item.attributes.get("author") or {}).get("id") == author
        if note and is_own and not item.attributes.get("system"):
            yield note


def superseded(order: NoteOrder) -> str:
    """Say that a newer state stays."""
    return f"a newer run (pipeline {order.pipeline}, job {order.job}) has written it; its state stays"


class Upsert:
    """One upsert of one key.

    Args:
        key: Of the note.
        text: See ``StickyNotes.post``.
        session: The call in progress.
        settle_seconds: Pause before the second look.
        explicit: See ``StickyNotes.post``.
    """

    def __init__(
        self, key: str, text: NoteText, session: Session, settle_seconds: float, *, explicit: bool = False
    ) -> None:
        self._key = key
        self._text = text
        self._session = session
        self._settle_seconds = settle_seconds
        self._explicit = explicit
        self._foreign: set[int] = set()
        self._creations = 0

    def edit(self, notes: Any, note_id: int) -> bool:
        """Edit the note that this job wrote before, with two requests; False where it must be searched again."""
        try:
            current = _read(notes.get(note_id))
            if current is None or current.key != self._key:
                return False
            mine = self._render(current)
            if current.order != mine.order:
                return False
            if current.body != mine.body:
                notes.update(note_id, {"body": mine.body})
        except Exception as error:
            if getattr(error, "response_code", None) != 404:
                raise
            return False
        return True

    def run(self, notes: Any, author: int | None) -> tuple[int | None, str]:
        """Return the note's id, and "" or why it was not written; raises python-gitlab's errors."""
        for _ in range(ROUNDS):
            own = (note for note in list_own_notes(notes, author) if note.key == self._key)
            seen = sorted((note for note in own if note.id not in self._foreign), key=lambda note: note.id)
            if not seen:
                self._create(notes)
                continue
            newest = max(seen, key=lambda note: note.order)
            mine = self._render(newest)
            best = newest if newest.order > mine.order else mine
            if self._converge(notes, seen, best, mine.order):
                return seen[0].id, "" if best is mine else superseded(best.order)
        return None, "other jobs kept writing the same note"

    def _render(self, former: OwnNote | None) -> OwnNote:
        """Make the note as this job would have it in the place of ``former``."""
        order = order_of(self._session.context)
        if self._explicit and former and former.order.started <= order.started:
            order = replace(order, pipeline=max(order.pipeline, former.order.pipeline))
        text = self._text if isinstance(self._text, str) else self._text(former.text if former else "")
        return OwnNote(0, self._key, order, render_note(self._key, text, order))

    def _create(self, notes: Any) -> None:
        """Create it; where the answer got lost, the next round searches for it before another try."""
        import gitlab.exceptions
        import requests

        self._creations += 1
        try:
            created = notes.create({"body": self._render(None).body})
        except (requests.RequestException, gitlab.exceptions.GitlabError) as error:
            lost = isinstance(error, requests.RequestException) or (getattr(error, "response_code", 0) or 0) >= 500
            if not lost or self._creations > 1:
                raise
            self._session.deadline.sleep(0.3)
            return
        if "id" not in created.attributes:
            # 202: GitLab took the whole body for quick actions (notes_helpers.rb, process_note_creation_result).
            raise TransientError("GitLab ran the note as quick actions instead of storing it")

    def _converge(self, notes: Any, seen: list[OwnNote], best: OwnNote, order: NoteOrder) -> bool:
        """Make the first note the only one, with the best state; True where that is how it was found."""
        keeper, *copies = seen
        contended = bool(copies) or keeper.order != order
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
            if self._session.deadline.remaining() < 2 * self._settle_seconds:
                return True  # written; no time for the second look
            self._session.deadline.sleep(self._settle_seconds)
            return False
        return True

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


def _read(item: Any) -> OwnNote | None:
    """Return the note if it carries a marker of ours."""
    body = str(item.attributes.get("body") or "").replace("\r\n", "\n").rstrip()
    marker = parse_marker(body)
    return None if marker is None else OwnNote(int(item.attributes["id"]), marker[0], marker[1], body)
