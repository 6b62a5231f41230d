"""Envoy's exposition becomes that of one Istio proxy, and is served where a Prometheus would scrape it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from gitlab_mesh.errors import ObjectMissingError, TransientError
from gitlab_mesh.sandbox.envoy.labels import canonical_revision, canonical_service
from gitlab_mesh.sandbox.envoy.model import ProxyPod
from gitlab_mesh.sandbox.envoy.scrape_server import ScrapeServer
from gitlab_mesh.sandbox.envoy.telemetry import Telemetry, rewrite_exposition
from gitlab_mesh.sandbox.envoy.telemetry_tags import source_labels

GATEWAY_SENDER = source_labels(ProxyPod("istio-system", "gw-0", "gw", {"app": "gw"}))
ENVOY = """\
# TYPE envoy_istio_requests_total counter
envoy_istio_requests_total{reporter="destination",emulated_source="gateway",response_code="200",response_flags="-",emulated_proxy="shop/a#1"} 3
envoy_istio_requests_total{reporter="destination",emulated_source="",response_code="200",response_flags="-",emulated_proxy="shop/a#1"} 2
envoy_istio_requests_total{reporter="destination",emulated_source="forged",response_code="200",response_flags="-",emulated_proxy="shop/a#1"} 5
# TYPE envoy_istio_request_duration_milliseconds histogram
envoy_istio_request_duration_milliseconds_bucket{reporter="source",destination_workload="",destination_canonical_revision="",response_flags="NC",emulated_proxy="shop/a#1",le="0.5"} 10
envoy_istio_request_duration_milliseconds_bucket{reporter="source",destination_workload="",destination_canonical_revision="",response_flags="NC",emulated_proxy="shop/a#1",le="+Inf"} 10
envoy_istio_request_duration_milliseconds_sum{reporter="source",destination_workload="",destination_canonical_revision="",response_flags="NC",emulated_proxy="shop/a#1"} 4.5
envoy_istio_request_duration_milliseconds_count{reporter="source",destination_workload="",destination_canonical_revision="",response_flags="NC",emulated_proxy="shop/a#1"} 10
"""  # noqa: E501


class FakeAdmin:
    """Answers with a fixed exposition."""

    def __init__(self, text: str = ENVOY) -> None:
        self.text = text
        self.patterns: list[str] = []

    def stats(self, pattern: str) -> dict[str, Any]:
        return {}

    def prometheus(self, pattern: str) -> str:
        self.patterns.append(pattern)
        if not self.text:
            raise TransientError("Envoy's admin interface does not answer")
        return self.text


def telemetry(admin: FakeAdmin) -> Telemetry:
    return Telemetry(admin, lambda: {"shop/a": "shop/a#1"}, {"gateway": ProxyPod("istio-system", "gw-0", "gw", {})})


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_nothing_of_envoy_or_of_the_emulation_is_left() -> None:
    text = rewrite_exposition(ENVOY, {"gateway": GATEWAY_SENDER})
    assert "envoy" not in text
    assert "emulated" not in text
    assert lines(text, "# TYPE") == [
        "# TYPE istio_requests_total counter",
        "# TYPE istio_request_duration_milliseconds histogram",
    ]


def test_the_sender_is_named_and_strangers_are_unknown_and_added_up() -> None:
    known, unknown = lines(rewrite_exposition(ENVOY, {"gateway": GATEWAY_SENDER}), "istio_requests_total")
    assert 'source_workload="gw"' in known
    assert 'source_workload_namespace="istio-system"' in known
    assert known.endswith(" 3")
    assert 'source_workload="unknown"' in unknown
    assert 'source_canonical_revision="latest"' in unknown
    assert unknown.endswith(" 7")


def test_what_is_not_known_is_written_as_istio_does() -> None:
    text = rewrite_exposition(ENVOY, {})
    (count,) = lines(text, "istio_request_duration_milliseconds_count")
    assert 'destination_workload="unknown"' in count
    assert 'destination_canonical_revision="latest"' in count
    assert 'response_flags="NC"' in count
    assert 'response_flags="-"' in lines(text, "istio_requests_total")[0]
    buckets = lines(text, "istio_request_duration_milliseconds_bucket")
    assert [one.rpartition('le="')[2] for one in buckets] == ['0.5"} 10', '+Inf"} 10']


def test_no_requests_are_an_empty_exposition() -> None:
    assert rewrite_exposition("# TYPE envoy_other counter\n", {}) == "# TYPE other counter\n"
    assert rewrite_exposition("", {}) == ""


def test_only_the_pods_own_statistics_are_asked_for() -> None:
    admin = FakeAdmin()
    telemetry(admin).render("shop", "a")
    assert admin.patterns[0].endswith(r"emulated_proxy\.shop/a\#1$")


def test_a_pod_that_is_gone_is_missing() -> None:
    with pytest.raises(ObjectMissingError, match="shop/b"):
        telemetry(FakeAdmin()).render("shop", "b")


@pytest.mark.parametrize(
    ("labels", "service", "revision"),
    [
        ({}, "workload", "latest"),
        ({"app": "a", "version": "1"}, "a", "1"),
        ({"app": "a", "app.kubernetes.io/name": "b", "app.kubernetes.io/version": "2", "version": "1"}, "b", "2"),
        (
            {
                "app": "a",
                "version": "1",
                "service.istio.io/canonical-name": "c",
                "service.istio.io/canonical-revision": "3",
            },
            "c",
            "3",
        ),
    ],
)
def test_canonical_names(labels: dict[str, str], service: str, revision: str) -> None:
    assert (canonical_service(labels, "workload"), canonical_revision(labels)) == (service, revision)


@pytest.fixture
def served() -> Iterator[tuple[FakeAdmin, ScrapeServer]]:
    admin = FakeAdmin()
    server = ScrapeServer(telemetry(admin))
    yield admin, server
    server.close()


def fetch(server: ScrapeServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_pods_exposition_is_served(served: tuple[FakeAdmin, ScrapeServer]) -> None:
    admin, server = served
    status, text = fetch(server, "/pods/shop/a/stats/prometheus")
    assert (status, text) == (200, telemetry(admin).render("shop", "a"))


@pytest.mark.parametrize("path", ["/", "/pods/shop/b/stats/prometheus", "/pods/shop/a", "/pods/shop/a/stats/other"])
def test_other_paths_are_404(served: tuple[FakeAdmin, ScrapeServer], path: str) -> None:
    assert fetch(served[1], path)[0] == 404


def test_without_envoy_it_is_503_with_the_reason(served: tuple[FakeAdmin, ScrapeServer]) -> None:
    admin, server = served
    admin.text = ""
    status, text = fetch(server, "/pods/shop/a/stats/prometheus")
    assert status == 503
    assert "does not answer" in text


def test_targets_are_in_the_format_of_service_discovery(served: tuple[FakeAdmin, ScrapeServer]) -> None:
    _, server = served
    status, text = fetch(server, "/targets")
    assert status == 200
    assert json.loads(text) == server.targets()
    (target,) = server.targets()
    assert target["targets"] == [f"127.0.0.1:{server.port}"]
    assert target["labels"]["__metrics_path__"] == "/pods/shop/a/stats/prometheus"
    assert server.scrape_config()["http_sd_configs"][0]["url"] == f"http://127.0.0.1:{server.port}/targets"
