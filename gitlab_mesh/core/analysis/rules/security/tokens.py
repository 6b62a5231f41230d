"""Tokens: whether they are required, and what vouches for them."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import example, pod_example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts
from gitlab_mesh.core.analysis.places import field_rule, places
from gitlab_mesh.core.analysis.posture import asks_for_token, policies_for
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.rules.shape_authentication import parse_keys
from gitlab_mesh.core.analysis.workloads import selector_of

__all__: list[str] = []

_KEYS = "jwksUri: 'https://id.example.com/keys'"
_BROKEN = ("OWASP API2:2023",)


def _jwt(more: str, *, audiences: str = "audiences: [shop], ", name: str = "jwt") -> str:
    spec = f"jwtRules: [{{issuer: 'https://id.example.com', {audiences}{more}}}]"
    return example("RequestAuthentication", spec, name=name)


@rule(
    "GM2201",
    "token that nobody asks for",
    Level.ERROR,
    suite="security",
    reads=("RequestAuthentication", "AuthorizationPolicy", "Pod", "Deployment"),
    references=(*_BROKEN, "istio/istio#22813"),
    why="RequestAuthentication refuses bad tokens only: a request without any token passes",
    mend="add an AuthorizationPolicy that allows only requestPrincipals ['*'], or presence: REQUIRED",
    bad=_jwt(_KEYS),
    good=_jwt(_KEYS) + example("AuthorizationPolicy", "rules: [{from: [{source: {requestPrincipals: ['*']}}]}]"),
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


field_rule(
    "GM2202",
    "keys of tokens over plain HTTP",
    Level.ERROR,
    "spec.jwtRules[].jwksUri",
    lambda value: "the keys are fetched without TLS" if str(value).startswith("http://") else "",
    suite="security",
    reads=("RequestAuthentication",),
    references=(*_BROKEN, "CWE-319"),
    why="whoever is on the way can give istiod other keys, and sign any token",
    mend="use https",
    bad=_jwt("jwksUri: 'http://id.example.com/keys'"),
    good=_jwt(_KEYS),
)


@object_rule(
    "GM2203",
    "private or shared key in the policy",
    Level.ERROR,
    suite="security",
    reads=("RequestAuthentication",),
    references=("CWE-321",),
    why="whoever can read the object can sign tokens",
    mend="give public keys only (kty RSA or EC, without d); replace this key",
    bad=_jwt('jwks: \'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}\''),
    good=_jwt('jwks: \'{"keys": [{"kty": "RSA", "e": "AQAB", "n": "AQAB"}]}\''),
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
    references=_BROKEN,
    why="a token that the issuer made for another service is accepted here",
    mend="name the audiences",
    bad=_jwt(_KEYS, audiences=""),
    good=_jwt(_KEYS),
)
def check_audiences(document: Document) -> Iterator[Problem]:
    """JwtRules without audiences."""
    for i, item in dicts(document.spec.get("jwtRules")):
        if not item.get("audiences"):
            yield Problem(document, ("spec", "jwtRules", i), "no audiences are named")


_BY_CLAIM = example(
    "AuthorizationPolicy", "action: DENY, rules: [{when: [{key: 'request.auth.claims[group]', values: [guest]}]}]"
)


@rule(
    "GM2206",
    "claims that nobody checked",
    Level.WARNING,
    suite="security",
    reads=("AuthorizationPolicy", "RequestAuthentication", "Pod", "Deployment"),
    why="without RequestAuthentication there are no claims: an ALLOW admits nobody, a DENY stops nobody",
    mend="add a RequestAuthentication for the same pods",
    bad=_BY_CLAIM + pod_example(),
    good=_BY_CLAIM + pod_example() + _jwt(_KEYS),
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


@rule(
    "GM2208",
    "issuer with two sets of keys",
    Level.WARNING,
    suite="security",
    reads=("RequestAuthentication",),
    references=_BROKEN,
    why="which keys a token of this issuer is checked with depends on the order: good tokens are refused at random",
    mend="keep one rule an issuer and selector",
    bad=_jwt(_KEYS) + _jwt("jwksUri: 'https://old.example.com/keys'", name="old"),
    good=_jwt(_KEYS),
)
def check_issuers(mesh: Mesh) -> Iterator[Problem]:
    """One issuer twice for one scope, with other keys."""
    seen: dict[tuple[str, str, str], tuple[str, str]] = {}
    for document in mesh.of("RequestAuthentication"):
        targets = str([value for _, value in places(document.body, "spec.targetRef|targetRefs")])
        scope = str(sorted(selector_of(document).items())) + targets
        for i, item in dicts(document.spec.get("jwtRules")):
            keys = str(item.get("jwksUri") or item.get("jwks") or "")
            former = seen.setdefault((document.namespace, scope, str(item.get("issuer"))), (keys, document.full_name))
            if former[0] != keys:
                path: Path = ("spec", "jwtRules", i, "issuer")
                yield Problem(document, path, f"{former[1]} has other keys for {item.get('issuer')}")
