"""What is deprecated, refused by a controller, too old, or unknown to the multicluster setup."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import object_rule, rule

__all__: list[str] = []

_VS = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n  hosts: [shop]\n"
_CRD = (
    "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: tlsroutes.gateway.networking.k8s.io, "
    "annotations: {gateway.networking.k8s.io/bundle-version: %s}}\nspec: {group: gateway.networking.k8s.io, names: {kind: TLSRoute}}\n"
)


@rule(
    "GM0105",
    "deprecated feature",
    Level.WARNING,
    istio="IST0002",
    reads=("VirtualService", "Sidecar", "CustomResourceDefinition", "Telemetry", "MeshConfig", "IstioOperator"),
    why="a later version of Istio will not have it",
    mend="use what replaces it",
    bad=_VS + "  http: [{fault: {delay: {percent: 5, fixedDelay: 1s}}, route: [{destination: {host: shop}}]}]\n",
    good=_VS
    + "  http: [{fault: {delay: {percentage: {value: 5}, fixedDelay: 1s}}, route: [{destination: {host: shop}}]}]\n",
)
def check_deprecated(mesh: Mesh) -> Iterator[Problem]:
    """Fields, kinds and providers that are on their way out."""
    for document in mesh.of("VirtualService"):
        for i, route in dicts(document.spec.get("http")):
            percent = mapping(mapping(route.get("fault")).get("delay")).get("percent")
            if isinstance(percent, int) and percent > 0:
                path: Path = ("spec", "http", i, "fault", "delay", "percent")
                yield Problem(
                    document, path, "fault.delay.percent is deprecated", "write percentage: {value: …}", at_key=True
                )
    for document in mesh.of("Sidecar"):
        if mapping(document.spec.get("outboundTrafficPolicy")).get("egressProxy") is not None:
            path = ("spec", "outboundTrafficPolicy", "egressProxy")
            yield Problem(document, path, "outboundTrafficPolicy.egressProxy is deprecated", at_key=True)
    for document in mesh.of("CustomResourceDefinition"):
        if document.spec.get("group") == "rbac.istio.io":
            yield Problem(document, ("spec", "group"), "rbac.istio.io is gone since Istio 1.6", "remove the CRD")
    providers = {
        str(item.get("name"))
        for _, item in dicts(mesh.settings.get("extensionProviders"))
        if item.get("lightstep") is not None
    }
    for document in mesh.of("Telemetry"):
        for i, tracing in dicts(document.spec.get("tracing")):
            for p, provider in dicts(tracing.get("providers")):
                if provider.get("name") in providers:
                    path = ("spec", "tracing", i, "providers", p, "name")
                    message = f"provider {provider['name']} is a Lightstep one, which is deprecated"
                    yield Problem(document, path, message, "use an OpenTelemetry provider")


_CONDITIONS = frozenset(
    ["Accepted", "Programmed", "ResolvedRefs", "ZtunnelAccepted", "WaypointAccepted", "Ready", "Reconciled"]
)
_WITH_STATUS = (
    "Service",
    "ServiceEntry",
    "WorkloadEntry",
    "AuthorizationPolicy",
    "KubernetesGateway",
    "HTTPRoute",
    "GRPCRoute",
)


@rule(
    "GM0171",
    "object that its controller refuses",
    Level.WARNING,
    istio="IST0171",
    reads=_WITH_STATUS,
    why="the API server took it, but Istio does not act on it, or not on all of it",
    mend="read the condition's message and correct what it names",
    bad="apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: shop, namespace: shop}\nspec: {}\n"
    "status: {parents: [{conditions: [{type: Accepted, status: 'False', reason: NotAllowed, message: no listener}]}]}\n",
    good="apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: shop, namespace: shop}\nspec: {}\n"
    "status: {parents: [{conditions: [{type: Accepted, status: 'True', reason: Accepted}]}]}\n",
)
def check_conditions(mesh: Mesh) -> Iterator[Problem]:
    """Conditions of Istio and Gateway API with a bad status."""
    for kind in _WITH_STATUS:
        for document in mesh.of(kind):
            status = document.body.get("status")
            if not isinstance(status, dict):
                continue
            places: list[tuple[Path, object]] = [(("status", "conditions"), status.get("conditions"))]
            for group in ("parents", "listeners"):
                places += [
                    (("status", group, i, "conditions"), item.get("conditions")) for i, item in dicts(status.get(group))
                ]
            for path, conditions in places:
                for i, item in dicts(conditions):
                    name = str(item.get("type"))
                    known = name in _CONDITIONS or name.startswith("istio.io/") or name == "gateway.istio.io/"
                    if known and (item.get("status") == "False" or item.get("reason") == "PartiallyInvalid"):
                        message = f"{name} is {item.get('status')} ({item.get('reason')}): {item.get('message', '')}"
                        yield Problem(document, (*path, i), message)


_MINIMUM = {
    "TLSRoute": (1, 5, 0),
    "ListenerSet": (1, 5, 0),
    "BackendTLSPolicy": (1, 4, 0),
    "GRPCRoute": (1, 1, 0),
    "ReferenceGrant": (0, 5, 0),
    "HTTPRoute": (1, 0, 0),
    "Gateway": (1, 0, 0),
    "GatewayClass": (1, 0, 0),
}


@object_rule(
    "GM0176",
    "Gateway API CRD that is too old",
    Level.WARNING,
    istio="IST0176",
    reads=("CustomResourceDefinition",),
    why="Istio does not process objects of this kind",
    mend="install a newer bundle of Gateway API",
    bad=_CRD % "v1.4.1",
    good=_CRD % "v1.5.0",
)
def check_crds(document: Document) -> Iterator[Problem]:
    """bundle-version of Gateway API's CRDs."""
    kind = mapping(document.spec.get("names")).get("kind")
    wanted = _MINIMUM.get(str(kind)) if document.spec.get("group") == "gateway.networking.k8s.io" else None
    text = str(document.annotations.get("gateway.networking.k8s.io/bundle-version", ""))
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text)
    if wanted and match and tuple(int(part) for part in match.groups()) < wanted:
        path: Path = ("metadata", "annotations", "gateway.networking.k8s.io/bundle-version")
        least = ".".join(str(part) for part in wanted)
        yield Problem(document, path, f"{kind} is of version {text}; Istio needs v{least} or newer")


@rule(
    "GM0126",
    "unknown registry in MeshNetworks",
    Level.ERROR,
    istio="IST0126",
    reads=("MeshNetworks", "Secret"),
    why="endpoints of this registry are put into no network: traffic between clusters fails",
    mend="name a cluster that a multicluster Secret defines, or Kubernetes",
    bad="networks: {one: {endpoints: [{fromRegistry: nowhere}]}}\n",
    good="networks: {one: {endpoints: [{fromRegistry: Kubernetes}]}}\n",
)
def check_networks(mesh: Mesh) -> Iterator[Problem]:
    """FromRegistry against the clusters that are known."""
    known = {"Kubernetes", "External", "Mock"}
    for secret in mesh.of("Secret"):
        if secret.labels.get("istio/multiCluster") == "true":
            known |= {*mapping(secret.body.get("data")), *mapping(secret.body.get("stringData"))}
    for document in mesh.of("MeshNetworks"):
        for name, network in mapping(document.body.get("networks")).items():
            for i, endpoint in dicts(mapping(network).get("endpoints")):
                registry = endpoint.get("fromRegistry")
                if isinstance(registry, str) and registry not in known:
                    path: Path = ("networks", name, "endpoints", i, "fromRegistry")
                    yield Problem(document, path, f"registry {registry} of network {name} is not known")


@rule(
    "GM0018",
    "one object twice",
    Level.WARNING,
    reads=(),
    why="whatever is applied last wins; which one that is depends on the order of files",
    mend="keep one, or validate variants (overlays) one by one",
    bad=_VS
    + "  http: [{route: [{destination: {host: shop}}]}]\n---\n"
    + _VS
    + "  http: [{route: [{destination: {host: old}}]}]\n",
    good=_VS + "  http: [{route: [{destination: {host: shop}}]}]\n",
)
def check_twice(mesh: Mesh) -> Iterator[Problem]:
    """Objects of one kind, namespace and name; in several files they may be variants, so that is a remark."""
    for kind in list(mesh.by_kind):
        seen: dict[tuple[str, str, str], Document] = {}
        for document in mesh.of(kind):
            key = (document.cluster, document.namespace, document.name)
            first = seen.setdefault(key, document)
            if first is document or not document.name or document.cluster or first.assumed != document.assumed:
                continue
            if document.labels.get("topology.istio.io/cluster") != first.labels.get("topology.istio.io/cluster"):
                continue
            level = None if first.file == document.file else Level.INFO
            where = "this file" if first.file == document.file else first.file
            yield Problem(document, ("metadata", "name"), f"it is defined in {where} already", level=level)
