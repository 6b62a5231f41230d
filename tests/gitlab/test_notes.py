"""Sticky notes against the emulated GitLab: one note, the newest state, whatever happens."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from gitlab_mesh.gitlab import Connection, NoteOrder, StickyNotes, read_ci
from gitlab_mesh.gitlab.marker import render_note
from gitlab_mesh.sandbox.gitlab import Fault, Role
from gitlab_mesh.sandbox.gitlab.messages import Answer

if TYPE_CHECKING:
    from tests.gitlab.conftest import World

NOTES = "/notes"


def test_the_first_post_creates_the_second_edits(world: World) -> None:
    notes = StickyNotes(world.connect(world.job()))
    assert notes.post("shop", "first") == ""
    [note] = world.notes()
    assert notes.post("shop", "second") == ""
    assert world.notes() == [note]
    assert note.body.startswith("second")
    assert len(world.sent("POST", NOTES)) == 1


def test_an_equal_body_is_not_sent_again(world: World) -> None:
    job = world.job()
    assert StickyNotes(world.connect(job)).post("shop", "same") == ""
    again = StickyNotes(world.connect(job))
    assert again.post("shop", "same") == ""
    assert again.post("shop", "same") == ""
    assert world.sent("PUT") == []
    assert len(world.sent("POST", NOTES)) == 1


def test_each_key_has_its_own_note(world: World) -> None:
    notes = StickyNotes(world.connect(world.job()))
    assert notes.post("shop", "a") == notes.post("cart", "b") == ""
    assert len(world.notes()) == 2


def test_a_newer_pipeline_takes_the_note_over_and_an_older_leaves_it(world: World) -> None:
    old, new = world.job(), world.job()
    old_notes = StickyNotes(world.connect(old), settle_seconds=0.01)
    assert old_notes.post("shop", "old") == ""
    assert StickyNotes(world.connect(new), settle_seconds=0.01).post("shop", "new") == ""
    answer = old_notes.post("shop", "old again")
    assert f"a newer run (pipeline {new.pipeline.id}, job {new.id}) has written it" in answer
    [note] = world.notes()
    assert note.body.startswith("new")


def test_duplicates_are_removed_and_the_newest_state_survives_in_the_first(world: World) -> None:
    job = world.job()
    bot = world.server.state.tokens[world.token].user
    newer = NoteOrder(job.pipeline.id + 5, "2030-01-01T00:00:00Z", 1)
    first = world.server.comment(world.merge_request, bot, render_note("shop", "older", NoteOrder(1, "", 1)))
    world.server.comment(world.merge_request, bot, render_note("shop", "newest", newer))
    world.server.comment(world.merge_request, bot, render_note("shop", "middle", NoteOrder(2, "", 1)))
    answer = StickyNotes(world.connect(job), settle_seconds=0.01).post("shop", "mine")
    assert "a newer run" in answer
    assert world.notes() == [first]
    assert first.body.startswith("newest")


def test_a_marker_in_somebody_elses_note_is_not_ours(world: World) -> None:
    job = world.job()
    theirs = render_note("shop", "I quote", NoteOrder(10**9, "", 1))
    foreign = world.server.comment(world.merge_request, world.dana, theirs)
    assert StickyNotes(world.connect(job)).post("shop", "mine") == ""
    assert foreign.body == theirs
    assert len(world.notes()) == 2


def test_without_a_right_to_ask_who_we_are_foreign_notes_are_still_left(world: World) -> None:
    job = world.job()
    foreign = world.server.comment(world.merge_request, world.dana, render_note("shop", "x", NoteOrder(1, "", 1)))
    world.server.faults.append(Fault(403, path="/user$", times=-1))
    assert StickyNotes(world.connect(job)).post("shop", "mine") == ""
    assert len(world.notes()) == 2
    assert "mine" not in foreign.body


def test_the_note_is_found_beyond_the_first_page(world: World) -> None:
    job = world.job()
    StickyNotes(world.connect(job)).post("shop", "first")
    own = world.notes().pop()
    for number in range(250):
        world.server.comment(world.merge_request, world.dana, f"talk {number}")
    world.notes().append(own)
    own.id = max(note.id for note in world.notes()) + 1
    assert StickyNotes(world.connect(job)).post("shop", "second") == ""
    assert own.body.startswith("second")
    assert len(world.sent("POST", NOTES)) == 1


def test_a_deleted_note_is_made_again(world: World) -> None:
    notes = StickyNotes(world.connect(world.job()))
    notes.post("shop", "first")
    world.notes().clear()
    assert notes.post("shop", "second") == ""
    assert [note.body.split("\n")[0] for note in world.notes()] == ["second"]


def test_a_body_of_commands_is_stored_not_run(world: World) -> None:
    assert StickyNotes(world.connect(world.job())).post("shop", "/close\n\n/label ~x") == ""
    assert world.merge_request.state == "opened"
    assert world.merge_request.labels == []
    assert len(world.notes()) == 1


def test_every_open_merge_request_of_the_branch_gets_the_note(world: World) -> None:
    second = world.server.open_merge_request(world.project, world.dana, "Same branch", source_branch="raise-limits")
    pipeline = world.server.start_pipeline(world.project, world.dana, ref="raise-limits")
    assert StickyNotes(world.connect(world.job(pipeline))).post("shop", "x") == ""
    assert len(world.notes()) == len(second.notes) == 1


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"token": ""}, "the job token (CI_JOB_TOKEN) cannot write notes: set GITLAB_MESH_TOKEN"),
        ({"token": "glpat-unknown"}, "GitLab answered 401 to GITLAB_MESH_TOKEN"),
    ],
)
def test_what_is_missing_is_said_in_one_line(world: World, setting: dict[str, Any], expected: str) -> None:
    answer = StickyNotes(world.connect(world.job(), **setting)).post("shop", "x")
    assert expected in answer
    assert "scope api, role Reporter or higher" in answer
    assert "\n" not in answer
    assert "glpat" not in answer
    assert world.notes() == []


def test_a_token_that_may_only_read_is_named_with_the_missing_scope(world: World) -> None:
    token = world.server.add_project_token(world.project, scopes=("read_api",))
    answer = StickyNotes(world.connect(world.job(), token=token)).post("shop", "x")
    assert "403" in answer
    assert "scope api, role Reporter" in answer


def test_a_reporter_is_enough_for_notes(world: World) -> None:
    token = world.server.add_project_token(world.project, role=Role.REPORTER)
    assert StickyNotes(world.connect(world.job(), token=token)).post("shop", "x") == ""


def test_a_fork_says_that_variables_do_not_reach_it(world: World) -> None:
    fork = world.server.add_project("dana/shop", world.dana)
    merge_request = world.server.open_merge_request(world.project, world.dana, "From a fork", source_project=fork)
    pipeline = world.server.start_pipeline(fork, world.dana, merge_request=merge_request)
    answer = StickyNotes(world.connect(world.job(pipeline), token="")).post("shop", "x")
    assert "pipelines of forks do not get the target project's variables" in answer


def test_an_unprotected_ref_says_that_protected_variables_do_not_reach_it(world: World) -> None:
    variables = world.server.ci_variables(world.job())
    for protected, said in (("false", True), ("true", False)):
        connection = Connection(read_ci({**variables, "CI_COMMIT_REF_PROTECTED": protected}))
        answer = StickyNotes(connection).post("shop", "x")
        connection.close()
        assert ("raise-limits is not protected, so protected variables are absent here" in answer) is said


def test_a_lost_answer_to_the_creation_does_not_double_the_note(world: World) -> None:
    world.server.faults.append(Fault(502, method="POST", path=NOTES, after=True))
    assert StickyNotes(world.connect(world.job())).post("shop", "x") == ""
    assert len(world.notes()) == 1
    assert len(world.sent("POST", NOTES)) == 1


def test_a_creation_that_failed_is_tried_once_more_after_a_search(world: World) -> None:
    world.server.faults.append(Fault(502, method="POST", path=NOTES))
    assert StickyNotes(world.connect(world.job())).post("shop", "x") == ""
    assert len(world.notes()) == 1
    order = [request.method for request in world.server.requests if NOTES in request.path]
    assert order == ["GET", "POST", "GET", "POST", "GET"]


def test_twenty_jobs_at_once_leave_one_note_with_the_newest_state(world: World) -> None:
    jobs = [world.job() for _ in range(20)]
    posts = [StickyNotes(world.connect(job, budget_seconds=60.0), settle_seconds=0.5) for job in jobs]
    answers: dict[int, str] = {}
    ready = threading.Barrier(len(jobs))

    def run(number: int) -> None:
        ready.wait()
        answers[number] = posts[number].post("shop", f"state {number}")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [note.body.split("\n")[0] for note in world.notes()] == ["state 19"]
    assert answers[19] == ""
    assert all(answer == "" or "a newer run" in answer for answer in answers.values()), answers


def test_an_older_state_that_lands_late_is_put_right_by_the_second_look(world: World) -> None:
    old, new = world.job(), world.job()
    assert StickyNotes(world.connect(old)).post("shop", "old") == ""
    [note] = world.notes()
    late = note.body

    class LateWriter(Fault):
        """The old job's write had been under way, and lands just after the new one's."""

        def apply(self, real: Answer | None) -> Answer:
            note.body = late
            return super().apply(real)

    world.server.faults.append(LateWriter(method="PUT"))
    assert StickyNotes(world.connect(new), settle_seconds=0.05).post("shop", "new") == ""
    assert note.body.startswith("new")
    assert len(world.sent("PUT")) == 2


def test_a_text_can_carry_on_what_it_replaces(world: World) -> None:
    first, second = world.job(), world.job()
    assert StickyNotes(world.connect(first)).post("shop", lambda former: former or "one") == ""
    notes = StickyNotes(world.connect(second), settle_seconds=0.01)

    def grow(former: str) -> str:
        return former if former.endswith("two") else f"{former}, two"

    assert notes.post("shop", grow) == notes.post("shop", grow) == ""
    assert [note.body.split("\n")[0] for note in world.notes()] == ["one, two"]


def test_a_button_of_an_older_pipeline_tells_the_newest_fact(world: World) -> None:
    old = world.server.start_pipeline(world.project, world.dana, merge_request=world.merge_request)
    new = world.job()
    release = StickyNotes(world.connect(new), settle_seconds=0.01)
    assert release.post("shop", "promoted") == ""
    button = world.job(old, "mesh-rollback-now")
    button.started_at = button.created_at = button.created_at + timedelta(seconds=5)
    connection = world.connect(button)
    assert "a newer run" in StickyNotes(connection, settle_seconds=0.01).post("shop", "taken back")
    by_hand = StickyNotes(connection, settle_seconds=0.01)
    assert by_hand.post("shop", "taking back", explicit=True) == ""
    assert by_hand.post("shop", "taken back", explicit=True) == ""
    [note] = world.notes()
    assert note.body.startswith("taken back")
    assert "a newer run" in release.post("shop", "promoted, says the job that the button stopped")
    assert StickyNotes(world.connect(world.job()), settle_seconds=0.01).post("shop", "next release") == ""
    assert note.body.startswith("next release")


def test_a_button_that_was_pressed_before_the_newer_release_began_is_older(world: World) -> None:
    old = world.job()
    new = world.job()
    new.started_at = old.created_at + timedelta(seconds=60)
    assert StickyNotes(world.connect(new)).post("shop", "new") == ""
    assert "a newer run" in StickyNotes(world.connect(old)).post("shop", "late", explicit=True)
