"""Whether requests reach what they are meant for: splits that callers bypass, ports that no container opens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Level, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.route_destinations import destinations

__all__: list[str] = []


@rule(
    "GM1301",
    "split that some callers bypass",
    Level.WARNING,
    reads=("VirtualService",),
    why="only callers of this VirtualService get the shares; others reach all versions through the Service",
    mend="let one VirtualService hold for mesh and gateway, or split in both",
    bad="apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {hosts: [shop.example.com], gateways: [edge], http: [{route: [{destination: {host: shop, subset: a}, weight: 90}, "
    "{destination: {host: shop, subset: b}, weight: 10}]}]}\n---\n"
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: other, namespace: shop}\n"
    "spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}]}]}\n",
    good="apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {hosts: [shop, shop.example.com], gateways: [edge, mesh], http: [{route: [{destination: {host: shop, subset: a}, weight: 90}, "
    "{destination: {host: shop, subset: b}, weight: 10}]}]}\n",
)
def check_bypass(mesh: Mesh) -> Iterator[Problem]:
    """Routes without subset to a host that another VirtualService splits."""
    split: dict[str, str] = {}
    for document in mesh.of("VirtualService"):
        for _, route in dicts(document.spec.get("http")):
            hosts = [mapping(item.get("destination")) for _, item in dicts(route.get("route"))]
            named = {mesh.fqdn(str(item.get("host")), document.namespace) for item in hosts if item.get("subset")}
            if len(hosts) > 1 and len(named) == 1:
                split.setdefault(named.pop(), document.full_name)
    if not split:
        return
    for document in mesh.of("VirtualService"):
        for path, destination, mirror in destinations(document):
            name = mesh.fqdn(str(destination.get("host")), document.namespace)
            owner = split.get(name)
            if owner and owner != document.full_name and not destination.get("subset") and not mirror:
                yield Problem(
                    document,
                    path,
                    f"{owner} splits {destination.get('host')} by subset; requests on this route are not split",
                )


@rule(
    "GM1401",
    "target port that no container opens",
    Level.INFO,
    reads=("Service", "Pod", "Deployment"),
    references=("KIA0701",),
    why="if the container does not listen there either, requests fail with 503",
    mend="correct targetPort, or declare the container's port",
    bad="apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: shop}\nspec: {selector: {app: shop}, ports: [{port: 80, name: http, targetPort: 8081}]}\n"
    "---\napiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop, labels: {app: shop}}\nspec: {containers: [{name: a, ports: [{containerPort: 8080}]}]}\n",
    good="apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: shop}\nspec: {selector: {app: shop}, ports: [{port: 80, name: http, targetPort: 8080}]}\n"
    "---\napiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop, labels: {app: shop}}\nspec: {containers: [{name: a, ports: [{containerPort: 8080}]}]}\n",
)
def check_target_ports(mesh: Mesh) -> Iterator[Problem]:
    """TargetPort against the ports of the pods' containers, where those declare any."""
    for service in mesh.of("Service"):
        selector = mapping(service.spec.get("selector"))
        if not selector:
            continue
        known: set[Any] = set()
        for pod in mesh.select(service.namespace, selector):
            for _, container in pod.containers:
                for _, item in dicts(container.get("ports")):
                    known |= {item.get("containerPort"), item.get("name")}
        known.discard(None)
        for i, port in dicts(service.spec.get("ports")):
            target = port.get("targetPort", port.get("port"))
            if known and target not in known:
                shown = ", ".join(sorted(str(item) for item in known))
                yield Problem(
                    service,
                    ("spec", "ports", i),
                    f"no container of its pods declares port {target}; they declare {shown}",
                )
