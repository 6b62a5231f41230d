"""Mutual TLS on the side of the server, and what takes it away again."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import example, pod_example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.posture import effective_mtls
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.workloads import matches, selector_of

__all__: list[str] = []

_STRICT = "mtls: {mode: STRICT}"
_NSA = ("NSA-CISA Kubernetes Hardening: encryption in transit", "NIST SP 800-204A")
_PODS = pod_example("containers: [{name: shop, ports: [{containerPort: 8080}]}]")


def _peer(spec: str, namespace: str = "shop", name: str = "default") -> str:
    return example("PeerAuthentication", spec, name=name, namespace=namespace)


@rule(
    "GM2001",
    "mesh without STRICT mTLS",
    Level.WARNING,
    suite="security",
    reads=("Deployment", "Pod", "PeerAuthentication"),
    why="plaintext from inside the network is accepted: whoever has a pod, or the wire, can read and call",
    mend="apply a PeerAuthentication with mtls.mode STRICT in the root namespace, or in this namespace",
    references=_NSA,
    bad=_PODS,
    good=_PODS + _peer(_STRICT, "istio-system"),
)
def check_strict(mesh: Mesh) -> Iterator[Problem]:
    """The effective mode of each workload, where no policy says anything."""
    for workload in mesh.workloads:
        if workload.namespace == mesh.options.root_namespace or workload.inject == "false":
            continue
        mode, policy = effective_mtls(mesh, workload)
        if mode != "STRICT" and policy is None:
            message = f"no PeerAuthentication holds for it: mTLS is {mode}"
            yield Problem(workload.document, ("metadata", "name"), message)


@object_rule(
    "GM2002",
    "policy that weakens mTLS",
    Level.ERROR,
    suite="security",
    reads=("PeerAuthentication",),
    why="plaintext is accepted for what this policy selects",
    mend="write STRICT; migrate clients without a sidecar first",
    references=_NSA,
    bad=_peer("mtls: {mode: PERMISSIVE}"),
    good=_peer(_STRICT),
)
def check_weak(document: Document) -> Iterator[Problem]:
    """PERMISSIVE and DISABLE of policies and their ports."""
    mode = mapping(document.spec.get("mtls")).get("mode")
    if mode in ("PERMISSIVE", "DISABLE"):
        yield Problem(document, ("spec", "mtls", "mode"), f"mTLS is {mode} here")
    for port, item in mapping(document.spec.get("portLevelMtls")).items():
        mode = mapping(item).get("mode")
        if mode in ("PERMISSIVE", "DISABLE"):
            yield Problem(document, ("spec", "portLevelMtls", port, "mode"), f"mTLS is {mode} on port {port}")


@rule(
    "GM2003",
    "several PeerAuthentications of one scope",
    Level.WARNING,
    suite="security",
    reads=("PeerAuthentication",),
    why="only the oldest one holds; after a rebuild of the cluster it may be another one",
    mend="keep one policy a scope",
    bad=_peer(_STRICT) + _peer("mtls: {mode: DISABLE}", name="two"),
    good=_peer(_STRICT),
)
def check_scopes(mesh: Mesh) -> Iterator[Problem]:
    """Namespaces, or selectors, with two policies."""
    seen: dict[tuple[str, str], str] = {}
    for document in mesh.of("PeerAuthentication"):
        key = (document.namespace, str(sorted(selector_of(document).items())))
        if key in seen:
            yield Problem(document, ("metadata", "name"), f"{seen[key]} holds for the same pods")
        seen.setdefault(key, document.full_name)


@rule(
    "GM2005",
    "port-level mTLS for a port that nobody has",
    Level.WARNING,
    suite="security",
    reads=("PeerAuthentication", "Pod", "Deployment"),
    why="the setting is for the pod's port, not for the Service's: as written it holds for nothing",
    mend="write the containerPort",
    bad=_peer("selector: {matchLabels: {app: shop}}, portLevelMtls: {80: {mode: STRICT}}") + _PODS,
    good=_peer("selector: {matchLabels: {app: shop}}, portLevelMtls: {8080: {mode: STRICT}}") + _PODS,
)
def check_port_level(mesh: Mesh) -> Iterator[Problem]:
    """PortLevelMtls against the container ports of the selected pods."""
    for document in mesh.of("PeerAuthentication"):
        ports = mapping(document.spec.get("portLevelMtls"))
        if not ports:
            continue
        pods = mesh.select(document.namespace, selector_of(document))
        known = {
            str(item.get("containerPort"))
            for pod in pods
            for _, container in pod.containers
            for _, item in dicts(container.get("ports"))
        }
        for port in ports:
            if known and str(port) not in known:
                path: Path = ("spec", "portLevelMtls", port)
                yield Problem(
                    document,
                    path,
                    f"no selected pod has the port {port}; they have {', '.join(sorted(known))}",
                    at_key=True,
                )


_EXCLUDING = tuple(
    f"traffic.sidecar.istio.io/{word}"
    for word in ("excludeInboundPorts", "excludeOutboundPorts", "excludeOutboundIPRanges")
)
_INCLUDING = tuple(f"traffic.sidecar.istio.io/{word}" for word in ("includeInboundPorts", "includeOutboundIPRanges"))


@rule(
    "GM2006",
    "pod outside of the mesh's protection",
    Level.WARNING,
    suite="security",
    reads=("Pod", "Deployment"),
    references=("CIS Kubernetes 5.2.5",),
    why="no mTLS, no authorization, no telemetry for it, or for the traffic that is excluded",
    mend="let it be injected; if that cannot be, limit it with a NetworkPolicy",
    bad=pod_example(labels="sidecar.istio.io/inject: 'false'"),
    good=pod_example(),
)
def check_outside(mesh: Mesh) -> Iterator[Problem]:
    """Opt-out, host network, ports and ranges that do not go through the proxy."""
    for workload in mesh.workloads:
        meta: Path = (*workload.path, "metadata")
        if workload.inject == "false":
            yield Problem(workload.document, meta, "injection is switched off for it")
        if workload.host_network:
            path: Path = (*workload.path, "spec", "hostNetwork")
            yield Problem(workload.document, path, "host network: it is never injected")
        notes = workload.annotations
        past = [key for key in _EXCLUDING if notes.get(key)]
        past += [key for key in _INCLUDING if notes.get(key, "*") != "*"]
        for key in past:
            message = f"{key} takes traffic past the proxy"
            yield Problem(workload.document, (*meta, "annotations", key), message, at_key=True)


_MTLS_KEYS = ("principals", "notPrincipals", "namespaces", "notNamespaces", "serviceAccounts", "notServiceAccounts")
_BY_NAMESPACE = example("AuthorizationPolicy", "action: DENY, rules: [{from: [{source: {namespaces: [web]}}]}]")


@rule(
    "GM2007",
    "policy by identity where mTLS is not required",
    Level.WARNING,
    suite="security",
    reads=("AuthorizationPolicy", "PeerAuthentication", "Pod", "Deployment"),
    references=("KIA0105",),
    why="plaintext has no identity: an ALLOW never admits it, but a DENY by identity does not stop it",
    mend="require STRICT mTLS for these pods",
    bad=_BY_NAMESPACE + _PODS,
    good=_BY_NAMESPACE + _PODS + _peer(_STRICT),
)
def check_identity(mesh: Mesh) -> Iterator[Problem]:
    """Sources that need an identity, for pods that take plaintext."""
    for document in mesh.of("AuthorizationPolicy"):
        used: list[Path] = [
            ("spec", "rules", r, "from", f, "source", key)
            for r, item in dicts(document.spec.get("rules"))
            for f, part in dicts(item.get("from"))
            for key in _MTLS_KEYS
            if texts(mapping(part.get("source")).get(key))
        ]
        if not used:
            continue
        wide = document.namespace == mesh.options.root_namespace
        pods = mesh.workloads if wide else mesh.workloads_by_namespace.get(document.namespace, [])
        for pod in pods:
            if matches(selector_of(document), pod.labels) and effective_mtls(mesh, pod)[0] != "STRICT":
                message = f"{used[0][-1]} needs mTLS, and {pod.document.resource} takes plaintext too"
                yield Problem(document, used[0], message, at_key=True)
                break
