"""Thresholds: what can be written, and what each says about a run."""

from __future__ import annotations

import pytest

from gitlab_mesh.core.judge.model import VerdictKind
from gitlab_mesh.core.load.result import KindResult, LoadResult
from gitlab_mesh.core.load.thresholds import (
    find_threshold_fault,
    judge_threshold,
    parse_threshold,
    with_defaults,
)
from gitlab_mesh.errors import UsageError
from tests.core.load.runs import lognormal, make_run

RUN = make_run(lognormal(), error_ratio=0.02)


@pytest.mark.parametrize(
    ("text", "metric", "limit", "unit", "scope"),
    [
        ("p99 < 300ms", "p99", 0.3, "seconds", ""),
        ("p99.9<=1.5s", "p99.9", 1.5, "seconds", ""),
        ("max < 2s", "max", 2.0, "seconds", ""),
        ("errors < 1%", "errors", 0.01, "ratio", ""),
        ("errors = 0", "errors", 0.0, "ratio", ""),
        ("checks > 99.5%", "checks", 0.995, "ratio", ""),
        ("rate >= 95%", "rate", 0.95, "ratio", ""),
        ("rate > 480/s", "rate", 480.0, "per_second", ""),
        ("requests > 1000", "requests", 1000.0, "", ""),
        ("buy it.p95 < 1s", "p95", 1.0, "seconds", "buy it"),
        ("canary.retries < 1%", "retries", 0.01, "ratio", "canary"),
        ("canary.p99.9 < 1s", "p99.9", 1.0, "seconds", "canary"),
    ],
)
def test_what_can_be_written(text: str, metric: str, limit: float, unit: str, scope: str) -> None:
    found = parse_threshold(text)
    assert (found.metric, found.unit, found.scope) == (metric, unit, scope)
    assert found.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    "text",
    ["", "p99", "p99 < ", "p99 < 300", "p99 < 3%", "p100 < 1s", "errors < 5ms", "errors < 2", "rate > 5s", "p0 < 1s",
     "latency < 1s", "p99 ~ 1s", "retries < 1%", "canary.rate > 5", "canary.max < 1s", "requests > 5%", "errors < -1%"],
)  # fmt: skip
def test_what_cannot_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_threshold(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("p50 < 25ms", VerdictKind.PASS),
        ("p50 < 15ms", VerdictKind.BREACH),
        ("p99.9 < 1s", VerdictKind.PASS),
        ("p99.99 < 1s", VerdictKind.UNDECIDED),  # 6,000 requests are too few for one in 10,000
        ("errors < 1%", VerdictKind.BREACH),
        ("errors < 5%", VerdictKind.PASS),
        ("checks > 97%", VerdictKind.PASS),
        ("checks > 99%", VerdictKind.BREACH),
        ("rate > 95%", VerdictKind.PASS),
        ("rate > 201/s", VerdictKind.BREACH),
        ("requests >= 6000", VerdictKind.PASS),
        ("mean < 1ms", VerdictKind.BREACH),
        ("other.p50 < 1s", VerdictKind.NO_DATA),
    ],
)
def test_what_each_says_about_a_run(text: str, kind: VerdictKind) -> None:
    verdict = judge_threshold(parse_threshold(text), RUN)
    assert (verdict.metric, verdict.kind) == (text, kind)
    assert bool(verdict.reason) == (kind is not VerdictKind.PASS)


@pytest.mark.parametrize("text", ["p99 < 1s", "errors < 1%", "checks > 0%", "max < 1s", "rate > 95%"])
def test_a_run_that_measured_nothing_passes_nothing(text: str) -> None:
    nothing = LoadResult(10, {"request": KindResult("request")})
    assert judge_threshold(parse_threshold(text), nothing).kind is VerdictKind.NO_DATA


def test_what_the_generator_could_not_send_is_not_held_against_the_target() -> None:
    kind = KindResult("request", 100, {"unsent": 90})
    kind.latency.record(0.01)
    result = LoadResult(10, {"request": kind})
    assert judge_threshold(parse_threshold("errors < 1%"), result).kind is VerdictKind.BREACH
    result.limits = ("90 requests waited for one of 1 connections",)
    assert judge_threshold(parse_threshold("errors < 1%"), result).kind is VerdictKind.PASS


def test_errors_always_have_a_limit() -> None:
    assert [one.text for one in with_defaults([parse_threshold("p99 < 1s")])] == ["p99 < 1s", "errors < 1%"]
    own = [parse_threshold("errors < 50%")]
    assert with_defaults(own) == tuple(own)


@pytest.mark.parametrize(
    ("text", "place", "fine"),
    [
        ("p99 < 1s", "", True),
        ("buy.p99 < 1s", "", True),
        ("sell.p99 < 1s", "", False),
        ("canary.p99 < 1s", "canary", True),
        ("p99 < 1s", "canary", False),
        ("p99 < 1s", "buy", True),
        ("rate > 5", "buy", False),
        ("buy.p99 < 1s", "buy", False),
    ],
)
def test_a_threshold_must_stand_at_its_place(text: str, place: str, *, fine: bool) -> None:
    assert (find_threshold_fault(text, place, {"buy"}) == "") == fine
