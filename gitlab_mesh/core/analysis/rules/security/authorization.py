"""Authorization: who is admitted at all."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from itertools import pairwise

from gitlab_mesh.core.analysis.examples import example, pod_example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.places import field_rule
from gitlab_mesh.core.analysis.posture import has_default_deny, policies_for
from gitlab_mesh.core.analysis.registry import object_rule, rule

__all__: list[str] = []

_OWASP = ("OWASP API5:2023", "NIST SP 800-204B")


def _policy(spec: str, *, annotations: str = "") -> str:
    return example("AuthorizationPolicy", spec, annotations=annotations)


@rule(
    "GM2101",
    "workload that everybody may call",
    Level.WARNING,
    suite="security",
    reads=("Pod", "Deployment", "AuthorizationPolicy"),
    references=(*_OWASP, "KIA1301"),
    why="with no ALLOW policy every caller in the mesh is admitted; with one, only who is named",
    mend="apply an empty AuthorizationPolicy (spec: {}) in the namespace, then allow who needs it",
    bad=pod_example(),
    good=pod_example() + _policy(""),
)
def check_default_deny(mesh: Mesh) -> Iterator[Problem]:
    """Workloads without a default deny."""
    for workload in mesh.workloads:
        if workload.namespace != mesh.options.root_namespace and not has_default_deny(mesh, workload):
            yield Problem(workload.document, ("metadata", "name"), "no policy limits who may call it")


@object_rule(
    "GM2102",
    "policy that allows everything",
    Level.ERROR,
    suite="security",
    reads=("AuthorizationPolicy",),
    references=_OWASP,
    why="an empty rule matches every request: all other ALLOW policies for these pods mean nothing",
    mend="name sources and operations; no rules at all deny everything",
    bad=_policy("rules: [{}]"),
    good=_policy("rules: [{from: [{source: {namespaces: [web]}}]}]"),
)
def check_allow_all(document: Document) -> Iterator[Problem]:
    """ALLOW rules that match everything."""
    if document.spec.get("action", "ALLOW") != "ALLOW":
        return
    for i, item in dicts(document.spec.get("rules")):
        if not (item.get("from") or item.get("to") or item.get("when")):
            yield Problem(document, ("spec", "rules", i), "this rule allows every request")
        for f, part in dicts(item.get("from")):
            for key in ("principals", "namespaces", "ipBlocks", "remoteIpBlocks"):
                for v, value in texts(mapping(part.get("source")).get(key)):
                    if value in ("*", "0.0.0.0/0", "::/0") and not item.get("to") and not item.get("when"):
                        path: Path = ("spec", "rules", i, "from", f, "source", key, v)
                        yield Problem(document, path, f"{key} {value!r} admits everybody")


@object_rule(
    "GM2105",
    "from and to as alternatives",
    Level.WARNING,
    suite="security",
    reads=("AuthorizationPolicy",),
    references=_OWASP,
    why="two rules are alternatives: everybody may do the operation, and the source may do everything",
    mend="write from and to in one rule, without a dash before to",
    bad=_policy("rules: [{from: [{source: {namespaces: [web]}}]}, {to: [{operation: {paths: [/shop]}}]}]"),
    good=_policy("rules: [{from: [{source: {namespaces: [web]}}], to: [{operation: {paths: [/shop]}}]}]"),
)
def check_or(document: Document) -> Iterator[Problem]:
    """A rule with from only, followed by one with to only."""
    rules = dicts(document.spec.get("rules"))
    for (_, one), (i, other) in pairwise(rules):
        if set(one) == {"from"} and set(other) == {"to"} and document.spec.get("action", "ALLOW") == "ALLOW":
            yield Problem(document, ("spec", "rules", i), "this rule has no source: it holds for everybody")


@rule(
    "GM2107",
    "dry run as the only protection",
    Level.WARNING,
    suite="security",
    reads=("AuthorizationPolicy", "Pod", "Deployment"),
    why="a dry run and AUDIT write down what would happen; nothing is refused",
    mend="remove the annotation once the logs look right; write an ALLOW or DENY beside an AUDIT",
    bad=_policy("", annotations="istio.io/dry-run: 'true'"),
    good=_policy(""),
)
def check_dry_run(mesh: Mesh) -> Iterator[Problem]:
    """istio.io/dry-run: true; AUDIT for a workload that no other policy holds for."""
    for document in mesh.of("AuthorizationPolicy"):
        if str(document.annotations.get("istio.io/dry-run", "")).lower() == "true":
            path: Path = ("metadata", "annotations", "istio.io/dry-run")
            yield Problem(document, path, "this policy is a dry run: it refuses nothing")
    for workload in mesh.workloads:
        policies = policies_for(mesh, "AuthorizationPolicy", workload)
        if policies and all(item.spec.get("action") == "AUDIT" for item in policies):
            message = f"for {workload.document.resource} there are policies with AUDIT only: they refuse nothing"
            yield Problem(policies[0], ("spec", "action"), message)


@rule(
    "GM2108",
    "external authorizer that the mesh does not define",
    Level.ERROR,
    suite="security",
    reads=("AuthorizationPolicy", "MeshConfig", "IstioOperator"),
    why="requests to these pods are refused, or admitted, depending on the version",
    mend="define it under extensionProviders in the mesh config",
    bad=_policy("action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {paths: [/*]}}]}]")
    + "---\nextensionProviders: [{name: other}]\n",
    good=_policy("action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {paths: [/*]}}]}]")
    + "---\nextensionProviders: [{name: opa}]\n",
)
def check_provider(mesh: Mesh) -> Iterator[Problem]:
    """CUSTOM providers against the mesh config, where it was read."""
    if not mesh.settings:
        return
    known = {str(item.get("name")) for _, item in dicts(mesh.settings.get("extensionProviders"))}
    for document in mesh.of("AuthorizationPolicy"):
        name = mapping(document.spec.get("provider")).get("name")
        if name and name not in known:
            yield Problem(document, ("spec", "provider", "name"), f"provider {name} is not in the mesh config")


def _wide_principal(value: object) -> str:
    if not isinstance(value, str) or "*" not in value or value == "*":
        return ""
    namespace = value.partition("/ns/")[2].partition("/")[0]
    return "" if namespace and "*" not in namespace else f"{value} fits identities of every namespace"


def _wide_block(value: object) -> str:
    try:
        network = ip_network(str(value), strict=False)
    except ValueError:
        return ""
    return f"{value} is {network.num_addresses:,} addresses" if 0 < network.prefixlen <= 8 else ""


field_rule(
    "GM2109",
    "source that is nearly everybody",
    Level.WARNING,
    "spec.rules[].from[].source.principals[] spec.rules[].from[].source.ipBlocks|remoteIpBlocks[]",
    lambda value: _wide_principal(value) or _wide_block(value),
    suite="security",
    profile="strict",
    reads=("AuthorizationPolicy",),
    references=_OWASP,
    why="whoever gets a pod somewhere in the mesh, or an address in that range, is admitted",
    mend="name the service accounts (cluster.local/ns/web/sa/web), or namespaces",
    bad=_policy("rules: [{from: [{source: {principals: ['cluster.local/ns/*']}}]}]"),
    good=_policy("rules: [{from: [{source: {principals: ['cluster.local/ns/web/sa/web']}}]}]"),
)
