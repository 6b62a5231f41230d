"""Source prometheus: the exact queries, whose samples are used, what is refused, what check says."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.adapters.metrics import SOURCES
from gitlab_mesh.adapters.metrics.prometheus import PrometheusSource
from gitlab_mesh.config.model import GatewayPods, MetricsConfig
from gitlab_mesh.core.judge.model import Importance
from gitlab_mesh.core.judge.settings import UserMetric
from gitlab_mesh.core.metrics.counts import Counts, Histogram, Side, SideTarget, UserSample
from gitlab_mesh.errors import ConfigError, NoDataError, TransientError, UsageError

Targets = tuple[SideTarget, ...]
S, C = Side.STABLE, Side.CANARY
NOW = 1_700_000_000.0
INF = float("inf")


@pytest.fixture
def make(prometheus: Any, context: Any) -> Any:
    def build(**config: Any) -> PrometheusSource:
        return PrometheusSource(MetricsConfig(source="prometheus", address=prometheus.address, **config), context())

    return build


def scrape(pod: str, **more: str) -> dict[str, str]:
    return {"namespace": "shop", "pod": pod, "instance": f"{pod}:15020", "job": "proxies", **more}


@pytest.fixture
def world(prometheus: Any, kit: Any) -> Any:
    """Two stable pods and one canary pod, scraped at their own moments."""

    class World:
        def __init__(self) -> None:
            self.pods = {"shop-1": kit.served(S), "shop-2": kit.served(S), "shop-canary-1": kit.served(C)}
            self.pods["shop-1"].requests = {("200", 3): 90, ("503", 400): 2}
            self.pods["shop-2"].requests = {("200", 3): 10}
            self.pods["shop-canary-1"].requests = {("200", 40): 4, ("500", 3): 1}
            self.scraped = {"shop-1": NOW - 1.5, "shop-2": NOW - 7.25, "shop-canary-1": NOW - 14}
            self.matrix: list[dict[str, Any]] = []
            for name, one in self.pods.items():
                self.add(one.series(), scrape(name), self.scraped[name])

        def add(self, series: Any, labels: dict[str, str], moment: float) -> None:
            self.matrix += kit.matrix(series, labels, [moment - 30, moment - 15, moment])
            prometheus.results["{__name__=~"] = self.matrix

    return World()


def test_asks_for_raw_series_at_the_servers_own_time(make: Any, world: Any, prometheus: Any, targets: Targets) -> None:
    snapshot = make(max_age=45.0).read(targets)
    assert prometheus.queries() == [
        "time()",
        (
            '{__name__=~"envoy_istio_request_duration_milliseconds_bucket|envoy_istio_requests_total'
            '|istio_request_duration_milliseconds_bucket|istio_requests_total",reporter="destination",'
            'destination_workload=~"shop|shop-canary",destination_workload_namespace=~"shop"}[45000ms]'
        ),
    ]
    first, second = prometheus.requests
    assert (first.method, first.path) == ("POST", "/api/v1/query")
    assert first.form == {"query": "time()"}
    assert second.form["time"] == "1700000000.0"
    assert snapshot.time_seconds == NOW
    assert [(s.pod, s.side, s.time_seconds, s.counts.requests, dict(s.counts.errors)) for s in snapshot.samples] == [
        ("shop-1", S, NOW - 1.5, 92, {"5xx": 2}),
        ("shop-2", S, NOW - 7.25, 10, {}),
        ("shop-canary-1", C, NOW - 14, 5, {"5xx": 1}),
    ]
    assert snapshot.samples[2].counts.latency == Histogram((0.005, 0.05, 0.5, INF), (1, 4, 0, 0))
    assert snapshot.problems == ()


def test_the_sources_queries_name_the_gateways_namespace(make: Any, prometheus: Any, targets: Targets) -> None:
    make(gateway=GatewayPods(namespace="edge")).read(targets)
    assert 'reporter="source"' in prometheus.queries()[1]
    assert prometheus.queries()[1].endswith('source_workload_namespace="edge"}[60000ms]')
    make(reporter="source").read(targets)
    assert "source_workload_namespace" not in prometheus.queries()[3]


def test_the_source_sees_both_sides_of_each_caller(make: Any, prometheus: Any, kit: Any, targets: Targets) -> None:
    stable, canary = kit.served(S), kit.served(C)
    stable.requests, canary.requests = {("200", 3): 9}, {("503", 3): 2}
    gateway = {"namespace": "edge", "pod": "gw-0", "job": "proxies"}
    other = {"namespace": "web", "pod": "gw-0", "job": "proxies"}
    prometheus.results["{__name__=~"] = [
        *kit.matrix(stable.series("source"), gateway, [NOW - 3]),
        *kit.matrix(canary.series("source"), gateway, [NOW - 3]),
        *kit.matrix(stable.series("source"), other, [NOW - 4]),
    ]
    samples = make(reporter="source").read(targets).samples
    assert {(s.pod, s.side): s.counts.requests for s in samples} == {
        ("edge/gw-0", S): 9, ("edge/gw-0", C): 2, ("web/gw-0", S): 9, ("web/gw-0", C): 0,
    }  # fmt: skip


def test_a_series_that_the_newest_scrape_lacks_is_gone(make: Any, world: Any, kit: Any, targets: Targets) -> None:
    """The proxy restarted: its old 503 series is still in the range, but not in what the proxy counts now."""
    old = kit.served(C)
    old.requests = {("503", 3): 500}
    world.add(old.series(), scrape("shop-canary-1"), NOW - 29)
    samples = {s.pod: s for s in make().read(targets).samples}
    assert samples["shop-canary-1"].counts.requests == 5


@pytest.mark.parametrize(
    ("copy", "named"),
    [
        ({"prometheus_replica": "b"}, "prometheus_replica=(none), b"),
        ({"replica": "1"}, "replica=(none), 1"),
        ({"job": "kubernetes-pods"}, "job=kubernetes-pods, proxies"),
        ({"cluster": "west"}, "cluster=(none), west"),
    ],
)
def test_copies_of_a_pod_are_named_and_never_summed(
    make: Any, world: Any, targets: Targets, copy: dict[str, str], named: str
) -> None:
    world.add(world.pods["shop-1"].series(), scrape("shop-1", **copy), NOW - 1.6)
    source = make()
    snapshot = source.read(targets)
    assert [s.pod for s in snapshot.samples] == ["shop-2", "shop-canary-1"]
    assert snapshot.problems == (f"pod shop-1 is there more than once ({named}); it is not counted",)
    with pytest.raises(UsageError, match="pod shop-1 more than once"):
        source.check(targets)


def test_without_pod_labels_the_instance_is_the_owner(make: Any, prometheus: Any, kit: Any, targets: Targets) -> None:
    one = kit.served(S)
    one.requests = {("200", 3): 7}
    prometheus.results["{__name__=~"] = [
        *kit.matrix(one.series(), {"instance": "10.0.0.1:15020", "job": "p"}, [NOW]),
        *kit.matrix(one.series(), {"instance": "10.0.0.2:15020", "job": "p"}, [NOW]),
        *kit.matrix(one.series(), {}, [NOW]),
    ]
    snapshot = make().read(targets)
    assert [(s.pod, s.counts.requests) for s in snapshot.samples] == [("10.0.0.1:15020", 7), ("10.0.0.2:15020", 7)]
    assert "neither a pod nor an instance label" in snapshot.problems[0]


def test_a_pod_that_is_scraped_and_has_served_nothing_is_zero(
    make: Any, world: Any, prometheus: Any, targets: Targets
) -> None:
    world.matrix[:] = [entry for entry in world.matrix if entry["metric"]["pod"] != "shop-canary-1"]
    prometheus.results["up{"] = [
        {"metric": {"__name__": "up", **scrape("shop-canary-1")}, "values": [[NOW - 4, "1"]]},
        {"metric": {"__name__": "up", **scrape("shop-canary-1", job="app")}, "values": [[NOW - 1, "1"]]},
    ]
    snapshot = make().read(targets)
    assert prometheus.queries()[-1] == 'up{pod=~"shop-canary-1"}[60000ms]'
    (zero,) = [s for s in snapshot.samples if s.side is C]
    assert (zero.pod, zero.time_seconds, zero.counts) == ("shop-canary-1", NOW - 4, Counts())
    prometheus.results["up{"][0]["values"] = [[NOW - 4, "0"]]  # the last scrape failed: nothing is known
    assert not [s for s in make().read(targets).samples if s.side is C]


@pytest.mark.parametrize(
    ("value", "problem"),
    [("NaN", "nan, which is not a count"), ("+Inf", "inf, which is not a count"), ("-5", "-5.0, which is not")],
)
def test_values_that_are_no_counts_are_refused_by_name(
    make: Any, world: Any, targets: Targets, value: str, problem: str
) -> None:
    entry = next(entry for entry in world.matrix if entry["metric"]["pod"] == "shop-2")
    entry["values"][-1][1] = value
    snapshot = make().read(targets)
    assert [s.pod for s in snapshot.samples] == ["shop-1", "shop-canary-1"]
    assert "pod shop-2" in snapshot.problems[0]
    assert problem in snapshot.problems[0]


def test_warnings_and_emptiness_are_problems(make: Any, prometheus: Any, kit: Any, targets: Targets) -> None:
    assert make().read(targets).problems == ("Prometheus has no request counter of these workloads younger than 60 s",)
    prometheus.results["{__name__=~"] = kit.data("matrix", [], warnings=["store gateway 2 did not answer"])
    assert make().read(targets).problems == ("Prometheus warns: store gateway 2 did not answer",)


@pytest.mark.parametrize("result", [None, 5, [1], [{"values": [[1, "2"]]}], [{"metric": {}, "values": [["x"]]}]])
def test_a_malformed_matrix_is_our_error(
    make: Any, prometheus: Any, kit: Any, targets: Targets, result: object
) -> None:
    prometheus.results["{__name__=~"] = kit.data("matrix", result)
    with pytest.raises(TransientError, match="no matrix"):
        make().read(targets)


def user_metric(query: str = 'sum(queue{side="{{ side }}"})', **more: Any) -> UserMetric:
    return UserMetric("queue", query, **more)


def vector(*values: str, **labels: str) -> list[dict[str, Any]]:
    return [{"metric": {**labels, "n": str(i)}, "value": [NOW, value]} for i, value in enumerate(values)]


def test_user_metrics_are_asked_once_a_side_with_a_short_lookback(
    make: Any, world: Any, prometheus: Any, targets: Targets
) -> None:
    prometheus.results['queue{side="stable"}'] = vector("2.5")
    prometheus.results['queue{side="canary"}'] = vector("NaN")
    prometheus.results["ratio_of_both"] = vector("0.5")
    source = make(queries=(user_metric(), UserMetric("ratio", "ratio_of_both")), max_age=30.0)
    snapshot = source.read(targets)
    stable, canary, both = snapshot.user
    assert stable == UserSample("queue", S, 2.5, NOW)
    assert canary.side is C
    assert canary.value != canary.value  # NaN: the core refuses it, not the adapter
    assert both == UserSample("ratio", None, 0.5, NOW)
    asked = [r.form for r in prometheus.requests if "queue" in r.form["query"]]
    assert asked[0] == {
        "query": 'sum(queue{side="stable"})', "time": "1700000000.0", "lookback_delta": "30000ms",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (vector("1", "2"), 'the query found 2 series, exactly one is needed: {n="0"}; {n="1"}'),
        ([], "the query found no series"),
        ("error", "answered 400: bad_data: unexpected end"),
        ("matrix", "answered a matrix; one value is needed"),
        ("warning", "Prometheus warns: partial"),
        ("broken", "no value"),
    ],
)
def test_a_user_metric_without_exactly_one_series_is_a_named_problem(
    make: Any, world: Any, prometheus: Any, kit: Any, targets: Targets, answer: Any, problem: str
) -> None:
    special = {
        "error": kit.error(400, "bad_data", "unexpected end"),
        "matrix": kit.data("matrix", []),
        "warning": kit.data("vector", vector("1"), warnings=["partial"]),
        "broken": kit.data("vector", [{"metric": {}, "value": ["x", "y"]}]),
    }
    prometheus.results["queue"] = special[answer] if isinstance(answer, str) else kit.data("vector", answer)
    snapshot = make(queries=(user_metric("queue"),)).read(targets)
    assert len(snapshot.samples) == 3
    (text,) = snapshot.problems
    assert text.startswith("metric queue: ")
    assert problem in text


def test_check_passes_where_everything_is_there(make: Any, world: Any, prometheus: Any, targets: Targets) -> None:
    prometheus.results["queue"] = vector("1")
    make(queries=(user_metric(),)).check(targets)
    make().check(())


def group(*labels: dict[str, str]) -> list[dict[str, Any]]:
    return [{"metric": one, "value": [NOW, "3"]} for one in labels]


OURS = {"reporter": "destination", "destination_workload": "shop", "destination_service": "shop.shop.svc.cluster.local"}


@pytest.mark.parametrize(
    ("in_namespace", "anywhere", "kind", "what", "why"),
    [
        ([], [], NoDataError, "does not know istio_requests_total", "does not scrape the proxies"),
        ([], [{"destination_workload_namespace": "cart"}], NoDataError, "no request to a workload of", "cart"),
        ([{**OURS, "destination_workload": "till"}], [], NoDataError, "no request to workload shop/shop", "till"),
        ([{**OURS, "reporter": "source"}], [], UsageError, "does not fit", "reporters source"),
        ([{**OURS, "destination_service": "old.shop.svc"}], [], UsageError, "does not fit", "hosts old.shop.svc"),
        ([OURS], [], NoDataError, "younger than 60 s", "more seldom"),
    ],
)
def test_check_tells_the_reasons_apart(
    make: Any, prometheus: Any, targets: Targets,
    in_namespace: list[dict[str, str]], anywhere: list[dict[str, str]], kind: type, what: str, why: str,
) -> None:  # fmt: skip
    prometheus.results["count by (reporter"] = group(*in_namespace)
    prometheus.results["count by (destination_workload_namespace)"] = group(*anywhere)
    with pytest.raises(kind) as caught:
        make().check(targets)
    assert what in caught.value.what
    assert why in caught.value.why
    assert caught.value.hint
    assert any('destination_workload_namespace="shop"' in query for query in prometheus.queries())


def test_check_tries_the_users_queries(make: Any, world: Any, prometheus: Any, kit: Any, targets: Targets) -> None:
    prometheus.results["queue"] = kit.error(400, "bad_data", "parse error")
    with pytest.raises(UsageError, match=r"metric queue: .*parse error"):
        make(queries=(user_metric(),)).check(targets)
    prometheus.results["queue"] = vector("1", "2")
    with pytest.raises(UsageError, match="metric queue: the query found 2 series"):
        make(queries=(user_metric(),)).check(targets)
    prometheus.results["queue"] = kit.data("vector", [])
    make(queries=(user_metric(),)).check(targets)  # not critical: data may come
    with pytest.raises(NoDataError, match="metric queue: the query found no series"):
        make(queries=(user_metric(importance=Importance.CRITICAL),)).check(targets)
    with pytest.raises(UsageError, match="blank"):
        make(queries=(user_metric("x{{ version }}"),)).check(targets)


@pytest.mark.parametrize("address", [None, "", "prometheus:9090", "ftp://prometheus", "http://"])
def test_an_address_that_is_none_is_refused_at_once(context: Any, address: str | None) -> None:
    (build,) = [plugin.build for plugin in SOURCES if plugin.name == "prometheus"]
    with pytest.raises(ConfigError, match=r"metrics\.address"):
        build(MetricsConfig(source="prometheus", address=address), context())
