"""The comparison of two runs: no alarm without a change, an alarm for one that users feel, and honest ignorance."""

from __future__ import annotations

import random

import pytest

from gitlab_mesh.core.judge.model import VerdictKind
from gitlab_mesh.core.load.compare import compare_results
from gitlab_mesh.errors import UsageError
from tests.core.load.runs import Law, lognormal, make_run


def stalling(inner: Law, every: float = 20.0) -> Law:
    """A stall of 1 s each 20 s, as a garbage collector makes them: hits many requests, but is one event."""
    return lambda luck, moment: inner(luck, moment) + max(0.0, 1 - moment % every)


def kinds(before: Law, after: Law, *, seed: int = 1, errors: float = 0.0, **values: float) -> tuple[VerdictKind, ...]:
    left = make_run(before, seed=seed, **values)  # type: ignore[arg-type]
    right = make_run(after, seed=seed + 1000, error_ratio=errors, **values)  # type: ignore[arg-type]
    judgement = compare_results(left, right, tolerance=0.1, margin=0.2)
    assert [one.metric for one in judgement.verdicts] == ["errors against the baseline", "latency against the baseline"]
    assert "stable" not in "".join(one.reason for one in judgement.verdicts)
    return tuple(one.kind for one in judgement.verdicts)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_release_passes_and_one_that_is_half_slower_does_not(seed: int) -> None:
    assert kinds(lognormal(), lognormal(), seed=seed, rate=300) == (VerdictKind.PASS, VerdictKind.PASS)
    assert kinds(lognormal(), lognormal(0.03), seed=seed, rate=300)[1] is VerdictKind.BREACH


def test_a_few_milliseconds_of_a_quantile_are_no_alarm() -> None:
    assert kinds(lognormal(), lognormal(0.0208), rate=300)[1] is not VerdictKind.BREACH


def test_false_alarms_are_rare() -> None:
    found = [kinds(lognormal(), lognormal(), seed=seed, rate=100)[1] for seed in range(60)]
    assert VerdictKind.BREACH not in found


def test_stalls_on_both_sides_are_no_difference() -> None:
    law = stalling(lognormal())
    for seed in range(5):
        assert VerdictKind.BREACH not in kinds(law, law, seed=seed, seconds=60)


def test_a_tail_that_no_median_shows_is_found() -> None:
    def tail(luck: random.Random, moment: float) -> float:
        return lognormal()(luck, moment) + (0.25 if luck.random() < 0.03 else 0.0)

    assert kinds(lognormal(), tail, rate=300)[1] is VerdictKind.BREACH


def test_more_errors_are_found() -> None:
    assert kinds(lognormal(), lognormal(), errors=0.03, rate=300)[0] is VerdictKind.BREACH


def test_too_little_is_undecided_and_never_a_pass() -> None:
    assert kinds(lognormal(), lognormal(), rate=20, seconds=10) == (VerdictKind.UNDECIDED, VerdictKind.UNDECIDED)


def test_runs_of_different_lengths_are_compared_over_what_both_have() -> None:
    left = make_run(lognormal(), rate=300, seconds=300)
    right = make_run(lognormal(), rate=300, seconds=60, seed=2)
    judgement = compare_results(left, right, tolerance=0.1, margin=0.2)
    assert {one.kind for one in judgement.verdicts} == {VerdictKind.PASS}


@pytest.mark.parametrize(("values", "text"), [({"name": "other"}, "other requests"), ({"rate": 400}, "requests/s")])
def test_another_load_is_no_baseline(values: dict[str, object], text: str) -> None:
    before = make_run(lognormal(), seconds=5)
    after = make_run(lognormal(), seconds=5, **values)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=text):
        compare_results(before, after, tolerance=0.1, margin=0.2)
