"""The webhooks that inject, and what depends on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.names import is_subdomain
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.rules.fields import is_ip
from gitlab_mesh.core.analysis.workloads import matches

__all__ = ["injector_webhooks", "selector_matches"]

_NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {%s}}\n"


_WEBHOOK = (
    "---\napiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: istio-sidecar-injector}\n"
    "webhooks: [{name: sidecar-injector.istio.io, clientConfig: {service: {name: istiod, namespace: istio-system}}, "
    "namespaceSelector: {matchLabels: {istio-injection: enabled}}}]\n"
)


_ISTIOD = "---\napiVersion: v1\nkind: Service\nmetadata: {name: istiod, namespace: istio-system}\nspec: {}\n"


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
