"""Destinations of VirtualServices: subsets that no DestinationRule has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from gitlab_mesh.core.analysis.mesh import Mesh, is_exported
from gitlab_mesh.core.analysis.model import Document, Level, Problem, dicts, texts
from gitlab_mesh.core.analysis.names import nearest
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.references import NOT_READ, missing
from gitlab_mesh.core.analysis.rules.route_destinations import destinations

__all__ = ["subsets_of"]

_HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n  hosts: [shop]\n"


def subsets_of(mesh: Mesh) -> dict[str, dict[str, list[tuple[Document, set[str]]]]]:
    """Return the DestinationRules by host: host → [(rule, its subsets)], grouped under ``""`` and wildcards as written."""
    found: dict[str, dict[str, list[tuple[Document, set[str]]]]] = defaultdict(lambda: defaultdict(list))
    for document in mesh.of("DestinationRule"):
        host = document.spec.get("host")
        if isinstance(host, str):
            names = {str(item.get("name")) for _, item in dicts(document.spec.get("subsets"))}
            found["*" if host.startswith("*") else "="][mesh.fqdn(host, document.namespace)].append((document, names))
    return found


@rule(
    "GM0181",
    "subset that no DestinationRule defines",
    Level.ERROR,
    istio="IST0101",
    reads=("VirtualService", "DestinationRule"),
    also=(NOT_READ,),
    why="Envoy has no cluster for this subset and answers 503 to every request that is routed there",
    mend="define the subset in the DestinationRule of that host, or correct its name",
    bad=_HEAD + "  http: [{route: [{destination: {host: shop, subset: v3}}]}]\n"
    "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}]}\n",
    good=_HEAD + "  http: [{route: [{destination: {host: shop, subset: v1}}]}]\n"
    "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}]}\n",
)
def check_subsets(mesh: Mesh) -> Iterator[Problem]:
    """Host + subset against the DestinationRules."""
    rules = subsets_of(mesh)
    for document in mesh.of("VirtualService"):
        for path, destination, mirror in destinations(document):
            subset, host = destination.get("subset"), destination.get("host")
            if not subset or not isinstance(host, str):
                continue
            name = mesh.fqdn(host, document.namespace)
            found = [names for rule, names in rules["="].get(name, ()) if is_exported(rule, document.namespace)]
            if not found:
                for pattern, items in rules["*"].items():
                    if name.endswith(pattern[1:]):
                        found += [names for rule, names in items if is_exported(rule, document.namespace)]
            if any(subset in names for names in found):
                continue
            known = sorted(set().union(*found)) if found else []
            what = "mirror" if mirror else "host"
            near = nearest(str(subset), known)
            hint = f"did you mean {near}?" if near else f"defined are {', '.join(known)}" if known else ""
            message = f"{what} {host} has no subset {subset}"
            yield missing(mesh, document, (*path, "subset"), message, surely=bool(found), hint=hint)


@rule(
    "GM0140",
    "subsets that requests through the gateway bypass",
    Level.WARNING,
    istio="IST0140",
    reads=("VirtualService",),
    why="rules of the mesh do not hold for requests from a gateway: they go to all versions alike",
    mend="use the subset in the gateway's VirtualService too",
    bad="apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: edge, namespace: shop}\n"
    "spec:\n  hosts: [shop.example.com]\n  gateways: [edge]\n  http: [{route: [{destination: {host: shop}}]}]\n---\n"
    + _HEAD
    + "  http: [{route: [{destination: {host: shop, subset: v1}}]}]\n",
    good="apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: edge, namespace: shop}\n"
    "spec:\n  hosts: [shop.example.com]\n  gateways: [edge]\n  http: [{route: [{destination: {host: shop, subset: v1}}]}]\n---\n"
    + _HEAD
    + "  http: [{route: [{destination: {host: shop, subset: v1}}]}]\n",
)
def check_gateway_subsets(mesh: Mesh) -> Iterator[Problem]:
    """A gateway's route without subset to a host whose own VirtualService uses subsets."""
    users: dict[str, Document] = {}
    for document in mesh.of("VirtualService"):
        if document.spec.get("gateways"):
            continue
        for _, destination, mirror in destinations(document):
            if destination.get("subset") and not mirror and isinstance(destination.get("host"), str):
                name = mesh.fqdn(destination["host"], document.namespace)
                if name in {mesh.fqdn(host, document.namespace) for _, host in texts(document.spec.get("hosts"))}:
                    users.setdefault(name, document)
    if not users:
        return
    for document in mesh.of("VirtualService"):
        gateways = document.spec.get("gateways")
        if not gateways or gateways == ["mesh"]:
            continue
        for path, destination, mirror in destinations(document):
            if destination.get("subset") or mirror or not isinstance(destination.get("host"), str):
                continue
            other = users.get(mesh.fqdn(destination["host"], document.namespace))
            if other is not None and other is not document:
                yield Problem(
                    document, path, f"the subsets of {other.resource} have no effect on requests from the gateway"
                )
