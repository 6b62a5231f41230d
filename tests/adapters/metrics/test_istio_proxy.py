"""Source istio-proxy: which pods it asks for what, and what it makes of every answer."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from gitlab_mesh.adapters.metrics import SOURCES
from gitlab_mesh.adapters.metrics.istio_proxy import IstioProxySource
from gitlab_mesh.config.model import GatewayPods, MetricsConfig
from gitlab_mesh.core.judge.settings import UserMetric
from gitlab_mesh.core.metrics.counts import Counts, Side, SideTarget
from gitlab_mesh.errors import (
    AccessDeniedError,
    ConfigError,
    NoDataError,
    ObjectMissingError,
    TransientError,
    UsageError,
)

Targets = tuple[SideTarget, ...]
S, C = Side.STABLE, Side.CANARY


@pytest.fixture
def source(context: Any) -> IstioProxySource:
    return IstioProxySource(MetricsConfig(timeout=2.0), context())


@pytest.fixture
def served(pods: Any, kit: Any) -> dict[str, Any]:
    """Three pods that served something, and whose pages are alive."""
    world = {"shop-1": kit.served(S), "shop-2": kit.served(S), "shop-canary-1": kit.served(C)}
    world["shop-1"].requests = {("200", 3): 90, ("503", 400): 2}
    world["shop-2"].requests = {("200", 3): 10}
    world["shop-canary-1"].requests = {("200", 40): 4, ("500", 3): 1}
    for name, one in world.items():
        pods.pages[name] = lambda one=one: kit.page(one.series())
    return world


def test_reads_every_pod_of_both_sides_through_the_proxy(
    source: IstioProxySource, served: dict[str, Any], pods: Any, clock: Any, targets: Targets
) -> None:
    clock.advance(100)
    snapshot = source.read(targets)
    assert sorted(pods.asked) == [
        ("shop", "shop-1", 15020, "/stats/prometheus", 2.0),
        ("shop", "shop-2", 15020, "/stats/prometheus", 2.0),
        ("shop", "shop-canary-1", 15020, "/stats/prometheus", 2.0),
    ]
    assert [(s.pod, s.side, s.counts.requests, dict(s.counts.errors)) for s in snapshot.samples] == [
        ("shop-1", S, 92, {"5xx": 2}),
        ("shop-2", S, 10, {}),
        ("shop-canary-1", C, 5, {"5xx": 1}),
    ]
    latency = snapshot.samples[2].counts.latency
    assert latency is not None
    assert (latency.upper_bounds[:3], latency.counts) == ((0.005, 0.05, 0.5), (1, 4, 0, 0))
    assert {s.time_seconds for s in snapshot.samples} == {clock.now().timestamp()}
    assert snapshot.time_seconds == clock.now().timestamp()
    assert snapshot.problems == ()


def test_a_pod_without_requests_is_a_zero_not_a_gap(
    source: IstioProxySource, served: dict[str, Any], pods: Any, kit: Any, targets: Targets
) -> None:
    pods.pages["shop-canary-1"] = kit.page([])
    samples = {sample.pod: sample for sample in source.read(targets).samples}
    assert samples["shop-canary-1"].counts == Counts()


def test_a_pod_that_is_gone_is_no_problem(
    source: IstioProxySource, served: dict[str, Any], pods: Any, targets: Targets
) -> None:
    del pods.pages["shop-2"]
    snapshot = source.read(targets)
    assert [sample.pod for sample in snapshot.samples] == ["shop-1", "shop-canary-1"]
    assert snapshot.problems == ()
    pods.pages.clear()
    assert source.read(targets).problems == ("every pod that was listed is gone",)


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (
            TransientError("port 15020 does not answer", why="refused"),
            "pod shop-2: port 15020 does not answer (refused)",
        ),
        (503, "pod shop-2: GET :15020/stats/prometheus answered 503"),
        ("istio_requests_total{reporter=\n", "pod shop-2: line 1: bad label"),
        ("istio_requests_total 12", "pod shop-2: line 1 does not end"),
        ("<html>no</html>\n", "pod shop-2: line 1: no metric name"),
        (b"\xff\xfe\n", "pod shop-2: its metrics page is not UTF-8"),
    ],
)
def test_a_pod_that_cannot_be_read_is_named_and_the_others_count(
    source: IstioProxySource, served: dict[str, Any], pods: Any, targets: Targets, page: object, problem: str
) -> None:
    pods.pages["shop-2"] = page
    snapshot = source.read(targets)
    assert [sample.pod for sample in snapshot.samples] == ["shop-1", "shop-canary-1"]
    assert snapshot.problems[0].startswith(problem)


def test_a_huge_page_is_not_parsed(
    source: IstioProxySource, served: dict[str, Any], pods: Any, targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitlab_mesh.adapters.metrics.istio_proxy.MAX_BYTES", 100)
    with pytest.raises(TransientError, match="none of 3 pods could be read") as caught:
        source.read(targets)
    assert "at most 100 are read" in caught.value.why


def test_a_pod_that_hangs_is_named_in_time(context: Any, served: dict[str, Any], pods: Any, targets: Targets) -> None:
    release = threading.Event()

    def hang() -> str:
        release.wait(20)
        return "\n"

    pods.pages["shop-2"] = hang
    source = IstioProxySource(MetricsConfig(timeout=0.2), context())
    try:
        snapshot = source.read(targets)
    finally:
        release.set()
    assert snapshot.problems == ("pod shop-2: not read within 0.3 s",)
    assert len(snapshot.samples) == 2


def test_pods_are_read_side_by_side(
    source: IstioProxySource, served: dict[str, Any], pods: Any, targets: Targets
) -> None:
    together = threading.Barrier(3, timeout=5)
    for name in list(pods.pages):
        page = pods.pages[name]
        pods.pages[name] = lambda page=page: together.wait() * 0 * "" or page()
    assert len(source.read(targets).samples) == 3


def test_all_pods_failing_is_an_outside_fault(
    source: IstioProxySource, served: dict[str, Any], pods: Any, targets: Targets
) -> None:
    for name in pods.pages:
        pods.pages[name] = 500
    with pytest.raises(TransientError, match="none of 3 pods") as caught:
        source.read(targets)
    assert "shop-1" in caught.value.why
    with pytest.raises(TransientError, match="none of 3 pods"):
        source.check(targets)


def test_a_missing_right_is_named_with_the_rule(
    source: IstioProxySource, served: dict[str, Any], pods: Any, targets: Targets
) -> None:
    pods.pages["shop-2"] = AccessDeniedError("403")
    for call in (source.read, source.check):
        with pytest.raises(AccessDeniedError, match="shop/shop-2") as caught:
            call(targets)
        assert "resources: [pods/proxy], verbs: [get]" in caught.value.hint
        assert "namespace shop" in caught.value.hint


def test_the_source_reporter_reads_the_gateways_pods_and_sees_both_sides(
    context: Any, pods: Any, kit: Any, targets: Targets
) -> None:
    stable, canary = kit.served(S), kit.served(C)
    stable.requests = {("200", 3): 95}
    canary.requests = {("503", 3): 5}
    pods.pages["gw-1"] = kit.page(stable.series("source") + canary.series("source"))
    pods.pages["gw-2"] = kit.page(stable.series("source") + canary.series("destination"))
    config = MetricsConfig(gateway=GatewayPods(namespace="edge", selector="istio=gw"))
    source = IstioProxySource(config, context(gateways=("gw-1", "gw-2")))
    source.check(targets)
    snapshot = source.read(targets)
    assert {asked[:2] for asked in pods.asked} == {("edge", "gw-1"), ("edge", "gw-2")}
    assert [(s.pod, s.side, s.counts.requests) for s in snapshot.samples] == [
        ("gw-1", S, 95), ("gw-1", C, 5), ("gw-2", S, 95), ("gw-2", C, 0),
    ]  # fmt: skip


def test_check_passes_where_stable_has_counts(
    source: IstioProxySource, served: dict[str, Any], pods: Any, targets: Targets
) -> None:
    del pods.pages["shop-canary-1"]  # not deployed yet
    source.check(targets)
    source.check(())


def test_check_says_that_the_metric_is_not_there(
    source: IstioProxySource, pods: Any, kit: Any, targets: Targets
) -> None:
    pods.pages = {"shop-1": kit.page([]), "shop-2": kit.page([])}
    with pytest.raises(NoDataError, match="none has istio_requests_total") as caught:
        source.check(targets)
    assert "Telemetry" in caught.value.hint


@pytest.mark.parametrize(
    ("wrong", "kind", "seen"),
    [
        ({"destination_workload": "checkout"}, NoDataError, "shop/checkout"),
        ({"destination_service": "old.shop.svc.cluster.local"}, UsageError, "old.shop.svc.cluster.local"),
        ({"reporter": "source"}, UsageError, "reporters source"),
    ],
)
def test_check_tells_wrong_labels_from_no_traffic(
    source: IstioProxySource, pods: Any, kit: Any, targets: Targets, wrong: dict[str, str], kind: type, seen: str
) -> None:
    one = kit.served(S)
    one.requests = {("200", 3): 9}
    pods.pages["shop-1"] = kit.page([(name, {**labels, **wrong}, value) for name, labels, value in one.series()])
    with pytest.raises(kind) as caught:
        source.check(targets)
    assert seen in caught.value.why


def test_check_without_pods(source: IstioProxySource, context: Any, targets: Targets) -> None:
    empty = tuple(SideTarget(t.side, t.namespace, t.workload, t.service_host, t.subset) for t in targets)
    with pytest.raises(ObjectMissingError, match="no pod to read"):
        source.check(empty)
    assert source.read(empty).problems
    gateway = IstioProxySource(MetricsConfig(gateway=GatewayPods()), context())
    with pytest.raises(ObjectMissingError, match="selector istio=ingressgateway"):
        gateway.check(targets)


def test_configuration_that_cannot_work_is_refused_at_once(context: Any) -> None:
    (build,) = [plugin.build for plugin in SOURCES if plugin.name == "istio-proxy"]
    with pytest.raises(ConfigError, match=r"needs metrics\.gateway"):
        build(MetricsConfig(reporter="source"), context())
    with pytest.raises(ConfigError, match=r"metrics.queries \(heap\)"):
        build(MetricsConfig(queries=(UserMetric("heap", "x"),)), context())
