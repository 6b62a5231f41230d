"""Whether the canary's pods would belong to the Service whose endpoints the subsets are taken from."""

from __future__ import annotations

import json

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.mesh.hosts import CLUSTER_DOMAIN, resolve_host
from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.errors import ObjectMissingError, UsageError
from gitlab_mesh.ports import Cluster

__all__ = ["check_membership", "service_name"]


def service_name(service: ServiceConfig) -> str | None:
    """Return the name of the Service behind the route's host; None where it is not of the service's namespace."""
    host = resolve_host(service.host or service.name, service.namespace)
    name, _, rest = host.partition(".")
    return name if rest == f"{service.namespace}.{CLUSTER_DOMAIN}" else None


def check_membership(cluster: Cluster, service: ServiceConfig, route: RouteState) -> None:
    """Refuse a Service that selects by the label in which the two sides differ.

    A subset of a DestinationRule chooses among the endpoints of its host's Service (Istio reference, Subset.labels):
    pods outside of the Service are in no subset. An HTTPRoute's sides are Services of their own.

    Raises:
        UsageError: The canary's pods would be outside.
    """
    name = service_name(service)
    if service.route.kind != "VirtualService" or name is None:
        return
    try:
        found = cluster.get("Service", service.namespace, name)
    except ObjectMissingError:
        return  # the host of a ServiceEntry
    value = (found.get("spec", {}).get("selector") or {}).get(route.label)
    if value is None:
        return
    stable, canary = route.label_values
    side, its = ("canary", canary) if value != canary else ("stable", stable)
    path = f"/spec/selector/{route.label.replace('~', '~0').replace('/', '~1')}"
    patch = json.dumps([{"op": "remove", "path": path}])
    raise UsageError(
        f"Service {service.namespace}/{name} selects its pods by {route.label}={value}: "
        f"{side} pods have {route.label}={its} and do not belong to it",
        why=f"a subset takes its pods from the endpoints of the Service, so {side} would get no request and the "
        "release would end at its deadline without evidence",
        hint=f"take the label out of the selector: kubectl -n {service.namespace} patch service {name} --type=json "
        f"-p '{patch}', once the labels that are left select no other pods; or tell the sides apart by another label: "
        f"services.{service.name}.subsets.label",
    )
