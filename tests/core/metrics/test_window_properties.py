"""The meter against a world whose true counts are known, with adversarial scrapes."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.metrics.arithmetic import EMPTY, merge
from gitlab_mesh.core.metrics.counts import Counts, Histogram, PodSample, Side, SideTarget, Snapshot
from gitlab_mesh.core.metrics.meter_json import dump_meter, load_meter
from gitlab_mesh.core.metrics.window import Increments, MeterState, advance, mark

BOUNDS = (0.01, 0.1, math.inf)
MAX_AGE = 60.0


@dataclass
class World:
    """Pods that serve; knows what was truly served, and remembers every sample ever taken."""

    rng: random.Random
    pods: dict[tuple[Side, str], Counts] = field(default_factory=dict)
    history: list[PodSample] = field(default_factory=list)
    served: dict[Side, Counts] = field(default_factory=lambda: dict.fromkeys(Side, EMPTY))
    time: float = 1e9
    created: int = 0

    def start(self, side: Side, *, served_before: int = 0) -> None:
        self.created += 1
        latency = Histogram(BOUNDS, (served_before, 0, 0)) if served_before else None
        self.pods[side, f"{side}-{self.created}"] = Counts(served_before, {"5xx": served_before // 2}, latency)

    def serve(self) -> None:
        for key in list(self.pods):
            requests = self.rng.choice((0, 0, 1, 3, 1000))
            errors = {"5xx": self.rng.randint(0, requests)}
            buckets = [0] * len(BOUNDS)
            for _ in range(min(requests, 5)):
                buckets[self.rng.randrange(len(BOUNDS))] += 1
            buckets[0] += requests - sum(buckets)
            counts = Counts(requests, errors, Histogram(BOUNDS, tuple(buckets)))
            self.pods[key] = merge(self.pods[key], counts)
            self.served[key[0]] = merge(self.served[key[0]], counts)

    def scrape(self) -> list[PodSample]:
        samples = [PodSample(pod, side, self.time, counts) for (side, pod), counts in self.pods.items()]
        self.history += samples
        return samples

    def targets(self) -> tuple[SideTarget, ...]:
        return tuple(
            SideTarget(side, "shop", f"shop-{side}", "shop", side, tuple(pod for s, pod in self.pods if s is side))
            for side in Side
        )


def assert_within(total: Counts, served: Counts) -> None:
    assert 0 <= total.requests <= served.requests
    assert sum(total.errors.values()) <= total.requests
    for kind, count in total.errors.items():
        assert 0 <= count <= served.errors.get(kind, 0)
    if total.latency is not None:
        assert served.latency is not None
        assert all(0 <= a <= b for a, b in zip(total.latency.counts, served.latency.counts, strict=True))


def assert_sound(increments: Increments) -> None:
    for counts in (increments.stable, increments.canary):
        assert counts.requests >= 0
        assert all(count >= 0 for count in counts.errors.values())
        assert sum(counts.errors.values()) <= counts.requests
        assert counts.latency is None or min(counts.latency.counts) >= 0
    assert increments.seconds >= 0


@given(st.integers(0, 2**32), st.integers(3, 25))
def test_no_series_ever_yields_more_than_was_served(seed: int, steps: int) -> None:
    rng = random.Random(seed)
    world = World(rng)
    for side in Side:
        for _ in range(rng.randint(1, 3)):
            world.start(side, served_before=rng.choice((0, 10, 10**9)))
    state = MeterState()
    totals = dict.fromkeys(Side, EMPTY)
    for _ in range(steps):
        event = rng.random()
        if event < 0.15 and world.pods:
            key = rng.choice(list(world.pods))
            world.pods[key] = EMPTY  # the process restarted
        elif event < 0.3:
            world.start(rng.choice(list(Side)))
        elif event < 0.4 and world.pods:
            del world.pods[rng.choice(list(world.pods))]
        world.serve()
        passed = rng.choice((0.0, 1.0, 5.0, 50.0))
        world.time += passed
        samples = [sample for sample in world.scrape() if rng.random() < 0.8]
        samples += [rng.choice(world.history) for _ in range(rng.randint(0, 3))]  # late, repeated, out of order
        rng.shuffle(samples)
        if passed and rng.random() < 0.1:  # the weight changes now: from here on only what is served later counts
            state = mark(state)
            totals = dict.fromkeys(Side, EMPTY)
            world.served = dict.fromkeys(Side, EMPTY)
        if rng.random() < 0.3:
            state = load_meter(dump_meter(state))
        clock = world.time if state.since_seconds is None or rng.random() < 0.7 else None
        state, increments = advance(
            state, Snapshot(tuple(samples), time_seconds=clock), max_age_seconds=MAX_AGE, targets=world.targets()
        )
        assert_sound(increments)
        totals[Side.STABLE] = merge(totals[Side.STABLE], increments.stable)
        totals[Side.CANARY] = merge(totals[Side.CANARY], increments.canary)
        for side in Side:
            assert_within(totals[side], world.served[side])


@given(st.integers(0, 2**32), st.integers(2, 15))
def test_nothing_is_lost_where_no_guard_discards(seed: int, steps: int) -> None:
    """Restarts right after a scrape, new pods and pods that go after their last scrape lose nothing."""
    rng = random.Random(seed)
    world = World(rng)
    for side in Side:
        world.start(side, served_before=0 if side is Side.CANARY else 12345)
    state = MeterState()
    totals = dict.fromkeys(Side, EMPTY)
    for step in range(steps):
        state, increments = advance(
            state,
            Snapshot(tuple(world.scrape()), time_seconds=world.time),
            max_age_seconds=MAX_AGE,
            targets=world.targets(),
        )
        totals[Side.STABLE] = merge(totals[Side.STABLE], increments.stable)
        totals[Side.CANARY] = merge(totals[Side.CANARY], increments.canary)
        if step == steps - 1:
            break
        if rng.random() < 0.3:
            world.start(rng.choice(list(Side)))
        busy = [key for key, counts in world.pods.items() if counts.requests > 1000]
        if busy and rng.random() < 0.5:
            world.pods[rng.choice(busy)] = EMPTY  # serves at most 1000 until the next scrape: its total falls
        gone = [key for key in world.pods if len([other for other in world.pods if other[0] is key[0]]) > 1]
        if gone and rng.random() < 0.2:
            del world.pods[rng.choice(gone)]
        world.serve()
        world.time += 5
    for side in Side:
        pending = state.pending.get(side, EMPTY)
        assert totals[side].requests + pending.requests == world.served[side].requests


@given(st.integers(0, 2**32), st.integers(3, 12), st.data())
def test_splitting_a_window_changes_no_total(seed: int, steps: int, data: st.DataObject) -> None:
    rng = random.Random(seed)
    world = World(rng)
    for side in Side:
        for _ in range(rng.randint(1, 3)):
            world.start(side, served_before=7)
    snapshots = []
    for _ in range(steps):
        snapshots.append(Snapshot(tuple(world.scrape()), time_seconds=world.time))
        world.serve()
        world.time += 5
    chosen = data.draw(st.sets(st.integers(1, steps - 2)) if steps > 2 else st.just(set()))
    coarse = [s for i, s in enumerate(snapshots) if i not in chosen]
    assert sum_up(snapshots) == sum_up(coarse)


@given(st.integers(0, 2**32))
def test_the_order_of_pods_does_not_matter(seed: int) -> None:
    rng = random.Random(seed)
    world = World(rng)
    for side in Side:
        for _ in range(3):
            world.start(side)
    plain, shuffled = [], []
    for _ in range(4):
        samples = world.scrape()
        plain.append(Snapshot(tuple(samples)))
        rng.shuffle(samples)
        shuffled.append(Snapshot(tuple(samples)))
        world.serve()
        world.time += 5
    assert sum_up(plain) == sum_up(shuffled)


def sum_up(snapshots: list[Snapshot]) -> tuple[Counts, Counts]:
    state = MeterState()
    stable, canary = EMPTY, EMPTY
    for snapshot in snapshots:
        state, increments = advance(state, snapshot, max_age_seconds=1e6)
        stable, canary = merge(stable, increments.stable), merge(canary, increments.canary)
    return stable, canary


NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from((0, 1, True))
)


@given(
    st.lists(
        st.lists(
            st.builds(
                PodSample,
                st.sampled_from(("a", "b")),
                st.sampled_from(Side),
                st.floats(allow_nan=True, allow_infinity=True),
                st.builds(
                    Counts,
                    NUMBERS,
                    st.dictionaries(st.sampled_from(("5xx", "grpc")), NUMBERS),
                    st.none() | st.builds(Histogram, st.tuples(NUMBERS, NUMBERS), st.tuples(NUMBERS, NUMBERS)),
                ),
            ),
            max_size=5,
        ),
        max_size=6,
    ),
    st.none() | st.floats(allow_nan=True, allow_infinity=True),
)
def test_garbage_is_refused_and_never_crashes(readings: list[list[PodSample]], clock: float | None) -> None:
    state = MeterState()
    for samples in readings:
        state, increments = advance(state, Snapshot(tuple(samples), time_seconds=clock), max_age_seconds=MAX_AGE)
        assert_sound(increments)
        state = load_meter(dump_meter(state))
