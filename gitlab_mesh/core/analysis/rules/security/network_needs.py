"""NetworkPolicies that cut the mesh off from what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Problem, dicts
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.security.network import closes

__all__: list[str] = []

_NEEDS = {
    "ambient": (("Ingress", 15008, "HBONE: nobody in the mesh reaches its pods"),),
    "sidecar": (
        ("Egress", 53, "DNS: its pods resolve no name"),
        ("Egress", 15012, "istiod: its proxies get neither certificates nor configuration"),
    ),
    "istiod": (
        ("Ingress", 15012, "istiod's own port: no proxy gets certificates or configuration"),
        ("Ingress", 15017, "the webhooks: pods are not injected, objects not validated"),
    ),
}
"""Direction and port that a namespace's pods need, and what they are for (Istio docs, "Ports used by Istio")."""


def _policy(ports: str) -> str:
    peers = "namespaceSelector: {matchLabels: {name: web}}"
    spec = f"podSelector: {{}}, policyTypes: [Ingress], ingress: [{{from: [{{{peers}}}], ports: [{ports}]}}]"
    return example("NetworkPolicy", spec, name="default")


_AMBIENT = example("Namespace", None, namespace="", labels="istio.io/dataplane-mode: ambient")


@rule(
    "GM2506",
    "network policy that cuts the mesh off",
    Level.ERROR,
    suite="security",
    reads=("NetworkPolicy", "Namespace"),
    why="the mesh needs this port: without it requests fail, and people switch the policy off again",
    mend="allow the port; Istio's documentation lists all of them under Ports used by Istio",
    bad=_AMBIENT + _policy("{port: 8080}"),
    good=_AMBIENT + _policy("{port: 8080}, {port: 15008}"),
)
def check_needs(mesh: Mesh) -> Iterator[Problem]:
    """Ports that no policy of a namespace allows, where one policy denies by default."""
    for namespace in dict.fromkeys(item.namespace for item in mesh.of("NetworkPolicy")):
        policies = mesh.within("NetworkPolicy", namespace)
        for direction, port, what in _NEEDS.get(_mode(mesh, namespace), ()):
            closing = next((item for item in policies if closes(item, direction)), None)
            side = direction.lower()
            if closing is not None and not any(_allows(item, side, port) for item in policies):
                yield Problem(closing, ("spec", "policyTypes"), f"no policy of {namespace} allows port {port}, {what}")


def _mode(mesh: Mesh, namespace: str) -> str:
    if namespace == mesh.options.root_namespace:
        return "istiod"
    if namespace in mesh.ambient_namespaces:
        return "ambient"
    return "sidecar" if namespace in mesh.injected_namespaces else ""


def _allows(policy: Document, side: str, port: int) -> bool:
    return any(_opens(item, port) for _, item in dicts(policy.spec.get(side)))


def _opens(rule_: dict[str, Any], port: int) -> bool:
    ports = dicts(rule_.get("ports"))
    if not ports:
        return True
    for _, item in ports:
        first = item.get("port")
        last = item.get("endPort", first)
        if first is None or isinstance(first, str):  # every port; a name, which may be this one
            return True
        if isinstance(first, int) and isinstance(last, int) and first <= port <= last:
            return True
    return False
