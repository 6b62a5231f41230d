"""Gateway API and ambient mode: classes, namespaces and waypoints that do not exist."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import container, example, pod_example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts
from gitlab_mesh.core.analysis.names import nearest
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.references import NOT_READ, missing

__all__: list[str] = []

_ISTIO = ("istio", "istio-remote", "istio-waypoint", "istio-east-west")
"""Classes that istiod makes by itself."""


def _gateway(name: str) -> str:
    return example("KubernetesGateway", f"gatewayClassName: {name}, listeners: [{{name: a, port: 80, protocol: HTTP}}]")


_CLASS = example("GatewayClass", "controllerName: example.com/edge", name="edge", namespace="")


@rule(
    "GM1404",
    "Gateway of a class that does not exist",
    Level.ERROR,
    reads=("KubernetesGateway", "GatewayClass"),
    also=(NOT_READ,),
    references=("KIA1504",),
    why="no controller takes it: no proxy is started, nothing listens",
    mend="use istio, or name a class that is there",
    bad=_gateway("egde") + _CLASS,
    good=_gateway("edge") + _CLASS,
)
def check_classes(mesh: Mesh) -> Iterator[Problem]:
    """GatewayClassName against Istio's own classes and those that were read."""
    known = sorted({*_ISTIO, *(item.name for item in mesh.of("GatewayClass"))})
    for document in mesh.of("KubernetesGateway"):
        name = str(document.spec.get("gatewayClassName") or "")
        if name and name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else ""
            path: Path = ("spec", "gatewayClassName")
            surely = bool(near) and bool(mesh.of("GatewayClass"))
            yield missing(mesh, document, path, f"there is no GatewayClass {name}", surely=surely, hint=hint)


def _grant(namespace: str) -> str:
    source = f"{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {namespace}}}"
    return example("ReferenceGrant", f"from: [{source}], to: [{{group: '', kind: Service}}]") + example(
        "Namespace", None, namespace="", name="edge"
    )


@rule(
    "GM1405",
    "grant for a namespace that does not exist",
    Level.WARNING,
    reads=("ReferenceGrant", "Namespace"),
    also=(NOT_READ,),
    references=("KIA1601",),
    why="the routes that are meant are refused; whoever makes a namespace of that name gets the grant",
    mend="correct the namespace",
    bad=_grant("egde"),
    good=_grant("edge"),
)
def check_grants(mesh: Mesh) -> Iterator[Problem]:
    """Namespaces in ReferenceGrants."""
    known = sorted({*mesh.namespaces, *mesh.options.assume_namespaces})
    for document in mesh.of("ReferenceGrant"):
        for i, item in dicts(document.spec.get("from")):
            name = str(item.get("namespace") or "")
            if name and name not in known and name not in mesh.service_namespaces:
                near = nearest(name, known)
                path: Path = ("spec", "from", i, "namespace")
                hint = f"did you mean {near}?" if near else ""
                yield missing(mesh, document, path, f"namespace {name} does not exist", surely=bool(near), hint=hint)


_USE = "istio.io/use-waypoint"


def _labelled(name: str) -> str:
    labels = f"istio.io/dataplane-mode: ambient, {_USE}: {name}"
    listener = "listeners: [{name: mesh, port: 15008, protocol: HBONE}]"
    return example("Namespace", None, namespace="", labels=labels) + example(
        "KubernetesGateway", f"gatewayClassName: istio-waypoint, {listener}", name="waypoint"
    )


@rule(
    "GM1603",
    "waypoint that does not exist",
    Level.ERROR,
    reads=("Namespace", "Service", "KubernetesGateway"),
    also=(NOT_READ,),
    references=("KIA1317",),
    why="requests go on without it: routes, tokens and policies of layer 7 are not applied, and nobody says so",
    mend="create it (istioctl waypoint apply), or correct the label",
    bad=_labelled("waypiont"),
    good=_labelled("waypoint") + example("Service", "ports: [{port: 80, name: http}]", labels=f"{_USE}: none"),
)
def check_waypoints(mesh: Mesh) -> Iterator[Problem]:
    """istio.io/use-waypoint of namespaces and Services."""
    waypoints: dict[str, set[str]] = {}
    for gateway in mesh.of("KubernetesGateway"):
        waypoints.setdefault(gateway.namespace, set()).add(gateway.name)
    users: list[Document] = [*mesh.of("Namespace"), *mesh.of("Service")]
    for document in users:
        name = str(document.labels.get(_USE, "none"))
        own = document.name if document.kind == "Namespace" else document.namespace
        namespace = str(document.labels.get(f"{_USE}-namespace") or own)
        if name != "none" and name not in waypoints.get(namespace, ()):
            message = f"namespace {namespace} has no Gateway {name}"
            path: Path = ("metadata", "labels", _USE)
            yield missing(mesh, document, path, message, surely=namespace in waypoints)


@rule(
    "GM1604",
    "pod with a sidecar in ambient mode",
    Level.WARNING,
    reads=("Namespace", "Pod", "Deployment"),
    why="ztunnel leaves pods with a sidecar alone: the label for ambient mode has no effect for it",
    mend="choose one of the two for the pod",
    bad=pod_example(container(), labels="sidecar.istio.io/inject: 'true', istio.io/dataplane-mode: ambient"),
    good=pod_example(container(), labels="istio.io/dataplane-mode: ambient"),
)
def check_both(mesh: Mesh) -> Iterator[Problem]:
    """Pods whose own label asks for ambient mode and that get, or have, a sidecar."""
    for workload in mesh.workloads:
        ambient = workload.labels.get("istio.io/dataplane-mode") == "ambient"
        if ambient and mesh.in_sidecar_mesh(workload):
            path: Path = (*workload.path, "metadata", "labels", "istio.io/dataplane-mode")
            yield Problem(workload.document, path, "it has, or gets, a sidecar, too")
