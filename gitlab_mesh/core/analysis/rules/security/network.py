"""NetworkPolicies: what the network itself refuses, and what the mesh needs of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.examples import example, pod_example
from gitlab_mesh.core.analysis.mesh import SYSTEM_NAMESPACES, Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.places import places
from gitlab_mesh.core.analysis.registry import object_rule, rule

__all__ = ["closes"]

_CIS = ("CIS Kubernetes 5.3.2", "NSA-CISA Kubernetes Hardening: network separation", "OWASP K07:2022")


def _space(labels: str = "") -> str:
    return example("Namespace", None, namespace="", labels=labels)


def _policy(spec: str) -> str:
    return example("NetworkPolicy", spec, name="default")


def closes(policy: Document, direction: str) -> bool:
    """Say whether a policy refuses, for all pods of its namespace, what none allows in a direction.

    Without policyTypes, Kubernetes takes Ingress, and Egress where there are such rules.
    """
    selector = mapping(policy.spec.get("podSelector"))
    if selector.get("matchLabels") or selector.get("matchExpressions"):
        return False
    said = [word for _, word in texts(policy.spec.get("policyTypes"))]
    return direction in (said or ["Ingress", *(["Egress"] if policy.spec.get("egress") else [])])


def _undefended(mesh: Mesh, direction: str) -> Iterator[Document]:
    denied = {policy.namespace for policy in mesh.of("NetworkPolicy") if closes(policy, direction)}
    for namespace in mesh.of("Namespace"):
        name = namespace.name
        if name not in denied and name not in SYSTEM_NAMESPACES and name != mesh.options.root_namespace:
            yield namespace


@rule(
    "GM2501",
    "namespace without network policy",
    Level.WARNING,
    suite="security",
    reads=("Namespace", "NetworkPolicy"),
    references=_CIS,
    why="the mesh can be bypassed by pods that talk to addresses; the network itself refuses nothing",
    mend="apply a NetworkPolicy with podSelector {} and policyTypes [Ingress], then allow what is needed",
    bad=_space(),
    good=_space() + _policy("podSelector: {}, policyTypes: [Ingress]"),
)
def check_ingress(mesh: Mesh) -> Iterator[Problem]:
    """Namespaces without a default deny for ingress."""
    for namespace in _undefended(mesh, "Ingress"):
        yield Problem(namespace, ("metadata", "name"), "no NetworkPolicy selects all of its pods for ingress")


@rule(
    "GM2503",
    "namespace that may call anything",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("Namespace", "NetworkPolicy"),
    references=_CIS,
    why="REGISTRY_ONLY holds for the proxy: a process that goes around it reaches every address",
    mend="apply a NetworkPolicy with podSelector {} and policyTypes [Egress], then allow DNS, istiod and what is needed",
    bad=_space(),
    good=_space() + _policy("podSelector: {}, policyTypes: [Ingress, Egress]"),
)
def check_egress(mesh: Mesh) -> Iterator[Problem]:
    """Namespaces without a default deny for egress."""
    for namespace in _undefended(mesh, "Egress"):
        yield Problem(namespace, ("metadata", "name"), "no NetworkPolicy selects all of its pods for egress")


@object_rule(
    "GM2502",
    "network policy that allows everybody",
    Level.WARNING,
    suite="security",
    reads=("NetworkPolicy",),
    references=_CIS,
    why="an empty peer list, an empty rule and 0.0.0.0/0 admit every address",
    mend="name namespaces and pods",
    bad=_policy("podSelector: {}, ingress: [{}]"),
    good=_policy("podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {name: web}}}]}]"),
)
def check_open(document: Document) -> Iterator[Problem]:
    """Rules that match every peer."""
    for side, peers in (("ingress", "from"), ("egress", "to")):
        for i, item in dicts(document.spec.get(side)):
            path: Path = ("spec", side, i)
            if not item.get(peers):
                if side == "ingress" and not item.get("ports"):
                    yield Problem(document, path, "this rule admits everybody")
                continue
            for p, peer in dicts(item.get(peers)):
                block = mapping(peer.get("ipBlock"))
                if block.get("cidr") in ("0.0.0.0/0", "::/0") and not block.get("except"):
                    yield Problem(document, (*path, peers, p, "ipBlock", "cidr"), f"{block['cidr']} is every address")


def _every_namespace(peer: Any) -> bool:
    selector = mapping(peer).get("namespaceSelector")
    return selector is not None and not mapping(selector) and not mapping(mapping(peer).get("podSelector"))


@object_rule(
    "GM2504",
    "network policy that allows the whole cluster",
    Level.WARNING,
    suite="security",
    reads=("NetworkPolicy",),
    references=_CIS,
    why="namespaceSelector: {} is every namespace: a pod of any team, taken over, gets through",
    mend="name the namespaces: namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: web}}",
    bad=_policy("podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]"),
    good=_policy("podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {name: web}}}]}]"),
)
def check_every_namespace(document: Document) -> Iterator[Problem]:
    """Ingress from every pod of every namespace."""
    for path, peer in places(document.body, "spec.ingress[].from[]"):
        if _every_namespace(peer):
            yield Problem(document, (*path, "namespaceSelector"), "every pod of the cluster is admitted")


@rule(
    "GM2505",
    "network policy that selects no pod",
    Level.WARNING,
    suite="security",
    reads=("NetworkPolicy", "Pod", "Deployment"),
    references=("kube-linter dangling-networkpolicy",),
    why="it protects nothing; the pods it is meant for are open",
    mend="correct the labels of podSelector",
    bad=_policy("podSelector: {matchLabels: {app: shpo}}") + pod_example(),
    good=_policy("podSelector: {matchLabels: {app: shop}}") + pod_example(),
)
def check_selection(mesh: Mesh) -> Iterator[Problem]:
    """Labels that no workload of a known namespace has."""
    for document in mesh.of("NetworkPolicy"):
        selector = mapping(document.spec.get("podSelector"))
        labels = mapping(selector.get("matchLabels"))
        if not labels or not mesh.workloads_by_namespace.get(document.namespace):
            continue
        if not mesh.select(document.namespace, labels):
            shown = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
            path: Path = ("spec", "podSelector", "matchLabels")
            yield Problem(document, path, f"no pod of namespace {document.namespace} has the labels {shown}")


@object_rule(
    "GM2507",
    "DNS to anywhere",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("NetworkPolicy",),
    references=("MITRE ATT&CK T1071.004",),
    why="data can be carried out in questions to a name server of the attacker's",
    mend="allow port 53 to kube-system only",
    bad=_policy("podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]"),
    good=_policy(
        "podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: "
        "{kubernetes.io/metadata.name: kube-system}}}], ports: [{port: 53, protocol: UDP}]}]"
    ),
)
def check_dns(document: Document) -> Iterator[Problem]:
    """Egress on port 53 without peers."""
    for i, item in dicts(document.spec.get("egress")):
        if not item.get("to") and any(port.get("port") == 53 for _, port in dicts(item.get("ports"))):
            yield Problem(document, ("spec", "egress", i), "every address may be asked on port 53")
