"""What injection did, or will do, to pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Level, Path, Problem, mapping
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.injection import by_default, foreign, injection_labels, values
from gitlab_mesh.core.analysis.workloads import Workload

__all__: list[str] = []

_NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {%s}}\n"


_POD = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop}\nspec: {containers: [{name: %s, image: %s}]}\n"


@rule(
    "GM0103",
    "pod without its proxy",
    Level.WARNING,
    istio="IST0103",
    reads=("Namespace", "Pod", "ConfigMap"),
    why="it is older than the injection of its namespace: policies and mTLS do not hold for it",
    mend="restart it: kubectl rollout restart",
    bad=_NAMESPACE % "istio-injection: enabled" + _POD % ("app", "shop:1"),
    good=_NAMESPACE % "istio-injection: enabled" + _POD % ("istio-proxy", "proxyv2:1"),
)
def check_pods(mesh: Mesh) -> Iterator[Problem]:
    """Live pods of injected namespaces."""
    spaces = set(mesh.injected_namespaces)
    if by_default(mesh):
        spaces |= {item.name for item in mesh.of("Namespace") if not injection_labels(item)}
    for workload in mesh.workloads:
        if not workload.live or workload.namespace not in spaces or foreign(mesh, workload.namespace):
            continue
        if not (workload.has_proxy or workload.host_network or workload.inject == "false"):
            yield Problem(workload.document, ("spec", "containers"), "it runs in an injected namespace without a proxy")


@rule(
    "GM0158",
    "proxy of another version",
    Level.WARNING,
    istio="IST0158",
    reads=("Pod", "Namespace", "ConfigMap"),
    why="the control plane was upgraded and this pod was not restarted: old fixes and old settings",
    mend="restart it: kubectl rollout restart",
    bad=_NAMESPACE % "istio-injection: enabled"
    + _POD % ("istio-proxy", "hub/proxyv2:1.0")
    + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector, namespace: istio-system}\n"
    'data: {values: \'{"global": {"hub": "hub", "tag": "1.1", "proxy": {"image": "proxyv2"}}}\'}\n',
    good=_NAMESPACE % "istio-injection: enabled"
    + _POD % ("istio-proxy", "hub/proxyv2:1.1")
    + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector, namespace: istio-system}\n"
    'data: {values: \'{"global": {"hub": "hub", "tag": "1.1", "proxy": {"image": "proxyv2"}}}\'}\n',
)
def check_images(mesh: Mesh) -> Iterator[Problem]:
    """Images of live proxies against the injector's; one finding a namespace, at the Namespace as Istio does."""
    stale: dict[str, list[tuple[Workload, str, str]]] = {}
    for workload in mesh.workloads:
        namespace = mesh.namespaces.get(workload.namespace)
        if not workload.live or namespace is None:
            continue
        revision = str(workload.labels.get("istio.io/rev") or namespace.labels.get("istio.io/rev") or "")
        wanted = _image(values(mesh, revision))
        if not wanted:
            continue
        for _, container in workload.containers:
            image = container.get("image")
            if container.get("name") == "istio-proxy" and isinstance(image, str) and not _same_image(image, wanted):
                stale.setdefault(workload.namespace, []).append((workload, image, wanted))
    for name, found in stale.items():
        pods = ", ".join(sorted(workload.name for workload, _, _ in found))
        _, image, wanted = found[0]
        message = f"the proxies of {pods} are {image}; the injector gives {wanted}"
        yield Problem(mesh.namespaces[name], ("metadata",), message)


def _image(values: dict[str, Any]) -> str:
    settings = mapping(values.get("global"))
    image = str(mapping(settings.get("proxy")).get("image", ""))
    if "/" in image or not image:
        return image
    return f"{settings.get('hub')}/{image}:{settings.get('tag')}" if settings.get("hub") else ""


def _same_image(image: str, wanted: str) -> bool:
    """Variants (distroless, debug) are suffixes of the tag."""
    return image == wanted or any(image == f"{wanted}-{variant}" for variant in ("distroless", "debug"))


@rule(
    "GM0144",
    "application that runs as the proxy's user",
    Level.WARNING,
    istio="IST0144",
    reads=("Pod", "Deployment"),
    why="traffic of user 1337 is not redirected to the proxy: no mTLS, no routes, no policies",
    mend="choose another runAsUser",
    bad="apiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop}\nspec: {securityContext: {runAsUser: 1337}}\n",
    good="apiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop}\nspec: {securityContext: {runAsUser: 1000}}\n",
)
def check_user(mesh: Mesh) -> Iterator[Problem]:
    """RunAsUser 1337 of pods and their containers."""
    for workload in mesh.workloads:
        base: Path = (*workload.path, "spec")
        if mapping(workload.spec.get("securityContext")).get("runAsUser") == 1337:
            yield Problem(workload.document, (*base, "securityContext", "runAsUser"), "user 1337 is the proxy's own")
            continue
        for path, container in workload.containers:
            own = container.get("name") in ("istio-proxy", "istio-validation", "istio-init", "enable-core-dump")
            if not own and mapping(container.get("securityContext")).get("runAsUser") == 1337:
                yield Problem(
                    workload.document, (*path, "securityContext", "runAsUser"), "user 1337 is the proxy's own"
                )
                break
