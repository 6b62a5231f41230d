"""Injection: namespaces, pods without proxy, image auto, webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from gitlab_mesh.core.analysis.mesh import SYSTEM_NAMESPACES, Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.names import is_subdomain
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.rules.fields import is_ip
from gitlab_mesh.core.analysis.workloads import Workload, matches

__all__ = ["injector_webhooks", "selector_matches"]

_NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {%s}}\n"
_POD = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop}\nspec: {containers: [{name: %s, image: %s}]}\n"
_WEBHOOK = (
    "---\napiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: istio-sidecar-injector}\n"
    "webhooks: [{name: sidecar-injector.istio.io, clientConfig: {service: {name: istiod, namespace: istio-system}}, "
    "namespaceSelector: {matchLabels: {istio-injection: enabled}}}]\n"
)
_ISTIOD = "---\napiVersion: v1\nkind: Service\nmetadata: {name: istiod, namespace: istio-system}\nspec: {}\n"


def _values(mesh: Mesh, revision: str) -> dict[str, Any]:
    """Return the Helm values of the injector's ConfigMap of a revision."""
    name = "istio-sidecar-injector" if revision in ("", "default") else f"istio-sidecar-injector-{revision}"
    for item in mesh.of("ConfigMap"):
        if item.name == name:
            try:
                found = json.loads(str(mapping(item.body.get("data")).get("values", "{}")))
            except ValueError:
                return {}
            return mapping(found)
    return {}


def _by_default(mesh: Mesh) -> bool:
    webhook = mapping(_values(mesh, "").get("sidecarInjectorWebhook"))
    return webhook.get("enableNamespacesByDefault") is True


def _labels(namespace: Document) -> list[str]:
    words: list[str] = [key for key in ("istio-injection", "istio.io/rev") if key in namespace.labels]
    if namespace.labels.get("istio.io/dataplane-mode") == "ambient":
        words.append("istio.io/dataplane-mode")
    return words


def _foreign(mesh: Mesh, name: str) -> bool:
    return name in SYSTEM_NAMESPACES or name == mesh.options.root_namespace


@rule(
    "GM0102",
    "namespace outside the mesh",
    Level.INFO,
    istio="IST0102",
    reads=("Namespace", "ConfigMap"),
    why="pods here get no proxy: routes, policies and mTLS do not hold for them",
    mend="label it istio-injection: enabled (or istio.io/rev, or ambient); disabled says that this is meant",
    bad=_NAMESPACE % "",
    good=_NAMESPACE % "istio-injection: enabled",
)
def check_namespaces(mesh: Mesh) -> Iterator[Problem]:
    """Namespaces with no word about injection."""
    if not _by_default(mesh):
        for namespace in _silent(mesh):
            yield Problem(namespace, ("metadata",), "it has no label for injection: it is outside of the mesh")


def _silent(mesh: Mesh) -> Iterator[Document]:
    for namespace in mesh.of("Namespace"):
        if not (_foreign(mesh, namespace.name) or _labels(namespace) or "istio.io/dataplane-mode" in namespace.labels):
            yield namespace


@rule(
    "GM0148",
    "namespace injected by default",
    Level.INFO,
    istio="IST0148",
    reads=("Namespace", "ConfigMap"),
    why="the mesh injects every namespace; a change of that setting takes this one out",
    mend="label it explicitly",
    bad=_NAMESPACE
    % ""
    + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector, namespace: istio-system}\n"
    'data: {values: \'{"sidecarInjectorWebhook": {"enableNamespacesByDefault": true}}\'}\n',
    good=_NAMESPACE % "istio-injection: enabled",
)
def check_default_injection(mesh: Mesh) -> Iterator[Problem]:
    """The same namespaces, where the mesh injects all."""
    if _by_default(mesh):
        for namespace in _silent(mesh):
            yield Problem(namespace, ("metadata",), "it is injected, because the mesh injects namespaces by default")


@rule(
    "GM0123",
    "namespace with several words about injection",
    Level.WARNING,
    istio="IST0123",
    reads=("Namespace",),
    why="istio-injection wins over istio.io/rev: the pods may get another revision than is meant",
    mend="keep one of the labels",
    bad=_NAMESPACE % "istio-injection: enabled, istio.io/rev: canary",
    good=_NAMESPACE % "istio.io/rev: canary",
)
def check_labels(mesh: Mesh) -> Iterator[Problem]:
    """istio-injection, istio.io/rev and dataplane-mode side by side."""
    for namespace in mesh.of("Namespace"):
        words = _labels(namespace)
        if _foreign(mesh, namespace.name) or len(words) < 2:
            continue
        if "istio-injection" in words and namespace.labels["istio-injection"] != "enabled":
            continue
        yield Problem(namespace, ("metadata", "labels"), f"{', '.join(words)} contradict one another")


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
    if _by_default(mesh):
        spaces |= {item.name for item in mesh.of("Namespace") if not _labels(item)}
    for workload in mesh.workloads:
        if not workload.live or workload.namespace not in spaces or _foreign(mesh, workload.namespace):
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
        wanted = _image(_values(mesh, revision))
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


# ---- webhooks ---------------------------------------------------------------------------------------------------


def injector_webhooks(mesh: Mesh) -> Iterator[tuple[Document, int, dict[str, Any]]]:
    """Yield the sidecar injector's webhooks."""
    for document in mesh.of("MutatingWebhookConfiguration"):
        for i, item in dicts(document.body.get("webhooks")):
            if str(item.get("name", "")).endswith("sidecar-injector.istio.io"):
                yield document, i, item


def selector_matches(selector: Any, labels: dict[str, Any]) -> bool:
    """Evaluate a Kubernetes label selector; nothing said matches everything."""
    selector = mapping(selector)
    if not matches(mapping(selector.get("matchLabels")), labels):
        return False
    for _, item in dicts(selector.get("matchExpressions")):
        key, values = str(item.get("key")), item.get("values") or []
        there = key in labels
        answer = {
            "In": there and labels.get(key) in values,
            "NotIn": not there or labels.get(key) not in values,
            "Exists": there,
            "DoesNotExist": not there,
        }.get(str(item.get("operator")), True)
        if not answer:
            return False
    return True


@rule(
    "GM0139",
    "injector webhooks that overlap or lead nowhere",
    Level.ERROR,
    istio="IST0139",
    reads=("MutatingWebhookConfiguration", "Service"),
    why="pods are injected twice, or cannot be created at all",
    mend="let each namespace and pod be matched by one webhook, whose Service exists",
    bad=_WEBHOOK[4:],
    good=_WEBHOOK[4:] + _ISTIOD,
)
def check_webhooks(mesh: Mesh) -> Iterator[Problem]:
    """Services of the webhooks, and combinations of labels that two webhooks match."""
    found = list(injector_webhooks(mesh))
    for document, i, item in found:
        service = mapping(mapping(item.get("clientConfig")).get("service"))
        key = (str(service.get("namespace", "")), str(service.get("name", "")))
        if service and key not in mesh.services:
            message = f"its Service {key[0]}/{key[1]} does not exist"
            yield Problem(document, ("webhooks", i, "clientConfig", "service"), message)
    overlap: dict[int, tuple[Document, set[str]]] = {}
    for namespace, labels in _combinations(found):
        hit = [
            (document, str(item.get("name")))
            for document, _, item in found
            if selector_matches(item.get("namespaceSelector"), namespace)
            and selector_matches(item.get("objectSelector"), labels)
        ]
        if len(hit) > 1:
            for document, _ in hit:
                others = {item.name for item, _ in hit if item is not document} or {document.name}
                overlap.setdefault(id(document), (document, set()))[1].update(others)
    for document, others in overlap.values():
        yield Problem(document, ("webhooks",), f"it matches the same pods as {', '.join(sorted(others))}")


def _combinations(found: list[tuple[Document, int, dict[str, Any]]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Labels of namespaces and pods that tell the webhooks apart."""
    values: dict[str, set[str | None]] = {
        "istio-injection": {None, "enabled", "disabled"},
        "sidecar.istio.io/inject": {None, "true", "false"},
        "istio.io/rev": {None, "default"},
    }
    for _, _, item in found:
        for side in ("namespaceSelector", "objectSelector"):
            selector = mapping(item.get(side))
            for key, value in mapping(selector.get("matchLabels")).items():
                values.setdefault(key, {None}).add(str(value))
            for _, part in dicts(selector.get("matchExpressions")):
                if part.get("key") in ("istio.io/rev", "istio.io/tag"):
                    values["istio.io/rev"].update(str(value) for value in part.get("values") or ())
    spaces = [
        {key: value for key, value in (("istio-injection", a), ("istio.io/rev", b)) if value is not None}
        for a in values["istio-injection"]
        for b in values["istio.io/rev"]
    ]
    pods = [
        {key: value for key, value in (("sidecar.istio.io/inject", a), ("istio.io/rev", b)) if value is not None}
        for a in values["sidecar.istio.io/inject"]
        for b in values["istio.io/rev"]
    ]
    for space in spaces:
        for pod in pods:
            yield space, pod


@rule(
    "GM0146",
    "image auto without injection",
    Level.WARNING,
    istio="IST0146",
    reads=("Deployment", "Namespace", "MutatingWebhookConfiguration"),
    why="auto is replaced by the injector; without it the pods cannot pull their image",
    mend="label the namespace or the pods so that an injector webhook matches them",
    bad=_NAMESPACE % "" + "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: edge, namespace: shop}\n"
    "spec: {template: {spec: {containers: [{name: istio-proxy, image: auto}]}}}\n" + _WEBHOOK,
    good=_NAMESPACE
    % "istio-injection: enabled"
    + "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: edge, namespace: shop}\n"
    "spec: {template: {spec: {containers: [{name: istio-proxy, image: auto}]}}}\n" + _WEBHOOK,
)
def check_auto_deployments(mesh: Mesh) -> Iterator[Problem]:
    """Deployments with image auto that no webhook matches."""
    for document in mesh.of("Deployment"):
        template = mapping(document.spec.get("template"))
        place = _auto(mapping(template.get("spec")))
        if place is None:
            continue
        namespace = mesh.namespaces.get(document.namespace)
        if namespace is None and not (mesh.options.complete or mesh.of("MutatingWebhookConfiguration")):
            continue
        labels = mapping(mapping(template.get("metadata")).get("labels"))
        spaces = namespace.labels if namespace else {}
        if not _injected(mesh, spaces, labels):
            message = "image auto, but no injector webhook matches its pods"
            yield Problem(document, ("spec", "template", "spec", *place), message)


@object_rule(
    "GM0147",
    "pod that still says image auto",
    Level.ERROR,
    istio="IST0147",
    reads=("Pod",),
    why="the injector did not replace it: the pod cannot pull its image",
    mend="label namespace or pod so that an injector webhook matches, and create it again",
    bad="apiVersion: v1\nkind: Pod\nmetadata: {name: edge, namespace: shop}\nspec: {containers: [{name: istio-proxy, image: auto}]}\n",
    good="apiVersion: v1\nkind: Pod\nmetadata: {name: edge, namespace: shop}\nspec: {containers: [{name: istio-proxy, image: 'proxyv2:1'}]}\n",
)
def check_auto_pods(document: Document) -> Iterator[Problem]:
    """Pods with image auto."""
    place = _auto(document.spec)
    if place is not None:
        yield Problem(document, ("spec", *place), "image auto was not replaced by the injector")


def _auto(spec: dict[str, Any]) -> Path | None:
    for group in ("containers", "initContainers"):
        for i, container in dicts(spec.get(group)):
            if container.get("name") == "istio-proxy" and container.get("image") == "auto":
                return (group, i, "image")
    return None


def _injected(mesh: Mesh, namespace: dict[str, Any], labels: dict[str, Any]) -> bool:
    return any(
        selector_matches(item.get("namespaceSelector"), namespace)
        and selector_matches(item.get("objectSelector"), labels)
        for _, _, item in injector_webhooks(mesh)
    )


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


@rule(
    "GM0163",
    "webhook of an external control plane without a usable address",
    Level.WARNING,
    istio="IST0163",
    reads=("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"),
    why="the API server cannot reach the control plane: no injection, no validation",
    mend="give clientConfig a service, or a url https://name:port/path",
    bad=_WEBHOOK[4:].replace("service: {name: istiod, namespace: istio-system}", "caBundle: ''"),
    good=_WEBHOOK[4:],
)
def check_external(mesh: Mesh) -> Iterator[Problem]:
    """ClientConfig of Istio's webhooks: an address that can be used."""
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        for document in mesh.of(kind):
            if document.name.startswith(("istio-", "istiod-")) and not dicts(document.body.get("webhooks")):
                yield Problem(document, ("metadata", "name"), "it defines no webhook")
    for document, path, config, host in _clients(mesh):
        url = config.get("url")
        if url is None and not config.get("service"):
            yield Problem(document, path, "the webhook has neither url nor service")
        elif isinstance(url, str) and not is_ip(host) and not is_subdomain(host):
            yield Problem(document, (*path, "url"), f"{url!r} is no usable address")


def _clients(mesh: Mesh) -> Iterator[tuple[Document, Path, dict[str, Any], str]]:
    """Yield (object, path, clientConfig, host of its url) of Istio's webhooks."""
    names = ("rev.validation.istio.io", "validation.istio.io", "sidecar-injector.istio.io")
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        for document in mesh.of(kind):
            for i, item in dicts(document.body.get("webhooks")):
                if not str(item.get("name", "")).endswith(names):
                    continue
                config = mapping(item.get("clientConfig"))
                try:
                    host = urlsplit(str(config.get("url") or "")).hostname or ""
                except ValueError:
                    host = ""
                yield document, ("webhooks", i, "clientConfig"), config, host


@rule(
    "GM0164",
    "external control plane named by an address",
    Level.INFO,
    istio="IST0164",
    reads=("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"),
    why="an address changes, and certificates are issued to names",
    mend="use a DNS name",
    bad=_WEBHOOK[4:].replace(
        "service: {name: istiod, namespace: istio-system}", "url: 'https://10.0.0.9:15017/inject'"
    ),
    good=_WEBHOOK[4:],
)
def check_external_address(mesh: Mesh) -> Iterator[Problem]:
    """URLs whose host is an IP address."""
    for document, path, _, host in _clients(mesh):
        if is_ip(host):
            yield Problem(document, (*path, "url"), f"{host} is an address, not a name")
