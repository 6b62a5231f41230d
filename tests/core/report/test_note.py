"""The merge request's note: what it says first, and that text from outside stays text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from gitlab_mesh.core.judge.model import Gate, Judgement, Verdict, VerdictKind
from gitlab_mesh.core.report.model import (
    Attempt,
    Link,
    LinksSection,
    Mark,
    Outcome,
    Report,
    Series,
    SeriesSection,
    TableSection,
    TextSection,
    Tone,
    VerdictSection,
)
from gitlab_mesh.core.report.renderers import render_note
from gitlab_mesh.core.report.weight_chart import MERMAID_LIMIT, render_bars, render_mermaid

# Without text_join an escaped character stays a token of its own: what is left in "text" was not escaped.
MARKDOWN = MarkdownIt("commonmark", {"linkify": False}).enable(["table", "strikethrough"]).disable("text_join")

EVIL = st.lists(
    st.sampled_from(
        [
            "\n/close\n", "\r/merge", "@all", "@group/team", "<script>x</script>", "<!-- -->", "</details>", "|", "\\|",
            "`", "```", "````\n/close", "\\", "](http://evil.example)", "![x](http://evil.example/p.png)", "# ",
            "- ", "1. ", "> ", "***", "\n\n", "\u2028/close", "\x85/close", "\x1b[31m", "\u202e", "#1", "!2", "~bug",
            "%\"v1\"", "$3", "&4", "&lt;", "https://evil.example", "www.evil.example", "/label ~x", " ", "\t", "ä",
            "---", "===", "\ud800", "{+x+}",
        ]
    )
    | st.text(max_size=8),
    max_size=8,
).map("".join)  # fmt: skip

POINTS = st.lists(st.tuples(st.floats(), st.floats()) | st.just((5.0, 5.0)), max_size=4).map(tuple)


@st.composite
def evil_reports(draw: st.DrawFn) -> Report:
    """A report whose every text comes from outside."""
    verdicts = tuple(
        Verdict(draw(EVIL), draw(st.sampled_from(VerdictKind)), unit=draw(EVIL), stable=1.5, effect=0.5, low=0.1,
                high=1.0, stable_n=3, reason=draw(EVIL))
        for _ in range(draw(st.integers(1, 3)))
    )  # fmt: skip
    gate = Gate(open=False, reason=draw(EVIL))
    marks = (Mark(2, draw(EVIL), Tone.BAD),)
    return Report(
        job=draw(EVIL), service=draw(EVIL), namespace=draw(EVIL), outcome=draw(st.sampled_from(Outcome)),
        headline=draw(EVIL), reason=draw(EVIL), next_step=draw(EVIL), started=draw(EVIL), duration_seconds=12.0,
        facts={draw(EVIL): draw(EVIL)},
        sections=(
            VerdictSection(Judgement(verdicts, gate, gate, reason=draw(EVIL)), draw(EVIL)),
            SeriesSection(draw(EVIL), "percent", (Series(draw(EVIL), draw(POINTS), "canary"),), marks=marks, step=True),
            TableSection(draw(EVIL), (draw(EVIL), draw(EVIL)), ((draw(EVIL), draw(EVIL)),), folded=draw(st.booleans())),
            TextSection(draw(EVIL), draw(EVIL), preformatted=draw(st.booleans()), folded=draw(st.booleans())),
            LinksSection((Link(draw(EVIL), draw(EVIL)), Link(draw(EVIL), "https://ok.example/" + draw(EVIL)))),
        ),
    )  # fmt: skip


def inline(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in token.children or []]


def count(tokens: list[Token], kind: str) -> int:
    return sum(token.type == kind for token in tokens)


@given(evil_reports(), EVIL)
def test_text_from_outside_does_nothing(report: Report, former: str) -> None:
    note = render_note(report, (Attempt(Outcome.REJECTED, former, former, former),))

    assert not any(line.startswith("/") for line in note.split("\n")), "a quick action"
    assert "\r" not in note
    note.encode()
    tokens = MARKDOWN.parse(note)
    html = "".join(token.content for token in tokens if token.type == "html_block")
    folds = note.count("<details><summary>")
    assert html.count("<") == folds * 4 + 1, "HTML that is not ours: four tags a fold, and the hidden state"
    assert html.count("-->") == 1
    assert count(inline(tokens), "html_inline") == 0
    assert count(inline(tokens), "image") == 0
    assert all(
        token.attrs["href"].startswith("https://ok.example/") or token.attrs["href"].startswith("http")
        for token in inline(tokens)
        if token.type == "link_open"
    )
    assert count(tokens, "heading_open") == 1
    assert count(tokens, "hr") == count(tokens, "blockquote_open") == count(tokens, "ordered_list_open") == 0
    bare = [token.content for token in inline(tokens) if token.type == "text"]
    assert not any("@" in text or "://" in text for text in bare), "a mention, or an address that GitLab would link"


@given(evil_reports())
def test_the_table_keeps_one_row_a_metric(report: Report) -> None:
    (section,) = (section for section in report.sections if isinstance(section, VerdictSection))
    tokens = MARKDOWN.parse(render_note(replace(report, sections=(section,))))

    assert count(tokens, "table_open") == 1
    assert count(tokens, "tr_open") == 1 + len(section.judgement.verdicts)
    assert count(tokens, "td_open") == 5 * len(section.judgement.verdicts)


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60))
def test_a_reader_sees_exactly_the_text(text: str) -> None:
    tokens = MARKDOWN.parse(render_note(Report("canary", "shop", "shop", Outcome.RUNNING, text)))

    (heading,) = (tokens[index + 1] for index, token in enumerate(tokens) if token.type == "heading_open")
    shown = "".join(child.content for child in heading.children or [])
    assert shown.removeprefix("⏳ ") == text


@pytest.mark.parametrize("name", ["rejected", "promoted", "running"])
def test_snapshot(name: str, request: pytest.FixtureRequest, snapshot: Callable[[str, str], None]) -> None:
    history = (Attempt(Outcome.INTERRUPTED, "shop 1.4.9 was taken back", "2026-11-22", "https://gitlab.example/1"),)
    report: Report = request.getfixturevalue(name)
    snapshot(f"note-{name}.md", render_note(report, history if name == "rejected" else ()))


def test_the_decision_stands_in_the_first_line_and_before_any_fold(rejected: Report) -> None:
    note = render_note(rejected)
    first, *_ = note.split("\n")

    assert first.startswith("### ❌ shop 1.5.0 was rejected")
    assert note.index("| ❌\u00a0errors |") < note.index("**Next:**") < note.index("<details>")


def test_the_command_is_copyable_wherever_it_stands(rejected: Report) -> None:
    at_the_end = render_note(replace(rejected, next_step="Look: `kubectl get pods`."))
    two = render_note(replace(rejected, next_step="Look now: `mesh status`; then: `mesh back`"))
    neither = render_note(replace(rejected, next_step="Do `mesh a` or `mesh b`."))
    word = render_note(replace(rejected, next_step="Push; the same image is refused without `--again`."))
    inside = render_note(replace(rejected, next_step="Run `kubectl get pods`, then retry."))

    assert "**Next:** Look:\n\n```shell\nkubectl get pods\n```" in at_the_end
    assert "**Next:** Run `kubectl get pods`, then retry.\n\n```shell\nkubectl get pods\n```" in inside
    assert "**Next:** Look now:\n\n```shell\nmesh status\n```\n\nThen:\n\n```shell\nmesh back\n```" in two
    assert "**Next:** Do `mesh a` or `mesh b`.\n\n```shell\nmesh a\nmesh b\n```" in neither
    assert "**Next:** Push; the same image is refused without `--again`.\n\n<details>" in word


def test_a_long_note_loses_its_folded_parts_first_and_says_so(rejected: Report) -> None:
    seen = TextSection("Seen", "a sentence " * 100)
    folded = tuple(TextSection(f"Log {index}", "x" * 4000, preformatted=True, folded=True) for index in range(30))
    long = replace(rejected, sections=(*rejected.sections, seen, *folded))
    note = render_note(long)

    assert len(note) <= 50_000
    assert "Some details were left out" in note
    assert "**Seen**" in note
    assert "| ❌\u00a0errors |" in note
    assert note.index("left out") < note.index("`shop` · job `canary`")

    short = render_note(long, limit=1800)
    assert len(short) <= 1800
    assert "**Seen**" not in short
    assert "| ❌\u00a0errors |" in short


def test_the_worst_decision_still_fits() -> None:
    text = "|*" * 5000
    verdicts = tuple(Verdict(text, VerdictKind.BREACH, unit=text, stable=1, canary=2, effect=1) for _ in range(500))
    gate = Gate(open=False, reason=text)
    report = Report(
        "canary", text, text, Outcome.REJECTED, text, text, text, started=text,
        sections=(
            VerdictSection(Judgement(verdicts, gate, gate, reason=text)),
            LinksSection(tuple(Link(text, "https://x.example/" + text) for _ in range(100))),
        ),
    )  # fmt: skip
    assert len(render_note(report)) <= 50_000


def test_many_weight_changes_stay_few_lines() -> None:
    points = tuple((float(index * 10), float(index % 100)) for index in range(1000))
    section = SeriesSection("Weight", "percent", (Series("canary", points, "canary"),), step=True)
    lines = render_bars(section, section.series[0]).split("\n")

    assert len(lines) == 12
    assert lines[4].strip() == "… 989 changes …"
    assert lines[-1].split()[0] == "2:46:30"
    assert 0 < len(render_mermaid(section, section.series[0])) <= MERMAID_LIMIT


def test_a_weight_below_one_eighth_still_shows_a_bar() -> None:
    section = SeriesSection("Weight", "ratio", (Series("canary", ((0.0, 0.0005),), "canary"),), step=True)
    assert render_bars(section, section.series[0]) == "0:00 0.05 %  ▏"
    assert render_mermaid(section, section.series[0]) == "", "one point is no course"
