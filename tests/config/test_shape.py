"""The description that loader, schema and reference share: complete, consistent, and never showing a secret."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.config.model import ServiceConfig, StepConfig
from gitlab_mesh.config.nodes import Node, Problems
from gitlab_mesh.config.parse import parse_section
from gitlab_mesh.config.scalars import parse_scalar, render_number, render_value
from gitlab_mesh.config.shape import Many, Shape, ValueKind, fields_of, leaves_of, service_fields, shorthand_of
from gitlab_mesh.config.yaml_source import compose
from gitlab_mesh.core.fields import setting
from gitlab_mesh.core.judge.settings import UserMetric


def every_shape(model: type[Any] = ServiceConfig, path: str = "") -> list[tuple[str, Shape]]:
    found = []
    for key, shape in fields_of(model).items():
        found.append((f"{path}{key}", shape))
        if shape.model is not None:
            found += every_shape(shape.model, f"{path}{key}.")
    return found


ALL = every_shape()


@pytest.mark.parametrize(("path", "shape"), ALL, ids=[path for path, _ in ALL])
def test_every_setting_is_described_and_its_default_keeps_its_own_limits(path: str, shape: Shape) -> None:
    assert shape.about.help.rstrip("…").strip(), path
    assert shape.about.unit in ("", "duration", "ratio", "percent", "text", "count", "name", "label")
    if shape.default is MISSING or shape.default is None or shape.model is not None:
        return
    values = shape.default if shape.many is Many.LIST else [shape.default] if shape.many is Many.ONE else []
    for value in values:
        assert parse_scalar(shape, value) == value


def test_the_name_of_a_service_is_its_key() -> None:
    assert "name" not in service_fields()


def test_a_step_may_be_a_bare_number() -> None:
    short = shorthand_of(StepConfig)
    assert short is not None
    assert short.key == "weight"
    assert shorthand_of(UserMetric) is None


def test_leaves_walk_through_sections_only() -> None:
    paths = {".".join(path) for path, _ in leaves_of(service_fields())}
    assert {"namespace", "route.virtualService", "judge.bake", "metrics.gateway.selector", "smoke"} <= paths
    assert not {"route", "smoke.http", "metrics.gateway"} & paths


@dataclass(frozen=True)
class _Undescribed:
    value: int = 1


@dataclass(frozen=True)
class _Impossible:
    value: set[int] = setting(help="What configuration cannot have.")


@dataclass(frozen=True)
class _Secretive:
    token: str = setting("", unit="text", secret=True, help="A token.")
    level: int = setting(1, unit="count", secret=True, help="A secret number.", maximum=10)


@pytest.mark.parametrize("model", [_Undescribed, _Impossible])
def test_a_field_that_cannot_be_configured_is_a_bug_that_says_so(model: type[Any]) -> None:
    with pytest.raises(TypeError, match=model.__name__):
        fields_of(model)


def test_secrets_are_shown_neither_as_values_nor_in_mistakes() -> None:
    shapes = fields_of(_Secretive)
    assert render_value(shapes["token"], "s3cret") == "(hidden)"
    problems = Problems()
    node = compose("token: 4711\nlevel: 4711\n", "f", problems)
    assert node is not None
    parse_section(shapes, node, "", problems)
    assert len(problems) == 2
    assert not any("4711" in line for line in problems)


def test_passwords_in_addresses_are_hidden() -> None:
    shape = fields_of(fields_of(ServiceConfig)["metrics"].model or ServiceConfig)["address"]
    assert render_value(shape, "https://me:pa55@prom.example/x") == "https://me:***@prom.example/x"


def number(unit: str) -> Shape:
    about = fields_of(StepConfig)["bake"].about
    kind = type(about)(help="x", unit=unit)
    return Shape("x", "x", kind, ValueKind.NUMBER, Many.ONE, False, None, None, MISSING)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("250ms", 0.25), ("2d", 172800), ("0s", 0), ("1m1m", 120)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_scalar(number("duration"), text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5", "5 m", "5M", "1h 30m", "five", "1e3s", "١s", "5s ", "5s\n", "..5s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_scalar(number("duration"), text)


@given(st.floats(min_value=0, max_value=1e6))
def test_what_is_shown_as_a_duration_is_read_as_the_same(seconds: float) -> None:
    shown = render_number(seconds, "duration")
    assert "e" not in shown or seconds < 1e-6
    if "e" not in shown:
        assert math.isclose(parse_scalar(number("duration"), shown), seconds, rel_tol=1e-5, abs_tol=1e-6)


@given(st.floats(min_value=1e-6, max_value=1))
def test_what_is_shown_as_a_ratio_is_read_as_the_same(ratio: float) -> None:
    shown = render_number(ratio, "ratio")
    if "e" not in shown:
        assert math.isclose(parse_scalar(number("ratio"), shown), ratio, rel_tol=1e-5)


def test_a_list_is_no_mapping() -> None:
    problems = Problems()
    parse_section(service_fields(), Node([], "f", 1, 1), "x", problems)
    assert list(problems) == [f"f:1:1: x: expected a mapping with some of {', '.join(service_fields())}"]
