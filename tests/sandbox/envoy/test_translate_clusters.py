"""Services and DestinationRules become clusters and endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.sandbox.envoy.model import MeshSettings, Translation
from gitlab_mesh.sandbox.envoy.translate import translate

SHOP = "shop.shop.svc.cluster.local"


@pytest.fixture
def run(make, mesh_settings: MeshSettings):
    def run(*objects: dict[str, Any], pods=None) -> Translation:
        return translate(objects, pods if pods is not None else [make.inbound("v1"), make.inbound("v2")], mesh_settings)

    return run


def ports_of(translation: Translation, cluster: str) -> list[int]:
    found = translation.config.endpoints[cluster]["endpoints"][0]["lb_endpoints"]
    return [one["endpoint"]["address"]["socket_address"]["port_value"] for one in found]


def test_subsets_choose_pods_by_label(run, make) -> None:
    translation = run(make.service(), make.rule("v1", "v2", "v3"))
    assert ports_of(translation, f"outbound|80||{SHOP}") == [20001, 20002]
    assert ports_of(translation, f"outbound|80|v2|{SHOP}") == [20002]
    # A subset without pods is a cluster without endpoints: 503 UH, as in Istio.
    assert ports_of(translation, f"outbound|80|v3|{SHOP}") == []


def test_pods_that_are_not_ready_get_no_requests_but_keep_their_sidecar(run, make) -> None:
    translation = run(make.service(), pods=[make.inbound("v1"), make.inbound("v2", ready=False)])
    assert ports_of(translation, f"outbound|80||{SHOP}") == [20001]
    assert "inbound|shop/shop-v2-0#1" in translation.config.listeners


def test_a_service_selects_within_its_namespace(run, make) -> None:
    translation = run(make.service(namespace="other"))
    assert ports_of(translation, "outbound|80||shop.other.svc.cluster.local") == []


def test_endpoints_carry_what_telemetry_says_about_the_destination(run, make) -> None:
    translation = run(make.service())
    endpoint = translation.config.endpoints[f"outbound|80||{SHOP}"]["endpoints"][0]["lb_endpoints"][0]
    assert endpoint["metadata"]["filter_metadata"]["istio"] == {
        "workload": "shop-v1",
        "namespace": "shop",
        "app": "shop",
        "version": "v1",
        "canonical_service": "shop",
        "canonical_revision": "v1",
    }


POOL = {
    "tcp": {"maxConnections": 7, "connectTimeout": "30ms"},
    "http": {"http1MaxPendingRequests": 2, "http2MaxRequests": 3, "maxRetries": 4, "maxRequestsPerConnection": 5},
}
OUTLIER = {"consecutive5xxErrors": 3, "interval": "1s", "baseEjectionTime": "3s", "maxEjectionPercent": 100}


@pytest.mark.parametrize(
    ("policy", "envoy"),
    [
        ({"loadBalancer": {"simple": "ROUND_ROBIN"}}, {"lb_policy": "ROUND_ROBIN"}),
        ({"loadBalancer": {"simple": "LEAST_CONN"}}, {"lb_policy": "LEAST_REQUEST"}),
        ({"tls": {"mode": "DISABLE"}}, {"lb_policy": "LEAST_REQUEST"}),
        (
            {"connectionPool": POOL},
            {
                "connect_timeout": "0.03s",
                "circuit_breakers": {
                    "thresholds": [
                        {"max_connections": 7, "max_pending_requests": 2, "max_requests": 3, "max_retries": 4}
                    ]
                },
            },
        ),
        (
            {"outlierDetection": OUTLIER},
            {
                "outlier_detection": {
                    "enforcing_success_rate": 0,
                    "consecutive_5xx": 3,
                    "enforcing_consecutive_5xx": 100,
                    "interval": "1s",
                    "base_ejection_time": "3s",
                    "max_ejection_percent": 100,
                },
                "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
            },
        ),
    ],
)
def test_traffic_policies(run, make, policy: dict[str, Any], envoy: dict[str, Any]) -> None:
    cluster = run(make.service(), make.rule("v1", policy=policy)).config.clusters[f"outbound|80|v1|{SHOP}"]
    assert envoy.items() <= cluster.items()


def test_a_subsets_section_replaces_the_hosts_as_a_whole(run, make) -> None:
    rule = make.rule("v1", "v2", policy={"connectionPool": POOL, "loadBalancer": {"simple": "RANDOM"}})
    rule["spec"]["subsets"][1]["trafficPolicy"] = {"connectionPool": {"tcp": {"maxConnections": 9}}}
    clusters = run(make.service(), rule).config.clusters
    v1, v2 = clusters[f"outbound|80|v1|{SHOP}"], clusters[f"outbound|80|v2|{SHOP}"]
    assert v1["circuit_breakers"]["thresholds"][0]["max_pending_requests"] == 2
    assert v2["circuit_breakers"]["thresholds"][0]["max_pending_requests"] == 4294967295
    assert v2["circuit_breakers"]["thresholds"][0]["max_connections"] == 9
    assert (v2["connect_timeout"], v2["lb_policy"]) == ("10s", "RANDOM")


def test_destination_rules_of_one_host_are_merged_with_a_warning(run, make) -> None:
    old = make.rule("v1", name="old", age=9, policy={"loadBalancer": {"simple": "RANDOM"}})
    young = make.rule("v2", name="young", host=SHOP, policy={"loadBalancer": {"simple": "ROUND_ROBIN"}})
    translation = run(make.service(), young, old)
    assert {f"outbound|80|v1|{SHOP}", f"outbound|80|v2|{SHOP}"} <= translation.config.clusters.keys()
    assert translation.config.clusters[f"outbound|80||{SHOP}"]["lb_policy"] == "RANDOM"
    assert "DestinationRule shop/young" in translation.warnings[0]


@pytest.mark.parametrize(
    "port",
    [
        {"name": "tcp-db", "port": 5432},
        {"name": "grpc", "port": 9000},
        {"port": 443, "appProtocol": "https"},
        {"port": 53, "protocol": "UDP"},
        {"port": 9000, "appProtocol": "kubernetes.io/h2c"},
    ],
)
def test_ports_that_do_not_speak_http_are_left_out_with_a_warning(run, make, port: dict[str, Any]) -> None:
    service = make.service()
    service["spec"]["ports"].append(port)
    translation = run(service)
    assert [name for name in translation.config.clusters if name.startswith("outbound")] == [f"outbound|80||{SHOP}"]
    assert f"port {port['port']}" in translation.warnings[0]


@pytest.mark.parametrize(
    "port", [{"port": 80}, {"name": "web", "port": 80}, {"name": "x", "port": 80, "appProtocol": "http"}]
)
def test_other_ports_are_http(run, make, port: dict[str, Any]) -> None:
    service = make.service()
    service["spec"]["ports"] = [port]
    if port.get("name") == "web":
        assert run(service).warnings == ()
    assert f"outbound|80||{SHOP}" in run(service).config.clusters


def test_a_pods_destination_service_is_the_oldest_that_selects_it(run, make) -> None:
    translation = run(make.service("shop-canary"), make.service("shop", age=5), pods=[make.inbound("v1")])
    listener = translation.config.listeners["inbound|shop/shop-v1-0#1"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (counter,) = manager["access_log"][0]["typed_config"]["counters"]
    tags = {one["name"]: one["value_format"] for one in counter["stat"]["tags"]}
    assert tags["destination_service"] == SHOP
    assert (tags["reporter"], tags["destination_workload"]) == ("destination", "shop-v1")
