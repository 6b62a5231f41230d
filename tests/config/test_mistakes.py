"""Every mistake is reported at its place with what to do, all of them at once, and never as a traceback."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.config.load import MINIMUM, load_config
from gitlab_mesh.errors import ConfigError

from .bad_files import BAD, Bad, service


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_bad_file(bad: Bad) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(bad.text)
    found = [line for line in caught.value.problems if line.startswith(f"mesh.yaml:{bad.place}: ")]
    assert found, caught.value.problems
    assert any(bad.said in line for line in found), found


def test_all_mistakes_at_once_in_the_order_of_the_file() -> None:
    text = service(
        "judge: {mode: x}\nrollout: {step_bake: y, steps: [5, 3], drain: 5h}\nsmoke: [{}]\nroute: {hosts: a}"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(text, env={"GITLAB_MESH_JUDGE_BAKES": "1s", "GITLAB_MESH_METRICS_MAX_AGE": "old"})
    places = [line.split(": ")[0] for line in caught.value.problems]
    assert places == [
        "mesh.yaml:5:19",
        "mesh.yaml:6:26",
        "mesh.yaml:6:51",
        "mesh.yaml:7:12",
        "mesh.yaml:8:13",
        "environment GITLAB_MESH_JUDGE_BAKES",
        "environment GITLAB_MESH_METRICS_MAX_AGE",
    ]
    assert "mesh.yaml: 7 mistakes" in str(caught.value)
    assert "did you mean GITLAB_MESH_JUDGE_BAKE?" in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"rollout.step_bak": "1s"}, "option rollout.step_bak: no such setting; did you mean rollout.step_bake?"),
        ({"rollout.steps": "5,x"}, 'option rollout.steps: rollout.steps[1]: "x" stands here'),
        ({"rollout.steps": "[5, "}, "option rollout.steps:"),
        ({"rollout.steps": [50, 5]}, "option rollout.steps: services.shop.rollout.steps: the weights must rise"),
        ({"workload.port": True}, "option workload.port: workload.port: true stands here"),
        ({"rollout.step_bake": ""}, 'option rollout.step_bake: rollout.step_bake: "" stands here'),
    ],
)
def test_bad_options(overrides: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(MINIMUM, overrides=overrides)
    assert any(line.startswith(said) for line in caught.value.problems), caught.value.problems


def test_very_many_mistakes_are_counted_not_all_shown() -> None:
    body = "\n".join(f"key{number}: 1" for number in range(200))
    with pytest.raises(ConfigError, match="200 mistakes") as caught:
        load_config(service(body))
    assert caught.value.problems[-1] == "... and 150 more"


def test_a_long_value_is_not_quoted_whole() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(service(f"judge: {{mode: {'x' * 5000}}}"))
    assert len(str(caught.value)) < 500


def problems_of(text: str) -> tuple[str, ...]:
    """Return what is wrong, nothing if it loads; any other exception fails the test."""
    try:
        load_config(text)
    except ConfigError as error:
        return error.problems
    return ()


@given(st.text(max_size=200))
def test_any_text_ends_in_our_error(text: str) -> None:
    assert problems_of(f"{text}\n")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(["route", "rollout", "metrics", "judge", "smoke", "links", "subsets", "workload", "host"]), _JSON
)
def test_any_value_anywhere_ends_in_a_configuration_or_in_our_error(key: str, value: object) -> None:
    problems = problems_of(service(f"{key}: {json.dumps(value)}"))
    assert all(line.startswith("mesh.yaml:") for line in problems)


@given(
    st.lists(
        st.sampled_from(["a: ", "- ", "[", "]", "{", "}", "&x ", "*x ", "<<: ", "\n", "  ", "\t", "|", ">", "!!str "])
    )
)
def test_any_heap_of_yaml_ends_in_our_error(parts: list[str]) -> None:
    with pytest.raises(ConfigError):
        load_config("".join(parts) + "\n")
