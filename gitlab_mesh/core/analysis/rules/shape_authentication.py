"""RequestAuthentication and PeerAuthentication: what Istio's webhook refuses beyond the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping, texts
from gitlab_mesh.core.analysis.registry import object_rule
from gitlab_mesh.core.analysis.rules.fields import check_selector, check_target_refs
from gitlab_mesh.core.analysis.rules.shape_authorization import DRY_RUN

__all__ = ["parse_keys"]

_REJECTED = "Istio's admission webhook refuses the object: tokens are not checked"
_HEAD = "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: jwt, namespace: shop}\nspec:\n"


def parse_keys(text: str) -> list[dict[str, Any]] | None:
    """Return the keys of a JWKS, or None if it is none."""
    try:
        data = json.loads(text)
    except ValueError:
        return None
    keys = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(keys, list) or not keys:
        return None
    found = [key for key in keys if isinstance(key, dict) and key.get("kty")]
    return found if len(found) == len(keys) else None


@object_rule(
    "GM0261",
    "RequestAuthentication that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("RequestAuthentication",),
    why=_REJECTED,
    mend="name the issuer and keys that can be read; headers and parameters have names",
    bad=_HEAD + "  jwtRules: [{issuer: 'https://id.example.com', jwks: '{\"keys\": [}'}]\n",
    good=_HEAD + "  jwtRules: [{issuer: 'https://id.example.com', jwksUri: 'https://id.example.com/keys'}]\n",
)
def check_request_authentication(document: Document) -> Iterator[Problem]:
    """Issuers, keys, places of the token."""
    spec = document.spec
    if DRY_RUN in document.annotations:
        message = f"{DRY_RUN} works on AuthorizationPolicy only"
        yield Problem(document, ("metadata", "annotations", DRY_RUN), message, at_key=True)
    labels = mapping(spec.get("selector")).get("matchLabels")
    yield from check_selector(document, ("spec", "selector", "matchLabels"), labels)
    yield from check_target_refs(document)
    for i, item in dicts(spec.get("jwtRules")):
        yield from _jwt_rule(document, ("spec", "jwtRules", i), item)


def _jwt_rule(document: Document, path: Path, item: dict[str, Any]) -> Iterator[Problem]:
    if not item.get("issuer") and not item.get("jwksUri") and not item.get("jwks_uri"):
        yield Problem(document, path, "issuer or jwksUri is missing")
    jwks = item.get("jwks")
    if isinstance(jwks, str) and jwks and parse_keys(jwks) is None:
        yield Problem(document, (*path, "jwks"), "jwks is no JSON Web Key Set: a JSON object with keys")
    for h, header in dicts(item.get("fromHeaders")):
        if not header.get("name"):
            yield Problem(document, (*path, "fromHeaders", h), "a header's name must not be empty")
    for key in ("fromParams", "fromCookies", "audiences"):
        for p, name in texts(item.get(key)):
            if not name:
                yield Problem(document, (*path, key, p), f"{key} has an empty entry")
    seen: set[str] = set()
    for c, claim in dicts(item.get("outputClaimToHeaders")):
        name = str(claim.get("header", "")).lower()
        if name in seen:
            yield Problem(document, (*path, "outputClaimToHeaders", c), f"header {claim.get('header')} stands twice")
        seen.add(name)


@object_rule(
    "GM0262",
    "PeerAuthentication that Istio refuses",
    Level.ERROR,
    istio="IST0106",
    reads=("PeerAuthentication",),
    why="Istio's admission webhook refuses the object: mTLS stays as it was",
    mend="label names are DNS names; a selector has values",
    bad="apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {selector: {matchLabels: {app: 'shop*'}}, mtls: {mode: STRICT}}\n",
    good="apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: shop, namespace: shop}\n"
    "spec: {selector: {matchLabels: {app: shop}}, mtls: {mode: STRICT}}\n",
)
def check_peer_authentication(document: Document) -> Iterator[Problem]:
    """The selector."""
    labels = mapping(document.spec.get("selector")).get("matchLabels")
    yield from check_selector(document, ("spec", "selector", "matchLabels"), labels)
