"""Real requests through a real Envoy go where Istio's objects say."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.sandbox.envoy.bootstrap import bootstrap, find_envoy
from gitlab_mesh.sandbox.envoy.model import MeshSettings
from gitlab_mesh.sandbox.envoy.translate import translate
from gitlab_mesh.sandbox.envoy.xds_files import XdsFiles

pytestmark = pytest.mark.sandbox

EVERYTHING: dict[str, Any] = {
    "match": [
        {
            "uri": {"regex": "/a/.*"},
            "headers": {"a": {"regex": "v[12]"}, "b": {}},
            "withoutHeaders": {"c": {"prefix": "x"}, "d": {}},
            "method": {"exact": "GET"},
            "queryParams": {"q": {"exact": "1"}},
            "ignoreUriCase": True,
        }
    ],
    "route": [
        {"destination": {"host": "shop", "subset": "v1"}, "weight": 1, "headers": {"response": {"set": {"a": "1"}}}},
        {"destination": {"host": "shop", "subset": "v2"}, "weight": 1999},
    ],
    "timeout": "2s",
    "retries": {"attempts": 3, "perTryTimeout": "1s", "retryOn": "5xx,503", "backoff": "10ms"},
    "rewrite": {"authority": "x", "uriRegexRewrite": {"match": "^/a", "rewrite": "/b"}},
    "headers": {"request": {"add": {"a": "1"}, "remove": ["b"]}},
    "fault": {
        "delay": {"fixedDelay": "1s", "percentage": {"value": 1}},
        "abort": {"httpStatus": 503, "percentage": {"value": 0.1}},
    },
    "mirror": {"host": "shop", "subset": "v2"},
    "mirrorPercentage": {"value": 10},
}
POLICY: dict[str, Any] = {
    "loadBalancer": {"simple": "ROUND_ROBIN"},
    "connectionPool": {"tcp": {"maxConnections": 9}, "http": {"idleTimeout": "5s", "maxRequestsPerConnection": 9}},
    "outlierDetection": {"consecutive5xxErrors": 5, "consecutiveGatewayErrors": 0, "minHealthPercent": 10},
}


def test_envoy_validates_everything_that_can_be_translated(make, mesh_settings: MeshSettings, tmp_path: Path) -> None:
    """Envoy's own validation does not look into dynamic resources, so they are put in as static ones."""
    redirect = {"match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/new", "port": 8080}}
    answer = {"match": [{"uri": {"exact": "/tea"}}], "directResponse": {"status": 418, "body": {"string": "tea"}}}
    objects = [
        make.service(),
        make.rule("v1", "v2", policy=POLICY),
        make.gateway("a.example", "*.b.example", tls={"httpsRedirect": True}),
        make.route([EVERYTHING, redirect, answer], hosts=("shop", "a.example"), gateways=["mesh", "public"]),
    ]
    config = translate(objects, [make.inbound("v1"), make.inbound("v2")], mesh_settings).config
    listeners = []
    for listener in config.listeners.values():
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        if rds := manager.pop("rds", None):
            manager["route_config"] = config.routes[rds["route_config_name"]]
        listeners.append(listener)
    files = XdsFiles(tmp_path)
    for name, endpoints in config.endpoints.items():
        files.write(f"eds.{name}", {"": endpoints}, "1")
    static = bootstrap(15000) | {
        "static_resources": {"listeners": listeners, "clusters": list(config.clusters.values())}
    }
    del static["dynamic_resources"]
    (tmp_path / "static.json").write_text(json.dumps(static))
    argv = [str(find_envoy()), "--mode", "validate", "-c", "static.json", "-l", "warning"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "eprecated" not in done.stderr


def test_hosts_gateway_and_mesh(world, make) -> None:
    world.put(make.gateway("shop.example"))
    world.put(make.route([{"route": [make.to("v2")]}], hosts=("shop", "shop.example"), gateways=["public", "mesh"]))
    world.settle()
    gateway = world.mesh.gateway_port
    assert world.client(gateway, "shop.example").get().pod == "v2"
    assert world.client(gateway, "shop.example:8443").get().pod == "v2"  # a port in the Host header is ignored
    assert world.client(gateway, "other.example").get().status == 404
    for host in ("shop.shop", "shop.shop:80", "shop.shop.svc.cluster.local"):
        assert world.client(host=host).get().pod == "v2"
    assert world.client(host="nobody.example").get().status == 502


def test_weights_split_as_written(world, make) -> None:
    world.put(make.weights(("v1", 3), ("v2", 1)))
    world.settle()
    client = world.client()
    total = 4000
    found = Counter(client.get().pod for _ in range(total))
    # Binomial with p = 0.25: five standard deviations.
    assert abs(found["v2"] - total / 4) < 5 * (total * 0.25 * 0.75) ** 0.5
    assert found["v1"] + found["v2"] == total


def test_weight_zero_gets_nothing(world) -> None:
    client = world.client()
    assert {client.get().pod for _ in range(200)} == {"v1"}


def test_matches_choose_the_subset(world, make) -> None:
    canary = [make.to("v2")]
    http = [
        {"match": [{"headers": {"x-canary": {"exact": "always"}}}], "route": canary},
        {"match": [{"headers": {"user-agent": {"regex": ".*Firefox.*"}}}], "route": canary},
        {"match": [{"uri": {"prefix": "/new"}, "method": {"exact": "POST"}}], "route": canary},
        {"match": [{"queryParams": {"v": {"exact": "2"}}}], "route": canary},
        {"match": [{"uri": {"exact": "/bare"}, "withoutHeaders": {"x-old": {}}}], "route": canary},
        {"route": [make.to("v1")]},
    ]
    world.put(make.route(http))
    world.settle()
    client = world.client()
    assert client.get(x_canary="always").pod == "v2"
    assert client.get(x_canary="never").pod == "v1"
    assert client.get(user_agent="Mozilla Firefox 1").pod == "v2"
    assert client.get("/new/x", method="POST").pod == "v2"
    assert client.get("/new/x").pod == "v1"
    assert client.get("/?v=2").pod == "v2"
    assert client.get("/bare").pod == "v2"
    assert client.get("/bare", x_old="1").pod == "v1"


def test_a_subset_that_no_rule_has_is_503_and_the_rest_goes_on(world, make) -> None:
    http = [
        {"match": [{"uri": {"prefix": "/gone"}}], "route": [make.to("v9")]},
        {"route": [make.to("v1")]},
    ]
    world.put(make.route(http))
    world.settle()
    assert world.client().get("/gone").status == 503
    assert world.client().get("/").pod == "v1"
    assert "has a subset v9" in world.mesh.warnings[0]


def test_a_subset_without_ready_pods_is_503(world, make) -> None:
    world.put(make.weights(("v1", 0), ("v2", 100)))
    world.pods[1] = make.pod("v2", app_port=world.pods[1].app_port, ready=False)
    world.settle()
    assert world.client().get().status == 503
    # The pod itself can be asked: smoke checks do so before it gets its first user.
    assert world.client(world.mesh.inbound_port("shop", "shop-v2-0")).get().pod == "v2"


def test_timeout(world, make) -> None:
    world.put(make.route([{"route": [make.to("v1")], "timeout": "100ms", "retries": {"attempts": 0}}]))
    world.settle()
    assert world.client().get("/hold").status == 504


def test_retries_hide_failures_and_are_counted(world, make) -> None:
    world.put(make.route([{"route": [make.to("v1")], "retries": {"attempts": 2, "retryOn": "5xx", "backoff": "1ms"}}]))
    world.settle()
    assert world.client().get("/fail/2").status == 200
    assert world.upstreams.attempts["/fail/2"] == 3
    world.put(make.route([{"route": [make.to("v1")], "retries": {"attempts": 0}}]))
    world.settle()
    assert world.client().get("/status/503").status == 503
    assert world.upstreams.attempts["/status/503"] == 1


def test_headers_rewrite_redirect_direct_response_and_fault(world, make) -> None:
    http = [
        {"match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/new", "redirectCode": 302}},
        {"match": [{"uri": {"exact": "/tea"}}], "directResponse": {"status": 418, "body": {"string": "tea"}}},
        {
            "match": [{"uri": {"prefix": "/broken"}}],
            "route": [make.to("v1")],
            "fault": {"abort": {"httpStatus": 501, "percentage": {"value": 100}}},
        },
        {
            "route": [make.to("v1", headers={"response": {"set": {"x-side": "stable"}}})],
            "rewrite": {"uri": "/inner/", "authority": "inner.example"},
            "headers": {"request": {"set": {"x-new": "1"}, "remove": ["x-old"]}},
        },
    ]
    world.put(make.route(http))
    world.settle()
    client = world.client()
    redirect = client.get("/old")
    assert (redirect.status, redirect.headers["location"]) == (302, "http://shop.shop/new")
    tea = client.get("/tea")
    assert (tea.status, tea.body) == (418, b"tea")
    assert client.get("/broken").status == 501
    answer = client.get("/page", x_old="1")
    assert answer.headers["x-side"] == "stable"
    seen = answer.seen
    assert (seen["path"], seen["headers"]["host"]) == ("/inner/page", "inner.example")
    assert seen["headers"]["x-new"] == "1"
    assert "x-old" not in seen["headers"]


def test_the_app_does_not_see_that_the_mesh_is_emulated(world) -> None:
    headers = world.client().get().seen["headers"]
    assert not [name for name in headers if "emulated" in name or "gitlab" in name]


def test_outlier_detection_ejects_the_failing_pod(world, make) -> None:
    policy = {
        "loadBalancer": {"simple": "ROUND_ROBIN"},
        "outlierDetection": {
            "consecutive5xxErrors": 2,
            "interval": "50ms",
            "baseEjectionTime": "30s",
            "maxEjectionPercent": 100,
        },
    }
    world.put(make.rule("v1", "v2", policy=policy))
    world.put(make.route([{"route": [make.to("v1")], "retries": {"attempts": 0}}]))
    world.settle()
    client = world.client()
    assert [client.get("/status/500").status for _ in range(2)] == [500, 500]
    assert client.get("/").status == 503  # nobody is left in the subset
