"""Requests that were refused before a pod was chosen: counted, compared with what is usual, never anybody's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.metrics.counts import Counts, PodSample, Side, Snapshot
from gitlab_mesh.core.metrics.refusals import Refusals, count_refusals, find_material_refusals, mark_refusals

SETTINGS = JudgeSettings()


def refused(count: int) -> Counts:
    return Counts(count, {"no-response": count})


def snapshot(served: int, **unplaced: int) -> Snapshot:
    sample = PodSample("gateway", Side.STABLE, 1.0, Counts(served))
    return Snapshot((sample,), unplaced={pod: refused(count) for pod, count in unplaced.items()})


def test_what_was_there_before_counts_as_usual_and_not_as_new() -> None:
    state = count_refusals(Refusals(), snapshot(10_000, a=100))
    assert (state.count, state.usual) == (0, 0.01)
    state = count_refusals(state, snapshot(11_000, a=110))
    assert state.count == 10


def test_a_sender_that_appears_brings_its_first_refusals() -> None:
    state = count_refusals(Refusals(), snapshot(10_000))
    state = count_refusals(state, snapshot(10_100, b=7))
    state = count_refusals(state, snapshot(10_200))  # its page was not read this time
    state = count_refusals(state, snapshot(10_300, b=9))
    assert state.count == 9


def test_a_new_weight_begins_with_the_next_reading() -> None:
    state = count_refusals(count_refusals(Refusals(), snapshot(10_000)), snapshot(10_100, b=9))
    state = count_refusals(mark_refusals(state), snapshot(10_200, b=12))
    assert (state.count, state.total) == (0, 12)
    assert count_refusals(state, snapshot(10_300, b=13)).count == 1


def test_a_restarted_sender_counts_from_its_beginning() -> None:
    state = count_refusals(Refusals(), snapshot(10_000, a=100))
    assert count_refusals(state, snapshot(10, a=4)).count == 4


def material(count: int, *, usual: float = 0.0, stable: int = 10_000, canary: int = 1_000, errors: int = 0) -> str:
    state = Refusals(count, usual=usual, readings={})
    return find_material_refusals(state, stable=(stable, 10), canary=(canary, errors), settings=SETTINGS)


def test_few_or_usual_ones_hold_nothing_up() -> None:
    assert material(2) == ""
    assert material(6) == ""  # 0.6 % of the canary's, the margin is 0.62 %
    assert material(200, usual=0.01) == ""
    assert material(0, errors=500) == ""  # what belongs to the canary is the judge's business


def test_as_many_as_would_fail_the_canary_are_named() -> None:
    said = material(50)
    assert "50 requests were refused before a pod was chosen" in said
    assert "4.76" in said
    assert material(300, usual=0.01)
    assert material(5, errors=4)  # with the canary's own errors they are too many


@given(count=st.integers(0, 10**9), canary=st.integers(0, 10**9), stable=st.integers(0, 10**9))
def test_more_refusals_are_never_better(count: int, canary: int, stable: int) -> None:
    if material(count, stable=stable, canary=canary):
        assert material(count * 2, stable=stable, canary=canary)
