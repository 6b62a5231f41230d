"""What the routes of the model's shop say of its traffic, and a control plane that takes HTTPRoutes up.

Backends of an HTTPRoute are Services: one that selects the pods of both sides, and one for each side. A proxy that lags
keeps routes, Services and endpoints together as it knew them, so a view of all three is what it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.ports import Object

__all__ = ["ControlPlaneModel", "RouteView", "view_of_routes"]

_SIDES = {"shop-stable": Side.STABLE, "shop-canary": Side.CANARY}
ENDPOINT_SECONDS = 0.5
"""Until a new Service has endpoints."""


@dataclass(frozen=True, slots=True)
class RouteView:
    """Where requests go.

    Attributes:
        canary: Part of them that is led to the canary.
        common: Part that goes to the Service of both sides.
        gone: Sides whose own Service leads nowhere.
    """

    canary: float
    common: float = 0.0
    gone: frozenset[Side] = frozenset()


@dataclass
class ControlPlaneModel:
    """Controllers around HTTPRoutes: endpoints of Services, and the status of each generation.

    Attributes:
        cluster: Their client.
        monotonic: The simulated clock.
        accepts_after: Seconds until a generation is taken up.
    """

    cluster: Any
    monotonic: Callable[[], float]
    accepts_after: float = 0.0
    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)
    _services: dict[str, float] = field(default_factory=dict)

    def control(self, ready: Mapping[Side, int]) -> None:
        """Write endpoints and statuses as they are due now.

        Args:
            ready: Ready pods of each side.
        """
        routes = list(self.cluster.peek("HTTPRoute", "shop"))
        if not routes:
            return
        services = {item["metadata"]["name"]: item for item in self.cluster.peek("Service", "shop")}
        self._write_slices(services, ready)
        for route in routes:
            self._write_status(route, services)

    def with_endpoints(self) -> set[str]:
        """Names of the Services that lead anywhere."""
        return {
            item["metadata"]["labels"]["kubernetes.io/service-name"]
            for item in self.cluster.peek("EndpointSlice", "shop")
        }

    def _write_slices(self, services: Mapping[str, Object], ready: Mapping[Side, int]) -> None:
        now = self.monotonic()
        live = {item["metadata"]["name"]: item for item in self.cluster.peek("EndpointSlice", "shop")}
        for name, item in live.items():
            if item["metadata"]["labels"]["kubernetes.io/service-name"] not in services:
                self._services.pop(name, None)
                self.cluster.delete("EndpointSlice", "shop", name)
        for name in services:
            known = f"{name}-1"
            count = ready[_SIDES[name]] if name in _SIDES else sum(ready.values())
            wanted = [{"addresses": ["10.0.0.1"], "conditions": {"ready": count > 0}}]
            if known not in live and now - self._services.setdefault(known, now) >= ENDPOINT_SECONDS:
                self.cluster.create(_slice(known, name, wanted))
            elif known in live and live[known]["endpoints"] != wanted:
                self.cluster.update({**live[known], "endpoints": wanted})

    def _write_status(self, route: Object, services: Mapping[str, Object]) -> None:
        meta, now = route["metadata"], self.monotonic()
        generation = f"{meta['uid']}/{meta['generation']}"
        if self._seen.get(meta["name"], ("", 0.0))[0] != generation:
            self._seen[meta["name"]] = (generation, now)
        if now - self._seen[meta["name"]][1] < self.accepts_after:
            return
        refs = (ref for rule in route["spec"]["rules"] for ref in rule["backendRefs"] if ref["name"].startswith("shop"))
        missing = [ref["name"] for ref in refs if ref.get("weight", 1) > 0 and ref["name"] not in services]
        conditions = [
            _condition("Accepted", meta["generation"], True),
            _condition("ResolvedRefs", meta["generation"], not missing),
        ]
        parents = [
            {"parentRef": parent, "controllerName": "istio.io/gateway-controller", "conditions": conditions}
            for parent in route["spec"]["parentRefs"]
        ]
        if (route.get("status") or {}).get("parents") != parents:
            self.cluster.update_status({**route, "status": {"parents": parents}})


def view_of_routes(
    virtual_services: Iterable[Object], http_routes: Sequence[Object], known: set[str]
) -> RouteView | None:
    """Return the ``RouteView`` of all routes, each with as many callers as the other; None where none leads there.

    Args:
        virtual_services: All of the namespace.
        http_routes: All of the namespace.
        known: Services with endpoints.
    """
    views = [_view_of_virtual_service(route) for route in virtual_services]
    views += [_view_of_http_route(route) for route in http_routes]
    found = [view for view in views if view is not None]
    if not found:
        return None
    canary, common = (sum(part) / len(found) for part in zip(*found, strict=True))
    led = {"shop-stable": canary + common < 1.0, "shop-canary": canary > 0.0}
    gone = (side for name, side in _SIDES.items() if http_routes and led[name] and name not in known)
    return RouteView(canary, common, frozenset(gone))


def _view_of_virtual_service(route: Object) -> tuple[float, float] | None:
    for http in route["spec"]["http"]:
        routes = http["route"]
        if any(item["destination"]["host"].split(".")[0] == "shop" for item in routes):
            default = 100 if len(routes) == 1 else 0
            weights = {item["destination"].get("subset"): item.get("weight", default) for item in routes}
            total = sum(weights.values())
            return (float(weights.get("canary", 0) / total) if total else 0.0), 0.0
    return None


def _view_of_http_route(route: Object) -> tuple[float, float] | None:
    for rule in route["spec"]["rules"]:
        weights = {ref["name"]: ref.get("weight", 1) for ref in rule["backendRefs"]}
        if weights.keys() & {"shop", *_SIDES}:
            total = sum(weights.values())
            if not total:
                return None
            return weights.get("shop-canary", 0) / total, weights.get("shop", 0) / total
    return None


def _condition(kind: str, generation: int, holds: bool) -> Object:
    status, reason = ("True", kind) if holds else ("False", "BackendNotFound")
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": generation,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def _slice(name: str, service: str, endpoints: list[Object]) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }
