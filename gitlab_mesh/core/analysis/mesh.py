"""Everything that was read, with the indexes that rules share; built once a run, each at its first use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Options, dicts, mapping, texts
from gitlab_mesh.core.analysis.workloads import TEMPLATE_KINDS, Workload, list_workloads, matches

__all__ = ["SYSTEM_NAMESPACES", "Mesh"]

SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})
"""Namespaces of Kubernetes itself, which no mesh rule is about."""

_NONE: list[Document] = []


class Mesh:
    """The objects by kind, and what follows from them.

    ``of`` is the only door to documents, so a test can record which kinds a rule reads.

    Args:
        documents: In reading order.
        options: What the files cannot say.
    """

    def __init__(self, documents: Iterable[Document], options: Options | None = None) -> None:
        self.options = options or Options()
        self.by_kind: dict[str, list[Document]] = defaultdict(list)
        for document in documents:
            self.by_kind[document.kind].append(document)
        self._by_namespace: dict[str, dict[str, list[Document]]] = {}

    def of(self, kind: str) -> list[Document]:
        """Return the objects of one kind."""
        return self.by_kind.get(kind, _NONE)

    def within(self, kind: str, namespace: str) -> list[Document]:
        """Return the objects of one kind that one namespace holds."""
        index = self._by_namespace.get(kind)
        if index is None:
            index = self._by_namespace[kind] = defaultdict(list)
            for document in self.of(kind):
                index[document.namespace].append(document)
        return index.get(namespace, _NONE)

    # ---- names -------------------------------------------------------------------------------------------------

    def fqdn(self, host: str, namespace: str) -> str:
        """Resolve a host as Istio does: short names belong to the namespace of the object that says them."""
        if "." in host or host == "*":
            parts = host.split(".")
            if len(parts) == 3 and parts[2] == "svc":
                return f"{host}.{self.options.cluster_domain}"
            if len(parts) == 2 and (parts[1], parts[0]) in self.services:
                return f"{host}.svc.{self.options.cluster_domain}"
            return host
        return f"{host}.{namespace}.svc.{self.options.cluster_domain}"

    def service_key(self, host: str, namespace: str) -> tuple[str, str] | None:
        """Return (namespace, name) if the host has the form of a Service's."""
        if "*" in host:
            return None
        if "." not in host:
            return (namespace, host)
        parts = host.split(".")
        if parts[2:] in ([], ["svc"], ["svc", *self.options.cluster_domain.split(".")]):
            return (parts[1], parts[0])
        return None

    # ---- objects -----------------------------------------------------------------------------------------------

    @cached_property
    def services(self) -> dict[tuple[str, str], Document]:
        """Services by (namespace, name)."""
        return {(item.namespace, item.name): item for item in self.of("Service")}

    @cached_property
    def service_namespaces(self) -> set[str]:
        """Namespaces of which at least one Service was read."""
        return {namespace for namespace, _ in self.services}

    @cached_property
    def entry_hosts(self) -> dict[str, list[Document]]:
        """ServiceEntries by host, as written."""
        found: dict[str, list[Document]] = defaultdict(list)
        for entry in self.of("ServiceEntry"):
            for _, host in texts(entry.spec.get("hosts")):
                found[host].append(entry)
        return found

    @cached_property
    def wildcard_entries(self) -> list[tuple[str, Document]]:
        """(suffix with its dot, ServiceEntry) of hosts such as ``*.example.com``."""
        return [(host[1:], entry) for host, entries in self.entry_hosts.items() if host[:1] == "*" for entry in entries]

    @cached_property
    def namespaces(self) -> dict[str, Document]:
        """Namespace objects by name."""
        return {item.name: item for item in self.of("Namespace")}

    @cached_property
    def workloads(self) -> list[Workload]:
        """Pods and the pods that templates will make."""
        return list(list_workloads({kind: self.of(kind) for kind in ("Pod", *TEMPLATE_KINDS)}))

    @cached_property
    def _workload_index(self) -> dict[tuple[str, str, Any], list[Workload]]:
        found: dict[tuple[str, str, Any], list[Workload]] = defaultdict(list)
        for item in self.workloads:
            for key, value in item.labels.items():
                if value.__class__ is str:
                    found[item.namespace, key, value].append(item)
                    found["", key, value].append(item) if item.namespace else None
        return found

    @cached_property
    def workloads_by_namespace(self) -> dict[str, list[Workload]]:
        """Workloads by namespace."""
        found: dict[str, list[Workload]] = defaultdict(list)
        for item in self.workloads:
            found[item.namespace].append(item)
        return found

    def select(self, namespace: str | None, selector: Mapping[str, Any]) -> list[Workload]:
        """Return the workloads of a namespace (None: of all) that a selector picks; an empty one picks all."""
        if not selector:
            return self.workloads if namespace is None else self.workloads_by_namespace.get(namespace, [])
        key, value = next(iter(selector.items()))
        if value.__class__ is not str:
            return []
        if namespace is None:
            items = self._workload_index.get(("", key, value), [])
        else:
            items = self._workload_index.get((namespace, key, value), [])
            if not namespace:
                items = [item for item in items if not item.namespace]
        return [item for item in items if matches(selector, item.labels)] if len(selector) > 1 else items

    @cached_property
    def settings(self) -> dict[str, Any]:
        """``MeshConfig``: a bare file, the ``istio`` ConfigMap's or the IstioOperator's; empty where none was read."""
        for document in self.of("MeshConfig"):
            return document.body
        for document in self.of("IstioOperator"):
            return mapping(document.spec.get("meshConfig"))
        return {}

    # ---- mesh membership ---------------------------------------------------------------------------------------

    @cached_property
    def ambient_namespaces(self) -> set[str]:
        """Namespaces labelled for ambient mode."""
        return {item.name for item in self.of("Namespace") if item.labels.get("istio.io/dataplane-mode") == "ambient"}

    @cached_property
    def injected_namespaces(self) -> set[str]:
        """Namespaces whose pods get a sidecar."""
        return {item.name for item in self.of("Namespace") if is_injected(item.labels)}

    def in_ambient(self, workload: Workload) -> bool:
        """Say whether ztunnel carries this pod's traffic."""
        mode = workload.labels.get("istio.io/dataplane-mode")
        return mode == "ambient" or (mode is None and workload.namespace in self.ambient_namespaces)

    def in_sidecar_mesh(self, workload: Workload) -> bool:
        """Say whether the pod has, or will get, a sidecar."""
        if workload.has_proxy:
            return True
        if workload.host_network or workload.inject == "false":
            return False
        return workload.inject == "true" or workload.namespace in self.injected_namespaces

    def in_mesh(self, workload: Workload) -> bool:
        """Say whether Istio's policies can hold for this pod."""
        return self.in_sidecar_mesh(workload) or self.in_ambient(workload)

    def is_outside(self, workload: Workload) -> bool:
        """Say whether the pod surely has no proxy; without its Namespace nobody can tell."""
        if workload.has_proxy or self.in_ambient(workload):
            return False
        if workload.host_network or workload.inject == "false":
            return True
        namespace = self.namespaces.get(workload.namespace)
        return (
            workload.inject != "true"
            and namespace is not None
            and namespace.labels.get("istio-injection") == "disabled"
        )

    # ---- existence ---------------------------------------------------------------------------------------------

    def assumed_host(self, host: str) -> bool:
        """Say whether the user assumes this host."""
        return any(
            host == item or (item.startswith("*") and host.endswith(item[1:])) for item in self.options.assume_hosts
        )

    def knows_host(self, host: str, namespace: str) -> bool:
        """Say whether a Service, a ServiceEntry or an assumption serves this destination host."""
        key = self.service_key(host, namespace)
        if key is not None and key in self.services:
            return True
        return self.find_entry(host, namespace) is not None or self.assumed_host(self.fqdn(host, namespace))

    def find_entry(self, host: str, namespace: str) -> Document | None:
        """Return the ServiceEntry that serves a host and is exported to the namespace."""
        for word in (host, self.fqdn(host, namespace)):
            for entry in self.entry_hosts.get(word, ()):
                if is_exported(entry, namespace):
                    return entry
        name = self.fqdn(host, namespace)
        for suffix, entry in self.wildcard_entries:
            if name.endswith(suffix) and is_exported(entry, namespace):
                return entry
        if "." not in host:  # a ServiceEntry of that namespace may name the host by its short name only
            return None
        return None

    def service_ports(self, service: Document) -> list[dict[str, Any]]:
        """Return ``spec.ports`` of a Service."""
        return [port for _, port in dicts(service.spec.get("ports"))]


def is_injected(labels: Mapping[str, Any]) -> bool:
    """Say whether a namespace's labels ask for sidecar injection."""
    if labels.get("istio-injection") == "enabled":
        return True
    return "istio-injection" not in labels and bool(labels.get("istio.io/rev"))


def is_exported(document: Document, namespace: str) -> bool:
    """Say whether ``exportTo`` makes the object visible in a namespace (nothing said: everywhere)."""
    scopes = [scope for _, scope in texts(document.spec.get("exportTo"))]
    if not scopes or "*" in scopes or namespace in scopes:
        return True
    return document.namespace == namespace and "." in scopes
