"""Injection by the labels of namespaces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.mesh import SYSTEM_NAMESPACES, Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Problem, mapping
from gitlab_mesh.core.analysis.registry import rule

__all__ = ["by_default", "foreign", "injection_labels", "values"]

_NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {%s}}\n"


def values(mesh: Mesh, revision: str) -> dict[str, Any]:
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


def by_default(mesh: Mesh) -> bool:
    """Say whether namespaces without a label are injected too."""
    webhook = mapping(values(mesh, "").get("sidecarInjectorWebhook"))
    return webhook.get("enableNamespacesByDefault") is True


def injection_labels(namespace: Document) -> list[str]:
    """Return the labels of a namespace that decide how its pods join the mesh."""
    words: list[str] = [key for key in ("istio-injection", "istio.io/rev") if key in namespace.labels]
    if namespace.labels.get("istio.io/dataplane-mode") == "ambient":
        words.append("istio.io/dataplane-mode")
    return words


def foreign(mesh: Mesh, name: str) -> bool:
    """Say whether a namespace is Kubernetes' or Istio's own."""
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
    if not by_default(mesh):
        for namespace in _silent(mesh):
            yield Problem(namespace, ("metadata",), "it has no label for injection: it is outside of the mesh")


def _silent(mesh: Mesh) -> Iterator[Document]:
    for namespace in mesh.of("Namespace"):
        if not (
            foreign(mesh, namespace.name)
            or injection_labels(namespace)
            or "istio.io/dataplane-mode" in namespace.labels
        ):
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
    if by_default(mesh):
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
        words = injection_labels(namespace)
        if foreign(mesh, namespace.name) or len(words) < 2:
            continue
        if "istio-injection" in words and namespace.labels["istio-injection"] != "enabled":
            continue
        yield Problem(namespace, ("metadata", "labels"), f"{', '.join(words)} contradict one another")
