"""VirtualService ``http`` → ``envoy.config.route.v3.Route``, in order (``BuildHTTPRoutesForVirtualService``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.sandbox.envoy.actions import (
    FAULT_FILTER,
    header_operations,
    percentage,
    translate_direct_response,
    translate_fault,
    translate_redirect,
    translate_retries,
)
from gitlab_mesh.sandbox.envoy.fields import Fields, read_spec
from gitlab_mesh.sandbox.envoy.gateway_semantics import sort_by_precedence, with_gateway_semantics
from gitlab_mesh.sandbox.envoy.hosts import resolve_host
from gitlab_mesh.sandbox.envoy.matches import RouteContext, is_catch_all, translate_match
from gitlab_mesh.sandbox.envoy.model import Json
from gitlab_mesh.sandbox.envoy.services import MeshService, cluster_name

__all__ = ["Destinations", "RouteContext", "VirtualService", "read_virtual_service", "translate_routes"]


@dataclass(slots=True)
class Destinations:
    """Where routes may lead.

    Attributes:
        services: By full name.
        clusters: Names of all clusters that exist.
        warn: Gets a line for each destination that leads nowhere.
        missing: Names of clusters that routes name and that do not exist: such requests get 503 (flag NC), as in
            Istio, which does not check them either.
    """

    services: Mapping[str, MeshService]
    clusters: frozenset[str]
    warn: list[str]
    missing: set[str] = field(default_factory=set)

    def cluster(self, destination: Fields, context: RouteContext, namespace: str) -> str:
        """Take a ``destination`` and return the name of its cluster (Istio's ``GetDestinationCluster``)."""
        with destination:
            written = destination.text("host")
            if not written:
                raise destination.wrong("host", "a destination needs a host")
            host = resolve_host(written, namespace).lower()
            subset = destination.text("subset")
            service = self.services.get(host)
            port = service.ports[0] if service and len(service.ports) == 1 else context.port
            if (chosen := destination.child("port")) is not None:
                with chosen:
                    port = chosen.integer("number") or port
        name = cluster_name(port, subset, host)
        if name not in self.clusters:
            self.missing.add(name)
            where = f"{destination.owner}: {destination.path}"
            self.warn.append(f"{where} leads nowhere (503): {self._why(host, port, subset)}")
        return name

    def _why(self, host: str, port: int, subset: str) -> str:
        service = self.services.get(host)
        if service is None:
            return f"there is no Service {host}"
        if port not in service.ports:
            return f"Service {host} has no HTTP port {port}"
        return f"no DestinationRule for {host} has a subset {subset}"


@dataclass(frozen=True, slots=True)
class VirtualService:
    """A VirtualService's head.

    Attributes:
        owner: "VirtualService shop/shop".
        namespace: Its own; short host names are short in it.
        hosts: Full names, lower case.
        gateways: "namespace/name", or "mesh".
        body: The object.
        gateway_api: It was an HTTPRoute: prefixes end at a slash, the most specific match goes first, a cluster that
            does not exist is 500.
    """

    owner: str
    namespace: str
    hosts: tuple[str, ...]
    gateways: frozenset[str]
    body: Mapping[str, Any]
    gateway_api: bool = False


def read_virtual_service(body: Mapping[str, Any]) -> VirtualService:
    """Read hosts and gateways, and refuse what a VirtualService has besides HTTP routes."""
    namespace = body.get("metadata", {}).get("namespace", "default")
    with read_spec(body) as spec:
        hosts = tuple(dict.fromkeys(resolve_host(host, namespace).lower() for host in spec.texts("hosts")))
        spec.without_export()
        named = spec.texts("gateways") or ["mesh"]
        spec.take("http", list)
        if not hosts:
            raise spec.wrong("hosts", "a VirtualService needs a host")
    full = frozenset(name if name == "mesh" or "/" in name else f"{namespace}/{name}" for name in named)
    return VirtualService(spec.owner, namespace, hosts, full, body)


def translate_routes(service: VirtualService, context: RouteContext, destinations: Destinations) -> list[Json]:
    """Return Envoy's routes for one proxy and port; nothing after a catch-all is kept.

    Raises:
        UntranslatableError: A field that is not translated, also in a route that this proxy does not use.
    """
    routes: list[Json] = []
    spec = read_spec(service.body)
    for http in spec.children("http"):
        with http:
            found = [translate_match(match, context, service.namespace) for match in http.children("match")]
            matches = found or [{"prefix": "/"}]
            rest = _translate_rest(http, context, service.namespace, destinations)
        routes += [{"match": match, **rest} for match in matches if match is not None]
    if service.gateway_api:
        routes = sort_by_precedence([with_gateway_semantics(route) for route in routes])
    end = next((at for at, route in enumerate(routes, start=1) if is_catch_all(route["match"])), None)
    return routes[:end]


def _translate_rest(http: Fields, context: RouteContext, namespace: str, destinations: Destinations) -> Json:
    out: Json = {}
    if name := http.text("name"):
        out["name"] = name
    operations, authority = header_operations(http.child("headers"))
    out |= operations
    kind = http.one_of("redirect", "directResponse", "route")
    redirect, answer, fault = http.child("redirect"), http.child("directResponse"), http.child("fault")
    if redirect is not None:
        out["redirect"] = translate_redirect(redirect, context.port)
    elif answer is not None:
        out["direct_response"] = translate_direct_response(answer)
    elif kind is None:
        raise http.wrong("route", "a route needs a destination, a redirect or a directResponse")
    else:
        _add_route(out, http, context, namespace, destinations, authority)
    if fault is not None:
        out["typed_per_filter_config"] = {FAULT_FILTER: translate_fault(fault)}
    return out


def _add_route(
    out: Json, http: Fields, context: RouteContext, namespace: str, destinations: Destinations, authority: str
) -> None:
    # Istio's default is no timeout at all.
    action: Json = {"timeout": http.duration("timeout") or "0s"}
    if (rewrite := http.child("rewrite")) is not None:
        authority = _add_rewrite(action, rewrite) or authority
    if authority:
        action["host_rewrite_literal"] = authority
    if mirrors := _mirrors(http, context, namespace, destinations):
        action["request_mirror_policies"] = mirrors
    entries = [_destination(one, context, namespace, destinations) for one in http.children("route")]
    if not entries:
        raise http.wrong("route", "it has no destination")
    if len(entries) == 1:
        (entry,) = entries
        action["cluster"] = entry.pop("name")
        del entry["weight"]
        host = entry.pop("host_rewrite_literal", "")
        if host:
            action.setdefault("host_rewrite_literal", host)
        for key, values in entry.items():
            out[key] = [*out.get(key, []), *values]
    else:
        action["weighted_clusters"] = {"clusters": _weighted(http, entries)}
    if (policy := translate_retries(http.child("retries"))) is not None:
        action["retry_policy"] = policy
    out["route"] = action


def _weighted(http: Fields, entries: Sequence[Json]) -> list[Json]:
    """Weights are relative; Istio leaves out destinations with weight 0, and refuses if all are 0."""
    used = [{**entry, "weight": entry["weight"] or 0} for entry in entries if entry["weight"]]
    if not used:
        raise http.wrong("route", "the weights sum up to 0", "give at least one destination a weight")
    return used


def _destination(one: Fields, context: RouteContext, namespace: str, destinations: Destinations) -> Json:
    with one:
        target = one.child("destination")
        if target is None:
            raise one.wrong("destination", "it is missing")
        operations, authority = header_operations(one.child("headers"))
        entry = {
            "name": destinations.cluster(target, context, namespace),
            "weight": one.integer("weight"),
            **operations,
        }
    if authority:
        entry["host_rewrite_literal"] = authority
    return entry


def _add_rewrite(action: Json, rewrite: Fields) -> str:
    with rewrite:
        rewrite.one_of("uri", "uriRegexRewrite")
        if uri := rewrite.text("uri"):
            action["prefix_rewrite"] = uri
        if (regex := rewrite.child("uriRegexRewrite")) is not None:
            with regex:
                action["regex_rewrite"] = {
                    "pattern": {"regex": regex.text("match")},
                    "substitution": regex.text("rewrite"),
                }
        return rewrite.text("authority")


def _mirrors(http: Fields, context: RouteContext, namespace: str, destinations: Destinations) -> list[Json]:
    policies = []
    share = percentage(http, 100.0, "mirrorPercentage")
    if (mirror := http.child("mirror")) is not None:
        policies.append((destinations.cluster(mirror, context, namespace), share))
    for one in http.children("mirrors"):
        with one:
            target = one.child("destination")
            share = percentage(one, 100.0)
            if target is not None:
                policies.append((destinations.cluster(target, context, namespace), share))
    return [
        {"cluster": name, "runtime_fraction": {"default_value": share}}
        for name, share in policies
        if share["numerator"]
    ]
