"""Which router moves a service's route."""

from __future__ import annotations

from gitlab_mesh.adapters.kubernetes.gateway_api import GatewayApiRouter
from gitlab_mesh.adapters.kubernetes.istio import IstioRouter
from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.ports import Clock, Cluster, TrafficRouter

__all__ = ["build_router"]


def build_router(cluster: Cluster, service: ServiceConfig, clock: Clock) -> TrafficRouter:
    """Return the router for the kind of route that ``mesh.yaml`` names."""
    if service.route.http_route:
        return GatewayApiRouter(cluster, service, clock)
    return IstioRouter(cluster, service)
