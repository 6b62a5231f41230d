"""AuthorizationPolicy and its kin: namespaces and pods that exist, selectors that Gateway API gateways ignore."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.references import NOT_READ, missing
from gitlab_mesh.core.analysis.workloads import Workload, matches, selector_of

__all__: list[str] = []

_POLICY = (
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: shop, namespace: shop}\nspec:\n"
)
_NAMESPACE = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n"
_POD = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop, labels: {app: shop}}\n"


@rule(
    "GM0187",
    "policy about a namespace that does not exist",
    Level.ERROR,
    istio="IST0101",
    reads=("AuthorizationPolicy", "Namespace"),
    also=(NOT_READ,),
    why="an ALLOW for it admits nobody; a DENY for it stops nobody",
    mend="correct the name of the namespace",
    bad=_POLICY + "  rules: [{from: [{source: {namespaces: [shpo]}}]}]\n" + _NAMESPACE,
    good=_POLICY + "  rules: [{from: [{source: {namespaces: [shop]}}]}]\n" + _NAMESPACE,
)
def check_namespaces(mesh: Mesh) -> Iterator[Problem]:
    """Namespaces and notNamespaces of sources."""
    known = [*mesh.namespaces, *mesh.options.assume_namespaces]
    several = len(mesh.namespaces) > 1  # whoever writes down the namespaces writes down most of them
    for document in mesh.of("AuthorizationPolicy"):
        for r, item in dicts(document.spec.get("rules")):
            for f, part in dicts(item.get("from")):
                for key in ("namespaces", "notNamespaces"):
                    for n, name in texts(mapping(part.get("source")).get(key)):
                        if any(fnmatchcase(space, name) for space in known):
                            continue
                        path: Path = ("spec", "rules", r, "from", f, "source", key, n)
                        yield missing(mesh, document, path, f"namespace {name} does not exist", surely=several)


@rule(
    "GM0127",
    "policy that holds for no pod",
    Level.WARNING,
    istio="IST0127",
    reads=("AuthorizationPolicy", "Pod", "Deployment", "Namespace"),
    why="it protects nothing",
    mend="correct the selector or the namespace; pods outside of the mesh are not protected",
    bad=_POLICY + "  selector: {matchLabels: {app: shpo}}\n" + _NAMESPACE + _POD,
    good=_POLICY + "  selector: {matchLabels: {app: shop}}\n" + _NAMESPACE + _POD,
)
def check_workloads(mesh: Mesh) -> Iterator[Problem]:
    """Pods of the mesh that a policy is about."""
    if not mesh.workloads and not mesh.options.complete:
        return
    for document in mesh.of("AuthorizationPolicy"):
        if document.spec.get("targetRef") or document.spec.get("targetRefs"):
            continue
        selector = selector_of(document)
        wide = document.namespace == mesh.options.root_namespace
        if wide and not selector:
            continue
        pods = mesh.select(None if wide else document.namespace, selector)
        if any(_governed(mesh, pod) for pod in pods):
            continue
        shown = ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or "(all)"
        where = "the mesh" if wide else f"namespace {document.namespace}"
        reason = "they are outside of the mesh" if pods else "there is none"
        surely = bool(pods) or bool(mesh.workloads_by_namespace.get(document.namespace))
        path: Path = ("spec", "selector") if selector else ("spec",)
        level = None if surely or mesh.options.complete else Level.INFO
        yield Problem(document, path, f"no pod of {where} with labels {shown}: {reason}", level=level)


def _governed(mesh: Mesh, workload: Workload) -> bool:
    redirected = workload.annotations.get("ambient.istio.io/redirection") == "enabled"
    return (
        redirected
        or mesh.in_mesh(workload)
        or (workload.namespace == mesh.options.root_namespace and bool(workload.gateway_name))
    )


@rule(
    "GM0166",
    "selector that a Gateway API gateway ignores",
    Level.WARNING,
    istio="IST0166",
    reads=("AuthorizationPolicy", "RequestAuthentication", "Telemetry", "WasmPlugin", "Pod", "Deployment"),
    why="gateways made by Gateway API read policies by targetRefs only: this one is not applied there",
    mend="use targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: …}]",
    bad=_POLICY + "  selector: {matchLabels: {app: shop}}\n"
    "---\napiVersion: v1\nkind: Pod\nmetadata: {name: edge, namespace: shop, labels: {app: shop, "
    "gateway.networking.k8s.io/gateway-name: edge}}\n",
    good=_POLICY + "  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]\n",
)
def check_gateway_selectors(mesh: Mesh) -> Iterator[Problem]:
    """Selectors that pick pods of Kubernetes Gateways."""
    gateways = [pod for pod in mesh.workloads if pod.gateway_name]
    if not gateways:
        return
    for kind in ("AuthorizationPolicy", "RequestAuthentication", "Telemetry", "WasmPlugin"):
        for document in mesh.of(kind):
            selector = selector_of(document)
            for name in dict.fromkeys(
                pod.gateway_name
                for pod in gateways
                if selector and pod.namespace == document.namespace and matches(selector, pod.labels)
            ):
                yield Problem(document, ("spec", "selector"), f"it selects the pods of the Kubernetes Gateway {name}")


@rule(
    "GM0175",
    "key addresses that the control plane fetches unchecked",
    Level.WARNING,
    istio="IST0175",
    reads=("RequestAuthentication", "Deployment"),
    why="whoever may write a RequestAuthentication makes istiod call any address of your network",
    mend="set BLOCKED_CIDRS_IN_JWKS_URIS on istiod, at least to the metadata service and your private ranges",
    bad="apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: jwt, namespace: shop}\n"
    "spec: {jwtRules: [{issuer: 'https://id.example.com'}]}\n---\napiVersion: apps/v1\nkind: Deployment\n"
    "metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}\nspec: {template: {spec: {containers: [{name: discovery}]}}}\n",
    good="apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: jwt, namespace: shop}\n"
    "spec: {jwtRules: [{issuer: 'https://id.example.com'}]}\n---\napiVersion: apps/v1\nkind: Deployment\n"
    "metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}\nspec: {template: {spec: {containers: "
    "[{name: discovery, env: [{name: BLOCKED_CIDRS_IN_JWKS_URIS, value: 169.254.0.0/16}]}]}}}\n",
)
def check_blocked_ranges(mesh: Mesh) -> Iterator[Problem]:
    """Istiod's environment, where JWT rules are in use."""
    count = len(mesh.of("RequestAuthentication"))
    if not count:
        return
    for workload in mesh.workloads:
        document = workload.document
        if document.kind != "Deployment" or document.labels.get("app") != "istiod":
            continue
        names = {
            item.get("name")
            for _, container in workload.containers
            for _, item in dicts(container.get("env"))
            if item.get("value") or item.get("valueFrom")
        }
        if "BLOCKED_CIDRS_IN_JWKS_URIS" not in names:
            message = f"BLOCKED_CIDRS_IN_JWKS_URIS is not set, and {count} RequestAuthentications exist"
            yield Problem(document, (*workload.path, "spec"), message)
