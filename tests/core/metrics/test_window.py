"""The meter's rules one by one: baseline, marks, new and lost pods, waiting for the other side, layouts."""

from __future__ import annotations

import math

import pytest

from gitlab_mesh.core.judge.model import UserValue
from gitlab_mesh.core.metrics.counts import Counts, Histogram, PodSample, Side, SideTarget, Snapshot, UserSample
from gitlab_mesh.core.metrics.meter_json import dump_meter, load_meter
from gitlab_mesh.core.metrics.window import Increments, MeterState, advance, mark
from gitlab_mesh.errors import UsageError

S, C = Side.STABLE, Side.CANARY
A = (0.1, math.inf)
B = (0.2, math.inf)


def sample(
    pod: str, side: Side, time: float, requests: int, latency: Histogram | None = None, **errors: int
) -> PodSample:
    return PodSample(pod, side, time, Counts(requests, errors, latency))


def targets(stable: tuple[str, ...], canary: tuple[str, ...]) -> tuple[SideTarget, ...]:
    return (
        SideTarget(S, "shop", "shop", "shop", "stable", stable),
        SideTarget(C, "shop", "shop-canary", "shop", "canary", canary),
    )


class Meter:
    """Runs the meter over readings and keeps its state."""

    def __init__(self, max_age: float = 60.0) -> None:
        self.state = MeterState()
        self.max_age = max_age

    def read(self, *samples: PodSample, clock: float | None = None, of: tuple[SideTarget, ...] = ()) -> Increments:
        snapshot = Snapshot(samples, time_seconds=clock)
        self.state, increments = advance(self.state, snapshot, max_age_seconds=self.max_age, targets=of)
        return increments

    def mark(self) -> None:
        self.state = mark(self.state)


def test_first_reading_is_only_a_baseline() -> None:
    meter = Meter()
    assert meter.read(sample("s", S, 0, 10**9), sample("c", C, 0, 7)) == Increments()
    increments = meter.read(sample("s", S, 5, 10**9 + 95), sample("c", C, 5, 12, fivexx=2))
    assert (increments.stable.requests, increments.canary.requests, increments.canary.errors) == (95, 5, {"fivexx": 2})
    assert increments.seconds == 5


def test_a_scrape_from_before_the_weight_change_is_no_baseline() -> None:
    """Scrapes every 15 s, looks every 5 s: the first reading after the change still shows the scrape before it."""
    meter = Meter()
    meter.read(sample("s", S, 0, 100), sample("c", C, 0, 0), clock=1)
    meter.mark()  # the weight changes at 17; the scrape of 15 is from before
    assert meter.read(sample("s", S, 15, 200), sample("c", C, 15, 50), clock=18) == Increments()
    assert meter.read(sample("s", S, 30, 300), sample("c", C, 30, 60), clock=33).canary.requests == 0
    increments = meter.read(sample("s", S, 45, 400), sample("c", C, 45, 71), clock=48)
    assert (increments.stable.requests, increments.canary.requests, increments.seconds) == (100, 11, 15)


def test_a_mark_drops_what_waits() -> None:
    meter = Meter()
    meter.read(sample("s", S, 0, 0), sample("c", C, 0, 0))
    assert meter.read(sample("s", S, 5, 50)) == Increments()  # waits for the canary
    meter.mark()
    meter.read(sample("s", S, 10, 100), sample("c", C, 10, 10))
    increments = meter.read(sample("s", S, 15, 110), sample("c", C, 15, 11))
    assert (increments.stable.requests, increments.canary.requests) == (10, 1)


def test_a_new_pod_began_at_zero_and_an_overlooked_one_did_not() -> None:
    meter = Meter()
    before = targets(("s", "quiet"), ("c",))
    meter.read(sample("s", S, 0, 5), sample("c", C, 0, 0), of=before)
    after = targets(("s", "quiet"), ("c", "c2"))
    increments = meter.read(
        sample("s", S, 5, 6), sample("quiet", S, 5, 10**6), sample("c", C, 5, 1), sample("c2", C, 5, 3), of=after
    )
    assert (increments.stable.requests, increments.canary.requests) == (1, 4)
    increments = meter.read(
        sample("s", S, 10, 6),
        sample("quiet", S, 10, 10**6 + 2),
        sample("c", C, 10, 1),
        sample("c2", C, 10, 3),
        of=after,
    )
    assert increments.stable.requests == 2


def test_a_pod_that_was_not_ready_at_the_mark_is_not_new() -> None:
    meter = Meter()
    all_pods = targets(("s", "late"), ("c",))
    meter.read(sample("s", S, 0, 0), sample("late", S, 0, 900), sample("c", C, 0, 0), of=all_pods)
    meter.mark()
    meter.read(sample("s", S, 5, 0), sample("c", C, 5, 0), of=targets(("s",), ("c",)))
    increments = meter.read(sample("s", S, 10, 1), sample("late", S, 10, 999), sample("c", C, 10, 1), of=all_pods)
    assert increments.stable.requests == 1


def test_a_new_pod_that_cannot_be_read_at_first_still_began_at_zero() -> None:
    meter = Meter()
    meter.read(sample("s", S, 0, 0), sample("c", C, 0, 0), of=targets(("s",), ("c",)))
    both = targets(("s",), ("c", "starting"))
    meter.read(sample("s", S, 5, 0), sample("c", C, 5, 0), of=both)
    increments = meter.read(sample("s", S, 10, 0), sample("c", C, 10, 0), sample("starting", C, 10, 3), of=both)
    assert increments.canary.requests == 3
    meter.read(sample("s", S, 15, 0), sample("c", C, 15, 0), of=targets(("s",), ("c", "starting", "third")))
    meter.mark()  # what the third served before the weight changed is no evidence
    both = targets(("s",), ("c", "starting", "third"))
    meter.read(sample("s", S, 20, 0), sample("c", C, 20, 0), sample("starting", C, 20, 3), of=both)
    increments = meter.read(
        sample("s", S, 25, 0), sample("c", C, 25, 0), sample("starting", C, 25, 3), sample("third", C, 25, 50), of=both
    )
    assert increments.canary.requests == 0


def test_a_restart_counts_what_the_new_process_served() -> None:
    meter = Meter()
    meter.read(sample("s", S, 0, 100), sample("c", C, 0, 100))
    increments = meter.read(sample("s", S, 5, 110), sample("c", C, 5, 4, fivexx=4))
    assert increments.canary == Counts(4, {"fivexx": 4})
    assert increments.problems == ("pod c (canary): its counters began again, the proxy restarted",)
    assert meter.read(sample("s", S, 10, 120), sample("c", C, 10, 9, fivexx=4)).problems == ()


def test_a_part_that_falls_while_the_total_rises_counts_nothing() -> None:
    meter = Meter()
    meter.read(sample("s", S, 0, 100), sample("c", C, 0, 100, fivexx=50))
    increments = meter.read(sample("s", S, 5, 110), sample("c", C, 5, 101, fivexx=3))
    assert increments.canary.requests == 0
    assert "pod c (canary)" in increments.problems[0]
    assert meter.read(sample("s", S, 10, 120), sample("c", C, 10, 103, fivexx=4)).canary == Counts(2, {"fivexx": 1})


@pytest.mark.parametrize("late", [5.0, 4.0, -3.0])
def test_repeated_and_late_samples_add_nothing(late: float) -> None:
    meter = Meter()
    meter.read(sample("s", S, 0, 100), sample("c", C, 0, 100))
    meter.read(sample("s", S, 5, 150), sample("c", C, 5, 110))
    increments = meter.read(sample("s", S, late, 20), sample("c", C, late, 20))
    assert increments.stable.requests == increments.canary.requests == 0
    assert meter.read(sample("s", S, 10, 151), sample("c", C, 10, 111)).stable.requests == 1


def test_one_side_waits_for_the_other() -> None:
    meter = Meter()
    meter.read(sample("s", S, 0, 0), sample("c", C, 0, 0))
    for now in (5, 10, 15):
        assert meter.read(sample("s", S, now, now * 10)).stable.requests == 0
    increments = meter.read(sample("s", S, 20, 200), sample("c", C, 20, 10))
    assert (increments.stable.requests, increments.canary.requests, increments.seconds) == (200, 10, 20)


def test_scrapes_of_pods_at_different_moments_are_handed_out_together() -> None:
    """Three pods scraped every 15 s with different phases: no look shows a shifted share."""
    meter = Meter()
    phases = {"s1": (S, 0), "s2": (S, 5), "c": (C, 10)}
    shares = []
    for now in range(0, 200, 5):
        taken = []
        for pod, (side, phase) in phases.items():
            if now >= phase:
                moment = phase + (now - phase) // 15 * 15
                taken.append(sample(pod, side, moment, moment * 10))
        increments = meter.read(*taken, clock=now)
        if increments.stable.requests:
            shares.append((increments.stable.requests, increments.canary.requests))
    assert len(shares) >= 10
    assert set(shares[1:]) == {(300, 150)}


def test_a_pod_that_does_not_answer_delays_one_look_at_most() -> None:
    meter = Meter()
    for now in (0, 5):
        meter.read(sample("s1", S, now, now), sample("s2", S, now, now), sample("c", C, now, now), clock=now)
    assert meter.read(sample("s1", S, 10, 10), sample("c", C, 10, 10), clock=10).canary.requests == 0
    assert meter.read(sample("s1", S, 15, 15), sample("c", C, 15, 15), clock=15).canary.requests == 10


def test_stale_samples_are_no_data_and_a_silent_side_stops_the_window() -> None:
    meter = Meter(max_age=20)
    meter.read(sample("s", S, 0, 0), sample("c", C, 0, 0), clock=0)
    increments = meter.read(sample("s", S, 30, 30), sample("c", C, 0, 0), clock=30)
    assert "pod c (canary): the last sample is 30 s old" in increments.problems[0]
    assert any("no new sample of c" in problem for problem in increments.problems)
    meter.read(sample("s", S, 35, 35), sample("c", C, 35, 99), clock=35)  # both are there again: a new baseline
    increments = meter.read(sample("s", S, 40, 40), sample("c", C, 40, 100), clock=40)
    assert (increments.stable.requests, increments.canary.requests) == (5, 1)


def test_a_side_that_never_had_a_sample_is_named() -> None:
    meter = Meter(max_age=20)
    assert meter.read(sample("s", S, 0, 0), clock=0).problems == ()
    assert meter.read(sample("s", S, 20, 9), clock=20).problems == ()  # the first scrape may be on its way
    increments = meter.read(sample("s", S, 30, 19), clock=30)
    assert increments.problems == ("canary: no sample is younger than 20 s, so nothing is compared",)


def test_a_sample_from_the_future_is_refused() -> None:
    meter = Meter()
    increments = meter.read(sample("s", S, 1000, 0), sample("c", C, 0, 0), clock=0)
    assert "ahead of its source's own clock" in increments.problems[0]


def test_two_samples_of_one_counter_are_both_refused() -> None:
    meter = Meter()
    meter.read(sample("s", S, 0, 0), sample("c", C, 0, 0))
    increments = meter.read(sample("s", S, 5, 9), sample("s", S, 5, 9), sample("c", C, 5, 1))
    assert increments.stable.requests == 0
    assert "two samples in one reading" in increments.problems[0]


@pytest.mark.parametrize(
    ("counts", "word"),
    [
        (Counts(-1), "-1 is not a count"),
        (Counts(math.nan), "nan is not a count"),  # type: ignore[arg-type]
        (Counts(math.inf), "inf is not a count"),  # type: ignore[arg-type]
        (Counts(1.5), "1.5 is not a whole number"),  # type: ignore[arg-type]
        (Counts(3, {"5xx": 4}), "4 errors of 3 requests"),
        (Counts(3, {"5xx": -4}), "-4 is not a count"),
        (Counts(3, {}, Histogram((0.1, 0.2), (1, 1))), "last bucket is not +Inf"),
        (Counts(3, {}, Histogram((0.2, 0.1, math.inf), (1, 1, 1))), "do not rise"),
        (Counts(3, {}, Histogram((0.1, math.inf), (1,))), "last bucket"),
    ],
)
def test_unsound_counts_are_refused_by_name(counts: Counts, word: str) -> None:
    _, increments = advance(MeterState(), Snapshot((PodSample("p", C, 0, counts),)), max_age_seconds=60)
    assert "pod p (canary)" in increments.problems[0]
    assert word in increments.problems[0]


def test_buckets_that_differ_between_the_sides_are_a_fault_of_latency_only() -> None:
    meter = Meter()
    meter.read(sample("s", S, 0, 1, Histogram(A, (1, 0))), sample("c", C, 0, 0))
    increments = meter.read(sample("s", S, 5, 3, Histogram(A, (3, 0))), sample("c", C, 5, 2, Histogram(B, (2, 0))))
    assert (increments.stable.requests, increments.canary.requests) == (2, 2)
    assert increments.stable.latency is increments.canary.latency is None
    assert "pod c (canary) counts latency in 2 buckets (200 ms)" in increments.faults["latency"]


def test_buckets_that_change_midway_stay_a_fault_until_they_are_back() -> None:
    meter = Meter()
    meter.read(sample("s", S, 0, 1, Histogram(A, (1, 0))), sample("c", C, 0, 1, Histogram(A, (1, 0))))
    for now in (5, 10):
        assert meter.read(
            sample("s", S, now, now, Histogram(A, (now, 0))), sample("c", C, now, now, Histogram(B, (now, 0)))
        ).faults
    meter.mark()
    meter.read(sample("s", S, 15, 15, Histogram(A, (15, 0))), sample("c", C, 15, 15, Histogram(A, (15, 0))))
    increments = meter.read(
        sample("s", S, 20, 20, Histogram(A, (20, 0))), sample("c", C, 20, 20, Histogram(A, (18, 2)))
    )
    assert not increments.faults
    assert increments.canary.latency == Histogram(A, (3, 2))


def test_user_values_are_passed_on_and_garbage_is_named() -> None:
    user = (
        UserSample("queue", C, 3.5, 100),
        UserSample("heap", None, math.nan, 100),
        UserSample("orders", S, math.inf, 100),
        UserSample("old", S, 1, 10),
    )
    _, increments = advance(MeterState(), Snapshot((), user, ("prometheus warns",), 100), max_age_seconds=60)
    assert increments.user == (UserValue("queue", C, 3.5),)
    assert [problem.split(":")[0] for problem in increments.problems] == [
        "prometheus warns", "metric heap", "metric orders (stable)", "metric old (stable)",
    ]  # fmt: skip


def test_state_survives_json_and_rejects_garbage() -> None:
    meter = Meter()
    meter.read(sample("s", S, 0, 1, Histogram(A, (1, 0))), sample("c", C, 0, 1, Histogram(A, (1, 0))), clock=1)
    meter.read(sample("s", S, 5, 9, Histogram(A, (8, 1))), clock=6)
    assert load_meter(dump_meter(meter.state)) == meter.state
    with pytest.raises(UsageError, match="meter's state"):
        load_meter({**dump_meter(meter.state), "bounds": [0.1]})
