"""The data plane is Istio's own: injection, validation, identities, STRICT mutual TLS, metrics with Istio's labels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping

import pytest
import requests

from gitlab_mesh.core.metrics.exposition import parse_exposition
from gitlab_mesh.core.metrics.istio import REQUESTS
from gitlab_mesh.sandbox.shop import HOST, NAMESPACE
from tests.e2e.controlplane.control_plane import wait_until
from tests.e2e.mesh.mesh import Mesh
from tests.e2e.mesh.pod_runtime import PodRuntime
from tests.e2e.mesh.shop import Shop

INSIDE = "shop.shop.svc.cluster.local"


def test_the_injector_adds_a_native_sidecar(mesh: Mesh, shop: Shop) -> None:
    pod = mesh.pod(NAMESPACE, "shop-")
    names = [one["name"] for one in pod.body["spec"]["initContainers"]]
    assert names == ["istio-proxy"]
    assert pod.body["metadata"]["annotations"]["sidecar.istio.io/status"]


def test_users_and_pods_reach_the_shop(mesh: Mesh, shop: Shop) -> None:
    answers = [mesh.request(HOST), mesh.request_from(shop.client, INSIDE)]
    assert [(answer.status, answer.version) for answer in answers] == [(200, shop.version)] * 2


def test_plaintext_does_not_reach_a_pod(mesh: Mesh, shop: Shop) -> None:
    pod = mesh.pod(NAMESPACE, "shop-")
    answer = mesh.request_from(shop.client, INSIDE, address=pod.address, port=8080)
    assert (answer.status, b"Reset" in answer.body) == (0, True), answer.body


def test_the_validation_webhook_refuses_what_kubernetes_takes(mesh: Mesh, shop: Shop) -> None:
    route = {"host": "shop"}
    bad = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "bad", "namespace": NAMESPACE},
        "spec": {"hosts": ["bad"], "http": [{"match": [{"uri": {"regex": "["}}], "route": [{"destination": route}]}]},
    }
    with pytest.raises(requests.HTTPError, match=r"validation\.istio\.io"):
        mesh.plane.apply(bad)


def test_every_proxy_counts_with_istios_labels(mesh: Mesh, shop: Shop) -> None:
    names = frozenset({REQUESTS, f"envoy_{REQUESTS}"})

    def is_counted(pods: Callable[[], Iterable[PodRuntime]], wanted: Mapping[str, str]) -> bool:
        # Sent at each look: a pod that the module before has replaced may have had the last one, and is gone with it.
        mesh.request(HOST)
        mesh.request_from(shop.client, INSIDE)
        samples = [one for pod in pods() for one in parse_exposition(mesh.metrics(pod), names=names)]
        return any(s.value >= 1 for s in samples if all(s.labels.get(k) == v for k, v in wanted.items()))

    target = {
        "destination_workload": "shop",
        "destination_workload_namespace": "shop",
        "destination_service": INSIDE,
        "response_code": "200",
    }
    identity = "spiffe://cluster.local/ns/shop/sa/default"
    at_destination = {
        "reporter": "destination",
        "connection_security_policy": "mutual_tls",
        "source_principal": identity,
    }
    for who, pods, labels in (
        ("gateway", lambda: [mesh.gateway], {"reporter": "source", "destination_subset": "stable"}),
        ("client", lambda: [shop.client], {"reporter": "source", "destination_principal": identity}),
        ("shop", lambda: shop.pods("stable"), at_destination),  # any of its pods may have had the request
    ):
        # A proxy counts a request when it is over, which may be after its answer was read.
        wait_until(f"a request at {who}", functools.partial(is_counted, pods, {**target, **labels}))


def test_no_proxy_refused_a_configuration(mesh: Mesh, shop: Shop) -> None:
    log = (mesh.plane.directory / "log").glob("*.discovery.log")
    refused = [line for path in log for line in path.read_text().splitlines() if "ACK ERROR" in line]
    assert refused == []
