"""Security: authorization and tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.posture import asks_for_token, has_default_deny, policies_for
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.rules.services import port_protocol
from gitlab_mesh.core.analysis.rules.shape_authentication import parse_keys
from gitlab_mesh.core.analysis.workloads import matches, selector_of

__all__: list[str] = []

_POLICY = (
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: shop, namespace: shop}\nspec: {%s}\n"
)
_JWT = "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: jwt, namespace: shop}\nspec: {jwtRules: [{issuer: 'https://id.example.com', audiences: [shop], %s}]}\n"
_POD = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop, labels: {app: shop}}\n"
_OWASP = ("OWASP API5:2023", "NIST SP 800-204B")


@rule(
    "GM2101",
    "workload that everybody may call",
    Level.WARNING,
    suite="security",
    reads=("Pod", "Deployment", "AuthorizationPolicy"),
    references=(*_OWASP, "KIA1301"),
    why="with no ALLOW policy every caller in the mesh is admitted; with one, only who is named",
    mend="apply an empty AuthorizationPolicy (spec: {}) in the namespace, then allow who needs it",
    bad=_POD[4:],
    good=_POD[4:] + "---\n" + (_POLICY % ""),
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
    bad=_POLICY % "rules: [{}]",
    good=_POLICY % "rules: [{from: [{source: {namespaces: [web]}}]}]",
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
    "GM2103",
    "unsafe matching pattern",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("AuthorizationPolicy",),
    references=("ASM policy 1.2.3",),
    why="a path can be written in several ways: an ALLOW by not…, or a DENY of single paths, lets the others through",
    mend="use ALLOW with positive lists, or DENY with not… lists",
    bad=_POLICY % "rules: [{to: [{operation: {notPaths: [/admin]}}]}]",
    good=_POLICY % "rules: [{to: [{operation: {paths: [/shop/*]}}]}]",
)
def check_patterns(document: Document) -> Iterator[Problem]:
    """ALLOW with negative, DENY with positive paths, methods and hosts."""
    action = document.spec.get("action", "ALLOW")
    keys = {"ALLOW": ("notPaths", "notMethods", "notHosts"), "DENY": ("paths",)}.get(action, ())
    for r, item in dicts(document.spec.get("rules")):
        for t, part in dicts(item.get("to")):
            for key in keys:
                if mapping(part.get("operation")).get(key):
                    path: Path = ("spec", "rules", r, "to", t, "operation", key)
                    yield Problem(document, path, f"{action} with {key}", at_key=True)


@object_rule(
    "GM2104",
    "value that is never matched",
    Level.ERROR,
    suite="security",
    reads=("AuthorizationPolicy",),
    references=("CVE-2021-31920", "CVE-2021-39155", "CVE-2021-39156", "ASM policy 1.2.2"),
    why="Istio compares normalised values: paths without //, %2f and .., upper case methods, hosts with their port",
    mend="write the normalised form",
    bad=_POLICY % "rules: [{to: [{operation: {methods: [get]}}]}]",
    good=_POLICY % "rules: [{to: [{operation: {methods: [GET]}}]}]",
)
def check_values(document: Document) -> Iterator[Problem]:
    """Methods, paths and hosts that no request has."""
    for r, item in dicts(document.spec.get("rules")):
        for t, part in dicts(item.get("to")):
            operation = mapping(part.get("operation"))
            for key in ("methods", "notMethods", "paths", "notPaths", "hosts", "notHosts"):
                for v, value in texts(operation.get(key)):
                    problem = _value_problem(key.lower().removeprefix("not"), value)
                    if problem:
                        path: Path = ("spec", "rules", r, "to", t, "operation", key, v)
                        yield Problem(document, path, f"{value!r} {problem}")


def _value_problem(kind: str, value: str) -> str:
    if kind == "methods":
        return "is not upper case: methods are compared as they are" if value != value.upper() else ""
    if kind == "hosts":
        return "is not lower case" if value != value.lower() else ""
    if "//" in value or "/../" in value or value.endswith("/..") or re.search(r"%2[fF]|%5[cC]", value):
        return "is not a normalised path"
    if "#" in value or "?" in value:
        return "has a query or a fragment, which is no part of the path"
    return "" if value.startswith(("/", "*", "{")) or not value else "does not begin with /"


@object_rule(
    "GM2105",
    "from and to as alternatives",
    Level.WARNING,
    suite="security",
    reads=("AuthorizationPolicy",),
    references=_OWASP,
    why="two rules are alternatives: everybody may do the operation, and the source may do everything",
    mend="write from and to in one rule, without a dash before to",
    bad=_POLICY % "rules: [{from: [{source: {namespaces: [web]}}]}, {to: [{operation: {paths: [/shop]}}]}]",
    good=_POLICY % "rules: [{from: [{source: {namespaces: [web]}}], to: [{operation: {paths: [/shop]}}]}]",
)
def check_or(document: Document) -> Iterator[Problem]:
    """A rule with from only, followed by one with to only."""
    rules = dicts(document.spec.get("rules"))
    for (_, one), (i, other) in pairwise(rules):
        if set(one) == {"from"} and set(other) == {"to"} and document.spec.get("action", "ALLOW") == "ALLOW":
            yield Problem(document, ("spec", "rules", i), "this rule has no source: it holds for everybody")


@rule(
    "GM2106",
    "HTTP rule for a TCP port",
    Level.ERROR,
    suite="security",
    reads=("AuthorizationPolicy", "Service", "Pod", "Deployment"),
    why="on a TCP port an ALLOW by paths or methods never matches, and a DENY by them stops everything",
    mend="name the port as HTTP (http-…, appProtocol), or limit the rule to ports and sources",
    bad=_POLICY % "selector: {matchLabels: {app: shop}}, rules: [{to: [{operation: {paths: [/shop]}}]}]"
    + _POD
    + "---\napiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: shop}\nspec: {selector: {app: shop}, ports: [{port: 80, name: tcp}]}\n",
    good=_POLICY % "selector: {matchLabels: {app: shop}}, rules: [{to: [{operation: {paths: [/shop]}}]}]"
    + _POD
    + "---\napiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: shop}\nspec: {selector: {app: shop}, ports: [{port: 80, name: http}]}\n",
)
def check_tcp(mesh: Mesh) -> Iterator[Problem]:
    """Rules by HTTP attributes for workloads all of whose ports are TCP."""
    for document in mesh.of("AuthorizationPolicy"):
        http = [
            ("spec", "rules", r, "to", t, "operation", key)
            for r, item in dicts(document.spec.get("rules"))
            for t, part in dicts(item.get("to"))
            for key in ("paths", "methods", "hosts", "notPaths", "notMethods", "notHosts")
            if mapping(part.get("operation")).get(key)
        ]
        if not http:
            continue
        pods = mesh.select(document.namespace, selector_of(document))
        protocols = {
            port_protocol(port)
            for service in mesh.of("Service")
            if service.namespace == document.namespace and mapping(service.spec.get("selector"))
            for pod in pods
            if matches(service.spec["selector"], pod.labels)
            for port in mesh.service_ports(service)
        }
        if protocols and protocols <= {"tcp", "tls", "mysql", "mongo", "redis"}:
            yield Problem(
                document, http[0], f"its pods serve {', '.join(sorted(protocols))} only, no HTTP", at_key=True
            )


@object_rule(
    "GM2107",
    "dry run as the only protection",
    Level.WARNING,
    suite="security",
    reads=("AuthorizationPolicy",),
    why="a dry run and AUDIT write down what would happen; nothing is refused",
    mend="remove the annotation once the logs look right",
    bad="apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: shop, namespace: shop, "
    "annotations: {istio.io/dry-run: 'true'}}\nspec: {}\n",
    good=_POLICY % "",
)
def check_dry_run(document: Document) -> Iterator[Problem]:
    """istio.io/dry-run: true."""
    if str(document.annotations.get("istio.io/dry-run", "")).lower() == "true":
        path: Path = ("metadata", "annotations", "istio.io/dry-run")
        yield Problem(document, path, "this policy is a dry run: it refuses nothing")


@rule(
    "GM2108",
    "external authorizer that the mesh does not define",
    Level.ERROR,
    suite="security",
    reads=("AuthorizationPolicy", "MeshConfig", "IstioOperator"),
    why="requests to these pods are refused, or admitted, depending on the version",
    mend="define it under extensionProviders in the mesh config",
    bad=_POLICY % "action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {paths: [/*]}}]}]"
    + "---\nextensionProviders: [{name: other}]\n",
    good=_POLICY % "action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {paths: [/*]}}]}]"
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


@rule(
    "GM2201",
    "token that nobody asks for",
    Level.ERROR,
    suite="security",
    reads=("RequestAuthentication", "AuthorizationPolicy", "Pod", "Deployment"),
    references=("OWASP API2:2023", "istio/istio#22813"),
    why="RequestAuthentication refuses bad tokens only: a request without any token passes",
    mend="add an AuthorizationPolicy that allows only requestPrincipals ['*'], or presence: REQUIRED",
    bad=_JWT % "jwksUri: 'https://id.example.com/keys'",
    good=_JWT % "jwksUri: 'https://id.example.com/keys'"
    + "---\n"
    + _POLICY % "rules: [{from: [{source: {requestPrincipals: ['*']}}]}]",
)
def check_required(mesh: Mesh) -> Iterator[Problem]:
    """RequestAuthentication without a policy that requires a token."""
    for document in mesh.of("RequestAuthentication"):
        rules = dicts(document.spec.get("jwtRules"))
        if not rules or any(item.get("presence") == "REQUIRED" for _, item in rules):
            continue
        if not _token_required(
            mesh,
            document.namespace,
            selector_of(document),
            bool(document.spec.get("targetRefs") or document.spec.get("targetRef")),
        ):
            yield Problem(
                document, ("spec", "jwtRules"), "no AuthorizationPolicy requires the token that is checked here"
            )


def _token_required(mesh: Mesh, namespace: str, selector: dict[str, object], attached: bool) -> bool:
    pods = [] if attached else mesh.select(namespace, selector)
    if pods:
        return all(any(map(asks_for_token, policies_for(mesh, "AuthorizationPolicy", pod))) for pod in pods)
    scopes = {namespace, mesh.options.root_namespace}
    return any(asks_for_token(policy) for scope in scopes for policy in mesh.within("AuthorizationPolicy", scope))


@object_rule(
    "GM2202",
    "keys of tokens over plain HTTP",
    Level.ERROR,
    suite="security",
    reads=("RequestAuthentication",),
    references=("OWASP API2:2023",),
    why="whoever is on the way can give istiod other keys, and sign any token",
    mend="use https",
    bad=_JWT % "jwksUri: 'http://id.example.com/keys'",
    good=_JWT % "jwksUri: 'https://id.example.com/keys'",
)
def check_keys_address(document: Document) -> Iterator[Problem]:
    """JwksUri."""
    for i, item in dicts(document.spec.get("jwtRules")):
        if str(item.get("jwksUri", "")).startswith("http://"):
            yield Problem(document, ("spec", "jwtRules", i, "jwksUri"), "the keys are fetched without TLS")


@object_rule(
    "GM2203",
    "private or shared key in the policy",
    Level.ERROR,
    suite="security",
    reads=("RequestAuthentication",),
    references=("CWE-321",),
    why="whoever can read the object can sign tokens",
    mend="give public keys only (kty RSA or EC, without d); replace this key",
    bad=_JWT % 'jwks: \'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}\'',
    good=_JWT % 'jwks: \'{"keys": [{"kty": "RSA", "e": "AQAB", "n": "AQAB"}]}\'',
)
def check_private_keys(document: Document) -> Iterator[Problem]:
    """Jwks with symmetric or private keys."""
    for i, item in dicts(document.spec.get("jwtRules")):
        for key in parse_keys(str(item.get("jwks") or "")) or ():
            if key.get("kty") == "oct" or "d" in key:
                kind = "shared" if key.get("kty") == "oct" else "private"
                yield Problem(document, ("spec", "jwtRules", i, "jwks"), f"a {kind} key stands in jwks")


@object_rule(
    "GM2204",
    "token for any audience",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("RequestAuthentication",),
    references=("OWASP API2:2023",),
    why="a token that the issuer made for another service is accepted here",
    mend="name the audiences",
    bad=(_JWT % "jwksUri: 'https://id.example.com/keys'").replace("audiences: [shop], ", ""),
    good=_JWT % "jwksUri: 'https://id.example.com/keys'",
)
def check_audiences(document: Document) -> Iterator[Problem]:
    """JwtRules without audiences."""
    for i, item in dicts(document.spec.get("jwtRules")):
        if not item.get("audiences"):
            yield Problem(document, ("spec", "jwtRules", i), "no audiences are named")


_WELL_KNOWN = frozenset(
    [
        "host",
        "authorization",
        "cookie",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-client-cert",
        "x-real-ip",
        "x-request-id",
        "x-envoy-original-path",
        "content-type",
        "content-length",
        "user-agent",
        "accept",
        "origin",
        "referer",
    ]
)


@object_rule(
    "GM2205",
    "token in a place that leaks",
    Level.WARNING,
    suite="security",
    reads=("RequestAuthentication",),
    references=("CWE-598", "ASM policy 1.4.1"),
    why="addresses are logged everywhere; a claim in a well-known header overwrites what others rely on",
    mend="take the token from a header; write claims to headers of your own",
    bad=_JWT % "jwksUri: 'https://id.example.com/keys', fromParams: [token]",
    good=_JWT % "jwksUri: 'https://id.example.com/keys', fromHeaders: [{name: x-token}]",
)
def check_token_places(document: Document) -> Iterator[Problem]:
    """fromParams, and claims written to well-known headers."""
    for i, item in dicts(document.spec.get("jwtRules")):
        path: Path = ("spec", "jwtRules", i)
        if item.get("fromParams"):
            yield Problem(document, (*path, "fromParams"), "the token is part of the address", at_key=True)
        names: list[tuple[Path, Any]] = [(("outputPayloadToHeader",), item.get("outputPayloadToHeader"))]
        names += [
            (("outputClaimToHeaders", c, "header"), part.get("header"))
            for c, part in dicts(item.get("outputClaimToHeaders"))
        ]
        for place, name in names:
            if str(name or "").lower() in _WELL_KNOWN:
                yield Problem(document, (*path, *place), f"{name} is a well-known header")


@rule(
    "GM2206",
    "claims that nobody checked",
    Level.WARNING,
    suite="security",
    reads=("AuthorizationPolicy", "RequestAuthentication", "Pod", "Deployment"),
    why="without RequestAuthentication there are no claims: an ALLOW admits nobody, a DENY stops nobody",
    mend="add a RequestAuthentication for the same pods",
    bad=_POLICY % "action: DENY, rules: [{when: [{key: 'request.auth.claims[group]', values: [guest]}]}]" + _POD,
    good=_POLICY % "action: DENY, rules: [{when: [{key: 'request.auth.claims[group]', values: [guest]}]}]"
    + _POD
    + "---\n"
    + _JWT % "jwksUri: 'https://id.example.com/keys'",
)
def check_unchecked_claims(mesh: Mesh) -> Iterator[Problem]:
    """Policies by claims for pods without RequestAuthentication."""
    for document in mesh.of("AuthorizationPolicy"):
        used = [
            ("spec", "rules", r, "when", w, "key")
            for r, item in dicts(document.spec.get("rules"))
            for w, condition in dicts(item.get("when"))
            if str(condition.get("key", "")).startswith("request.auth.")
        ]
        if not used:
            continue
        for pod in mesh.select(document.namespace, selector_of(document)):
            if not policies_for(mesh, "RequestAuthentication", pod):
                yield Problem(
                    document, used[0], f"{pod.document.resource} has no RequestAuthentication: there are no claims"
                )
                break
