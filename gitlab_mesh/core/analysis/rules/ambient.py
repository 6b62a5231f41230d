"""Ambient mode: what only a waypoint can apply, where there is none."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import rule

__all__: list[str] = []

_NAMESPACE = (
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/dataplane-mode: ambient%s}}\n---\n"
)
_WAYPOINT = ", istio.io/use-waypoint: waypoint"
_GATEWAY = (
    "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: waypoint, namespace: shop}\n"
    "spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}\n"
)
_POLICY = (
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {%srules: [{to: [{operation: {methods: [GET]}}]}]}\n"
)


def _ambient(mesh: Mesh) -> set[str]:
    return mesh.ambient_namespaces - mesh.injected_namespaces


def _has_waypoint(mesh: Mesh, namespace: str) -> bool:
    space = mesh.namespaces.get(namespace)
    if space is not None and space.labels.get("istio.io/use-waypoint") not in (None, "none"):
        return True
    services = (item for item in mesh.of("Service") if item.namespace == namespace)
    return any(item.labels.get("istio.io/use-waypoint") not in (None, "none") for item in services)


def _layer7(document: Document) -> Path | None:
    for r, item in dicts(document.spec.get("rules")):
        for t, part in dicts(item.get("to")):
            for key in ("methods", "paths", "hosts", "notMethods", "notPaths", "notHosts"):
                if mapping(part.get("operation")).get(key):
                    return ("spec", "rules", r, "to", t, "operation", key)
        for f, part in dicts(item.get("from")):
            for key in ("requestPrincipals", "notRequestPrincipals", "remoteIpBlocks"):
                if mapping(part.get("source")).get(key):
                    return ("spec", "rules", r, "from", f, "source", key)
        for w, condition in dicts(item.get("when")):
            if str(condition.get("key", "")).startswith("request."):
                return ("spec", "rules", r, "when", w, "key")
    return None


@rule(
    "GM1601",
    "policy by HTTP attributes that ztunnel cannot read",
    Level.ERROR,
    reads=("AuthorizationPolicy", "Namespace"),
    references=("KIA0109", "KIA0110"),
    why="ztunnel knows connections only: it drops the ALLOW rule (nobody is admitted) or applies the DENY to everything",
    mend="attach the policy to a waypoint or Service with targetRefs",
    bad=_NAMESPACE % "" + _POLICY % "",
    good=_NAMESPACE % _WAYPOINT + _POLICY % "targetRefs: [{group: '', kind: Service, name: shop}], ",
)
def check_policies(mesh: Mesh) -> Iterator[Problem]:
    """Layer-7 rules of policies that select pods of ambient namespaces."""
    for document in mesh.of("AuthorizationPolicy"):
        if (
            document.namespace not in _ambient(mesh)
            or document.spec.get("targetRefs")
            or document.spec.get("targetRef")
        ):
            continue
        path = _layer7(document)
        if path is not None:
            yield Problem(
                document,
                path,
                f"{path[-1]} needs a waypoint; without targetRefs ztunnel applies this policy",
                at_key=True,
            )


_ONLY_WAYPOINTS = ("VirtualService", "RequestAuthentication", "HTTPRoute")


@rule(
    "GM1602",
    "object that only a waypoint applies, without a waypoint",
    Level.WARNING,
    reads=("Namespace", "Service", *_ONLY_WAYPOINTS),
    references=("KIA1109", "KIA1311"),
    why="ztunnel does not read it: routes, retries and tokens have no effect in ambient mode",
    mend="create a waypoint (istioctl waypoint apply) and label the namespace istio.io/use-waypoint",
    bad=_NAMESPACE
    % ""
    + "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}]}]}\n",
    good=_NAMESPACE
    % _WAYPOINT
    + "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}]}]}\n" + _GATEWAY,
)
def check_waypoints(mesh: Mesh) -> Iterator[Problem]:
    """VirtualServices of the mesh, RequestAuthentications and HTTPRoutes of Services in ambient namespaces."""
    bare = {name for name in _ambient(mesh) if not _has_waypoint(mesh, name)}
    for kind in _ONLY_WAYPOINTS:
        for document in mesh.of(kind):
            gateways = document.spec.get("gateways") or ["mesh"]
            parents = [item.get("kind", "Gateway") for _, item in dicts(document.spec.get("parentRefs"))]
            elsewhere = (kind == "VirtualService" and "mesh" not in gateways) or (
                kind == "HTTPRoute" and "Service" not in parents
            )
            if document.namespace in bare and not elsewhere:
                yield Problem(
                    document, ("spec",), f"namespace {document.namespace} is in ambient mode and uses no waypoint"
                )
