"""What Istio's webhook takes with a warning: it does not do what it says, or more than it says."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.rules.fields import is_ip
from gitlab_mesh.core.analysis.rules.shape_authentication import parse_keys

__all__: list[str] = []

_POLICY = (
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: shop, namespace: shop}\nspec: {%s}\n"
)
_ENTRY = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: pay, namespace: shop}\nspec: {hosts: [pay.example.com], ports: [{number: 443, name: tls, protocol: TLS}], %s}\n"
_VS = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec: {hosts: [shop.example.com], gateways: [%s], http: [{%sroute: [{destination: {host: shop}}]}]}\n"
_SELECTORS = {
    "AuthorizationPolicy": ("selector", "matchLabels"),
    "RequestAuthentication": ("selector", "matchLabels"),
    "PeerAuthentication": ("selector", "matchLabels"),
    "Telemetry": ("selector", "matchLabels"),
    "WasmPlugin": ("selector", "matchLabels"),
    "DestinationRule": ("workloadSelector", "matchLabels"),
    "EnvoyFilter": ("workloadSelector", "labels"),
    "ServiceEntry": ("workloadSelector", "labels"),
    "Sidecar": ("workloadSelector", "labels"),
}


@rule(
    "GM0351",
    "selector without labels",
    Level.WARNING,
    istio="IST0133",
    reads=tuple(_SELECTORS),
    why="it selects nothing in particular: the object holds for the whole namespace",
    mend="write the labels, or leave the selector out if the whole namespace is meant",
    bad=_POLICY % "selector: {}",
    good=_POLICY % "selector: {matchLabels: {app: shop}}",
)
def check_empty_selectors(mesh: Mesh) -> Iterator[Problem]:
    """Selectors that are there, but empty."""
    for kind, (key, inner) in _SELECTORS.items():
        for document in mesh.of(kind):
            selector = document.spec.get(key)
            if selector.__class__ is dict and not selector.get(inner):
                yield Problem(
                    document, ("spec", key), f"{key} has no labels: it holds for all of the namespace", at_key=True
                )


@rule(
    "GM0352",
    "DENY by HTTP attributes for all ports",
    Level.WARNING,
    istio="IST0133",
    reads=("AuthorizationPolicy",),
    why="on TCP ports HTTP attributes cannot be read and count as matched: the DENY refuses the connection",
    mend="name the ports that it is meant for: to: [{operation: {ports: [...]}}]",
    bad=_POLICY % "action: DENY, rules: [{to: [{operation: {methods: [DELETE]}}]}]",
    good=_POLICY % "action: DENY, rules: [{to: [{operation: {methods: [DELETE], ports: ['8080']}}]}]",
)
def check_deny(mesh: Mesh) -> Iterator[Problem]:
    """DENY rules with HTTP attributes that name no port."""
    source_http = ("requestPrincipals", "notRequestPrincipals", "remoteIpBlocks", "notRemoteIpBlocks")
    operation_http = ("methods", "notMethods", "paths", "notPaths", "hosts", "notHosts")
    for document in mesh.of("AuthorizationPolicy"):
        if document.spec.get("action") != "DENY":
            continue
        for r, item in dicts(document.spec.get("rules")):
            sources = [mapping(part.get("source")) for _, part in dicts(item.get("from"))]
            operations = [mapping(part.get("operation")) for _, part in dicts(item.get("to"))]
            http = any(source.get(key) for source in sources for key in source_http)
            http = http or any(operation.get(key) for operation in operations for key in operation_http)
            ports = any(operation.get("ports") or operation.get("notPorts") for operation in operations)
            ports = ports or any(condition.get("key") == "destination.port" for _, condition in dicts(item.get("when")))
            if http and not ports:
                yield Problem(document, ("spec", "rules", r), "this DENY refuses connections on TCP ports too")


@object_rule(
    "GM0361",
    "private key in jwks",
    Level.WARNING,
    istio="IST0133",
    reads=("RequestAuthentication",),
    why="whoever can read the object can sign tokens",
    mend="give the public key only, and replace this one",
    bad="apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: jwt, namespace: shop}\n"
    'spec: {jwtRules: [{issuer: a, jwks: \'{"keys": [{"kty": "RSA", "e": "AQAB", "n": "AQAB", "d": "AQAB"}]}\'}]}\n',
    good="apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: jwt, namespace: shop}\n"
    'spec: {jwtRules: [{issuer: a, jwks: \'{"keys": [{"kty": "RSA", "e": "AQAB", "n": "AQAB"}]}\'}]}\n',
)
def check_keys(document: Document) -> Iterator[Problem]:
    """Keys with a private part."""
    for i, item in dicts(document.spec.get("jwtRules")):
        if any("d" in key for key in parse_keys(str(item.get("jwks") or "")) or ()):
            yield Problem(document, ("spec", "jwtRules", i, "jwks"), "jwks holds a private key")


@object_rule(
    "GM0332",
    "ServiceEntry part that has no effect",
    Level.WARNING,
    istio="IST0133",
    reads=("ServiceEntry",),
    why="Istio takes the object and ignores this part",
    mend="choose a resolution that uses it, or remove it",
    bad=_ENTRY % "workloadSelector: {labels: {app: pay}}, resolution: NONE",
    good=_ENTRY % "workloadSelector: {labels: {app: pay}}, resolution: STATIC",
)
def check_entries(document: Document) -> Iterator[Problem]:
    """Selectors and target ports with resolution NONE, endpoints without an address, addresses of several TLS hosts."""
    spec = document.spec
    resolution = spec.get("resolution", "NONE")
    if resolution == "NONE":
        if spec.get("workloadSelector") is not None:
            message = "workloadSelector has no effect with resolution NONE"
            yield Problem(document, ("spec", "workloadSelector"), message, at_key=True)
        for i, port in dicts(spec.get("ports")):
            if port.get("targetPort"):
                yield Problem(
                    document, ("spec", "ports", i, "targetPort"), "targetPort has no effect with resolution NONE"
                )
    for i, endpoint in dicts(spec.get("endpoints")):
        if endpoint.get("network") and not endpoint.get("address"):
            yield Problem(
                document,
                ("spec", "endpoints", i),
                "an endpoint without address works through its network's gateway only",
            )
    several = len(texts(spec.get("hosts"))) > 1 and any(is_ip(text) for _, text in texts(spec.get("addresses")))
    for i, port in dicts(spec.get("ports")):
        if (
            several
            and resolution in ("DNS", "DNS_ROUND_ROBIN")
            and str(port.get("protocol", "")).upper() in ("HTTPS", "TLS", "TCP")
        ):
            message = f"port {port.get('number')}: all hosts share the addresses, so only one of them is reached"
            yield Problem(document, ("spec", "ports", i), message)


@object_rule(
    "GM0311",
    "VirtualService in an old form",
    Level.WARNING,
    istio="IST0133",
    reads=("VirtualService",),
    why="the old form means something else than it seems to, or is about to go",
    mend="name gateways as namespace/name; write mirrorPercentage and allowOrigins",
    bad=_VS % ("edge.shop.svc.cluster.local", ""),
    good=_VS % ("shop/edge", ""),
)
def check_old_forms(document: Document) -> Iterator[Problem]:
    """Gateways by DNS name, mirrorPercent, allowOrigin, SNI addresses."""
    for i, name in texts(document.spec.get("gateways")):
        if "/" not in name and "." in name:
            yield Problem(document, ("spec", "gateways", i), f"{name} is a DNS name; gateways are named namespace/name")
    for i, route in dicts(document.spec.get("http")):
        path: Path = ("spec", "http", i)
        for key in ("mirrorPercent", "mirror_percent"):
            if key in route:
                yield Problem(
                    document,
                    (*path, key),
                    f"{key} is deprecated",
                    "write mirrorPercentage: {value: …}",
                    at_key=True,
                )
        if mapping(route.get("corsPolicy")).get("allowOrigin"):
            yield Problem(
                document,
                (*path, "corsPolicy", "allowOrigin"),
                "allowOrigin is deprecated",
                "write allowOrigins",
                at_key=True,
            )
    for i, route in dicts(document.spec.get("tls")):
        for m, match in dicts(route.get("match")):
            for s, sni in texts(match.get("sniHosts")):
                if is_ip(sni):
                    message = f"{sni} is an address: clients do not send addresses as SNI"
                    yield Problem(document, ("spec", "tls", i, "match", m, "sniHosts", s), message)


@object_rule(
    "GM0372",
    "proxy version pattern that is ignored",
    Level.WARNING,
    istio="IST0133",
    reads=("EnvoyFilter",),
    why="a pattern of more than 1024 characters is ignored: the patch holds for every version",
    mend="shorten it",
    bad="apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: x, namespace: shop}\n"
    "spec: {priority: 1, configPatches: [{applyTo: CLUSTER, match: {proxy: {proxyVersion: '" + "1" * 1025 + "'}}, "
    "patch: {operation: MERGE, value: {a: 1}}}]}\n",
    good="apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: x, namespace: shop}\n"
    "spec: {priority: 1, configPatches: [{applyTo: CLUSTER, match: {proxy: {proxyVersion: '^1\\.30.*'}}, "
    "patch: {operation: MERGE, value: {a: 1}}}]}\n",
)
def check_versions(document: Document) -> Iterator[Problem]:
    """Length of match.proxy.proxyVersion."""
    for i, item in dicts(document.spec.get("configPatches")):
        version = mapping(mapping(item.get("match")).get("proxy")).get("proxyVersion")
        if isinstance(version, str) and len(version) > 1024:
            path: Path = ("spec", "configPatches", i, "match", "proxy", "proxyVersion")
            yield Problem(document, path, f"the pattern has {len(version)} characters and is ignored")
