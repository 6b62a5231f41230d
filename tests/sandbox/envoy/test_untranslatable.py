"""What the sandbox does not translate is an error that names object and field, wherever it stands."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.sandbox.envoy.model import MeshSettings, UntranslatableError
from gitlab_mesh.sandbox.envoy.translate import translate

TO = [{"destination": {"host": "shop"}}]


def http(**fields: Any) -> dict[str, Any]:
    return {"hosts": ["shop"], "http": [{"route": TO, **fields}]}


def policy(**fields: Any) -> dict[str, Any]:
    return {"host": "shop", "trafficPolicy": fields}


def server(**fields: Any) -> dict[str, Any]:
    about = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"], **fields}
    return {"selector": {}, "servers": [about]}


@pytest.mark.parametrize(
    ("kind", "spec", "path"),
    [
        ("VirtualService", {"hosts": ["shop"], "tcp": []}, "spec.tcp"),
        ("VirtualService", {"hosts": ["shop"], "tls": []}, "spec.tls"),
        ("VirtualService", {"hosts": []}, "spec.hosts"),
        ("VirtualService", {"hosts": ["shop"], "exportTo": ["."]}, "spec.exportTo"),
        ("VirtualService", http(corsPolicy={}), "spec.http[0].corsPolicy"),
        ("VirtualService", http(delegate={"name": "x"}), "spec.http[0].delegate"),
        ("VirtualService", http(match=[{"statPrefix": "x"}]), "spec.http[0].match[0].statPrefix"),
        ("VirtualService", http(match=[{"uri": {"suffix": "x"}}]), "spec.http[0].match[0].uri.suffix"),
        ("VirtualService", http(match=[{"uri": {"exact": "/", "prefix": "/"}}]), "spec.http[0].match[0].uri.prefix"),
        (
            "VirtualService",
            http(match=[{"headers": {"@request.auth.claims.a": {"exact": "x"}}}]),
            "spec.http[0].match[0].headers.@request.auth.claims.a",
        ),
        # A match that concerns another proxy is read all the same.
        ("VirtualService", http(match=[{"gateways": ["other"], "novel": 1}]), "spec.http[0].match[0].novel"),
        ("VirtualService", http(retries={"attempts": 1, "novel": 1}), "spec.http[0].retries.novel"),
        (
            "VirtualService",
            http(retries={"attempts": 1, "retryRemoteLocalities": True}),
            "spec.http[0].retries.retryRemoteLocalities",
        ),
        ("VirtualService", http(fault={"abort": {"grpcStatus": "UNAVAILABLE"}}), "spec.http[0].fault.abort.httpStatus"),
        (
            "VirtualService",
            http(fault={"delay": {"exponentialDelay": "1s"}}),
            "spec.http[0].fault.delay.exponentialDelay",
        ),
        ("VirtualService", http(mirrorPercentage={"value": 101}), "spec.http[0].mirrorPercentage.value"),
        ("VirtualService", http(redirect={"uri": "/"}), "spec.http[0].route"),
        ("VirtualService", {"hosts": ["shop"], "http": [{"name": "x"}]}, "spec.http[0].route"),
        (
            "VirtualService",
            {"hosts": ["shop"], "http": [{"redirect": {"redirectCode": 200}}]},
            "spec.http[0].redirect.redirectCode",
        ),
        (
            "VirtualService",
            {"hosts": ["shop"], "http": [{"directResponse": {"status": 999}}]},
            "spec.http[0].directResponse.status",
        ),
        ("VirtualService", {"hosts": ["shop"], "http": [{"route": [{}]}]}, "spec.http[0].route[0].destination"),
        ("VirtualService", {"hosts": ["shop"], "http": [{"route": []}]}, "spec.http[0].route"),
        (
            "VirtualService",
            {"hosts": ["shop"], "http": [{"route": [{**TO[0], "weight": 0}] * 2}]},
            "spec.http[0].route",
        ),
        (
            "VirtualService",
            {"hosts": ["shop"], "http": [{"route": [{**TO[0], "weight": -1}]}]},
            "spec.http[0].route[0].weight",
        ),
        (
            "VirtualService",
            {"hosts": ["shop"], "http": [{"route": [{**TO[0], "novel": 1}]}]},
            "spec.http[0].route[0].novel",
        ),
        ("VirtualService", http(timeout="soon"), "spec.http[0].timeout"),
        ("DestinationRule", {"host": "shop", "workloadSelector": {}}, "spec.workloadSelector"),
        ("DestinationRule", {"host": "shop", "subsets": [{"labels": {}}]}, "spec.subsets[0].name"),
        ("DestinationRule", policy(portLevelSettings=[]), "spec.trafficPolicy.portLevelSettings"),
        ("DestinationRule", policy(tls={"mode": "ISTIO_MUTUAL"}), "spec.trafficPolicy.tls.mode"),
        (
            "DestinationRule",
            policy(loadBalancer={"consistentHash": {}}),
            "spec.trafficPolicy.loadBalancer.consistentHash",
        ),
        ("DestinationRule", policy(loadBalancer={"simple": "PASSTHROUGH"}), "spec.trafficPolicy.loadBalancer.simple"),
        (
            "DestinationRule",
            policy(connectionPool={"tcp": {"tcpKeepalive": {}}}),
            "spec.trafficPolicy.connectionPool.tcp.tcpKeepalive",
        ),
        ("DestinationRule", policy(outlierDetection={"novel": 1}), "spec.trafficPolicy.outlierDetection.novel"),
        ("Gateway", server(port={"number": 443, "protocol": "HTTPS"}), "spec.servers[0].port.protocol"),
        ("Gateway", server(tls={"mode": "SIMPLE"}), "spec.servers[0].tls.mode"),
        ("Gateway", server(bind="127.0.0.1"), "spec.servers[0].bind"),
        ("Gateway", {"selector": {"istio": "not-ours"}, "servers": [{"novel": 1}]}, "spec.servers[0].port"),
    ],
)
def test_the_error_names_object_and_path(make, mesh_settings: MeshSettings, kind: str, spec: dict, path: str) -> None:
    body = make.body(kind, "mine", spec)
    with pytest.raises(UntranslatableError) as caught:
        translate([make.service(), body], [], mesh_settings)
    assert (caught.value.owner, caught.value.path) == (f"{kind} shop/mine", path)
    assert path in str(caught.value)


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [("v1", "ConfigMap"), ("gateway.networking.k8s.io/v1", "GRPCRoute"), ("serving.knative.dev/v1", "Service")],
)
def test_other_kinds_are_not_the_data_planes_business(
    make, mesh_settings: MeshSettings, api_version: str, kind: str
) -> None:
    body = make.body(kind, "x", {"novel": 1}) | {"apiVersion": api_version}
    assert translate([body], [], mesh_settings).warnings == ()


@pytest.mark.parametrize("api_version", ["networking.istio.io/v1", "networking.istio.io/v1beta1"])
def test_every_version_of_istios_group_is_read(make, mesh_settings: MeshSettings, api_version: str) -> None:
    body = make.body("VirtualService", "x", {"novel": 1}) | {"apiVersion": api_version}
    with pytest.raises(UntranslatableError):
        translate([body], [], mesh_settings)
