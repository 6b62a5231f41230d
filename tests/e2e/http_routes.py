"""The shop behind a Gateway API HTTPRoute, beside its VirtualService or in its place."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.sandbox.shop import HOST, NAMESPACE
from tests.e2e.controlplane.control_plane import Object, wait_until
from tests.e2e.mesh.installation import ROOT
from tests.e2e.mesh.shop import STABLE
from tests.e2e.runner import Runner

__all__ = ["BESIDE", "ROUTE", "ROUTE_PATH", "beside", "instead"]

API = "gateway.networking.k8s.io"
ROUTE_PATH = f"/apis/{API}/v1/namespaces/{NAMESPACE}/httproutes/shop"
ROUTE: dict[str, Any] = {"virtualService": None, "httpRoute": "shop", "http": ["primary"]}
OWN = ("VirtualService", "DestinationRule", "Gateway")
"""What the shop's team would not have if it used the Gateway API."""
BESIDE = "shop-route.example"


def gateway_api(host: str, *parents: Object) -> list[Object]:
    """A Gateway that the ingress gateway serves, and the shop's route at it and at further parents."""
    # Istio finds the Service of a "manual deployment" in the Gateway's own namespace.
    address = {"type": "Hostname", "value": f"istio-ingressgateway.{ROOT}.svc.cluster.local"}
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
    spec = {"gatewayClassName": "istio", "addresses": [address], "listeners": [listener]}
    gateway = {"apiVersion": f"{API}/v1", "kind": "Gateway", "metadata": {"name": "public", "namespace": ROOT}}
    internal = {"headers": [{"name": "x-internal", "value": "true"}]}
    backends = [{"name": "shop", "port": 80}]
    rules = [
        {"name": "internal", "matches": [internal], "backendRefs": backends},
        {"name": "primary", "backendRefs": backends, "timeouts": {"request": "5s"}},
    ]
    metadata = {"name": "shop", "namespace": NAMESPACE, "annotations": {"storefront.example/owner": "team storefront"}}
    route = {"apiVersion": f"{API}/v1", "kind": "HTTPRoute", "metadata": metadata}
    public = {"name": "public", "namespace": ROOT}
    return [
        {**gateway, "spec": spec},
        {**route, "spec": {"parentRefs": [public, *parents], "hostnames": [host], "rules": rules}},
    ]


@contextlib.contextmanager
def routed(runner: Runner, objects: list[Object]) -> Iterator[None]:
    """Let the runner release through the HTTPRoute among the objects."""
    plane = runner.mesh.plane
    plane.apply(*objects)
    try:
        runner.configure(route=ROUTE)
        runner.grant()
        yield
    finally:
        plane.delete(*map(plane.path, objects))
        plane.delete(*(f"/api/v1/namespaces/{NAMESPACE}/services/shop-{side}" for side in ("stable", "canary")))


@contextlib.contextmanager
def beside(runner: Runner) -> Iterator[None]:
    """An HTTPRoute, of another host, beside the shop's VirtualService."""
    with routed(runner, gateway_api(BESIDE)):
        wait_until("the route", lambda: runner.mesh.request(BESIDE).status == 200)
        yield


@contextlib.contextmanager
def instead(runner: Runner) -> Iterator[None]:
    """An HTTPRoute, for users and pods, in place of the shop's VirtualService."""
    plane, own = runner.mesh.plane, [body for body in runner.shop.objects if body["kind"] in OWN]

    def is_routed() -> bool:
        """Whether the gateway has forgotten the VirtualService, too: until then it is that one which answers."""
        routes = json.dumps(runner.mesh.config_dump(runner.mesh.gateway, "dynamic_route_configs"))
        return STABLE not in routes and runner.mesh.request(HOST).status == 200

    try:
        plane.delete(*map(plane.path, own))
        with routed(runner, gateway_api(HOST, {"group": "", "kind": "Service", "name": "shop"})):
            wait_until("the route", is_routed)
            yield
    finally:
        plane.apply(*own)
        wait_until("users", lambda: runner.mesh.request(HOST).status == 200)
