"""The edge: Gateway API's listeners and grants, and Services that lead past every gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.examples import container, example, pod_example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.workloads import Workload, matches

__all__: list[str] = []


def _gateway(listener: str) -> str:
    spec = f"gatewayClassName: istio, listeners: [{{name: web, port: 80, protocol: HTTP, {listener}}}]"
    return example("KubernetesGateway", spec, name="edge")


def _grant(more: str) -> str:
    spec = f"from: [{{group: gateway.networking.k8s.io, kind: Gateway, namespace: edge}}], to: [{{{more}}}]"
    return example("ReferenceGrant", spec)


@object_rule(
    "GM2305",
    "listener that every namespace may use",
    Level.WARNING,
    suite="security",
    reads=("KubernetesGateway",),
    why="any namespace can publish routes for these hosts",
    mend="use allowedRoutes.namespaces.from Selector or Same, and name the hostname",
    bad=_gateway("allowedRoutes: {namespaces: {from: All}}"),
    good=_gateway("hostname: shop.example.com"),
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
    bad=_grant("group: '', kind: Secret"),
    good=_grant("group: '', kind: Secret, name: tls"),
)
def check_grants(document: Document) -> Iterator[Problem]:
    """ReferenceGrant without a name."""
    for i, item in dicts(document.spec.get("to")):
        if not item.get("name"):
            yield Problem(document, ("spec", "to", i), f"every {item.get('kind')} is granted")


def _route(rule_text: str) -> str:
    return example("HTTPRoute", f"parentRefs: [{{name: edge}}], rules: [{{{rule_text}}}]")


@rule(
    "GM2310",
    "plain HTTP at a listener",
    Level.WARNING,
    suite="security",
    reads=("KubernetesGateway", "HTTPRoute"),
    references=("OWASP API8:2023", "NSA-CISA Kubernetes Hardening: encryption in transit"),
    why="passwords and cookies cross the network readable",
    mend="let the routes of the HTTP listener only redirect: RequestRedirect with scheme https",
    bad=_gateway("hostname: shop.example.com") + _route("backendRefs: [{name: shop, port: 80}]"),
    good=_gateway("hostname: shop.example.com")
    + _route("filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]"),
)
def check_plain_listeners(mesh: Mesh) -> Iterator[Problem]:
    """HTTP listeners with a route that answers instead of redirecting."""
    for gateway in mesh.of("KubernetesGateway"):
        if str(gateway.spec.get("gatewayClassName", "")).endswith("waypoint"):
            continue
        for i, listener in dicts(gateway.spec.get("listeners")):
            if listener.get("protocol") != "HTTP":
                continue
            route = next((item for item in mesh.of("HTTPRoute") if _answers(item, gateway, listener)), None)
            if route is not None:
                path: Path = ("spec", "listeners", i, "protocol")
                yield Problem(gateway, path, f"{route.resource} answers plain HTTP there")


def _answers(route: Document, gateway: Document, listener: dict[str, Any]) -> bool:
    attached = any(
        parent.get("name") == gateway.name
        and parent.get("namespace", route.namespace) == gateway.namespace
        and parent.get("kind", "Gateway") == "Gateway"
        and parent.get("sectionName") in (None, listener.get("name"))
        for _, parent in dicts(route.spec.get("parentRefs"))
    )
    return attached and not all(_redirects(item) for _, item in dicts(route.spec.get("rules")))


def _redirects(rule_: dict[str, Any]) -> bool:
    return any(mapping(item.get("requestRedirect")).get("scheme") == "https" for _, item in dicts(rule_.get("filters")))


def _is_gateway(mesh: Mesh, workload: Workload) -> bool:
    if workload.gateway_name or str(workload.labels.get("istio", "")).endswith("gateway"):
        return True
    images = [str(item.get("image", "")) for _, item in workload.containers]
    if images and all(image == "auto" or "/proxyv2" in image for image in images):
        return True
    return any(matches(mapping(item.spec.get("selector")) or {"": ""}, workload.labels) for item in mesh.of("Gateway"))


@rule(
    "GM2311",
    "service that is open past the gateway",
    Level.WARNING,
    suite="security",
    reads=("Service", "Pod", "Deployment", "Gateway"),
    references=("NSA-CISA Kubernetes Hardening: network separation", "OWASP API9:2023"),
    why="whoever reaches a node or the load balancer calls the pod without the gateway's TLS, tokens and limits",
    mend="make it a ClusterIP and publish it through a gateway",
    bad=example("Service", "type: NodePort, selector: {app: shop}, ports: [{port: 80, name: http}]")
    + pod_example(container()),
    good=example("Service", "type: ClusterIP, selector: {app: shop}, ports: [{port: 80, name: http}]")
    + pod_example(container()),
)
def check_open_services(mesh: Mesh) -> Iterator[Problem]:
    """NodePort and LoadBalancer for pods that are no gateways."""
    for service in mesh.of("Service"):
        kind, selector = service.spec.get("type"), mapping(service.spec.get("selector"))
        if kind not in ("NodePort", "LoadBalancer") or not selector or service.namespace == mesh.options.root_namespace:
            continue
        pods = [item for item in mesh.select(service.namespace, selector) if not _is_gateway(mesh, item)]
        if pods:
            yield Problem(service, ("spec", "type"), f"{kind} opens {pods[0].document.resource} to the outside")
