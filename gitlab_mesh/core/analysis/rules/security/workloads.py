"""Pods: what makes them more powerful, or less themselves, than the mesh assumes."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import container, example, pod_example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Level, Path, Problem, mapping, texts
from gitlab_mesh.core.analysis.places import field_rule, places
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.workloads import matches

__all__: list[str] = []

_ISTIO = frozenset({"istio-proxy", "istio-init", "istio-validation", "enable-core-dump"})
_EDGE = example(
    "Gateway",
    "selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example.com]}]",
    name="edge",
)


@rule(
    "GM2901",
    "application in the place of a gateway",
    Level.WARNING,
    suite="security",
    reads=("Pod", "Deployment", "Gateway"),
    references=("ASM policy 1.1.1",),
    why="the gateway's certificates and routes are sent to this pod, and may be used by whoever controls it",
    mend="keep the label for gateway pods",
    bad=_EDGE + pod_example(container(), labels="istio: ingressgateway"),
    good=_EDGE + pod_example("containers: [{name: istio-proxy, image: auto}]", labels="istio: ingressgateway"),
)
def check_gateway_label(mesh: Mesh) -> Iterator[Problem]:
    """Pods with containers of their own that a Gateway selects."""
    selectors = [selector for item in mesh.of("Gateway") if (selector := mapping(item.spec.get("selector")))]
    for workload in mesh.workloads if selectors else ():
        own = [
            item for _, item in workload.containers if item.get("name") not in _ISTIO and item.get("image") != "auto"
        ]
        own = [item for item in own if "/proxyv2" not in str(item.get("image", ""))]
        if own and any(matches(selector, workload.labels) for selector in selectors):
            path: Path = (*workload.path, "metadata", "labels")
            yield Problem(workload.document, path, f"a Gateway selects it, and it runs {own[0].get('name')}")


@rule(
    "GM2902",
    "container that can go around the proxy",
    Level.WARNING,
    suite="security",
    reads=("Pod", "Deployment"),
    references=("CIS Kubernetes 5.2.2", "CIS Kubernetes 5.2.8", "CIS Kubernetes 5.2.9", "CWE-250"),
    why="with these rights a process rewrites iptables or the node's network: mTLS and policies no longer bind it",
    mend="drop the capability; set privileged: false",
    bad=pod_example(container("securityContext: {capabilities: {add: [NET_ADMIN]}}")),
    good=pod_example(container("securityContext: {capabilities: {drop: [ALL]}}")),
)
def check_capabilities(mesh: Mesh) -> Iterator[Problem]:
    """NET_ADMIN, NET_RAW, SYS_ADMIN, ALL; privileged."""
    for workload in mesh.workloads:
        for path, item in workload.containers:
            context = mapping(item.get("securityContext"))
            if item.get("name") in _ISTIO:
                continue
            if context.get("privileged") is True:
                yield Problem(workload.document, (*path, "securityContext", "privileged"), "it is privileged")
            for i, word in texts(mapping(context.get("capabilities")).get("add")):
                if word.upper().removeprefix("CAP_") in ("NET_ADMIN", "NET_RAW", "SYS_ADMIN", "ALL"):
                    place: Path = (*path, "securityContext", "capabilities", "add", i)
                    yield Problem(workload.document, place, f"it has {word}")


@rule(
    "GM2903",
    "proxy that is not upgraded",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("Pod", "Deployment"),
    references=("CWE-1104",),
    why="the pod keeps this proxy when the mesh is upgraded: known holes stay open in it",
    mend="remove the annotation; roll out a revision of Istio instead",
    bad=pod_example(annotations="sidecar.istio.io/proxyImage: 'docker.io/istio/proxyv2:1.16.0'"),
    good=pod_example(),
)
def check_pinned_proxy(mesh: Mesh) -> Iterator[Problem]:
    """sidecar.istio.io/proxyImage."""
    for workload in mesh.workloads:
        image = workload.annotations.get("sidecar.istio.io/proxyImage")
        if image:
            path: Path = (*workload.path, "metadata", "annotations", "sidecar.istio.io/proxyImage")
            yield Problem(workload.document, path, f"its proxy stays {image}")


@rule(
    "GM2905",
    "identity shared with every other pod",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("Pod", "Deployment"),
    references=("CIS Kubernetes 5.1.5", "NIST SP 800-204A"),
    why="pods with the default service account have one identity: no policy can tell them apart",
    mend="give the workload a service account of its own: serviceAccountName",
    bad=pod_example(container(), labels="sidecar.istio.io/inject: 'true'"),
    good=pod_example(container() + ", serviceAccountName: shop", labels="sidecar.istio.io/inject: 'true'"),
)
def check_identity(mesh: Mesh) -> Iterator[Problem]:
    """In-mesh workloads with the default service account."""
    for workload in mesh.workloads:
        name = workload.spec.get("serviceAccountName") or workload.spec.get("serviceAccount") or "default"
        if name == "default" and workload.spec and mesh.in_mesh(workload):
            path: Path = (*workload.path, "spec", "serviceAccountName")
            yield Problem(workload.document, path, "it runs as the namespace's default service account")


field_rule(
    "GM2907",
    "installation that weakens every proxy",
    Level.WARNING,
    "spec.values.global.proxy.privileged spec.values.global.proxy.enableCoreDump spec.values.global.jwtPolicy "
    "spec.values.global.proxy.excludeIPRanges spec.values.global.proxy.excludeInboundPorts",
    lambda value: (
        f"{value} holds for every pod of the mesh"
        if value is True or value not in (False, "", "third-party-jwt")
        else ""
    ),
    suite="security",
    reads=("IstioOperator",),
    references=("CWE-250", "OWASP K09:2022"),
    why="privileged proxies, core dumps with keys, tokens that never expire, traffic past the proxy",
    mend="remove the value; Istio's default is the safe one",
    bad=example("IstioOperator", "values: {global: {proxy: {privileged: true}}}"),
    good=example("IstioOperator", "values: {global: {jwtPolicy: third-party-jwt}}"),
)


@rule(
    "GM2908",
    "machine without an identity",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("WorkloadEntry", "WorkloadGroup"),
    references=("KIA1701",),
    why="callers cannot verify who answers, and policies by principal do not know the machine",
    mend="name its serviceAccount",
    bad=example("WorkloadEntry", "address: 192.0.2.7"),
    good=example("WorkloadEntry", "address: 192.0.2.7, serviceAccount: shop"),
)
def check_machines(mesh: Mesh) -> Iterator[Problem]:
    """WorkloadEntries and templates of WorkloadGroups without serviceAccount."""
    for kind, pattern in (("WorkloadEntry", "spec"), ("WorkloadGroup", "spec.template")):
        for document in mesh.of(kind):
            for path, item in places(document.body, pattern):
                if isinstance(item, dict) and not item.get("serviceAccount"):
                    yield Problem(document, path, "no serviceAccount is named")
