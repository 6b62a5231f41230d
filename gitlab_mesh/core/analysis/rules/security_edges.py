"""Security: what comes in and goes out: gateways, egress, network policies, extensions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitlab_mesh.core.analysis.mesh import SYSTEM_NAMESPACES, Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.workloads import selector_of

__all__: list[str] = []

_GATEWAY = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: edge}\nspec: {selector: {istio: edge}, servers: [%s]}\n"
_HTTPS = "{port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example.com], tls: {mode: SIMPLE, credentialName: tls, minProtocolVersion: TLSV1_2}}"
_VS = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec: {hosts: [shop], http: [{%s, route: [{destination: {host: shop}}]}]}\n"
_POLICY = (
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: default, namespace: shop}\nspec: {%s}\n"
)
_CIS = ("CIS Kubernetes 5.3.2", "NSA-CISA Kubernetes Hardening: network separation")


@object_rule(
    "GM2301",
    "gateway for every host",
    Level.WARNING,
    suite="security",
    reads=("Gateway",),
    why="any VirtualService of any namespace can publish itself there",
    mend="name the hosts, with the namespaces that may use them (shop/shop.example.com)",
    bad=_GATEWAY % _HTTPS.replace("shop.example.com", "'*'"),
    good=_GATEWAY % _HTTPS,
)
def check_wide_hosts(document: Document) -> Iterator[Problem]:
    """Hosts * and */*."""
    for i, server in dicts(document.spec.get("servers")):
        for h, host in texts(server.get("hosts")):
            if host in ("*", "*/*"):
                yield Problem(document, ("spec", "servers", i, "hosts", h), f"host {host} takes everything")


@object_rule(
    "GM2302",
    "plain HTTP at the edge",
    Level.WARNING,
    suite="security",
    reads=("Gateway",),
    references=("OWASP API8:2023", "NSA-CISA Kubernetes Hardening: encryption in transit"),
    why="passwords and cookies cross the network readable",
    mend="set tls.httpsRedirect: true on the HTTP server, and serve HTTPS beside it",
    bad=_GATEWAY % "{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}",
    good=_GATEWAY
    % (
        "{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com], tls: {httpsRedirect: true}}, "
        + _HTTPS
    ),
)
def check_plain(document: Document) -> Iterator[Problem]:
    """HTTP servers without a redirect."""
    for i, server in dicts(document.spec.get("servers")):
        protocol = str(mapping(server.get("port")).get("protocol", "")).upper()
        if protocol in ("HTTP", "HTTP2", "GRPC") and not mapping(server.get("tls")).get("httpsRedirect"):
            yield Problem(document, ("spec", "servers", i, "port", "protocol"), f"{protocol} without redirect to HTTPS")


_WEAK = re.compile(r"CBC|DES|RC4|MD5|(^|-)AES(128|256)-SHA$|-SHA$")


@object_rule(
    "GM2303",
    "weak TLS at the edge",
    Level.ERROR,
    suite="security",
    reads=("Gateway",),
    references=("CWE-326", "NIST SP 800-52r2"),
    why="old versions and ciphers can be broken",
    mend="set minProtocolVersion TLSV1_2 or TLSV1_3, and leave cipherSuites to the default",
    bad=_GATEWAY % _HTTPS.replace("TLSV1_2", "TLSV1_1"),
    good=_GATEWAY % _HTTPS,
)
def check_tls_version(document: Document) -> Iterator[Problem]:
    """Versions and ciphers."""
    for i, server in dicts(document.spec.get("servers")):
        tls = mapping(server.get("tls"))
        path: Path = ("spec", "servers", i, "tls")
        if tls.get("minProtocolVersion") in ("TLSV1_0", "TLSV1_1"):
            yield Problem(document, (*path, "minProtocolVersion"), f"{tls['minProtocolVersion']} is accepted")
        for c, cipher in texts(tls.get("cipherSuites")):
            if _WEAK.search(cipher):
                yield Problem(document, (*path, "cipherSuites", c), f"cipher {cipher} is weak")


@object_rule(
    "GM2304",
    "client certificates that are optional",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("Gateway",),
    why="clients without a certificate are admitted too",
    mend="use MUTUAL, or check the certificate's presence in a policy",
    bad=_GATEWAY % _HTTPS.replace("SIMPLE", "OPTIONAL_MUTUAL"),
    good=_GATEWAY % _HTTPS.replace("SIMPLE", "MUTUAL"),
)
def check_optional(document: Document) -> Iterator[Problem]:
    """OPTIONAL_MUTUAL."""
    for i, server in dicts(document.spec.get("servers")):
        if mapping(server.get("tls")).get("mode") == "OPTIONAL_MUTUAL":
            yield Problem(document, ("spec", "servers", i, "tls", "mode"), "client certificates are optional")


@object_rule(
    "GM2305",
    "listener that every namespace may use",
    Level.WARNING,
    suite="security",
    reads=("KubernetesGateway",),
    why="any namespace can publish routes for these hosts",
    mend="use allowedRoutes.namespaces.from Selector or Same, and name the hostname",
    bad="apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: edge}\n"
    "spec: {gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]}\n",
    good="apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: edge}\n"
    "spec: {gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP, hostname: shop.example.com}]}\n",
)
def check_listeners(document: Document) -> Iterator[Problem]:
    """AllowedRoutes from All without a hostname."""
    for i, item in dicts(document.spec.get("listeners")):
        allowed = mapping(mapping(item.get("allowedRoutes")).get("namespaces"))
        if allowed.get("from") == "All" and not item.get("hostname"):
            path: Path = ("spec", "listeners", i, "allowedRoutes", "namespaces", "from")
            yield Problem(document, path, f"listener {item.get('name')} takes routes of all namespaces for all hosts")


@object_rule(
    "GM2306",
    "grant for everything",
    Level.WARNING,
    suite="security",
    reads=("ReferenceGrant",),
    why="routes of the other namespace may use every Secret or Service here",
    mend="name the object: to: [{group: '', kind: Secret, name: …}]",
    bad="apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: shop}\n"
    "spec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: edge}], to: [{group: '', kind: Secret}]}\n",
    good="apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: shop}\n"
    "spec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: edge}], to: [{group: '', kind: Secret, name: tls}]}\n",
)
def check_grants(document: Document) -> Iterator[Problem]:
    """ReferenceGrant without a name."""
    for i, item in dicts(document.spec.get("to")):
        if not item.get("name"):
            yield Problem(document, ("spec", "to", i), f"every {item.get('kind')} is granted")


@rule(
    "GM2401",
    "TLS that verifies nothing",
    Level.ERROR,
    suite="security",
    reads=("DestinationRule",),
    references=("CWE-295",),
    why="whoever is on the way can answer in the server's name",
    mend="remove insecureSkipVerify; name caCertificates and subjectAltNames",
    bad="apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: pay, namespace: shop}\n"
    "spec: {host: pay.example.com, trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}}\n",
    good="apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: pay, namespace: shop}\n"
    "spec: {host: pay.example.com, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: system}}}\n",
)
def check_skip_verify(mesh: Mesh) -> Iterator[Problem]:
    """InsecureSkipVerify."""
    from gitlab_mesh.core.analysis.rules.shape_destinationrule import traffic_policies

    for document in mesh.of("DestinationRule"):
        for path, policy in traffic_policies(document):
            if mapping(policy.get("tls")).get("insecureSkipVerify") is True:
                yield Problem(
                    document, (*path, "tls", "insecureSkipVerify"), "the server's certificate is not verified"
                )


@rule(
    "GM2402",
    "egress to anywhere",
    Level.WARNING,
    suite="security",
    reads=("Sidecar", "MeshConfig", "IstioOperator"),
    references=("OWASP API7:2023", "NSA-CISA Kubernetes Hardening: network separation"),
    why="a taken-over pod can send data anywhere",
    mend="set outboundTrafficPolicy REGISTRY_ONLY, and name what is needed as ServiceEntry",
    bad="apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: d, namespace: shop}\nspec: {outboundTrafficPolicy: {mode: ALLOW_ANY}}\n",
    good="apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: d, namespace: shop}\nspec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}\n",
)
def check_egress(mesh: Mesh) -> Iterator[Problem]:
    """ALLOW_ANY of Sidecars and of the mesh."""
    for document in mesh.of("Sidecar"):
        if mapping(document.spec.get("outboundTrafficPolicy")).get("mode") == "ALLOW_ANY":
            yield Problem(document, ("spec", "outboundTrafficPolicy", "mode"), "every host may be called")
    for kind in ("MeshConfig", "IstioOperator"):
        for document in mesh.of(kind):
            settings = document.body if kind == "MeshConfig" else mapping(document.spec.get("meshConfig"))
            if mapping(settings.get("outboundTrafficPolicy")).get("mode") == "ALLOW_ANY":
                path: Path = ("outboundTrafficPolicy", "mode")
                yield Problem(
                    document,
                    path if kind == "MeshConfig" else ("spec", "meshConfig", *path),
                    "every host may be called",
                )


@object_rule(
    "GM2403",
    "ServiceEntry that opens everything",
    Level.WARNING,
    suite="security",
    reads=("ServiceEntry",),
    why="REGISTRY_ONLY means nothing any more: these hosts or addresses are the whole internet",
    mend="name the hosts that are needed",
    bad="apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: all, namespace: shop}\n"
    "spec: {hosts: ['*.com'], ports: [{number: 443, name: tls, protocol: TLS}], resolution: NONE}\n",
    good="apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: pay, namespace: shop}\n"
    "spec: {hosts: [pay.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}\n",
)
def check_entries(document: Document) -> Iterator[Problem]:
    """Wildcards over a top-level domain, and 0.0.0.0/0."""
    for i, host in texts(document.spec.get("hosts")):
        if host.startswith("*.") and host.count(".") == 1:
            yield Problem(document, ("spec", "hosts", i), f"{host} is a whole top-level domain")
    for i, address in texts(document.spec.get("addresses")):
        if address in ("0.0.0.0/0", "::/0"):
            yield Problem(document, ("spec", "addresses", i), f"{address} is every address")


@rule(
    "GM2501",
    "namespace without network policy",
    Level.WARNING,
    suite="security",
    reads=("Namespace", "NetworkPolicy"),
    references=_CIS,
    why="the mesh can be bypassed by pods that talk to addresses; the network itself refuses nothing",
    mend="apply a NetworkPolicy with podSelector {} and policyTypes [Ingress], then allow what is needed",
    bad="apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
    good="apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n"
    + _POLICY % "podSelector: {}, policyTypes: [Ingress]",
)
def check_network(mesh: Mesh) -> Iterator[Problem]:
    """Namespaces without a default deny for ingress."""
    denied = {
        policy.namespace
        for policy in mesh.of("NetworkPolicy")
        if not mapping(policy.spec.get("podSelector")) and "Ingress" in (policy.spec.get("policyTypes") or ["Ingress"])
    }
    for namespace in mesh.of("Namespace"):
        name = namespace.name
        if name not in denied and name not in SYSTEM_NAMESPACES and name != mesh.options.root_namespace:
            yield Problem(namespace, ("metadata", "name"), "no NetworkPolicy selects all of its pods for ingress")


@object_rule(
    "GM2502",
    "network policy that allows everybody",
    Level.WARNING,
    suite="security",
    reads=("NetworkPolicy",),
    references=_CIS,
    why="an empty peer list, an empty rule and 0.0.0.0/0 admit every address",
    mend="name namespaces and pods",
    bad=_POLICY % "podSelector: {}, ingress: [{}]",
    good=_POLICY % "podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {name: web}}}]}]",
)
def check_open(document: Document) -> Iterator[Problem]:
    """Rules that match every peer."""
    for side, peers in (("ingress", "from"), ("egress", "to")):
        for i, item in dicts(document.spec.get(side)):
            path: Path = ("spec", side, i)
            if not item.get(peers):
                if side == "ingress" and not item.get("ports"):
                    yield Problem(document, path, "this rule admits everybody")
                continue
            for p, peer in dicts(item.get(peers)):
                block = mapping(peer.get("ipBlock"))
                if block.get("cidr") in ("0.0.0.0/0", "::/0") and not block.get("except"):
                    yield Problem(document, (*path, peers, p, "ipBlock", "cidr"), f"{block['cidr']} is every address")


@object_rule(
    "GM2601",
    "EnvoyFilter that touches the protection itself",
    Level.ERROR,
    suite="security",
    reads=("EnvoyFilter",),
    why="without the filters for RBAC, JWT or external authorization, policies are stored but not applied",
    mend="leave those filters alone; write an AuthorizationPolicy",
    bad="apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: x, namespace: shop}\n"
    "spec: {configPatches: [{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, "
    "subFilter: {name: envoy.filters.http.rbac}}}}}, patch: {operation: REMOVE}}]}\n",
    good="apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: x, namespace: shop}\n"
    "spec: {workloadSelector: {labels: {app: shop}}, configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 1s}}}]}\n",
)
def check_filters(document: Document) -> Iterator[Problem]:
    """REMOVE, REPLACE and INSERT_BEFORE at rbac, jwt_authn, ext_authz."""
    for i, item in dicts(document.spec.get("configPatches")):
        operation = mapping(item.get("patch")).get("operation")
        found = re.search(r"envoy\.filters\.(?:http|network)\.(rbac|jwt_authn|ext_authz)", str(item.get("match")))
        if found and operation in ("REMOVE", "REPLACE", "INSERT_BEFORE", "MERGE"):
            yield Problem(document, ("spec", "configPatches", i, "patch"), f"{operation} at {found[1]}")


@rule(
    "GM2602",
    "EnvoyFilter for the whole mesh",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("EnvoyFilter",),
    why="one mistake takes down, or opens, every proxy",
    mend="select the workloads",
    bad="apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: x, namespace: istio-system}\n"
    "spec: {configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 1s}}}]}\n",
    good="apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: x, namespace: istio-system}\n"
    "spec: {workloadSelector: {labels: {app: shop}}, configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 1s}}}]}\n",
)
def check_wide_filters(mesh: Mesh) -> Iterator[Problem]:
    """EnvoyFilters of the root namespace without selector."""
    for document in mesh.of("EnvoyFilter"):
        if (
            document.namespace == mesh.options.root_namespace
            and not selector_of(document)
            and not document.spec.get("targetRefs")
        ):
            yield Problem(document, ("spec",), "it patches every proxy of the mesh")


@object_rule(
    "GM2603",
    "code of others without a fixed digest",
    Level.WARNING,
    suite="security",
    reads=("WasmPlugin",),
    references=("CWE-494",),
    why="whoever can write to that address runs code in your proxies",
    mend="fetch it with https or oci, and set sha256 (or name the image by digest)",
    bad="apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: x, namespace: shop}\nspec: {url: 'oci://registry.example/x:1'}\n",
    good="apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: x, namespace: shop}\n"
    "spec: {url: 'oci://registry.example/x@sha256:0000000000000000000000000000000000000000000000000000000000000000'}\n",
)
def check_wasm(document: Document) -> Iterator[Problem]:
    """WasmPlugins without digest, over http, or that fail open."""
    url = str(document.spec.get("url", ""))
    if not document.spec.get("sha256") and "@sha256:" not in url and not url.startswith("file://"):
        yield Problem(document, ("spec", "url"), f"{url} has no digest")
    if document.spec.get("failStrategy") == "FAIL_OPEN" and document.spec.get("phase") in ("AUTHN", "AUTHZ"):
        yield Problem(document, ("spec", "failStrategy"), f"if it fails, phase {document.spec['phase']} is skipped")


@object_rule(
    "GM2701",
    "CORS for everybody",
    Level.ERROR,
    suite="security",
    reads=("VirtualService",),
    references=("CWE-942", "OWASP API8:2023"),
    why="any web page can read answers in the name of your user",
    mend="name the origins with exact; write regexes with escaped dots",
    bad=_VS % "corsPolicy: {allowOrigins: [{regex: '.*'}], allowCredentials: true}",
    good=_VS % "corsPolicy: {allowOrigins: [{exact: 'https://www.example.com'}], allowCredentials: true}",
)
def check_cors(document: Document) -> Iterator[Problem]:
    """Wide origins together with credentials."""
    for i, route in dicts(document.spec.get("http")):
        cors = mapping(route.get("corsPolicy"))
        if cors.get("allowCredentials") is not True:
            continue
        for o, origin in dicts(cors.get("allowOrigins")):
            pattern = str(origin.get("regex") or "")
            wide = (
                origin.get("exact") == "*"
                or pattern in (".*", ".+", "^.*$")
                or origin.get("prefix") in ("http", "https://", "http://")
            )
            if wide or re.search(r"(?<!\\)\.(?![*+?\\])(com|org|net|io|de)", pattern):
                path: Path = ("spec", "http", i, "corsPolicy", "allowOrigins", o)
                yield Problem(document, path, "this origin fits pages of others too, and credentials are allowed")


@object_rule(
    "GM2702",
    "fault left in production",
    Level.WARNING,
    suite="security",
    reads=("VirtualService",),
    why="requests are delayed or refused on purpose",
    mend="remove the fault, or keep it in a test environment",
    bad=_VS % "fault: {abort: {httpStatus: 503, percentage: {value: 100}}}",
    good=_VS % "timeout: 5s",
)
def check_faults(document: Document) -> Iterator[Problem]:
    """Faults that hold for all callers."""
    for i, route in dicts(document.spec.get("http")):
        if route.get("fault") and not any(match.get("headers") for _, match in dicts(route.get("match"))):
            yield Problem(document, ("spec", "http", i, "fault"), "a fault is injected for every request", at_key=True)


_TRUSTED = frozenset({"x-forwarded-client-cert", "authorization", "x-forwarded-for", "x-envoy-external-address"})


@object_rule(
    "GM2703",
    "route that writes identity headers",
    Level.WARNING,
    suite="security",
    reads=("VirtualService",),
    why="the service behind takes the header for the caller's identity",
    mend="let the proxy write it",
    bad=_VS % "headers: {request: {set: {x-forwarded-client-cert: 'By=me'}}}",
    good=_VS % "headers: {request: {remove: [x-internal]}}",
)
def check_identity_headers(document: Document) -> Iterator[Problem]:
    """Set and add of headers that carry identity."""
    for i, route in dicts(document.spec.get("http")):
        request = mapping(mapping(route.get("headers")).get("request"))
        for key in ("set", "add"):
            for name in mapping(request.get(key)):
                if name.lower() in _TRUSTED:
                    path: Path = ("spec", "http", i, "headers", "request", key, name)
                    yield Problem(document, path, f"{name} is written by the route", at_key=True)


@rule(
    "GM2704",
    "route that takes over another namespace's host",
    Level.ERROR,
    suite="security",
    reads=("VirtualService",),
    why="sidecars everywhere follow this VirtualService: it can read and redirect requests for a service of others",
    mend="let the owner's namespace hold the route, or limit it: exportTo: [.]",
    bad="apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x, namespace: team}\n"
    "spec: {hosts: [pay.bank.svc.cluster.local], http: [{route: [{destination: {host: proxy}}]}]}\n",
    good="apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x, namespace: team}\n"
    "spec: {hosts: [pay.bank.svc.cluster.local], exportTo: [.], http: [{route: [{destination: {host: proxy}}]}]}\n",
)
def check_hijack(mesh: Mesh) -> Iterator[Problem]:
    """Mesh routes for hosts of other namespaces that everybody sees."""
    suffix = f".svc.{mesh.options.cluster_domain}"
    for document in mesh.of("VirtualService"):
        gateways = document.spec.get("gateways")
        scopes = [scope for _, scope in texts(document.spec.get("exportTo"))]
        if (gateways and "mesh" not in gateways) or (scopes and "*" not in scopes) or not document.namespace:
            continue
        for i, host in texts(document.spec.get("hosts")):
            owner = host.removesuffix(suffix).rpartition(".")[2] if host.endswith(suffix) else document.namespace
            if owner != document.namespace:
                yield Problem(
                    document, ("spec", "hosts", i), f"{host} belongs to namespace {owner}, not to {document.namespace}"
                )
