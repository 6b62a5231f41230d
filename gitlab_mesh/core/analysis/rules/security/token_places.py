"""Tokens: where they travel, and what is made of them."""

from __future__ import annotations

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.model import Level
from gitlab_mesh.core.analysis.places import field_rule

__all__: list[str] = []

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


def _jwt(more: str) -> str:
    rule = f"issuer: 'https://id.example.com', audiences: [shop], jwksUri: 'https://id.example.com/keys'{more}"
    return example("RequestAuthentication", f"jwtRules: [{{{rule}}}]", name="jwt")


def _place(value: object) -> str:
    if isinstance(value, list):
        return "the token is part of the address" if value else ""
    return f"{value} is a well-known header" if str(value).lower() in _WELL_KNOWN else ""


field_rule(
    "GM2205",
    "token in a place that leaks",
    Level.WARNING,
    "spec.jwtRules[].fromParams spec.jwtRules[].outputPayloadToHeader spec.jwtRules[].outputClaimToHeaders[].header",
    _place,
    at_key=True,
    suite="security",
    reads=("RequestAuthentication",),
    references=("CWE-598", "ASM policy 1.4.1"),
    why="addresses are logged everywhere; a claim in a well-known header overwrites what others rely on",
    mend="take the token from a header; write claims to headers of your own",
    bad=_jwt(", fromParams: [token]"),
    good=_jwt(", fromHeaders: [{name: x-token}]"),
)
field_rule(
    "GM2207",
    "token handed on to the service",
    Level.INFO,
    "spec.jwtRules[].forwardOriginalToken",
    lambda value: "the service, and whatever it calls or logs, gets the caller's token" if value is True else "",
    suite="security",
    profile="strict",
    reads=("RequestAuthentication",),
    references=("OWASP API2:2023", "CWE-522"),
    why="a token that lies in a log, or with a third party, can be used until it expires",
    mend="hand on claims with outputClaimToHeaders, or exchange the token",
    bad=_jwt(", forwardOriginalToken: true"),
    good=_jwt(", outputClaimToHeaders: [{header: x-user, claim: sub}]"),
)
