"""VirtualServices, Gateways and Services → the virtual hosts of the client sidecar and of the gateway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.sandbox.envoy.actions import translate_retries
from gitlab_mesh.sandbox.envoy.fields import Fields, read_spec
from gitlab_mesh.sandbox.envoy.gateway_semantics import sort_by_precedence
from gitlab_mesh.sandbox.envoy.hosts import best_match, intersect, service_domains
from gitlab_mesh.sandbox.envoy.matches import is_catch_all
from gitlab_mesh.sandbox.envoy.model import Json, ProxyPod
from gitlab_mesh.sandbox.envoy.routes import Destinations, RouteContext, VirtualService, translate_routes
from gitlab_mesh.sandbox.envoy.services import MeshService, cluster_name

__all__ = ["GatewayServer", "gateway_hosts", "mesh_hosts", "read_gateways"]

_DEFAULT_PORT = 80


@dataclass(frozen=True, slots=True)
class GatewayServer:
    """One HTTP server of a Gateway object.

    Attributes:
        gateway: "namespace/name"; of a Gateway API Gateway "namespace/name/listener".
        port: Its port number.
        hosts: As written: optional "namespace/", then a host or wildcard.
        https_redirect: Every request is sent to https.
    """

    gateway: str
    port: int
    hosts: tuple[str, ...]
    https_redirect: bool

    def hosts_for(self, namespace: str) -> list[str]:
        """Return the hosts that a VirtualService of this namespace may use; "." is the Gateway's own namespace."""
        own = self.gateway.split("/")[0]
        found = []
        for host in self.hosts:
            scope, slash, name = host.rpartition("/")
            if not slash or scope == "*" or (own if scope == "." else scope) == namespace:
                found.append(name)
        return found


def read_gateways(bodies: Iterable[Mapping[str, Any]], pod: ProxyPod, warn: list[str]) -> list[GatewayServer]:
    """Read the servers of the Gateways whose selector matches the gateway's pod.

    Raises:
        UntranslatableError: A field that is not translated; TLS above all.
    """
    servers: list[GatewayServer] = []
    for body in bodies:
        meta = body.get("metadata", {})
        name = f"{meta.get('namespace', 'default')}/{meta.get('name', '?')}"
        with read_spec(body) as spec:
            selector = spec.text_map("selector")
            found = [_read_server(one, name) for one in spec.children("servers")]
        if all(pod.labels.get(key) == value for key, value in selector.items()):
            servers += found
        else:
            warn.append(f"{spec.owner}: its selector {selector} matches no gateway here (labels {dict(pod.labels)})")
    if len(ports := sorted({server.port for server in servers})) > 1:
        warn.append(f"Gateways have servers on the ports {ports}; here one port serves them all")
    return servers


def _read_server(server: Fields, gateway: str) -> GatewayServer:
    with server:
        server.text("name")
        port = server.child("port")
        if port is None:
            raise server.wrong("port", "it is missing")
        with port:
            port.text("name")
            number = port.integer("number") or _DEFAULT_PORT
            port.choice("protocol", {"HTTP": None, "HTTP2": None}, None)
        redirect = False
        if (tls := server.child("tls")) is not None:
            with tls:
                redirect = tls.flag("httpsRedirect")
        return GatewayServer(gateway, number, tuple(server.texts("hosts")), redirect)


def mesh_hosts(
    services: Sequence[MeshService],
    virtual_services: Sequence[VirtualService],
    client: ProxyPod,
    destinations: Destinations,
) -> list[Json]:
    """Return the virtual hosts of the client's sidecar.

    Each port of each Service gets one, with the routes of the VirtualService that is bound to its host most
    specifically. If several are, the oldest wins: Istio merges VirtualServices only at gateways and calls this
    undefined (https://istio.io/latest/docs/ops/best-practices/traffic-management/#split-virtual-services).
    """
    bound = [one for one in virtual_services if "mesh" in one.gateways]
    by_host = [(host, one) for one in bound for host in one.hosts]
    hosts: list[Json] = []
    for service in services:
        bound_here = _bound_to(service.host, by_host, destinations)
        for port in service.ports:
            routes = [_plain_route(cluster_name(port, "", service.host))]
            if bound_here:
                routes = _mesh_routes(bound_here, _mesh_context(port, client), destinations)
            domains = service_domains(
                service.name,
                service.namespace,
                port,
                client_namespace=client.namespace,
                default_port=port == service.default_port,
            )
            hosts.append({"name": f"{service.host}:{port}", "domains": domains, "routes": routes})
    known = {service.host for service in services}
    for host in dict.fromkeys(host for host, _ in by_host if host not in known):
        bound_here = _bound_to(host, [item for item in by_host if item[0] == host], destinations)
        if bound_here:
            domains = ["*"] if host == "*" else [host, f"{host}:{_DEFAULT_PORT}"]
            routes = _mesh_routes(bound_here, _mesh_context(_DEFAULT_PORT, client), destinations)
            hosts.append({"name": f"{host}:{_DEFAULT_PORT}", "domains": domains, "routes": routes})
    hosts = _without_doubles(hosts, destinations.warn)
    if not any("*" in host["domains"] for host in hosts):
        # Istio's outboundTrafficPolicy REGISTRY_ONLY: a sandbox has no outside.
        block = {"match": {"prefix": "/"}, "name": "block_all", "direct_response": {"status": 502}}
        hosts.append({"name": "block_all", "domains": ["*"], "routes": [block]})
    return hosts


def _without_doubles(hosts: list[Json], warn: list[str]) -> list[Json]:
    """Leave each domain to the first that has it: Envoy refuses doubles, and Istio drops them without a word."""
    owners: dict[str, str] = {}
    for host in hosts:
        for domain in host["domains"]:
            owner = owners.setdefault(domain, host["name"])
            if owner != host["name"]:
                warn.append(f"host {domain} belongs to {owner} already; its routes for {host['name']} are not used")
        host["domains"] = [domain for domain in host["domains"] if owners[domain] == host["name"]]
    return [host for host in hosts if host["domains"]]


def _mesh_context(port: int, client: ProxyPod) -> RouteContext:
    return RouteContext(port, frozenset({"mesh"}), client.labels, client.namespace)


def _bound_to(
    host: str, by_host: Sequence[tuple[str, VirtualService]], destinations: Destinations
) -> list[VirtualService]:
    """Return whose routes a host has: the oldest VirtualService's, or those of all HTTPRoutes."""
    matching = best_match(host, by_host)
    if not matching:
        return []
    oldest = matching[0]
    bound = [one for one in matching if one.gateway_api] if oldest.gateway_api else [oldest]
    for loser in (one for one in matching if one not in bound):
        destinations.warn.append(
            f"{loser.owner}: host {host} inside the mesh belongs to the older {oldest.owner} already; "
            "which of them wins is undefined in Istio, here it is the older"
        )
    return bound


def _mesh_routes(bound: Sequence[VirtualService], context: RouteContext, destinations: Destinations) -> list[Json]:
    routes = [route for one in bound for route in translate_routes(one, context, destinations)]
    return routes if len(bound) == 1 else sort_by_precedence(routes)


def _plain_route(cluster: str) -> Json:
    action = {"cluster": cluster, "timeout": "0s", "retry_policy": translate_retries(None)}
    return {"name": "default", "match": {"prefix": "/"}, "route": action}


def gateway_hosts(
    servers: Sequence[GatewayServer],
    virtual_services: Sequence[VirtualService],
    gateway: ProxyPod,
    destinations: Destinations,
) -> list[Json]:
    """Return the gateway's virtual hosts: routes of several VirtualServices on one host are merged, oldest first.

    As in Istio, routes that take everything come last, and a host that nothing is bound to gets 404.
    """
    found: dict[str, Json] = {}
    by_precedence: set[str] = set()
    for server in servers:
        context = RouteContext(server.port, frozenset({server.gateway}), gateway.labels, gateway.namespace)
        for one in virtual_services:
            if server.gateway not in one.gateways:
                continue
            common = intersect(server.hosts_for(one.namespace), one.hosts)
            if not common:
                destinations.warn.append(f"{one.owner}: none of its hosts is a host of Gateway {server.gateway}")
                continue
            routes = translate_routes(one, context, destinations)
            by_precedence |= set(common) if one.gateway_api else set()
            for host in common:
                found.setdefault(host, {"name": f"{host}:{server.port}", "domains": [host], "routes": []})
                found[host]["routes"] += routes
        if server.https_redirect:
            for host in (name.rpartition("/")[2].lower() for name in server.hosts):
                found.setdefault(host, {"name": f"{host}:{server.port}", "domains": [host], "routes": []})
                found[host]["require_tls"] = "ALL"
    for host, entry in found.items():
        if host in by_precedence:
            entry["routes"] = sort_by_precedence(entry["routes"])
        entry["routes"] = sorted(entry["routes"], key=lambda route: is_catch_all(route["match"]))
    return list(found.values())
