"""Gateway API's HTTPRoute and Gateway → the same values as VirtualService and Istio's Gateway, as istiod does it.

istiod converts each HTTPRoute into a VirtualService with a few rules of its own (pilot/pkg/config/kube/gateway/
conversion.go, ``convertHTTPRoute``): backends of weight 0 are left out, none left is 500, a backend that does not exist
is 500, a prefix ends at a slash, and the most specific match goes first, whatever the order of the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gitlab_mesh.sandbox.envoy.fields import Fields, read_spec
from gitlab_mesh.sandbox.envoy.http_route_filters import read_filters
from gitlab_mesh.sandbox.envoy.model import Json
from gitlab_mesh.sandbox.envoy.routes import VirtualService
from gitlab_mesh.sandbox.envoy.services import DOMAIN
from gitlab_mesh.sandbox.envoy.virtual_hosts import GatewayServer

__all__ = ["GATEWAY_API", "parent_of", "read_http_route", "read_listeners"]

GATEWAY_API = "gateway.networking.k8s.io"
_CLASS = "istio"


def read_listeners(bodies: Iterable[Mapping[str, Any]], warn: list[str]) -> list[GatewayServer]:
    """Read the listeners of Gateway API Gateways; the one emulated gateway serves all of class ``istio``.

    Raises:
        UntranslatableError: A field that is not translated; TLS above all.
    """
    servers: list[GatewayServer] = []
    for body in bodies:
        namespace, name = body["metadata"].get("namespace", "default"), body["metadata"].get("name", "?")
        with read_spec(body) as spec:
            gateway_class = spec.text("gatewayClassName")
            found = [_read_listener(one, f"{namespace}/{name}") for one in spec.children("listeners")]
            spec.take("addresses", list)
            spec.take("infrastructure", dict)
        if gateway_class == _CLASS:
            servers += found
        else:
            warn.append(f"{spec.owner}: class {gateway_class} is not served here, only {_CLASS}")
    return servers


def _read_listener(listener: Fields, gateway: str) -> GatewayServer:
    with listener:
        name = listener.text("name")
        port = listener.integer("port") or 80
        listener.choice("protocol", {"HTTP": None}, None)
        host = listener.text("hostname", "*")
        scope = "."
        if (allowed := listener.child("allowedRoutes")) is not None:
            with allowed:
                allowed.take("kinds", list)
                if (namespaces := allowed.child("namespaces")) is not None:
                    with namespaces:
                        scope = namespaces.choice("from", {"Same": ".", "All": "*"}, ".")
    return GatewayServer(f"{gateway}/{name}", port, (f"{scope}/{host}",), https_redirect=False)


def parent_of(ref: Mapping[str, Any], namespace: str) -> tuple[str, str, str]:
    """Return a parentRef's (kind with group, namespace, name), defaults applied."""
    group = ref.get("group")
    kind = f"{ref.get('kind') or 'Gateway'}.{GATEWAY_API if group is None else group}".rstrip(".")
    return kind, str(ref.get("namespace") or namespace), str(ref.get("name", ""))


def read_http_route(body: Mapping[str, Any], servers: Sequence[GatewayServer]) -> list[VirtualService]:
    """Return what an HTTPRoute is at its gateways, and at its Services inside the mesh.

    Raises:
        UntranslatableError: A field, or a value of it, that is not translated.
    """
    namespace = body.get("metadata", {}).get("namespace", "default")
    gateways: set[str] = set()
    inside: list[str] = []
    with read_spec(body) as spec:
        for ref in spec.children("parentRefs"):
            _read_parent(ref, namespace, servers, gateways, inside)
        hosts = tuple(host.lower() for host in spec.texts("hostnames")) or ("*",)
        rules = [_read_rule(rule, namespace) for rule in spec.children("rules")]
    translated = {**body, "spec": {"http": rules}}
    found = []
    if gateways:
        found.append(VirtualService(spec.owner, namespace, hosts, frozenset(gateways), translated, gateway_api=True))
    if inside:
        mesh = frozenset({"mesh"})
        found.append(VirtualService(spec.owner, namespace, tuple(inside), mesh, translated, gateway_api=True))
    return found


def _read_parent(
    ref: Fields, namespace: str, servers: Sequence[GatewayServer], gateways: set[str], inside: list[str]
) -> None:
    with ref:
        group, kind = ref.take("group", str), ref.text("kind", "Gateway")
        name, section = ref.text("name"), ref.text("sectionName")
        where = ref.text("namespace", namespace)
        port = ref.integer("port")
        if (group or "", kind) == ("", "Service"):
            if port is not None:
                raise ref.wrong("port", "a route for one port of a Service is not emulated")
            inside.append(f"{name}.{where}.svc.{DOMAIN}")
            return
        if (group is None or group == GATEWAY_API) and kind == "Gateway":
            key = f"{where}/{name}"
            mine = [one for one in servers if one.gateway.rpartition("/")[0] == key]
            chosen = [
                one.gateway
                for one in mine
                if section in ("", one.gateway.rpartition("/")[2]) and port in (None, one.port)
            ]
            gateways.update(chosen or [key])  # one that is not there is named in a warning
            return
        raise ref.wrong("kind", f"{kind} is not translated", "the sandbox knows Gateway and Service")


def _read_rule(rule: Fields, namespace: str) -> Json:
    with rule:
        out: Json = {"name": rule.text("name")} if "name" in rule else {}
        matches = [_read_match(match) for match in rule.children("matches")]
        if matches:
            out["match"] = matches
        out |= read_filters(rule, namespace)
        _read_retry_and_timeouts(rule, out)
        backends = [(_read_backend(ref, namespace), ref) for ref in rule.children("backendRefs")]
    used = [(weight, route) for (weight, route), _ in backends if weight]
    if used:
        single = len(used) == 1
        out["route"] = [{**route, **({} if single else {"weight": weight})} for weight, route in used]
    elif "redirect" not in out:
        out["directResponse"] = {"status": 500}
    if "redirect" in out:
        out.pop("route", None)
    return out


def _read_match(match: Fields) -> Json:
    out: Json = {}
    with match:
        if (path := match.child("path")) is not None:
            with path:
                kind = path.choice(
                    "type", {"Exact": "exact", "PathPrefix": "prefix", "RegularExpression": "regex"}, "prefix"
                )
                value = path.text("value", "/")
            out["uri"] = {kind: (value.rstrip("/") or "/") if kind == "prefix" else value}
        for key, plural in (("headers", "headers"), ("queryParams", "queryParams")):
            if found := dict(_read_value(one) for one in match.children(plural)):
                out[key] = found
        if method := match.text("method"):
            out["method"] = {"exact": method}
    return out


def _read_value(one: Fields) -> tuple[str, Json]:
    with one:
        kind = one.choice("type", {"Exact": "exact", "RegularExpression": "regex"}, "exact")
        return one.text("name"), {kind: one.text("value")}


def _read_backend(ref: Fields, namespace: str) -> tuple[int, Json]:
    with ref:
        if (ref.text("group"), ref.text("kind", "Service")) != ("", "Service"):
            raise ref.wrong("kind", "only Services are translated as backends")
        if ref.text("namespace", namespace) != namespace:
            raise ref.wrong("namespace", "backends of other namespaces are not emulated")
        destination: Json = {"host": f"{ref.text('name')}.{namespace}.svc.{DOMAIN}"}
        port = ref.integer("port")
        if port is not None:
            destination["port"] = {"number": port}
        weight = ref.integer("weight", 1)
        filters = read_filters(ref, namespace, of_backend=True)
    return weight if weight is not None else 1, {"destination": destination, **filters}


def _read_retry_and_timeouts(rule: Fields, out: Json) -> None:
    retries: Json = {}
    if (retry := rule.child("retry")) is not None:
        with retry:
            codes = [str(code) for code in retry.take("codes", list, [])]
            attempts = retry.integer("attempts", 2)
            retries = {"attempts": attempts}
            if attempts:
                retries["retryOn"] = ",".join(("connect-failure", "refused-stream", "unavailable", "cancelled", *codes))
            if "backoff" in retry:
                retries["backoff"] = retry.text("backoff")
    if (timeouts := rule.child("timeouts")) is not None:
        with timeouts:
            whole, each = timeouts.duration("request"), timeouts.duration("backendRequest")
        if whole not in (None, "0s"):
            out["timeout"] = whole
        if each not in (None, "0s") and retries:
            retries["perTryTimeout"] = each
        elif each not in (None, "0s"):
            out["timeout"] = each
    if retries:
        out["retries"] = retries
