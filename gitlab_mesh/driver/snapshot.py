"""The part of a service's settings that a rollback needs, kept in the record: no checkout, no ``mesh.yaml``.

The guard in the cluster and a person at night have only the cluster. And a ``mesh.yaml`` that was changed since the
rollout began must not lead a rollback to another route: what the rollout used is in the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gitlab_mesh.config.model import RouteConfig, ServiceConfig, SubsetsConfig
from gitlab_mesh.core.record import Record

__all__ = ["recorded_service", "take_snapshot"]


def take_snapshot(service: ServiceConfig, virtual_services: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what a rollback needs to know of the service.

    Args:
        service: Its configuration.
        virtual_services: Names of the routes that were found for it, VirtualServices or HTTPRoutes.
    """
    names = virtual_services or service.route.names
    return {
        "route_kind": service.route.kind,
        "virtual_services": list(names),
        "http": list(service.route.http),
        "host": service.host,
        "route_host": service.route.host,
        "subsets": [service.subsets.label, service.subsets.stable, service.subsets.canary],
        "workloads": [service.stable_workload, service.canary_workload],
        "drain": service.rollout.drain,
        "ready_deadline": service.rollout.ready_deadline,
        "lease": service.rollout.lease,
    }


def recorded_service(record: Record, base: ServiceConfig | None = None) -> ServiceConfig:
    """Return the service as the rollout saw it.

    Args:
        record: Of the rollout.
        base: What ``mesh.yaml`` says now: for everything that a rollback does not depend on (metrics, links).
    """
    base = base or ServiceConfig(record.service, record.namespace)
    known: Mapping[str, Any] = record.settings
    if not known:
        return base
    first, *others = known["virtual_services"] or [None]
    key = "http_route" if known.get("route_kind") == "HTTPRoute" else "virtual_service"
    label, stable, canary = known["subsets"]
    name, canary_name = known["workloads"]
    return replace(
        base,
        name=record.service,
        namespace=record.namespace,
        host=known["host"],
        route=RouteConfig(**{key: first}, also=tuple(others), host=known["route_host"], http=tuple(known["http"])),
        subsets=SubsetsConfig(label, stable, canary),
        workload=replace(base.workload, name=name, canary=canary_name),
        rollout=replace(
            base.rollout, drain=known["drain"], ready_deadline=known["ready_deadline"], lease=known["lease"]
        ),
    )
