"""WorkloadEntry, WorkloadGroup, ProxyConfig, Telemetry, WasmPlugin: what Istio's webhook refuses beyond the schema."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.names import is_subdomain
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.rules.fields import check_labels, check_selector, check_target_refs, is_ip

__all__: list[str] = []

_REJECTED = "Istio's admission webhook refuses the object, so the change never arrives"


@rule(
    "GM0281",
    "WorkloadEntry that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("WorkloadEntry", "WorkloadGroup"),
    why=_REJECTED,
    mend="name an address (or a network) and valid labels",
    bad="apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm, namespace: shop}\n"
    "spec: {labels: {app: shop}}\n",
    good="apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm, namespace: shop}\n"
    "spec: {address: 10.0.0.5, labels: {app: shop}}\n",
)
def check_entries(mesh: Mesh) -> Iterator[Problem]:
    """Address and labels."""
    for document in mesh.of("WorkloadEntry"):
        spec = document.spec
        address = spec.get("address")
        if not address and not spec.get("network"):
            yield Problem(document, ("spec",), "address is missing")
        elif address and not str(address).startswith("unix://") and not is_ip(address) and not is_subdomain(address):
            yield Problem(document, ("spec", "address"), f"{address!r} is no address and no DNS name")
        yield from check_labels(document, ("spec", "labels"), spec.get("labels"))
    for document in mesh.of("WorkloadGroup"):
        template = mapping(document.spec.get("template"))
        yield from check_labels(document, ("spec", "template", "labels"), template.get("labels"))
        yield from check_labels(
            document, ("spec", "metadata", "labels"), mapping(document.spec.get("metadata")).get("labels")
        )
        probe = document.spec.get("probe")
        kinds = ("httpGet", "tcpSocket", "exec", "grpc")
        if isinstance(probe, dict) and not any(probe.get(kind) is not None for kind in kinds):
            yield Problem(document, ("spec", "probe"), "a probe needs httpGet, tcpSocket, exec or grpc")


@rule(
    "GM0282",
    "policy attached to what cannot have one",
    Level.ERROR,
    istio="IST0106",
    reads=("Telemetry", "WasmPlugin", "ProxyConfig"),
    why=_REJECTED,
    mend="select pods by labels, or attach it to a Gateway, GatewayClass, Service or ServiceEntry",
    bad="apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t, namespace: shop}\n"
    "spec: {targetRefs: [{group: apps, kind: Deployment, name: shop}]}\n",
    good="apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t, namespace: shop}\n"
    "spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: shop}]}\n",
)
def check_attachment(mesh: Mesh) -> Iterator[Problem]:
    """Selectors and targets."""
    for kind in ("Telemetry", "WasmPlugin", "ProxyConfig"):
        for document in mesh.of(kind):
            labels = mapping(document.spec.get("selector")).get("matchLabels")
            yield from check_selector(document, ("spec", "selector", "matchLabels"), labels)
            if kind != "ProxyConfig":
                yield from check_target_refs(document)


@object_rule(
    "GM0381",
    "telemetry that is left out in part",
    Level.WARNING,
    istio="IST0133",
    reads=("Telemetry",),
    why="Istio uses one tracing entry and one tracing provider; the others are ignored",
    mend="keep one",
    bad="apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t, namespace: shop}\n"
    "spec: {tracing: [{providers: [{name: a}, {name: b}]}]}\n",
    good="apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t, namespace: shop}\n"
    "spec: {tracing: [{providers: [{name: a}]}]}\n",
)
def check_tracing(document: Document) -> Iterator[Problem]:
    """Several tracing entries or providers."""
    entries = dicts(document.spec.get("tracing"))
    if len(entries) > 1:
        yield Problem(document, ("spec", "tracing"), f"{len(entries)} tracing entries; only one is used")
    for i, entry in entries:
        if len(entry.get("providers") or ()) > 1:
            path: Path = ("spec", "tracing", i, "providers")
            yield Problem(document, path, f"{len(entry['providers'])} tracing providers; only one is used")
