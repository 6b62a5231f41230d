"""One sandbox for the tests that leave it as it was, and a canary to put into it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gitlab_mesh.sandbox.world import Sandbox

Object = dict[str, Any]


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox.start() as sandbox:
        yield sandbox
        assert sandbox.problems == []


def deploy_canary(sandbox: Sandbox, tag: str, replicas: int = 1) -> None:
    """Deploy a canary beside stable, open the route for it with weight 0, and wait until it is ready."""
    client = sandbox.client()
    stable = client.get("Deployment", "shop", "shop")
    spec = json.loads(json.dumps(stable["spec"]).replace('"version": "stable"', '"version": "canary"'))
    spec["template"]["spec"]["containers"][0]["image"] = f"registry.example/shop:{tag}"
    metadata = {"name": "shop-canary", "namespace": "shop"}
    client.create(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {**spec, "replicas": replicas}}
    )
    assert sandbox.cluster.wait_ready("shop", "shop-canary", 15)
    subset = {"name": "canary", "labels": {"version": "canary"}}
    client.patch("DestinationRule", "shop", "shop", [{"op": "add", "path": "/spec/subsets/-", "value": subset}])
    destination = {"destination": {"host": "shop", "subset": "canary"}, "weight": 0}
    client.patch(
        "VirtualService",
        "shop",
        "shop",
        [
            {"op": "add", "path": "/spec/http/1/route/0/weight", "value": 100},
            {"op": "add", "path": "/spec/http/1/route/-", "value": destination},
        ],
    )
    sandbox.mesh.wait(sandbox.mesh.notify())


def set_weight(sandbox: Sandbox, canary: int) -> None:
    """Write the weight of the canary and wait until Envoy has accepted it."""
    operations = [
        {"op": "replace", "path": f"/spec/http/1/route/{index}/weight", "value": weight}
        for index, weight in enumerate((100 - canary, canary))
    ]
    sandbox.client().patch("VirtualService", "shop", "shop", operations)
    sandbox.mesh.wait(sandbox.mesh.notify())
