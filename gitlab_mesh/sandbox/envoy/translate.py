"""Istio's objects → one whole Envoy configuration; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gitlab_mesh.sandbox.envoy.clusters import inbound_cluster, outbound_clusters, read_destination_rules
from gitlab_mesh.sandbox.envoy.hosts import by_age
from gitlab_mesh.sandbox.envoy.http_routes import GATEWAY_API, read_http_route, read_listeners
from gitlab_mesh.sandbox.envoy.listeners import inbound_listener, outbound_listener, route_configuration
from gitlab_mesh.sandbox.envoy.matches import RouteContext
from gitlab_mesh.sandbox.envoy.model import (
    CLIENT,
    GATEWAY,
    InboundPod,
    Json,
    MeshSettings,
    Translation,
    XdsConfig,
)
from gitlab_mesh.sandbox.envoy.routes import Destinations, VirtualService, read_virtual_service, translate_routes
from gitlab_mesh.sandbox.envoy.services import MeshService, read_services
from gitlab_mesh.sandbox.envoy.telemetry_tags import destination_tags, source_tags
from gitlab_mesh.sandbox.envoy.virtual_hosts import gateway_hosts, mesh_hosts, read_gateways

__all__ = ["is_translated", "translate"]

_ISTIO = "networking.istio.io"
_LISTENERS = f"Gateway.{GATEWAY_API}"

# Other API groups have kinds of the same names, such as Knative's Service. Kind and group → the word used here.
_WORDS = {
    ("VirtualService", _ISTIO): "VirtualService",
    ("DestinationRule", _ISTIO): "DestinationRule",
    ("Gateway", _ISTIO): "Gateway",
    ("Service", ""): "Service",
    ("HTTPRoute", GATEWAY_API): "HTTPRoute",
    ("Gateway", GATEWAY_API): _LISTENERS,
}
_DEFAULT_GROUPS = dict(reversed(_WORDS))


def _word_of(body: Mapping[str, Any]) -> str | None:
    """Return what a kind is called here, None if it is not translated; without ``apiVersion`` the kind decides."""
    kind = str(body.get("kind"))
    version = body.get("apiVersion")
    group = _DEFAULT_GROUPS.get(kind, "") if version is None else str(version).rpartition("/")[0]
    return _WORDS.get((kind, group))


def is_translated(body: Mapping[str, Any]) -> bool:
    """Whether an object is of a kind that the translation reads; without ``apiVersion`` the kind alone decides."""
    return _word_of(body) is not None


def translate(objects: Iterable[Mapping[str, Any]], pods: Sequence[InboundPod], settings: MeshSettings) -> Translation:
    """Translate everything that is there.

    Args:
        objects: Kubernetes objects as JSON; others than ``is_translated`` are skipped.
        pods: All pods with a sidecar, ready or not.
        settings: Ports and pods of the gateway and the client.

    Raises:
        UntranslatableError: An object uses a field, or a value of it, that is not translated.
    """
    kinds: dict[str, list[Mapping[str, Any]]] = {word: [] for word in _WORDS.values()}
    for body in objects:
        word = _word_of(body)
        if word is not None:
            kinds[word].append(body)
    warnings: list[str] = []
    services = read_services(kinds["Service"], warnings)
    policies = read_destination_rules(kinds["DestinationRule"], warnings)
    clusters, endpoints = outbound_clusters(services, policies, pods)
    routes = _routes(kinds, services, frozenset(clusters), settings, warnings)
    listeners = {
        GATEWAY: outbound_listener(GATEWAY, settings.gateway_port, source_tags(settings.gateway), gateway=True),
        CLIENT: outbound_listener(CLIENT, settings.mesh_port, source_tags(settings.client), gateway=False),
    }
    for pod in pods:
        service = next((one for one in services if one.selects(pod)), None)
        cluster, listener = inbound_cluster(pod), inbound_listener(pod, destination_tags(pod, service))
        clusters[cluster["name"]], listeners[listener["name"]] = cluster, listener
    return Translation(XdsConfig(clusters, endpoints, listeners, routes), tuple(dict.fromkeys(warnings)))


def _routes(
    kinds: Mapping[str, Sequence[Mapping[str, Any]]],
    services: Sequence[MeshService],
    clusters: frozenset[str],
    settings: MeshSettings,
    warnings: list[str],
) -> dict[str, Json]:
    by_name = {service.host: service for service in services}
    virtual_services = [read_virtual_service(body) for body in by_age(kinds["VirtualService"])]
    servers = read_gateways(by_age(kinds["Gateway"]), settings.gateway, warnings)
    servers += read_listeners(by_age(kinds[_LISTENERS]), warnings)
    virtual_services += [one for body in by_age(kinds["HTTPRoute"]) for one in read_http_route(body, servers)]
    _check_all(virtual_services, Destinations(by_name, clusters, []))
    mesh, gateway = Destinations(by_name, clusters, warnings), Destinations(by_name, clusters, warnings)
    hosts = {
        CLIENT: mesh_hosts(services, virtual_services, settings.client, mesh),
        GATEWAY: gateway_hosts(servers, virtual_services, settings.gateway, gateway),
    }
    known = {server.gateway for server in servers} | {"mesh"}
    for one in virtual_services:
        warnings += [f"{one.owner}: there is no Gateway {name}" for name in sorted(one.gateways - known)]
    # A missing cluster is 503 in Istio. Where that is meant, Envoy must not check; everywhere else it should.
    return {
        CLIENT: route_configuration(CLIENT, hosts[CLIENT], validate=not mesh.missing, ignore_port=False),
        GATEWAY: route_configuration(GATEWAY, hosts[GATEWAY], validate=not gateway.missing, ignore_port=True),
    }


def _check_all(virtual_services: Sequence[VirtualService], destinations: Destinations) -> None:
    """Read every route once, also those that no proxy here uses: an unknown field must not hide there."""
    for one in virtual_services:
        translate_routes(one, RouteContext(80, one.gateways, {}, one.namespace), destinations)
