"""The text format: what is read, what is tolerated, what is refused with its line."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.metrics import exposition
from gitlab_mesh.core.metrics.exposition import ExpositionError, Sample, parse_exposition


def parse(text: str) -> list[Sample]:
    return list(parse_exposition(text))


def test_reads_names_labels_values_and_timestamps() -> None:
    text = (
        "# HELP a_total Text with \\\\ and {braces}\n# TYPE a_total counter\n\n"
        'a_total{b="c",d="e"} 12 1700000000500\n'
        'with_comma{b="c",} 1e3\n'
        "plain 0.5\r\n"
        '  spaced  { b = "c" , d = "}" }   +Inf\n'
        "nan NaN\nneg -Inf\n"
        'no_space{b="c"}7\n'.replace("}7", "} 7")
    )
    samples = parse(text)
    assert samples[0] == Sample("a_total", {"b": "c", "d": "e"}, 12.0, 1700000000.5, 4)
    assert samples[1].labels == {"b": "c"}
    assert samples[2].value == 0.5
    assert (samples[3].labels, samples[3].value) == ({"b": "c", "d": "}"}, math.inf)
    assert math.isnan(samples[4].value)
    assert samples[5].value == -math.inf


def test_unescapes_label_values() -> None:
    (sample,) = parse('a{b="x\\"y\\\\z\\n{,}= \\q"} 1\n')
    assert sample.labels["b"] == 'x"y\\z\n{,}= \\q'


def test_tolerates_openmetrics() -> None:
    text = 'a_bucket{le="5"} 3 1700000000.5 # {trace_id="x y"} 0.67 1520879607.789\nb_total 1 # {} 2\n# EOF\n'
    samples = parse(text)
    assert (samples[0].value, samples[0].time_seconds) == (3, 1700000000.5)
    assert (samples[1].value, samples[1].time_seconds) == (1, None)


def test_other_names_are_passed_over_unread() -> None:
    text = "broken{ 12\nwanted 1\n"
    assert [sample.name for sample in parse_exposition(text, names={"wanted"})] == ["wanted"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ok 1\nbad\n", "line 2: no number after bad"),
        ("ok 1\nbad one\n", "line 2: no number"),
        ("a 1_000\n", "line 1: no number"),
        ("a 0x10\n", "line 1: no number"),
        ("a 1 2 3\n", "line 1: no number"),
        ('a{b="c} 1\n', "line 1: bad label at column 3"),
        ("a{b=c} 1\n", "line 1: bad label"),
        ('a{b="c" d="e"} 1\n', "line 1: bad label"),
        ('a{b="c",b="d"} 1\n', "label b occurs twice"),
        ('a{b="c"\n', "bad label"),
        ("<html>\n", "line 1: no metric name: '<html>'"),
        ("a 1\na 12", "line 2 does not end"),
        ("a 1 1e\n", "line 1: '1e' is not a timestamp"),
    ],
)
def test_refuses_with_the_line(text: str, message: str) -> None:
    with pytest.raises(ExpositionError) as caught:
        parse(text)
    assert message in str(caught.value)


def test_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "MAX_SAMPLES", 3)
    with pytest.raises(ExpositionError, match="line 4: more than 3 samples"):
        parse("a 1\n" * 4)
    with pytest.raises(ExpositionError, match="line 1 has"):
        parse(f'a{{b="{"x" * 70000}"}} 1\n')
    monkeypatch.setattr(exposition, "MAX_BYTES", 10)
    with pytest.raises(ExpositionError, match="at most 10"):
        parse("a 1\n" * 4)


LABEL_VALUES = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(
    st.dictionaries(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True), LABEL_VALUES, max_size=4),
    st.floats(allow_nan=False),
)
def test_reads_back_what_was_written(labels: dict[str, str], value: float) -> None:
    written = ",".join(
        '{}="{}"'.format(k, v.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')) for k, v in labels.items()
    )
    number = repr(value).replace("inf", "Inf")
    (sample,) = parse(f"m{{{written}}} {number}\n")
    assert (sample.labels, sample.value) == (labels, value)


@given(st.text(max_size=200))
def test_garbage_gives_samples_or_our_error(text: str) -> None:
    try:
        parse(text)
    except ExpositionError as error:
        assert "line" in error.what  # noqa: PT017
