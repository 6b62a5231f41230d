"""Results: shards join exactly, raw files are small and keep everything, slices stay bounded."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.load.documents import render_files, render_load_performance, render_metrics, summarise
from gitlab_mesh.core.load.result import KindResult, LoadResult, join_results, parse_result
from gitlab_mesh.core.load.slices import MAX_SLICES, Slices
from gitlab_mesh.errors import UsageError
from tests.core.load.runs import lognormal, make_run


def test_joined_shards_are_what_one_generator_would_have_measured() -> None:
    whole = make_run(lognormal(), rate=400, seconds=10, error_ratio=0.1)
    luck = random.Random(1)
    shards = [LoadResult(100, target=whole.target) for _ in range(4)]
    again = lognormal()
    for number in range(4000):  # the same draws, dealt out to four runners
        shard = shards[number % 4]
        kind = shard.kinds.setdefault("request", KindResult("request", checks={"status": [0, 0]}))
        bad = luck.random() < 0.1
        bucket = kind.latency.record(again(luck, 0.0))
        kind.requests += 1
        kind.checks["status"][bad] += 1
        if bad:
            kind.errors["http_5xx"] = kind.errors.get("http_5xx", 0) + 1
        shard.slices.count(number / 400, bucket, error=bad)
        shard.sent += 1
        shard.sending_seconds = 10
    joined = join_results([parse_result(json.loads(json.dumps(shard.to_json())), "x") for shard in shards])
    assert joined.kinds["request"].latency.to_json()["buckets"] == whole.latency.to_json()["buckets"]
    assert joined.kinds["request"].errors == whole.errors
    assert joined.kinds["request"].checks == whole.kinds["request"].checks
    assert joined.slices.to_json() == whole.slices.to_json()
    assert joined.achieved_rate == whole.achieved_rate == 400


def test_a_raw_file_keeps_everything_and_is_small() -> None:
    run = make_run(lambda luck, moment: luck.expovariate(20) + luck.paretovariate(1.5) / 500, rate=500, seconds=600)
    text = render_files(run)["load.json"]
    assert len(text) < 200_000
    again = parse_result(json.loads(text), "load.json")
    assert again.to_json() == run.to_json()


@given(st.lists(st.tuples(st.floats(0, 90_000), st.booleans()), max_size=300))
def test_slices_stay_bounded_and_lose_nothing(events: list[tuple[float, bool]]) -> None:
    slices = Slices()
    for moment, bad in events:
        slices.count(moment, 500, error=bad)
    found = slices.entries()
    assert len(found) <= MAX_SLICES
    assert sum(one.requests for _, one in found) == len(events)
    assert sum(one.errors for _, one in found) == sum(bad for _, bad in events)
    assert Slices.from_json(json.loads(json.dumps(slices.to_json()))).to_json() == slices.to_json()


@given(st.lists(st.floats(0, 500), max_size=100), st.lists(st.floats(0, 5000), max_size=100))
def test_slices_of_different_widths_join(left: list[float], right: list[float]) -> None:
    one, two, both = Slices(), Slices(), Slices()
    for moment in left:
        one.count(moment, None, error=False)
    for moment in right:
        two.count(moment, None, error=False)
    for moment in [*left, *right]:
        both.count(moment, None, error=False)
    one.merge(two)
    assert one.to_json() == both.to_json()


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"schema": 2}, {"schema": 1}, "x", {"schema": 1, "planned_rate": 1, "target": "x", "kinds": 5}],
)
def test_another_file_is_refused_by_name(value: Any) -> None:
    with pytest.raises(UsageError, match=r"other\.json"):
        parse_result(value, "other.json")


def test_negative_buckets_are_refused() -> None:
    value = make_run(lognormal(), seconds=1).to_json()
    value["kinds"][0]["histogram"]["buckets"] = {"-1": 5}
    with pytest.raises(UsageError, match="no result"):
        parse_result(value, "load.json")


def test_only_shards_of_one_load_add_up() -> None:
    left, right = make_run(lognormal(), seconds=1), make_run(lognormal(), seconds=1)
    right.target = "http://127.0.0.2/"
    with pytest.raises(UsageError, match="different targets"):
        join_results([left, right])
    with pytest.raises(UsageError, match="no result"):
        join_results([])


def test_gitlab_reads_exactly_these_keys() -> None:
    """GitLab: metrics.http_reqs.rate, metrics.http_req_waiting["p(90)"], ["p(95)"], metrics.checks.passes, .fails."""
    run = make_run(lognormal(), error_ratio=0.1)
    metrics = json.loads(render_load_performance(run))["metrics"]
    assert metrics["http_reqs"]["rate"] == 200
    assert metrics["http_req_waiting"]["p(90)"] == run.latency.quantile(0.9) * 1000
    assert metrics["http_req_waiting"]["p(95)"] == run.latency.quantile(0.95) * 1000
    assert metrics["checks"]["passes"] + metrics["checks"]["fails"] == 6000
    assert metrics["checks"]["fails"] == run.failed


def test_the_metrics_report_has_one_value_a_line() -> None:
    run = make_run(lognormal(), name='a "quoted" one')
    lines = render_metrics(run).splitlines()
    assert lines[-1] == "# EOF"
    assert 'load_error_ratio{request="a \\"quoted\\" one"} 0' in lines
    assert all(len(line.rsplit(" ", 1)) == 2 and float(line.rsplit(" ", 1)[1]) >= 0 for line in lines[:-1])


def test_the_summary_has_what_its_interface_promises() -> None:
    found = summarise(make_run(lognormal(), error_ratio=0.5), [], outcome="passed", exit_code=0)
    assert {"p50", "p90", "p99", "p999", "max"} <= set(found["latency_seconds"])
    assert found["requests"] == 6000
    assert isinstance(found["errors"], int)
    assert found["achieved_rate"] == 200
    json.dumps(found, allow_nan=False)
