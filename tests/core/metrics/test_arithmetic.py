"""Merging is associative and commutative; increments undo merging; layouts do not mix."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.metrics.arithmetic import EMPTY, LayoutError, find_fault, increment, merge
from gitlab_mesh.core.metrics.counts import Counts, Histogram

BOUNDS = (0.05, 0.5, math.inf)
BIG = st.integers(0, 10**12)


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    buckets = draw(st.tuples(BIG, BIG, BIG))
    errors = draw(st.dictionaries(st.sampled_from(("5xx", "grpc", "no-response")), BIG))
    requests = sum(errors.values()) + draw(BIG)
    return Counts(requests, errors, Histogram(BOUNDS, buckets) if draw(st.booleans()) else None)


@given(counts(), counts(), counts())
def test_merge_is_associative_and_commutative(a: Counts, b: Counts, c: Counts) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, b) == merge(b, a)
    assert merge(a, EMPTY) == a


@given(counts(), counts())
def test_an_increment_is_what_was_added(before: Counts, added: Counts) -> None:
    result = increment(before, merge(before, added))
    assert result is not None
    assert result.requests == added.requests
    assert result.errors == {kind: count for kind, count in added.errors.items() if count}
    if before.latency and added.latency:
        assert result.latency == added.latency


@given(counts(), counts())
def test_an_increment_is_always_sound(before: Counts, after: Counts) -> None:
    result = increment(before, after)
    if result is not None:
        assert find_fault(result) == ""
        assert result.requests <= after.requests


def test_a_histogram_that_appears_late_or_falls_alone_adds_nothing() -> None:
    seen = Histogram(BOUNDS, (5, 1, 0))
    assert increment(Counts(6), Counts(8, {}, seen)) == Counts(2, {}, Histogram(BOUNDS, (0, 0, 0)))
    assert increment(EMPTY, Counts(8, {}, seen)) == Counts(8, {}, seen)
    fallen = increment(Counts(6, {}, seen), Counts(8, {}, Histogram(BOUNDS, (4, 3, 0))))
    assert fallen == Counts(2, {}, Histogram(BOUNDS, (0, 0, 0)))


def test_layouts_that_differ_are_named() -> None:
    other = Counts(1, {}, Histogram((0.001, 0.005, 0.01, 0.1, 10.0, math.inf), (1, 0, 0, 0, 0, 0)))
    ours = Counts(1, {}, Histogram(BOUNDS, (1, 0, 0)))
    with pytest.raises(LayoutError, match=r"3 buckets \(50, 500 ms\) and 6 buckets \(1, 5, …, 100, 10000 ms\)"):
        merge(ours, other)
    with pytest.raises(LayoutError, match="changed"):
        increment(ours, merge(other, Counts(1)))
