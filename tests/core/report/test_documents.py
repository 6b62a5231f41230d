"""JSON with its schema, JUnit, dotenv and the log's summary."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.judge.model import Forecast, Gate, Importance, Judgement, Verdict, VerdictKind
from gitlab_mesh.core.report import document
from gitlab_mesh.core.report import model as m
from gitlab_mesh.core.report.markdown import clean_text
from gitlab_mesh.core.report.renderers import (
    parse_report_json,
    render_dotenv,
    render_json,
    render_junit,
    render_summary_table,
)
from gitlab_mesh.errors import UsageError

SCHEMA_FILE = Path(document.__file__).with_name("report.schema.json")
TEXT = st.text(st.characters(), max_size=12)
FLOAT = st.floats()
VERDICTS = st.builds(
    Verdict, TEXT, st.sampled_from(VerdictKind), st.sampled_from(Importance), TEXT, *[st.none() | FLOAT] * 5,
    st.integers(0, 10**12), st.integers(0, 10**12), TEXT,
)  # fmt: skip
GATES = st.builds(Gate, st.booleans(), TEXT)
JUDGEMENTS = st.builds(
    Judgement, st.lists(VERDICTS, max_size=3).map(tuple), GATES, GATES, st.booleans(), TEXT,
    st.none() | st.builds(Forecast, st.integers(0), st.none() | FLOAT), st.none() | FLOAT,
)  # fmt: skip
SERIES = st.builds(m.Series, TEXT, st.lists(st.tuples(FLOAT, FLOAT), max_size=3).map(tuple), TEXT)
SECTIONS = st.one_of(
    st.builds(m.VerdictSection, JUDGEMENTS, TEXT),
    st.builds(m.TableSection, TEXT, st.just(("a", "b")), st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
              st.lists(st.sampled_from(m.Tone), max_size=2).map(tuple), st.booleans()),
    st.builds(m.SeriesSection, TEXT, TEXT, st.lists(SERIES, max_size=2).map(tuple),
              st.lists(st.builds(m.Band, TEXT, FLOAT, FLOAT), max_size=2).map(tuple),
              st.lists(st.builds(m.Mark, FLOAT, TEXT, st.sampled_from(m.Tone)), max_size=2).map(tuple), st.booleans()),
    st.builds(m.LinksSection, st.lists(st.builds(m.Link, TEXT, TEXT), max_size=2).map(tuple), TEXT),
    st.builds(m.TextSection, TEXT, TEXT, st.booleans(), st.booleans()),
)  # fmt: skip
TEXTS = st.dictionaries(TEXT, TEXT, max_size=3)
REPORTS = st.builds(
    m.Report, TEXT, TEXT, TEXT, st.sampled_from(m.Outcome), TEXT, TEXT, TEXT, st.integers(0, 255), TEXT,
    st.floats(0, 1e9), TEXTS, st.lists(SECTIONS, max_size=3).map(tuple), TEXTS,
)  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_shipped_schema_is_the_models() -> None:
    shown = SCHEMA_FILE.read_text(encoding="utf-8")
    assert shown == document.render_schema(), f"write it anew: render_schema() into {SCHEMA_FILE.name}"


@given(REPORTS)
def test_json_comes_back_as_it_was(report: m.Report) -> None:
    text = render_json(report)
    text.encode()
    again = parse_report_json(text)
    assert render_json(again) == text
    assert again == report or "NaN" in text


@given(REPORTS)
def test_json_keeps_to_its_schema(validator: jsonschema.Draft202012Validator, report: m.Report) -> None:
    validator.validate(json.loads(render_json(report)))


def test_the_schema_refuses_what_is_wrong(validator: jsonschema.Draft202012Validator, rejected: m.Report) -> None:
    raw = json.loads(render_json(rejected))
    for change in ({"outcome": "perhaps"}, {"schema": 2}, {"sections": [{"kind": "pie"}]}, {"exit_code": "0"}):
        assert not validator.is_valid({**raw, **change}), change


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a report"),
        ("[]", "not a report"),
        ("{}", "KeyError"),
        ('{"schema": 2}', "schema 2"),
        ('{"schema": 1, "job": 3}', "expected str"),
        ('{"schema": 1, "job": "a"}', "missing"),
    ],
)
def test_a_foreign_document_is_named(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_report_json(text)


def test_fields_of_a_newer_version_are_ignored(rejected: m.Report) -> None:
    raw = json.loads(render_json(rejected))
    raw["new"] = 1
    raw["sections"][0]["new"] = 1
    assert parse_report_json(json.dumps(raw)) == rejected


def test_junit_snapshot(rejected: m.Report, snapshot: Callable[[str, str], None]) -> None:
    snapshot("junit-rejected.xml", render_junit(rejected))


def test_junit_has_a_suite_a_service(rejected: m.Report, promoted: m.Report) -> None:
    root = ElementTree.fromstring(render_junit(rejected, promoted))
    assert [suite.get("name") for suite in root] == ["canary shop", "canary shop"]
    assert [suite.get("failures") for suite in root] == ["2", "0"]


@given(REPORTS)
def test_junit_is_xml_whatever_the_text(report: m.Report) -> None:
    root = ElementTree.fromstring(render_junit(report).encode())
    (suite,) = root
    counted = [
        verdict
        for section in report.sections
        if isinstance(section, m.VerdictSection)
        for verdict in section.judgement.verdicts
        if verdict.importance is not Importance.INFORMATIONAL
    ]
    cases = list(suite)
    assert len(cases) == int(suite.get("tests", "")) == 1 + len(counted)
    for case, verdict in zip(cases[1:], counted, strict=True):
        assert case.get("name") == clean_text(verdict.metric)
        tags = [child.tag for child in case]
        expected = {
            VerdictKind.PASS: [],
            VerdictKind.BREACH: ["failure"],
            VerdictKind.ERROR: ["error"],
            VerdictKind.UNDECIDED: ["skipped"],
            VerdictKind.NO_DATA: ["skipped"],
        }
        assert tags == expected[verdict.kind]


@pytest.mark.parametrize(
    ("outcome", "exit_code", "tags"),
    [
        (m.Outcome.PROMOTED, 0, []),
        (m.Outcome.ROLLED_BACK, 0, []),  # `job rollback` did what it was asked for
        (m.Outcome.ROLLED_BACK, 143, ["failure"]),
        (m.Outcome.INCONCLUSIVE, 11, ["failure"]),
        (m.Outcome.UNSAFE, 23, ["failure"]),
        (m.Outcome.PAUSED, 0, ["skipped"]),
        (m.Outcome.RUNNING, 0, ["skipped"]),
    ],
)
def test_the_decision_is_a_case(outcome: m.Outcome, exit_code: int, tags: list[str], promoted: m.Report) -> None:
    root = ElementTree.fromstring(render_junit(replace(promoted, outcome=outcome, exit_code=exit_code)))
    decision = root[0][0]
    assert decision.get("name") == "release decision: shop"
    assert [child.tag for child in decision] == tags


@given(st.dictionaries(TEXT | st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text(max_size=2000), max_size=30))
def test_dotenv_keeps_gitlabs_rules(variables: dict[str, str]) -> None:
    text = render_dotenv(m.Report("canary", "shop", "shop", m.Outcome.PROMOTED, "", dotenv=variables))
    lines = text.split("\n")
    assert lines.pop() == ""
    assert len(text.encode()) <= 5 * 1024
    assert len(lines) <= 20
    assert all(re.fullmatch(r"[A-Za-z0-9_]+=\S*", line) for line in lines)


def test_dotenv_says_the_outcome_and_what_the_job_adds(rejected: m.Report) -> None:
    report = replace(rejected, dotenv={"MESH_PHASE": "rolled back", "bad-name": "x", "MESH_BIG": "x" * 6000})
    assert render_dotenv(report) == (
        "MESH_OUTCOME=rejected\nMESH_SERVICE=shop\nMESH_EXIT_CODE=10\nMESH_PHASE=rolled_back\n"
    )


def test_the_summary_has_the_numbers_with_their_n(rejected: m.Report) -> None:
    table = render_summary_table(rejected)
    assert table.columns == ("Metric", "Stable (requests)", "Canary (requests)", "Difference", "Verdict")
    assert [cell.replace("\u202f", " ") for cell in table.rows[0]] == [
        "errors", "0.412 % (12 345)", "5.12 % (640)", "+4.71 pp", "breach",
    ]  # fmt: skip
    assert table.tones[0] is m.Tone.BAD
