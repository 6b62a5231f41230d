"""What every metric source promises, on the fake and on both real ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from gitlab_mesh.adapters.metrics.istio_proxy import IstioProxySource
from gitlab_mesh.adapters.metrics.prometheus import PrometheusSource
from gitlab_mesh.config.model import MetricsConfig
from gitlab_mesh.core.metrics.counts import Counts, Histogram, Side, SideTarget
from gitlab_mesh.core.metrics.share import flat_since
from gitlab_mesh.core.metrics.window import MeterState, advance, mark
from gitlab_mesh.errors import TransientError
from gitlab_mesh.ports import MetricSource
from gitlab_mesh.testing.metrics import ScriptedMetrics

Targets = tuple[SideTarget, ...]
S, C = Side.STABLE, Side.CANARY
OWNERS = {"shop-1": S, "shop-2": S, "shop-canary-1": C}
LATENCY = (0.005, 0.05, 0.5, math.inf)


class World(Protocol):
    """Pods that serve, and the source that reads them."""

    source: MetricSource

    def serve(self, pod: str, good: int, bad: int) -> None: ...
    def restart(self, pod: str) -> None: ...
    def pass_time(self, seconds: float) -> None: ...
    def break_all(self) -> None: ...


class ScriptedWorld:
    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.source = ScriptedMetrics(lambda: clock.now().timestamp())

    def serve(self, pod: str, good: int, bad: int) -> None:
        latency = Histogram(LATENCY, (good, 0, bad, 0))
        self.source.serve(OWNERS[pod], pod, good + bad, errors={"5xx": bad} if bad else {}, latency=latency)

    def restart(self, pod: str) -> None:
        self.source.restart(OWNERS[pod], pod)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def break_all(self) -> None:
        self.source.check_error = TransientError("all pods are down")
        self.source.queue(self.source.check_error)


class ProxyWorld:
    def __init__(self, clock: Any, pods: Any, kit: Any, context: Any) -> None:
        self.clock, self.pods = clock, pods
        self.served = {pod: kit.served(side) for pod, side in OWNERS.items()}
        for pod, one in self.served.items():
            pods.pages[pod] = lambda one=one: kit.page(one.series())
        self.source = IstioProxySource(MetricsConfig(), context())

    def serve(self, pod: str, good: int, bad: int) -> None:
        _serve(self.served[pod], good, bad)

    def restart(self, pod: str) -> None:
        self.served[pod].requests = {}

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def break_all(self) -> None:
        self.pods.pages = {pod: TransientError("refused") for pod in OWNERS}


class PrometheusWorld:
    """The server scrapes all pods at every moment of ours."""

    def __init__(self, server: Any, kit: Any, context: Any) -> None:
        self.server, self.kit = server, kit
        self.served = {pod: kit.served(side) for pod, side in OWNERS.items()}
        server.answer = self._answer
        self.source = PrometheusSource(MetricsConfig(address=server.address), context())
        self.broken = False

    def _answer(self, request: Any) -> Any:
        if self.broken:
            return 503, {}, b"down"
        matrix = []
        up = []
        for pod, one in self.served.items():
            scrape = {"namespace": "shop", "pod": pod, "instance": f"{pod}:15020", "job": "proxies"}
            matrix += self.kit.matrix(one.series(), scrape, [self.server.now])
            up += self.kit.matrix([("up", {}, 1)], scrape, [self.server.now])
        self.server.results = {"{__name__=~": matrix, "up{": up}
        return None

    def serve(self, pod: str, good: int, bad: int) -> None:
        _serve(self.served[pod], good, bad)

    def restart(self, pod: str) -> None:
        self.served[pod].requests = {}

    def pass_time(self, seconds: float) -> None:
        self.server.now += seconds

    def break_all(self) -> None:
        self.broken = True


def _serve(one: Any, good: int, bad: int) -> None:
    for key, count in ((("200", 3), good), (("503", 400), bad)):
        if count:
            one.requests[key] = one.requests.get(key, 0) + count


@pytest.fixture(params=["scripted", "istio-proxy", "prometheus"])
def world(request: pytest.FixtureRequest, clock: Any, pods: Any, kit: Any, context: Any) -> World:
    builders: dict[str, Callable[[], World]] = {
        "scripted": lambda: ScriptedWorld(clock),
        "istio-proxy": lambda: ProxyWorld(clock, pods, kit, context),
        "prometheus": lambda: PrometheusWorld(request.getfixturevalue("prometheus"), kit, context),
    }
    built = builders[request.param]()
    for pod, good in (("shop-1", 1000), ("shop-2", 2000), ("shop-canary-1", 0)):
        built.serve(pod, good, 0)
    return built


def test_reads_cumulative_counts_with_the_sources_own_time(world: World, targets: Targets) -> None:
    world.source.check(targets)
    world.serve("shop-1", 5, 2)
    first = world.source.read(targets)
    counts = {sample.pod: sample.counts for sample in first.samples}
    assert counts["shop-1"] == Counts(1007, {"5xx": 2}, Histogram(LATENCY, (1005, 0, 2, 0)))
    assert {sample.pod: sample.side for sample in first.samples} == OWNERS
    assert first.time_seconds is not None
    world.pass_time(5)
    second = world.source.read(targets)
    assert [b.time_seconds - a.time_seconds for a, b in zip(first.samples, second.samples, strict=True)] == [5, 5, 5]
    assert first.problems == second.problems == ()


def test_the_meter_gets_exactly_what_was_served(world: World, targets: Targets) -> None:
    state, _ = advance(MeterState(), world.source.read(targets), max_age_seconds=60, targets=targets)
    for _ in range(3):
        world.serve("shop-1", 40, 1)
        world.serve("shop-2", 50, 0)
        world.serve("shop-canary-1", 4, 1)
        world.pass_time(5)
        state, increments = advance(state, world.source.read(targets), max_age_seconds=60, targets=targets)
        assert (increments.stable.requests, increments.stable.errors) == (91, {"5xx": 1})
        assert (increments.canary.requests, increments.canary.errors) == (5, {"5xx": 1})
        assert increments.canary.latency == Histogram(LATENCY, (4, 0, 1, 0))
        assert increments.seconds == 5
    world.restart("shop-1")
    world.serve("shop-1", 7, 0)
    world.serve("shop-canary-1", 1, 0)
    world.pass_time(5)
    state, increments = advance(state, world.source.read(targets), max_age_seconds=60, targets=targets)
    assert (increments.stable.requests, increments.canary.requests) == (7, 1)
    world.serve("shop-1", 100, 0)
    world.pass_time(5)
    state, increments = advance(mark(state), world.source.read(targets), max_age_seconds=60, targets=targets)
    assert increments.stable.requests == 0


def test_a_quiet_canary_is_seen_as_flat(world: World, targets: Targets) -> None:
    snapshots = []
    for served in (5, 5, 0, 0):
        world.serve("shop-canary-1", served, 0)
        world.serve("shop-1", 10, 0)
        world.pass_time(5)
        snapshots.append(world.source.read(targets))
    assert flat_since(snapshots[:2]) is None
    quiet = flat_since(snapshots)
    assert quiet is not None
    assert quiet[1] - quiet[0] == 10


def test_a_source_that_is_down_is_an_outside_fault(world: World, targets: Targets) -> None:
    world.break_all()
    with pytest.raises(TransientError):
        world.source.read(targets)
    with pytest.raises(TransientError):
        world.source.check(targets)
