"""Histogram buckets: exact to 0.4 %, merge like one recorder, survive JSON."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.load.histogram import Histogram

TIMES = st.lists(st.floats(min_value=0, max_value=3600), min_size=1, max_size=200)


def filled(times: list[float]) -> Histogram:
    histogram = Histogram()
    for seconds in times:
        histogram.record(seconds)
    return histogram


@given(TIMES, st.floats(min_value=0, max_value=1))
def test_a_quantile_is_the_nearest_rank_within_the_bucket(times: list[float], share: float) -> None:
    found = filled(times).quantile(share)
    rank = max(1, math.ceil(share * len(times) - 1e-9))
    true = sorted(times)[rank - 1]
    assert abs(found - true) <= max(1.01e-6, 0.0041 * true)


@given(TIMES, TIMES)
def test_merging_equals_recording_together(left: list[float], right: list[float]) -> None:
    merged = filled(left)
    merged.merge(filled(right))
    together = filled(left + right)
    assert merged.to_json()["buckets"] == together.to_json()["buckets"]
    assert merged.count == together.count
    assert merged.maximum_seconds == together.maximum_seconds


@given(TIMES)
def test_json_keeps_everything(times: list[float]) -> None:
    histogram = filled(times)
    again = Histogram.from_json(json.loads(json.dumps(histogram.to_json())))
    assert again.to_json() == histogram.to_json()
    assert again.quantile(0.9) == histogram.quantile(0.9)


def test_out_of_range_values_are_kept_at_the_ends() -> None:
    histogram = filled([-1.0, 1e9])
    assert histogram.count == 2
    assert histogram.quantile(0.5) <= 1e-6
    assert Histogram().quantile(0.5) == 0.0
