"""Security: mutual TLS, and what takes it away again."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.posture import effective_mtls
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.rules.shape_destinationrule import traffic_policies
from gitlab_mesh.core.analysis.workloads import matches, selector_of

__all__: list[str] = []

_PEER = (
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: %s}\nspec: {%s}\n"
)
_STRICT = "mtls: {mode: STRICT}"
_NSA = ("NSA-CISA Kubernetes Hardening: encryption in transit", "NIST SP 800-204A")
_POD = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop, labels: {app: shop%s}}\nspec: {containers: [{name: shop, ports: [{containerPort: 8080}]}%s]}\n"


@rule(
    "GM2001",
    "mesh without STRICT mTLS",
    Level.WARNING,
    suite="security",
    reads=("Deployment", "Pod", "PeerAuthentication"),
    why="plaintext from inside the network is accepted: whoever has a pod, or the wire, can read and call",
    mend="apply a PeerAuthentication with mtls.mode STRICT in the root namespace, or in this namespace",
    references=_NSA,
    bad="apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop, namespace: shop}\nspec: {template: {metadata: {labels: {app: shop}}}}\n",
    good="apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop, namespace: shop}\nspec: {template: {metadata: {labels: {app: shop}}}}\n"
    "---\n" + _PEER % ("istio-system", _STRICT),
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
    bad=_PEER % ("shop", "mtls: {mode: PERMISSIVE}"),
    good=_PEER % ("shop", _STRICT),
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
    bad=_PEER % ("shop", _STRICT)
    + "---\n"
    + (_PEER % ("shop", "mtls: {mode: DISABLE}")).replace("name: default", "name: two"),
    good=_PEER % ("shop", _STRICT),
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
    "GM2004",
    "mTLS switched off on the client's side",
    Level.ERROR,
    suite="security",
    reads=("DestinationRule",),
    why="sidecars send plaintext (or TLS without identity) to this host; under STRICT its requests fail",
    mend="remove tls, or write ISTIO_MUTUAL: Istio uses mTLS by itself where both sides can",
    references=_NSA,
    bad="apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {host: shop, trafficPolicy: {tls: {mode: DISABLE}}}\n",
    good="apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {host: shop, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}\n",
)
def check_client_side(mesh: Mesh) -> Iterator[Problem]:
    """tls.mode DISABLE or SIMPLE to hosts of the cluster."""
    suffix = f".svc.{mesh.options.cluster_domain}"
    for document in mesh.of("DestinationRule"):
        host = document.spec.get("host")
        if not isinstance(host, str) or not (
            mesh.fqdn(host, document.namespace).endswith(suffix) or host in ("*", "*.local")
        ):
            continue
        for path, policy in traffic_policies(document):
            mode = mapping(policy.get("tls")).get("mode")
            if mode in ("DISABLE", "SIMPLE"):
                yield Problem(document, (*path, "tls", "mode"), f"requests to {host} go without mTLS ({mode})")


@rule(
    "GM2005",
    "port-level mTLS for a port that nobody has",
    Level.WARNING,
    suite="security",
    reads=("PeerAuthentication", "Pod", "Deployment"),
    why="the setting is for the pod's port, not for the Service's: as written it holds for nothing",
    mend="write the containerPort",
    bad=_PEER % ("shop", "selector: {matchLabels: {app: shop}}, portLevelMtls: {80: {mode: STRICT}}") + _POD % ("", ""),
    good=_PEER % ("shop", "selector: {matchLabels: {app: shop}}, portLevelMtls: {8080: {mode: STRICT}}")
    + _POD % ("", ""),
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


_EXCLUDING = (
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "traffic.sidecar.istio.io/excludeOutboundPorts",
    "traffic.sidecar.istio.io/excludeOutboundIPRanges",
)


@rule(
    "GM2006",
    "pod outside of the mesh's protection",
    Level.WARNING,
    suite="security",
    reads=("Pod", "Deployment"),
    why="no mTLS, no authorization, no telemetry for it, or for the traffic that is excluded",
    mend="let it be injected; if that cannot be, limit it with a NetworkPolicy",
    bad="apiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop, labels: {sidecar.istio.io/inject: 'false'}}\n",
    good="apiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop}\n",
)
def check_outside(mesh: Mesh) -> Iterator[Problem]:
    """Opt-out, host network, excluded ports and ranges."""
    for workload in mesh.workloads:
        meta: Path = (*workload.path, "metadata")
        if workload.inject == "false":
            yield Problem(workload.document, meta, "injection is switched off for it")
        if workload.host_network:
            yield Problem(
                workload.document, (*workload.path, "spec", "hostNetwork"), "host network: it is never injected"
            )
        for key in _EXCLUDING:
            if workload.annotations.get(key):
                yield Problem(
                    workload.document, (*meta, "annotations", key), f"{key} takes traffic past the proxy", at_key=True
                )


_MTLS_KEYS = ("principals", "notPrincipals", "namespaces", "notNamespaces", "serviceAccounts", "notServiceAccounts")


@rule(
    "GM2007",
    "policy by identity where mTLS is not required",
    Level.WARNING,
    suite="security",
    reads=("AuthorizationPolicy", "PeerAuthentication", "Pod", "Deployment"),
    references=("KIA0105",),
    why="plaintext has no identity: an ALLOW never admits it, but a DENY by identity does not stop it",
    mend="require STRICT mTLS for these pods",
    bad="apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {action: DENY, rules: [{from: [{source: {namespaces: [web]}}]}]}\n" + _POD % ("", ""),
    good="apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {action: DENY, rules: [{from: [{source: {namespaces: [web]}}]}]}\n"
    + _POD % ("", "")
    + "---\n"
    + _PEER % ("shop", _STRICT),
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
