"""The shapes of routes that are compared: for each one objects, and the requests that tell what they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.e2e.mesh.installation import ROOT
from tests.e2e.routing.worlds import GATEWAY_HOST, INSIDE, NAMESPACE, Request, body

__all__ = ["SHAPES", "Shape"]

Json = dict[str, Any]

ISTIO = "networking.istio.io/v1"
GATEWAY_API = "gateway.networking.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Shape:
    """Objects, and the requests by which both worlds are compared."""

    objects: tuple[Json, ...]
    requests: tuple[Request, ...] = (Request(),)


def to(version: str = "v1", weight: int | None = None, host: str = "echo", **more: Any) -> Json:
    """Return a destination of a VirtualService; without version the whole Service."""
    target = {"host": host, **({"subset": version} if version else {})}
    return {"destination": target, **({} if weight is None else {"weight": weight}), **more}


def http(*routes: Json, **more: Any) -> Json:
    """Return an HTTP route of a VirtualService."""
    return {"route": list(routes or (to(),)), **more}


def virtual_service(*https: Json, name: str = "echo", **more: Any) -> Json:
    """Return a VirtualService for the gateway and the mesh."""
    spec = {"hosts": [GATEWAY_HOST, INSIDE], "gateways": ["public", "mesh"], "http": list(https), **more}
    return body(ISTIO, "VirtualService", name, spec)


def rule(host: str = "echo", **policy: Any) -> Json:
    """Return the DestinationRule with both subsets."""
    subsets = [{"name": one, "labels": {"version": one}} for one in ("v1", "v2")]
    return body(
        ISTIO,
        "DestinationRule",
        "echo",
        {"host": host, "subsets": subsets, **({"trafficPolicy": policy} if policy else {})},
    )


def gateway(**server: Any) -> Json:
    """Return Istio's Gateway, served by the ingress gateway."""
    listed = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [GATEWAY_HOST, "*.routing.example"]}
    return body(
        ISTIO, "Gateway", "public", {"selector": {"istio": "ingressgateway"}, "servers": [{**listed, **server}]}
    )


def virtual(
    *https: Json, policy: Json | None = None, requests: tuple[Request, ...] = (Request(),), **spec: Any
) -> Shape:
    """Return a shape of one VirtualService."""
    return Shape((gateway(), rule(**(policy or {})), virtual_service(*https, **spec)), requests)


def matched(match: Json, *requests: Request) -> Shape:
    """Requests that match go to v2, all others to v1."""
    return virtual({"match": [match], **http(to("v2"))}, http(), requests=requests)


def get(path: str = "/", **headers: str) -> Request:
    """Return a GET through both doors."""
    return Request(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


MATCHES = {
    "uri exact": matched({"uri": {"exact": "/a"}}, get("/a"), get("/a/"), get("/A"), get("/a?b=1"), get("/ab")),
    "uri prefix": matched({"uri": {"prefix": "/a"}}, get("/a"), get("/ab"), get("/a/b"), get("/b/a")),
    "uri regex": matched({"uri": {"regex": "/a[0-9]+"}}, get("/a1"), get("/a1/b"), get("/a")),
    "uri without case": matched({"uri": {"prefix": "/aB"}, "ignoreUriCase": True}, get("/Ab"), get("/ac")),
    "header exact": matched({"headers": {"x-a": {"exact": "1"}}}, get(x_a="1"), get(x_a="2"), get(), get(X_A="1")),
    "header prefix": matched({"headers": {"x-a": {"prefix": "v"}}}, get(x_a="v1"), get(x_a="w")),
    "header regex": matched({"headers": {"x-a": {"regex": "v[12]"}}}, get(x_a="v1"), get(x_a="v12"), get()),
    "header present": matched({"headers": {"x-a": {}}}, get(x_a="1"), get()),
    "without header": matched({"withoutHeaders": {"x-a": {}}}, get(x_a="1"), get()),
    "without header exact": matched({"withoutHeaders": {"x-a": {"exact": "1"}}}, get(x_a="1"), get(x_a="2"), get()),
    "several headers": matched(
        {"headers": {"x-a": {"exact": "1"}, "x-b": {"exact": "2"}}}, get(x_a="1"), get(x_a="1", x_b="2")
    ),
    "method": matched({"method": {"exact": "POST"}}, Request(method="POST"), get(), Request(method="HEAD")),
    "query": matched(
        {"queryParams": {"q": {"exact": "1"}}}, get("/?q=1"), get("/?q=2"), get("/"), get("/?a=0&q=1"), get("/?q=1&q=2")
    ),
    "query prefix": matched({"queryParams": {"q": {"prefix": "1"}}}, get("/?q=12"), get("/?q=2")),
    "query regex": matched({"queryParams": {"q": {"regex": "[0-9]+"}}}, get("/?q=12"), get("/?q=x")),
    "query present": matched({"queryParams": {"q": {}}}, get("/?q"), get("/?q="), get("/")),
    "authority": matched(
        {"authority": {"exact": GATEWAY_HOST}}, get(), Request(host=f"{GATEWAY_HOST}:80", door="gateway")
    ),
    "scheme": matched({"scheme": {"exact": "http"}}, get()),
    "port": matched({"port": 80}, get()),
    "another port": matched({"port": 81}, get()),
    "one gateway": matched({"gateways": ["public"]}, get()),
    "only the mesh": matched({"gateways": ["mesh"]}, get()),
    "source labels": matched({"sourceLabels": {"app": "client"}}, get()),
    "source namespace": matched({"sourceNamespace": NAMESPACE}, get()),
    "another source": matched({"sourceNamespace": "elsewhere"}, get()),
    "either of two": virtual(
        {"match": [{"uri": {"exact": "/a"}}, {"headers": {"x-a": {"exact": "1"}}}], **http(to("v2"))},
        http(),
        requests=(get("/a"), get("/", x_a="1"), get("/b")),
    ),
    "the first that matches": virtual(
        {"match": [{"uri": {"prefix": "/a"}}], **http(to("v2"))},
        {"match": [{"uri": {"prefix": "/a/b"}}], **http()},
        http(),
        requests=(get("/a/b"), get("/c")),
    ),
    "nothing matches": virtual({"match": [{"uri": {"exact": "/a"}}], **http()}, requests=(get("/a"), get("/b"))),
    "after a catch-all": virtual(
        http(to("v2")), {"match": [{"uri": {"exact": "/a"}}], **http()}, requests=(get("/a"), get("/"))
    ),
}

DESTINATIONS = {
    "no route at all": Shape((gateway(), rule()), (Request(door="mesh"), Request(door="gateway"))),
    "no rule": Shape((gateway(), virtual_service(http(to(""), timeout="5s")))),
    "weights 1:1999": virtual(http(to("v1", 1999), to("v2", 1))),
    "weights 80:20": virtual(http(to("v1", 80), to("v2", 20))),
    "weights that are no hundred": virtual(http(to("v1", 3), to("v2", 1))),
    "weight 0": virtual(http(to("v1", 0), to("v2", 100))),
    "a missing weight": virtual(http(to("v1"), to("v2", 100))),
    "one destination of weight 0": virtual(http(to("v2", 0))),
    "three destinations": virtual(http(to("v1", 50), to("v2", 30), to("", 20))),
    "a missing subset": virtual(http(to("v9"))),
    "a missing subset of two": virtual(http(to("v1", 100), to("v9", 0))),
    "a missing host": virtual(http(to("", host="gone"))),
    "a short name with a dot": virtual(http(to("v1", host=f"echo.{NAMESPACE}"))),
    "a full name": virtual(http(to("v2", host=INSIDE))),
    "a port": virtual(http({"destination": {"host": "echo", "subset": "v2", "port": {"number": 80}}})),
    "a port that is not there": virtual(http({"destination": {"host": "echo", "port": {"number": 81}}})),
    "another Service": virtual(http(to("", host="echo-v2"))),
}

HOSTS = {
    "hosts": virtual(
        http(to("v2")),
        requests=(
            get(),
            Request(host="other.example", door="gateway"),
            Request(host="ROUTING.example", door="gateway"),
            Request(host=f"{GATEWAY_HOST}:8443", door="gateway"),
            *(
                Request(host=host, door="mesh")
                for host in ("echo", f"echo.{NAMESPACE}", f"echo.{NAMESPACE}.svc", f"{INSIDE}:80")
            ),
            Request(host="echo-v1", door="mesh"),
        ),
    ),
    "a host that nobody has": virtual(
        http(), requests=(Request(host="nobody.example", door="mesh"), Request(host="nobody.example", door="gateway"))
    ),
    "a wildcard": virtual(
        http(to("v2")),
        hosts=["*.routing.example"],
        gateways=["public"],
        requests=(
            Request(host="a.routing.example", door="gateway"),
            Request(host="a.b.routing.example", door="gateway"),
            Request(door="gateway"),
        ),
    ),
    "a host that is no Service": virtual(
        http(to("v2")),
        hosts=["virtual.example"],
        gateways=["mesh"],
        requests=(Request(host="virtual.example", door="mesh"),),
    ),
    "two VirtualServices at a gateway": Shape(
        (
            gateway(),
            rule(),
            virtual_service({"match": [{"uri": {"prefix": "/a"}}], **http(to("v2"))}, gateways=["public"]),
            virtual_service(http(), gateways=["public"], hosts=[GATEWAY_HOST], name="second"),
        ),
        (Request("/a", door="gateway"), Request("/b", door="gateway")),
    ),
    "the gateway alone": virtual(http(to("v2")), gateways=["public"], requests=(get(),)),
    "the mesh alone": virtual(http(to("v2")), gateways=["mesh"], hosts=[INSIDE], requests=(get(),)),
    "another namespace's Gateway": Shape(
        (gateway(hosts=["elsewhere/routing.example"]), rule(), virtual_service(http())), (Request(door="gateway"),)
    ),
    "its own namespace's Gateway": Shape(
        (gateway(hosts=["./routing.example"]), rule(), virtual_service(http(to("v2")))), (Request(door="gateway"),)
    ),
    "a Gateway of everything": Shape(
        (gateway(hosts=["*"]), rule(), virtual_service(http(to("v2")), hosts=["*"], gateways=["public"])),
        (Request(host="any.example", door="gateway"),),
    ),
    "https only": Shape(
        (gateway(tls={"httpsRedirect": True}), rule(), virtual_service(http())), (Request("/a?b=1", door="gateway"),)
    ),
}


def redirect(**fields: Any) -> Shape:
    """Everything below /a is redirected."""
    return virtual(
        {"match": [{"uri": {"prefix": "/a"}}], "redirect": fields}, http(), requests=(get("/a/b?c=1"), get("/b"))
    )


def answered(**more: Any) -> Shape:
    """One route with something beside its destination."""
    return virtual(http(**more), requests=(get("/a/b?c=1", x_old="1", x_kept="2"),))


ACTIONS = {
    "redirect to a path": redirect(uri="/new"),
    "redirect to a host": redirect(authority="new.example"),
    "redirect to https": redirect(scheme="https"),
    "redirect to a port": redirect(port=8080),
    "redirect to the request's port": redirect(derivePort="FROM_REQUEST_PORT", authority="new.example"),
    "redirect to the protocol's port": redirect(derivePort="FROM_PROTOCOL_DEFAULT", scheme="https"),
    **{f"redirect with {code}": redirect(uri="/new", redirectCode=code) for code in (302, 303, 307, 308)},
    "direct response": virtual(
        {"match": [{"uri": {"exact": "/tea"}}], "directResponse": {"status": 418, "body": {"string": "tea"}}},
        {"match": [{"uri": {"exact": "/empty"}}], "directResponse": {"status": 204}},
        http(),
        requests=(get("/tea"), get("/empty"), get("/")),
    ),
    "request headers": answered(
        headers={"request": {"set": {"x-kept": "9"}, "add": {"x-new": "1"}, "remove": ["x-old"]}}
    ),
    "response headers": answered(
        headers={"response": {"set": {"x-app": "9"}, "add": {"x-new": "1"}, "remove": ["date"]}}
    ),
    "headers of a destination": virtual(
        http(
            to("v1", 100, headers={"request": {"set": {"x-side": "a"}}, "response": {"set": {"x-side": "b"}}}),
            to("v2", 0),
            headers={"request": {"add": {"x-side": "c"}}},
        )
    ),
    "a host among the headers": answered(headers={"request": {"set": {"host": "inner.example"}}}),
    "rewrite of a prefix": virtual(
        {"match": [{"uri": {"prefix": "/a"}}], **http(rewrite={"uri": "/new"})},
        {"match": [{"uri": {"prefix": "/c/"}}], **http(rewrite={"uri": "/"})},
        requests=(get("/a/b?c=1"), get("/ab"), get("/c/d")),
    ),
    "rewrite of an exact path": virtual(
        {"match": [{"uri": {"exact": "/a"}}], **http(rewrite={"uri": "/new"})}, requests=(get("/a?b=1"),)
    ),
    "rewrite of the authority": answered(rewrite={"authority": "inner.example"}),
    "rewrite by regular expression": answered(rewrite={"uriRegexRewrite": {"match": "^/a/(.*)$", "rewrite": r"/x/\1"}}),
    "timeout": virtual(http(timeout="200ms"), requests=(get("/slow"), get("/"))),
    "no timeout": virtual(http(), requests=(get("/slow"),)),
    "default retries": virtual(http(), requests=(Request("/fail/1", hits=True), Request("/status/500", hits=True))),
    "retries": virtual(
        http(retries={"attempts": 2, "retryOn": "5xx"}),
        requests=(Request("/fail/2", hits=True), Request("/fail/3", hits=True), Request("/status/404", hits=True)),
    ),
    "retries of a status": virtual(
        http(retries={"attempts": 1, "retryOn": "429"}),
        requests=(Request("/status/429", hits=True), Request("/status/500", hits=True)),
    ),
    "no retries": virtual(http(retries={"attempts": 0}), requests=(Request("/fail/1", hits=True),)),
    "retries with a time each": virtual(
        http(retries={"attempts": 1, "perTryTimeout": "200ms", "retryOn": "5xx"}),
        requests=(Request("/slow", hits=True),),
    ),
    "abort": virtual(
        http(fault={"abort": {"httpStatus": 501, "percentage": {"value": 100}}}), requests=(Request(hits=True),)
    ),
    "abort without percentage": virtual(http(fault={"abort": {"httpStatus": 501}})),
    "delay": virtual(http(fault={"delay": {"fixedDelay": "400ms", "percentage": {"value": 100}}})),
    "mirror": virtual(http(mirror={"host": "echo", "subset": "v2"}), requests=(Request(hits=True),)),
    "mirror of nothing": virtual(
        http(mirror={"host": "echo", "subset": "v2"}, mirrorPercentage={"value": 0}), requests=(Request(hits=True),)
    ),
    "mirrors": virtual(
        http(mirrors=[{"destination": {"host": "echo", "subset": "v2"}, "percentage": {"value": 100}}]),
        requests=(Request(hits=True),),
    ),
    "policies": virtual(
        http(),
        policy={
            "loadBalancer": {"simple": "ROUND_ROBIN"},
            "connectionPool": {"tcp": {"connectTimeout": "2s"}, "http": {"maxRequestsPerConnection": 1}},
        },
        requests=(get("/"), get("/")),
    ),
    "ejection": virtual(
        http(retries={"attempts": 0}),
        policy={
            "outlierDetection": {
                "consecutive5xxErrors": 2,
                "interval": "100ms",
                "baseEjectionTime": "3s",
                "maxEjectionPercent": 100,
            }
        },
        requests=(Request("/status/500", door="mesh"), Request("/status/500", door="mesh"), Request("/", door="mesh")),
    ),
}


def route(*rules: Json, **spec: Any) -> Shape:
    """Return a shape of one HTTPRoute, at the gateway and inside the mesh."""
    parents = [{"name": "public-api", "namespace": ROOT}, {"group": "", "kind": "Service", "name": "echo"}]
    requests = spec.pop("requests", (Request(),))
    hosts = spec.pop("hostnames", [GATEWAY_HOST])
    return Shape(
        (
            api_gateway(),
            body(
                GATEWAY_API,
                "HTTPRoute",
                "echo",
                {"parentRefs": parents, "hostnames": hosts, "rules": list(rules), **spec},
            ),
        ),
        requests,
    )


def api_gateway() -> Json:
    """Return a Gateway API Gateway that the same ingress gateway serves (a manual deployment, in Istio's words)."""
    address = {"type": "Hostname", "value": "istio-ingressgateway.istio-system.svc.cluster.local"}
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
    return body(
        GATEWAY_API,
        "Gateway",
        "public-api",
        {"gatewayClassName": "istio", "addresses": [address], "listeners": [listener]},
        namespace=ROOT,  # Istio finds the Service of a manual deployment in the Gateway's own namespace only
    )


def ref(name: str = "echo-v1", weight: int | None = None, **more: Any) -> Json:
    """Return a backendRef."""
    return {"name": name, "port": 80, **({} if weight is None else {"weight": weight}), **more}


def backends(*refs: Json, **more: Any) -> Json:
    """Return a rule of an HTTPRoute."""
    return {"backendRefs": list(refs or (ref(),)), **more}


def when(match: Json, *requests: Request) -> Shape:
    """Requests that match go to v2, all others to v1."""
    return route(backends(ref("echo-v2"), matches=[match]), backends(), requests=requests)


def filtered(*filters: Json, **more: Any) -> Shape:
    """One rule with filters for everything below /a."""
    match = {"path": {"type": "PathPrefix", "value": "/a"}}
    return route(
        {**backends(), "matches": [match], "filters": list(filters), **more},
        requests=(get("/a/b?c=1", x_old="1", x_kept="2"), get("/a")),
    )


def redirected(**fields: Any) -> Shape:
    """A rule that redirects and has no backend."""
    return route({"filters": [{"type": "RequestRedirect", "requestRedirect": fields}]}, requests=(get("/a/b?c=1"),))


def two_routes() -> Shape:
    """Two HTTPRoutes of one host and Service: the most specific match goes first, whoever's it is."""
    first = route(backends(), requests=(get("/a"), get("/b"), get("/a", x_a="1")))
    prefix = {"path": {"type": "PathPrefix", "value": "/a"}}
    more = route(
        backends(ref("echo-v2"), matches=[prefix]),
        backends(matches=[{**prefix, "headers": [{"name": "x-a", "value": "1"}]}]),
    ).objects[1]
    second = {**more, "metadata": {**more["metadata"], "name": "second"}}
    return Shape((*first.objects, second), first.requests)


HTTP_ROUTES = {
    "path exact": when({"path": {"type": "Exact", "value": "/a"}}, get("/a"), get("/a/"), get("/a?b=1")),
    "path prefix": when(
        {"path": {"type": "PathPrefix", "value": "/a"}}, get("/a"), get("/ab"), get("/a/b"), get("/a/")
    ),
    "path prefix with slash": when({"path": {"type": "PathPrefix", "value": "/a/"}}, get("/a"), get("/a/"), get("/ab")),
    "path regex": when({"path": {"type": "RegularExpression", "value": "/a[0-9]"}}, get("/a1"), get("/a12")),
    "headers of a match": when(
        {"headers": [{"name": "X-A", "value": "1"}, {"type": "RegularExpression", "name": "x-b", "value": "[0-9]+"}]},
        get(x_a="1", x_b="23"),
        get(x_a="1"),
        get(x_a="2", x_b="2"),
    ),
    "method of a match": when({"method": "POST"}, Request(method="POST"), get()),
    "query of a match": when({"queryParams": [{"name": "q", "value": "1"}]}, get("/?q=1"), get("/?q=2")),
    "the most specific match": route(
        backends(matches=[{"path": {"type": "PathPrefix", "value": "/"}}]),
        backends(ref("echo-v2"), matches=[{"path": {"type": "PathPrefix", "value": "/a"}}]),
        backends(matches=[{"path": {"type": "Exact", "value": "/a"}}]),
        backends(matches=[{"path": {"type": "PathPrefix", "value": "/a"}, "headers": [{"name": "x-a", "value": "1"}]}]),
        requests=(get("/"), get("/a"), get("/a/b"), get("/a/b", x_a="1")),
    ),
    "backends 1:1999": route(backends(ref(weight=1999), ref("echo-v2", 1))),
    "backends 80:20": route(backends(ref(weight=80), ref("echo-v2", 20))),
    "a backend of weight 0": route(backends(ref(weight=0), ref("echo-v2", 1))),
    "backends without weights": route(backends(ref(), ref("echo-v2"))),
    "only weights of 0": route(backends(ref(weight=0))),
    "no backends": route(
        {"matches": [{"path": {"type": "PathPrefix", "value": "/a"}}]}, backends(), requests=(get("/a"), get("/b"))
    ),
    "a missing backend": route(backends(ref("gone"))),
    "a missing backend of weight 0": route(backends(ref(), ref("gone", 0))),
    "request header filter": filtered(
        {
            "type": "RequestHeaderModifier",
            "requestHeaderModifier": {
                "set": [{"name": "x-kept", "value": "9"}],
                "add": [{"name": "x-new", "value": "1"}],
                "remove": ["x-old"],
            },
        }
    ),
    "response header filter": filtered(
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-app", "value": "9"}]}}
    ),
    "filter of a backend": route(
        backends(
            ref(
                filters=[
                    {
                        "type": "RequestHeaderModifier",
                        "requestHeaderModifier": {"set": [{"name": "x-side", "value": "a"}]},
                    }
                ]
            )
        )
    ),
    "rewrite of a path prefix": filtered(
        {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}}
    ),
    "removal of a path prefix": filtered(
        {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}
    ),
    "rewrite of a whole path": filtered(
        {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"}}}
    ),
    "rewrite of the host": filtered({"type": "URLRewrite", "urlRewrite": {"hostname": "inner.example"}}),
    "redirect by scheme": redirected(scheme="https"),
    "redirect by host and port": redirected(hostname="new.example", port=8443, statusCode=301),
    "redirect by path": redirected(path={"type": "ReplaceFullPath", "replaceFullPath": "/new"}),
    "mirror of an HTTPRoute": route(
        backends(filters=[{"type": "RequestMirror", "requestMirror": {"backendRef": ref("echo-v2")}}]),
        requests=(Request(hits=True),),
    ),
    "timeout of a rule": route(backends(timeouts={"request": "200ms"}), requests=(get("/slow"), get("/"))),
    "timeout of a backend": route(
        backends(timeouts={"request": "2s", "backendRequest": "200ms"}), requests=(get("/slow"),)
    ),
    "two HTTPRoutes": two_routes(),
    "any hostname": route(
        backends(ref("echo-v2")), hostnames=[], requests=(get(), Request(host="any.example", door="gateway"))
    ),
}

SHAPES: dict[str, Shape] = {**MATCHES, **DESTINATIONS, **HOSTS, **ACTIONS, **HTTP_ROUTES}
