"""The tree of YAML: the 1.2 core schema, places, merge keys, and bombs that do not go off."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.config.nodes import Node, Problems
from gitlab_mesh.config.yaml_source import compose


def read(text: str) -> Node:
    problems = Problems()
    node = compose(text, "f", problems)
    assert list(problems) == []
    assert node is not None
    return node


def mistakes(text: str) -> list[str]:
    problems = Problems()
    compose(text, "f", problems)
    return list(problems)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("0777", 777),
        ("0o17", 15),
        ("0xff", 255),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        (".INF", math.inf),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("''", ""),
        # what YAML 1.1 would take for something else
        ("yes", "yes"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("0b11", "0b11"),
        # said to be so
        ('"5"', "5"),
        ("'true'", "true"),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("!!int '5'", 5),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    found = read(f"a: {text}\n").plain()["a"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(read("a: .nan\n").plain()["a"])


def test_places() -> None:
    root = read("a:\n  b: [1,\n      two]\n")
    entry = root.value["a"].node.value["b"]
    assert (entry.key.line, entry.key.column) == (2, 3)
    assert [(item.line, item.column) for item in entry.node.value] == [(2, 7), (3, 7)]
    assert str(entry.node.value[1].origin) == "f:3"
    assert entry.node.value[1].origin.where == "f:3:7"


# Without line breaks and control characters, which YAML folds or forbids where JSON does not.
_TEXT = st.text(st.characters(max_codepoint=0xD7FF, exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20)
_DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_TEXT.filter(lambda key: key != "<<"), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_DATA)
def test_json_is_read_as_json(data: Any) -> None:
    assert read(json.dumps(data, ensure_ascii=False) + "\n").plain() == data


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.lists(st.text("abnoy #:-\n'\""), max_size=3), min_size=1
    )
)
def test_block_style_is_read_as_pyyaml_writes_it(data: dict[str, list[str]]) -> None:
    assert read(yaml.safe_dump(data, allow_unicode=True)).plain() == data


def test_anchors_and_merge_keys() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  <<: [*x, *y]\n  a: 0\nw: {<<: *x}\n"
    plain = read(text).plain()
    assert plain["z"] == yaml.safe_load(text)["z"] == {"a": 0, "b": 2, "c": 4}
    assert plain["w"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [*a]\n", "f:1:8: the alias *a contains itself"),
        ("a: &a {b: *a}\n", "f:1:11: the alias *a contains itself"),
        ("a: *b\n", "f:1:4: the alias *b has no anchor before it"),
        ("a: {<<: [5]}\n", "f:1:10: << takes a mapping, or a list of mappings"),
        ("[" * 100 + "]" * 100 + "\n", "f:1:41: nested deeper than 40 levels"),
        ("a: 1\nb: 2\na: 3\n", 'f:3:1: the key "a" stands here twice, first in line 1'),
        ("a: !foo 1\n", "f:1:4: the tag !foo is not known here"),
        ("a: !foo {b: 1}\n", "f:1:4: the tag !foo is not known here"),
    ],
)
def test_refused(text: str, said: str) -> None:
    assert mistakes(text) == [said]


def test_deep_nesting_costs_nothing() -> None:
    began = time.process_time()
    assert "nested deeper" in mistakes("[" * 2_000_000)[0]
    assert time.process_time() - began < 5


def test_a_bomb_of_aliases_is_defused() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    began = time.process_time()
    (said,) = mistakes("\n".join(levels) + "\n")
    assert time.process_time() - began < 1
    assert "aliases expand this to more than 100000 values" in said


@pytest.mark.parametrize("loader", ["with libyaml", "without libyaml"])
def test_both_parsers_say_the_same(loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if loader == "without libyaml":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert read("a: {b: [1, x]}\n").plain() == {"a": {"b": [1, "x"]}}
    assert mistakes("a:\n\tb: 1\n") == ["f:2:1: a tab; YAML is indented with spaces"]
    assert mistakes("a: \x01\n")[0].startswith("f:1:4: a character that YAML does not allow")
    assert mistakes("a: [\n")[0].startswith("f:2:1: ")
