"""Notes and discussions of merge requests (GitLab docs "Notes API", "Discussions API"; ``lib/api/notes.rb``)."""

from __future__ import annotations

import hashlib
from itertools import groupby
from typing import Any

from gitlab_mesh.sandbox.gitlab.entities import present_discussion, present_note
from gitlab_mesh.sandbox.gitlab.messages import Answer, ApiError, json_answer
from gitlab_mesh.sandbox.gitlab.quick_actions import extract_commands, run_commands
from gitlab_mesh.sandbox.gitlab.routing import Call, endpoint
from gitlab_mesh.sandbox.gitlab.state import MergeRequest, Note, Role

__all__ = ["MAX_NOTE_CHARACTERS", "add_note"]

MAX_NOTE_CHARACTERS = 1_000_000
_NOTES = "/projects/:id/merge_requests/:iid/notes"
_DISCUSSIONS = "/projects/:id/merge_requests/:iid/discussions"


def add_note(call: Call, merge_request: MergeRequest, *, discussion: str = "", threaded: bool = False) -> Note | Answer:
    """Create a note from the request; a body of only quick actions gives GitLab's 202 without an id instead."""
    body = _clean_body(call.required("body"))
    text, commands = extract_commands(body)
    changes = run_commands(merge_request, commands)
    if commands and not text.strip():
        return json_answer({"commands_changes": changes, "summary": [f"Ran /{name}." for name, _ in commands]}, 202)
    note_id = next(call.state.ids)
    thread = discussion or hashlib.sha1(f"{merge_request.id}/{note_id}".encode(), usedforsecurity=False).hexdigest()
    note = Note(note_id, call.caller.user, text, call.now, call.now, thread, threaded=threaded)
    merge_request.notes.append(note)
    merge_request.updated_at = call.now
    return note


def _clean_body(body: Any) -> str:
    text = str(body)
    if not text.strip():
        raise ApiError(400, '400 Bad request - Note {:note=>["can\'t be blank"]}')
    if len(text) > MAX_NOTE_CHARACTERS:
        raise ApiError(400, f'400 Bad request - Note {{:note=>["is too long (maximum is {MAX_NOTE_CHARACTERS})"]}}')
    return text


def _find_note(call: Call) -> tuple[MergeRequest, Note]:
    merge_request = call.merge_request()
    note_id = call.integer("note_id")
    for note in merge_request.notes:
        if note.id == note_id:
            return merge_request, note
    raise ApiError(404, "404 Not found")


def _check_may_edit(call: Call, note: Note) -> None:
    """Authors edit their notes; Maintainers those of others too; system notes nobody."""
    role = call.caller.role_in(call.project) or 0
    if note.system or (note.author.id != call.caller.user.id and role < Role.MAINTAINER):
        raise ApiError(403, "403 Forbidden")


def _present(call: Call, result: Note | Answer, merge_request: MergeRequest, status: int) -> Answer:
    if isinstance(result, Answer):
        return result
    return json_answer(present_note(result, merge_request, call.base_url), status)


@endpoint("GET", _NOTES, job_token=True)
def list_notes(call: Call) -> Answer:
    """List notes, newest first unless asked otherwise."""
    merge_request = call.merge_request()
    order = call.choice("order_by", ("created_at", "updated_at"), "created_at")
    reverse = call.choice("sort", ("asc", "desc"), "desc") == "desc"
    kind = call.choice("activity_filter", ("all_notes", "only_comments", "only_activity"), "all_notes")
    shown = [note for note in merge_request.notes if kind == "all_notes" or note.system == (kind == "only_activity")]
    shown.sort(key=lambda note: (getattr(note, order), note.id), reverse=reverse)
    return call.page(shown, lambda note: present_note(note, merge_request, call.base_url))


@endpoint("GET", f"{_NOTES}/:note_id", job_token=True)
def get_note(call: Call) -> Answer:
    """Read one note."""
    merge_request, note = _find_note(call)
    return _present(call, note, merge_request, 200)


@endpoint("POST", _NOTES)
def create_note(call: Call) -> Answer:
    """Create a note."""
    merge_request = call.merge_request()
    return _present(call, add_note(call, merge_request), merge_request, 201)


@endpoint("PUT", f"{_NOTES}/:note_id")
def update_note(call: Call) -> Answer:
    """Change a note's text; quick actions run here too."""
    merge_request, note = _find_note(call)
    _check_may_edit(call, note)
    text, commands = extract_commands(_clean_body(call.required("body")))
    run_commands(merge_request, commands)
    if text.strip():
        note.body, note.updated_at = text, call.now
        merge_request.updated_at = call.now
    return _present(call, note, merge_request, 200)


@endpoint("DELETE", f"{_NOTES}/:note_id")
def delete_note(call: Call) -> Answer:
    """Delete a note."""
    merge_request, note = _find_note(call)
    _check_may_edit(call, note)
    merge_request.notes.remove(note)
    return Answer(204)


def _threads(merge_request: MergeRequest) -> list[list[Note]]:
    ordered = sorted(merge_request.notes, key=lambda note: (note.discussion, note.id))
    threads = [list(notes) for _, notes in groupby(ordered, key=lambda note: note.discussion)]
    return sorted(threads, key=lambda notes: notes[0].id)


def _find_thread(call: Call) -> tuple[MergeRequest, list[Note]]:
    merge_request = call.merge_request()
    for notes in _threads(merge_request):
        if notes[0].discussion == call.path["discussion_id"]:
            return merge_request, notes
    raise ApiError(404, "404 Discussion Not Found")


@endpoint("GET", _DISCUSSIONS)
def list_discussions(call: Call) -> Answer:
    """List threads and single notes."""
    merge_request = call.merge_request()
    return call.page(_threads(merge_request), lambda notes: present_discussion(notes, merge_request, call.base_url))


@endpoint("GET", f"{_DISCUSSIONS}/:discussion_id")
def get_discussion(call: Call) -> Answer:
    """Read one thread."""
    merge_request, notes = _find_thread(call)
    return json_answer(present_discussion(notes, merge_request, call.base_url))


@endpoint("POST", _DISCUSSIONS)
def create_discussion(call: Call) -> Answer:
    """Open a thread that can be resolved."""
    merge_request = call.merge_request()
    result = add_note(call, merge_request, threaded=True)
    if isinstance(result, Answer):
        return result
    return json_answer(present_discussion([result], merge_request, call.base_url), 201)


@endpoint("PUT", f"{_DISCUSSIONS}/:discussion_id")
def resolve_discussion(call: Call) -> Answer:
    """Resolve a thread or open it again: Developers and the merge request's author may."""
    merge_request, notes = _find_thread(call)
    resolved = str(call.required("resolved")).lower() in {"true", "1"}
    role = call.caller.role_in(call.project) or 0
    if not notes[0].threaded or (role < Role.DEVELOPER and call.caller.user.id != merge_request.author.id):
        raise ApiError(403, "403 Forbidden")
    for note in notes:
        note.resolved_by = call.caller.user if resolved else None
    return json_answer(present_discussion(notes, merge_request, call.base_url))


@endpoint("POST", f"{_DISCUSSIONS}/:discussion_id/notes")
def reply(call: Call) -> Answer:
    """Add a note to a thread; a reply to a single note turns it into a thread."""
    merge_request, notes = _find_thread(call)
    for note in notes:
        note.threaded = True
    return _present(
        call, add_note(call, merge_request, discussion=notes[0].discussion, threaded=True), merge_request, 201
    )


@endpoint("PUT", f"{_DISCUSSIONS}/:discussion_id/notes/:note_id")
def update_reply(call: Call) -> Answer:
    """Change a note of a thread, or resolve it."""
    if "resolved" in call.request.fields and "body" not in call.request.fields:
        return resolve_discussion(call)
    return update_note(call)


@endpoint("DELETE", f"{_DISCUSSIONS}/:discussion_id/notes/:note_id")
def delete_reply(call: Call) -> Answer:
    """Delete a note of a thread."""
    return delete_note(call)
