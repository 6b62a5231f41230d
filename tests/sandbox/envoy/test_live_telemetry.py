"""Istio's metrics, counted by a real Envoy: exact for known requests, on both sides, through pods that come and go."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.sandbox.envoy.scrape_server import ScrapeServer

pytestmark = pytest.mark.sandbox

SHOP = "shop.shop.svc.cluster.local"
LABEL = re.compile(r'(\w+)="([^"]*)"')


def samples(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    found = []
    for line in text.splitlines():
        if line.startswith(name + "{"):
            labels, _, value = line[len(name) :].rpartition(" ")
            found.append((dict(LABEL.findall(labels)), float(value)))
    return found


def totals(world, namespace: str, pod: str, *by: str) -> Counter[tuple[str, ...]]:
    text = world.mesh.telemetry.render(namespace, pod)
    found: Counter[tuple[str, ...]] = Counter()
    for labels, value in samples(text, "istio_requests_total"):
        found[tuple(labels[name] for name in by)] += int(value)
    return found


@pytest.fixture
def known(world, make):
    """24 requests: through the gateway 10 to v1 (2 of them 500), 5 to v2; in the mesh 6 to v1, 3 to nowhere."""
    world.put(make.gateway("shop.example"))
    http = [
        {"match": [{"uri": {"prefix": "/gone"}}], "route": [make.to("v9")]},
        {"match": [{"headers": {"x-canary": {}}}], "route": [make.to("v2")]},
        {"route": [make.to("v1")], "retries": {"attempts": 0}},
    ]
    world.put(make.route(http, hosts=("shop", "shop.example"), gateways=["public", "mesh"]))
    world.settle()
    gateway, mesh = world.client(world.mesh.gateway_port, "shop.example"), world.client()
    for path in ["/"] * 8 + ["/status/500"] * 2:
        gateway.get(path)
    for _ in range(5):
        gateway.get(x_canary="1")
    for path in ["/"] * 6 + ["/gone"] * 3:
        mesh.get(path)
    return world


def test_the_source_side_counts_exactly(known) -> None:
    by = ("destination_workload", "destination_version", "response_code", "response_flags")
    assert totals(known, "istio-system", "istio-ingressgateway-0", *by) == {
        ("shop-v1", "v1", "200", "-"): 8,
        ("shop-v1", "v1", "500", "-"): 2,
        ("shop-v2", "v2", "200", "-"): 5,
    }
    assert totals(known, "default", "client-0", *by) == {
        ("shop-v1", "v1", "200", "-"): 6,
        ("unknown", "unknown", "503", "NC"): 3,
    }


def test_the_destination_side_counts_exactly(known) -> None:
    by = ("source_workload", "source_workload_namespace", "response_code")
    assert totals(known, "shop", "shop-v1-0", *by) == {
        ("istio-ingressgateway", "istio-system", "200"): 8,
        ("istio-ingressgateway", "istio-system", "500"): 2,
        ("client", "default", "200"): 6,
    }
    assert totals(known, "shop", "shop-v2-0", *by) == {("istio-ingressgateway", "istio-system", "200"): 5}


def test_all_labels_are_istios(known) -> None:
    text = known.mesh.telemetry.render("istio-system", "istio-ingressgateway-0")
    labels = next(one for one, _ in samples(text, "istio_requests_total") if one["response_code"] == "500")
    assert labels == {
        "reporter": "source",
        "source_workload": "istio-ingressgateway",
        "source_workload_namespace": "istio-system",
        "source_app": "istio-ingressgateway",
        "source_version": "unknown",
        "source_canonical_service": "istio-ingressgateway",
        "source_canonical_revision": "latest",
        "source_cluster": "Kubernetes",
        "source_principal": "unknown",
        "destination_workload": "shop-v1",
        "destination_workload_namespace": "shop",
        "destination_app": "shop",
        "destination_version": "v1",
        "destination_canonical_service": "shop",
        "destination_canonical_revision": "v1",
        "destination_service": SHOP,
        "destination_service_name": "shop",
        "destination_service_namespace": "shop",
        "destination_cluster": "Kubernetes",
        "destination_principal": "unknown",
        "request_protocol": "http",
        "response_code": "500",
        "response_flags": "-",
        "grpc_response_status": "",
        "connection_security_policy": "unknown",
    }
    text = known.mesh.telemetry.render("shop", "shop-v1-0")
    received = samples(text, "istio_requests_total")[0][0]
    assert received.keys() == labels.keys()
    assert received["reporter"] == "destination"
    assert received["destination_service"] == SHOP
    assert received["connection_security_policy"] == "none"


def test_the_histogram_has_every_request_at_once_and_istios_buckets(known) -> None:
    text = known.mesh.telemetry.render("shop", "shop-v1-0")
    name = "istio_request_duration_milliseconds"
    counted = {tuple(sorted(labels.items())): value for labels, value in samples(text, f"{name}_count")}
    assert counted == {tuple(sorted(labels.items())): value for labels, value in samples(text, "istio_requests_total")}
    buckets = [labels["le"] for labels, _ in samples(text, f"{name}_bucket") if labels["response_code"] == "500"]
    assert buckets == [
        *("0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000", "60000"),
        *("300000", "600000", "1800000", "3600000", "+Inf"),
    ]
    assert len(samples(text, f"{name}_sum")) == len(counted)


@pytest.mark.parametrize("world", [2], indirect=True)
def test_two_workers_count_as_one(world) -> None:
    for _ in range(20):
        world.client().get()  # a connection each, so that both workers get some
    text = world.mesh.telemetry.render("default", "client-0")
    assert [value for _, value in samples(text, "istio_requests_total")] == [20]
    assert [value for _, value in samples(text, "istio_request_duration_milliseconds_count")] == [20]


def test_a_slow_request_falls_into_its_bucket(world, make) -> None:
    fault = {"delay": {"fixedDelay": "60ms", "percentage": {"value": 100}}}
    world.put(make.route([{"route": [make.to("v1")], "fault": fault}]))
    world.settle()
    world.client().get()
    text = world.mesh.telemetry.render("default", "client-0")
    buckets = {one["le"]: value for one, value in samples(text, "istio_request_duration_milliseconds_bucket")}
    assert buckets["50"] == 0
    assert buckets["+Inf"] == 1


def test_retries_are_one_request_at_the_source_and_several_at_the_destination(world, make) -> None:
    world.put(make.route([{"route": [make.to("v1")], "retries": {"attempts": 2, "retryOn": "5xx", "backoff": "1ms"}}]))
    world.settle()
    world.client().get("/fail/2")
    assert totals(world, "default", "client-0", "response_code") == {("200",): 1}
    assert totals(world, "shop", "shop-v1-0", "response_code") == {("200",): 1, ("503",): 2}


def test_mirrored_requests_are_counted_at_the_destination_alone(world, make, wait_until) -> None:
    http = {"route": [make.to("v1")], "mirror": {"host": "shop", "subset": "v2"}}
    world.put(make.route([http]))
    world.settle()
    for _ in range(5):
        world.client().get()
    assert totals(world, "default", "client-0", "destination_version") == {("v1",): 5}
    wait_until(lambda: totals(world, "shop", "shop-v2-0", "reporter") == {("destination",): 5})


def test_requests_without_a_host_are_unknown_with_their_reason(world, make) -> None:
    world.put(make.weights(("v1", 0), ("v2", 100)))
    del world.pods[1]
    world.settle()
    world.client().get()
    by = ("destination_service", "destination_workload", "destination_version", "response_code", "response_flags")
    assert totals(world, "default", "client-0", *by) == {(SHOP, "unknown", "unknown", "503", "UH"): 1}


def test_a_new_pod_starts_at_zero_and_a_removed_one_is_gone(world, make) -> None:
    client = world.client()
    for _ in range(3):
        client.get()
    assert totals(world, "shop", "shop-v1-0", "reporter") == {("destination",): 3}
    pod = world.pods.pop(0)
    world.settle()
    with pytest.raises(ObjectMissingError):
        world.mesh.telemetry.render("shop", "shop-v1-0")
    world.pods.append(pod)  # the same name again, as a StatefulSet does it
    world.settle()
    assert world.mesh.telemetry.render("shop", "shop-v1-0") == ""
    client.get()
    assert totals(world, "shop", "shop-v1-0", "reporter") == {("destination",): 1}
    # The client's own count goes on: it is about the workload.
    assert totals(world, "default", "client-0", "destination_workload")["shop-v1",] == 4


def test_counters_outlive_changes_of_the_configuration(world, make) -> None:
    client = world.client()
    for step in range(10):
        client.get()
        world.pods.append(make.pod("v3", name=f"other-{step}", app_port=1))
        world.put(make.weights(("v1", 100), ("v2", step)))
        world.put(make.rule("v1", "v2", *(["v3"] if step % 2 else [])))
        world.settle()
    found = totals(world, "default", "client-0", "destination_workload")
    assert sum(found.values()) == 10
    both = totals(world, "shop", "shop-v1-0", "reporter") + totals(world, "shop", "shop-v2-0", "reporter")
    assert both == {("destination",): 10}


def test_a_real_prometheus_reads_it(known, require_tool, tmp_path: Path, wait_until) -> None:
    prometheus = require_tool("prometheus")
    server = ScrapeServer(known.mesh.telemetry)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "prometheus.yml").write_text(json.dumps({"scrape_configs": [server.scrape_config()]}))
    argv = [str(prometheus), "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen(
        [*argv, f"--storage.tsdb.path={tmp_path / 'data'}"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    query = f'sum(istio_requests_total{{reporter="destination",pod="shop-v1-0",destination_service="{SHOP}"}})'

    def answered() -> bool:
        url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.request.quote(query)}"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                result = json.load(answer)["data"]["result"]
        except OSError:
            return False
        return bool(result) and result[0]["value"][1] == "16"

    try:
        wait_until(answered)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/targets", timeout=2) as answer:
            targets = json.load(answer)["data"]["activeTargets"]
        assert {one["labels"]["pod"] for one in targets} == {
            "shop-v1-0",
            "shop-v2-0",
            "client-0",
            "istio-ingressgateway-0",
        }
    finally:
        process.terminate()
        process.wait(10)
        server.close()
