"""ServiceEntry and DestinationRule: addresses, protocols, hosts, subsets with pods."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.references import NOT_READ, missing
from gitlab_mesh.core.analysis.rules.route_order import scopes
from gitlab_mesh.core.analysis.workloads import matches

__all__: list[str] = []

_ENTRY = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: pay, namespace: shop}\nspec:\n  hosts: [pay.example.com]\n"
_RULE = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: shop, namespace: shop}\nspec:\n"
_PODS = (
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {selector: {app: shop}, ports: [{port: 80, name: http}]}\n"
    "---\napiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop, labels: {app: shop, version: v1}}\n"
)


@rule(
    "GM0134",
    "ServiceEntry for TCP without addresses",
    Level.WARNING,
    istio="IST0134",
    reads=("ServiceEntry", "MeshConfig", "IstioOperator"),
    why="TCP carries no host: the proxy takes all traffic on this port for this service",
    mend="name addresses, or switch on DNS capture with automatic allocation",
    bad=_ENTRY + "  ports: [{number: 3306, name: mysql, protocol: TCP}]\n  resolution: DNS\n",
    good=_ENTRY
    + "  ports: [{number: 3306, name: mysql, protocol: TCP}]\n  resolution: DNS\n  addresses: [240.0.0.9]\n",
)
def check_addresses(mesh: Mesh) -> Iterator[Problem]:
    """TCP ports, where nothing allocates addresses."""
    metadata = mapping(mapping(mesh.settings.get("defaultConfig")).get("proxyMetadata"))
    flags = [str(metadata.get(key, "")).lower() for key in ("ISTIO_META_DNS_CAPTURE", "ISTIO_META_DNS_AUTO_ALLOCATE")]
    if flags == ["true", "true"]:
        return
    for document in mesh.of("ServiceEntry"):
        if document.spec.get("addresses") or mapping(document.body.get("status")).get("addresses"):
            continue
        for i, port in dicts(document.spec.get("ports")):
            if str(port.get("protocol") or "TCP").upper() == "TCP":
                message = f"port {port.get('number')} is TCP and there are no addresses"
                yield Problem(document, ("spec", "ports", i), message)
                break


@rule(
    "GM0177",
    "ServiceEntries that disagree about a protocol",
    Level.WARNING,
    istio="IST0177",
    reads=("ServiceEntry",),
    why="the proxy can treat the port in one way only",
    mend="use the same protocol, or separate the scopes with exportTo",
    bad=_ENTRY
    + "  ports: [{number: 443, name: a, protocol: TLS}]\n---\n"
    + _ENTRY.replace("name: pay,", "name: two,")
    + "  ports: [{number: 443, name: a, protocol: HTTP}]\n",
    good=_ENTRY + "  ports: [{number: 443, name: a, protocol: TLS}]\n",
)
def check_protocols(mesh: Mesh) -> Iterator[Problem]:
    """One host and port with different protocols in one scope."""
    claims: dict[tuple[str, Any], list[tuple[Document, Path, str]]] = defaultdict(list)
    for document in mesh.of("ServiceEntry"):
        for _, host in texts(document.spec.get("hosts")):
            for i, port in dicts(document.spec.get("ports")):
                protocol = str(port.get("protocol") or "TCP").upper()
                claims[host, port.get("number")].append((document, ("spec", "ports", i), protocol))
    for (host, number), found in claims.items():
        if len({protocol for _, _, protocol in found}) < 2:
            continue
        for document, path, protocol in found:
            seen = scopes(document)
            others = [
                (item, word)
                for item, _, word in found
                if item is not document and word != protocol and ("*" in seen | scopes(item) or seen & scopes(item))
            ]
            if others:
                shown = ", ".join(sorted(f"{item.full_name} ({word})" for item, word in others))
                yield Problem(document, path, f"{host}:{number} is {protocol} here, but not in {shown}")


@rule(
    "GM0174",
    "DestinationRule for a host that does not exist",
    Level.WARNING,
    istio="IST0174",
    reads=("DestinationRule", "Service", "ServiceEntry"),
    also=(NOT_READ,),
    why="its settings hold for nothing",
    mend="correct the host; a short name belongs to the DestinationRule's own namespace",
    bad=_RULE + "  host: shpo\n" + _PODS,
    good=_RULE + "  host: shop\n" + _PODS,
)
def check_rule_hosts(mesh: Mesh) -> Iterator[Problem]:
    """Hosts of DestinationRules."""
    for document in mesh.of("DestinationRule"):
        host = document.spec.get("host")
        if not isinstance(host, str) or "*" in host or mesh.knows_host(host, document.namespace):
            continue
        key = mesh.service_key(host, document.namespace)
        surely = key is not None and key[0] in mesh.service_namespaces and key[0] != mesh.options.root_namespace
        yield missing(mesh, document, ("spec", "host"), f"host {host} does not exist", surely=surely)


@rule(
    "GM0173",
    "subset without pods",
    Level.ERROR,
    istio="IST0173",
    reads=("DestinationRule", "Service", "Pod", "Deployment"),
    also=(NOT_READ,),
    why="requests that are routed to the subset get 503 (no healthy upstream)",
    mend="correct the subset's labels: they must be on pods of the service",
    bad=_RULE + "  host: shop\n  subsets: [{name: v2, labels: {version: v2}}]\n" + _PODS,
    good=_RULE + "  host: shop\n  subsets: [{name: v1, labels: {version: v1}}]\n" + _PODS,
)
def check_subset_pods(mesh: Mesh) -> Iterator[Problem]:
    """Labels of subsets against the pods that the Service selects."""
    for document in mesh.of("DestinationRule"):
        host = document.spec.get("host")
        key = mesh.service_key(host, document.namespace) if isinstance(host, str) else None
        service = mesh.services.get(key) if key else None
        if service is None or not mapping(service.spec.get("selector")):
            continue
        pods = mesh.select(service.namespace, service.spec["selector"])
        for i, subset in dicts(document.spec.get("subsets")):
            labels = {
                name: value
                for name, value in mapping(subset.get("labels")).items()
                if not name.startswith(
                    ("topology.kubernetes.io/", "topology.istio.io/", "security.istio.io/", "topology.gke.io/")
                )
            }
            if labels and not any(matches(labels, pod.labels) for pod in pods):
                shown = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
                message = f"subset {subset.get('name')}: no pod of {service.resource} has the labels {shown}"
                yield missing(mesh, document, ("spec", "subsets", i), message, surely=bool(pods))
