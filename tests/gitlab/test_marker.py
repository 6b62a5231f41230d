"""The text of a note: markers, order, quick actions, size."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.gitlab import NoteOrder, neutralise_quick_actions
from gitlab_mesh.gitlab.marker import MAX_BODY_CHARACTERS, parse_marker, render_note
from gitlab_mesh.sandbox.gitlab.quick_actions import extract_commands

ORDER = NoteOrder(7, "2026-09-01T10:00:00Z", 9)


@given(st.text(max_size=40), st.text(max_size=300), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_marker_is_read_back_whatever_key_and_body(key: str, body: str, pipeline: int, job: int) -> None:
    order = NoteOrder(pipeline, "2026-09-01T10:00:00Z", job)
    text = render_note(key, body, order)
    assert parse_marker(text) == (key, order)
    assert text.rsplit("\n", 1)[-1].count("--") == 2, "the comment must not end early"


@pytest.mark.parametrize(
    "body",
    [
        "plain words",
        "",
        render_note("shop", "x", ORDER) + "\n\nquoted by somebody",
        "> " + render_note("shop", "x", ORDER).replace("\n", "\n> "),
        "<!-- gitlab-mesh:note key=shop pipeline=x started= job=1 -->",
    ],
)
def test_what_is_not_a_note_of_ours(body: str) -> None:
    assert parse_marker(body) is None


def test_order_is_pipeline_then_start_then_job() -> None:
    ordered = [
        NoteOrder(1, "2026-09-01T12:00:00Z", 99),
        NoteOrder(2, "2026-09-01T10:00:00Z", 50),
        NoteOrder(2, "2026-09-01T10:00:01Z", 40),
        NoteOrder(2, "2026-09-01T10:00:01Z", 41),
    ]
    assert all(older < newer for older, newer in itertools.pairwise(ordered))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/close", "\\/close"),
        ("fine\n/merge\nalso", "fine\n\\/merge\nalso"),
        ("  /close", "  \\/close"),
        ("a /close", "a /close"),
        ("```\n/bin/sh\n```\n/close", "```\n /bin/sh\n```\n\\/close"),
        ("````\n```\n/close\n````", "````\n```\n /close\n````"),
        ("~~~\n/close\n~~~", "~~~\n /close\n~~~"),
        ("```sh\n/close", "```sh\n /close"),
        ("    /usr/bin/true", "    /usr/bin/true"),
    ],
)
def test_lines_that_begin_with_a_slash(text: str, expected: str) -> None:
    assert neutralise_quick_actions(text) == expected


_PIECES = st.sampled_from(
    ["/close", "/merge now", "```", "````", "~~~", "text", "<b>", "</b>", ">>>", "`", "", "\r/close", " ", "/label ~x"]
)


@given(st.lists(_PIECES, max_size=12), st.sampled_from(["\n", "\r\n", "\r", "\n\r"]))
def test_gitlab_finds_no_quick_action_in_any_note(pieces: list[str], line_end: str) -> None:
    assert extract_commands(render_note("shop", line_end.join(pieces), ORDER))[1] == []


def test_the_extractor_itself_does_find_commands() -> None:
    assert extract_commands("text\n/close\n````\n/merge\n````")[1] == [("close", ""), ("merge", "")]
    assert extract_commands("```\n/close\n```")[1] == []


def test_a_long_body_is_cut_closed_and_says_so() -> None:
    body = "**Rejected**\n<details><summary>log</summary>\n\n```\n" + "line of a log\n" * 100_000 + "```\n</details>"
    text = render_note("shop", body, ORDER)
    assert len(text) <= MAX_BODY_CHARACTERS
    assert parse_marker(text) == ("shop", ORDER)
    assert text.startswith("**Rejected**")
    assert text.count("```") == 2
    assert text.count("</details>") == 1
    assert f"{len(body)} characters" in text
