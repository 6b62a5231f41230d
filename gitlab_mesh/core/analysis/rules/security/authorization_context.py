"""Authorization: policies that depend on something that is not so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.examples import example, pod_example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.places import places
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.services import port_protocol
from gitlab_mesh.core.analysis.workloads import matches, selector_of

__all__: list[str] = []

_BY_PATH = example(
    "AuthorizationPolicy", "selector: {matchLabels: {app: shop}}, rules: [{to: [{operation: {paths: [/shop]}}]}]"
)


@rule(
    "GM2106",
    "HTTP rule for a TCP port",
    Level.ERROR,
    suite="security",
    reads=("AuthorizationPolicy", "Service", "Pod", "Deployment"),
    why="on a TCP port an ALLOW by paths or methods never matches, and a DENY by them stops everything",
    mend="name the port as HTTP (http-…, appProtocol), or limit the rule to ports and sources",
    bad=_BY_PATH + pod_example() + example("Service", "selector: {app: shop}, ports: [{port: 80, name: tcp}]"),
    good=_BY_PATH + pod_example() + example("Service", "selector: {app: shop}, ports: [{port: 80, name: http}]"),
)
def check_tcp(mesh: Mesh) -> Iterator[Problem]:
    """Rules by HTTP attributes for workloads all of whose ports are TCP."""
    for document in mesh.of("AuthorizationPolicy"):
        http = [
            ("spec", "rules", r, "to", t, "operation", key)
            for r, item in dicts(document.spec.get("rules"))
            for t, part in dicts(item.get("to"))
            for key in ("paths", "methods", "hosts", "notPaths", "notMethods", "notHosts")
            if mapping(part.get("operation")).get(key)
        ]
        if not http:
            continue
        pods = mesh.select(document.namespace, selector_of(document))
        protocols = {
            port_protocol(port)
            for service in mesh.of("Service")
            if service.namespace == document.namespace and mapping(service.spec.get("selector"))
            for pod in pods
            if matches(service.spec["selector"], pod.labels)
            for port in mesh.service_ports(service)
        }
        if protocols and protocols <= {"tcp", "tls", "mysql", "mongo", "redis"}:
            yield Problem(
                document, http[0], f"its pods serve {', '.join(sorted(protocols))} only, no HTTP", at_key=True
            )


_EDGE = example(
    "Gateway",
    "selector: {istio: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}]",
    name="edge",
    namespace="edge",
)


def _by_address(blocks: str) -> str:
    spec = (
        f"selector: {{matchLabels: {{istio: edge}}}}, rules: [{{from: [{{source: {{{blocks}: [203.0.113.0/24]}}}}]}}]"
    )
    return example("AuthorizationPolicy", spec, name="edge", namespace="edge") + _EDGE


@rule(
    "GM2110",
    "address of the load balancer taken for the client's",
    Level.WARNING,
    suite="security",
    reads=("AuthorizationPolicy", "Gateway", "Service"),
    references=("CWE-291", "OWASP API8:2023"),
    why="a gateway sees the address of the node or load balancer before it: everybody, or nobody, is in that range",
    mend="use remoteIpBlocks and set gatewayTopology.numTrustedProxies, or externalTrafficPolicy: Local",
    bad=_by_address("ipBlocks"),
    good=_by_address("remoteIpBlocks"),
)
def check_client_addresses(mesh: Mesh) -> Iterator[Problem]:
    """IpBlocks of policies for gateways whose Services do not keep the client's address."""
    for document in mesh.of("AuthorizationPolicy"):
        if not _is_for_gateway(mesh, document) or _keeps_address(mesh, document):
            continue
        for path, _ in places(document.body, "spec.rules[].from[].source.ipBlocks|notIpBlocks"):
            message = f"{path[-1]} at a gateway compare the address of what stands before it"
            yield Problem(document, path, message, at_key=True)


def _is_for_gateway(mesh: Mesh, policy: Document) -> bool:
    targets = [target for _, target in places(policy.body, "spec.targetRef")]
    targets += [target for _, target in places(policy.body, "spec.targetRefs[]")]
    if any(mapping(target).get("kind") == "Gateway" for target in targets):
        return True
    labels = selector_of(policy)
    selectors = [mapping(gateway.spec.get("selector")) for gateway in mesh.of("Gateway")]
    return bool(labels) and any(item and (matches(item, labels) or matches(labels, item)) for item in selectors)


def _keeps_address(mesh: Mesh, policy: Document) -> bool:
    labels = selector_of(policy)
    return any(
        service.spec.get("externalTrafficPolicy") == "Local" and matches(labels, mapping(service.spec.get("selector")))
        for service in mesh.within("Service", policy.namespace)
    )


def _principal(value: str) -> str:
    return example("AuthorizationPolicy", f"rules: [{{from: [{{source: {{principals: ['{value}']}}}}]}}]")


@rule(
    "GM2111",
    "identity that nobody has",
    Level.WARNING,
    suite="security",
    reads=("AuthorizationPolicy", "ServiceAccount", "Pod", "Deployment", "MeshConfig", "IstioOperator"),
    references=("KIA0106", "KIA0107", "KIA0108"),
    why="the rule matches no caller: an ALLOW admits nobody, a DENY stops nobody",
    mend="write cluster.local/ns/NAMESPACE/sa/SERVICEACCOUNT; name other trust domains in trustDomainAliases",
    bad=_principal("other.example/ns/web/sa/web"),
    good=_principal("cluster.local/ns/web/sa/web"),
)
def check_principals(mesh: Mesh) -> Iterator[Problem]:
    """Trust domains that the mesh does not have; service accounts that no workload of a known namespace uses."""
    settings = mesh.settings
    domains = {mesh.options.trust_domain, "cluster.local", str(settings.get("trustDomain") or "cluster.local")}
    domains |= {alias for _, alias in texts(settings.get("trustDomainAliases"))}
    accounts = _accounts(mesh)
    for document in mesh.of("AuthorizationPolicy"):
        for path, value in places(document.body, "spec.rules[].from[].source.principals|notPrincipals[]"):
            if not isinstance(value, str) or "*" in value:
                continue
            domain, _, rest = value.partition("/ns/")
            namespace, _, account = rest.partition("/sa/")
            if not account:
                continue
            if domain not in domains:
                yield Problem(document, path, f"{domain} is not a trust domain of this mesh")
            elif namespace in accounts and account not in accounts[namespace]:
                known = ", ".join(sorted(accounts[namespace]))
                yield Problem(document, path, f"namespace {namespace} has no service account {account}; it has {known}")


def _accounts(mesh: Mesh) -> dict[str, set[str]]:
    """Return the service accounts of each namespace of which workloads were read."""
    found: dict[str, set[str]] = {}
    for workload in mesh.workloads:
        name: Any = workload.spec.get("serviceAccountName") or workload.spec.get("serviceAccount")
        found.setdefault(workload.namespace, {"default"}).add(str(name or "default"))
    for document in mesh.of("ServiceAccount"):
        if document.namespace in found:
            found[document.namespace].add(document.name)
    return found
