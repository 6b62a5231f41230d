"""What a note remembers of the runs before it, and what a run's end means for label and thread."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.report.history import (
    MAX_HISTORY,
    carry_history,
    is_release_key,
    note_key,
    parse_state,
    render_state,
)
from gitlab_mesh.core.report.model import Attempt, Link, LinksSection, Outcome, Report
from gitlab_mesh.core.report.renderers import render_note
from gitlab_mesh.core.report.review import LABELS, ThreadChange, choose_label, plan_review


def run(outcome: Outcome, number: int, job: str = "canary") -> Report:
    links = LinksSection((Link("Job log", f"https://gitlab.example/jobs/{number}"),))
    return Report(job, "shop", "shop", outcome, f"shop 1.{number}: {outcome}", started=f"t{number}", sections=(links,))


def follow(former: str, report: Report) -> str:
    return render_note(report, carry_history(former, report))


def test_each_finished_run_becomes_an_attempt_newest_first() -> None:
    note = ""
    for number, outcome in enumerate([Outcome.REJECTED, Outcome.INCONCLUSIVE, Outcome.PROMOTED]):
        note = follow(note, run(Outcome.RUNNING, number))
        note = follow(note, run(outcome, number))
    state = parse_state(note)
    assert state is not None
    assert state.attempt == Attempt(Outcome.PROMOTED, "shop 1.2: promoted", "t2", "https://gitlab.example/jobs/2")
    assert [item.outcome for item in state.history] == [Outcome.INCONCLUSIVE, Outcome.REJECTED]
    assert "Former attempts (2)" in note
    assert "[job](https://gitlab.example/jobs/0)" in note


def test_the_same_run_posted_again_adds_nothing() -> None:
    first = follow("", run(Outcome.REJECTED, 1))
    assert follow(first, run(Outcome.REJECTED, 1)) == first
    second = follow(first, run(Outcome.PROMOTED, 2))
    assert follow(second, run(Outcome.PROMOTED, 2)) == second


def test_a_run_that_was_killed_is_told_by_the_net_that_ended_it() -> None:
    note = follow(follow("", run(Outcome.RUNNING, 1)), run(Outcome.ROLLED_BACK, 2, "rollback"))
    state = parse_state(note)
    assert state is not None
    assert (state.attempt.outcome, state.history) == (Outcome.ROLLED_BACK, ())


def test_the_memory_is_bounded() -> None:
    note = ""
    for number in range(MAX_HISTORY + 10):
        note = follow(note, run(Outcome.REJECTED, number))
    state = parse_state(note)
    assert state is not None
    assert len(state.history) == MAX_HISTORY
    assert len(note) < 20_000


TEXT = st.text(max_size=40) | st.sampled_from(["-->", "--!>", "<!--", "\n/close", "}", "\u2028", "\ud800"])


@given(TEXT, TEXT, TEXT, st.sampled_from(Outcome))
def test_nothing_in_it_ends_the_comment_early(headline: str, started: str, url: str, outcome: Outcome) -> None:
    report = replace(run(outcome, 1), headline=headline, started=started)
    history = (Attempt(outcome, headline, started, url),)
    text = render_state(report, history)
    assert "\n" not in text
    assert text.index("-->") == len(text) - 3
    state = parse_state(f"before\n{text}\n")
    assert state is not None
    assert (state.attempt.outcome, len(state.history)) == (outcome, 1)
    text.encode()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "a note of an older version",
        "<!-- gitlab-mesh:state {} -->",
        "<!-- gitlab-mesh:state {broken} -->",
        '<!-- gitlab-mesh:state {"attempt":{"outcome":"unheard of"}} -->',
        '<!-- gitlab-mesh:state {"attempt":[]} -->',
        "<!-- gitlab-mesh:state {" + '"a":{' * 5000 + "}" * 5001 + " -->",
    ],
)
def test_a_state_that_cannot_be_read_is_none(body: str) -> None:
    assert parse_state(body) is None
    assert carry_history(body, run(Outcome.PROMOTED, 1)) == ()


@pytest.mark.parametrize(
    ("job", "service", "key", "release"),
    [
        ("canary", "shop", "shop", True),
        ("rollback", "shop", "shop", True),
        ("load-check", "shop", "load-check:shop", False),
        ("load-check", "", "load-check", True),
    ],
)
def test_only_jobs_of_the_release_share_the_services_note(job: str, service: str, key: str, release: bool) -> None:
    assert note_key(job, service) == key
    assert is_release_key(key) is release


@pytest.mark.parametrize(
    ("outcome", "label", "thread"),
    [
        (Outcome.PROMOTED, "mesh::promoted", ThreadChange.RESOLVE),
        (Outcome.DEPLOYED, "mesh::promoted", ThreadChange.RESOLVE),
        (Outcome.REJECTED, "mesh::rejected", ThreadChange.OPEN),
        (Outcome.UNSAFE, "mesh::unsafe", ThreadChange.OPEN),
        (Outcome.ROLLED_BACK, "mesh::rolled-back", ThreadChange.KEEP),
        (Outcome.INCONCLUSIVE, "mesh::inconclusive", ThreadChange.KEEP),
        (Outcome.NO_DATA, "mesh::inconclusive", ThreadChange.KEEP),
        (Outcome.PAUSED, "mesh::paused", ThreadChange.KEEP),
    ],
)
def test_what_an_end_means_for_the_merge_request(outcome: Outcome, label: str, thread: ThreadChange) -> None:
    change = plan_review(run(outcome, 1))
    assert change is not None
    assert choose_label([change.outcome]) == label
    assert change.thread is thread
    assert bool(change.body) is (thread is not ThreadChange.KEEP)


@pytest.mark.parametrize("outcome", [Outcome.RUNNING, Outcome.REFUSED, Outcome.FAILED, Outcome.PLANNED, Outcome.PASSED])
def test_what_says_nothing_about_the_release_changes_nothing(outcome: Outcome) -> None:
    assert plan_review(run(outcome, 1)) is None
    assert choose_label([outcome]) == ""


def test_the_worst_service_names_the_merge_request() -> None:
    assert choose_label([Outcome.PROMOTED, Outcome.REJECTED, Outcome.RUNNING]) == "mesh::rejected"
    assert choose_label([Outcome.PROMOTED, Outcome.UNSAFE, Outcome.REJECTED]) == "mesh::unsafe"
    assert len(LABELS) == len(set(LABELS))


def test_the_thread_says_why_and_what_to_do_and_runs_nothing() -> None:
    report = replace(
        run(Outcome.REJECTED, 1), headline="shop\n/close", reason="@all errors", next_step="Look: `kubectl get pods`"
    )
    change = plan_review(report)
    assert change is not None
    assert "\\@all errors" in change.body
    assert "```shell\nkubectl get pods\n```" in change.body
    assert not any(line.startswith("/") for line in change.body.split("\n"))
