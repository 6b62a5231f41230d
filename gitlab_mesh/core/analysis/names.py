"""Names as Istio and Kubernetes define them: hosts with wildcards, DNS labels, Kubernetes names."""

from __future__ import annotations

import re

__all__ = [
    "covers",
    "is_dns_label",
    "is_host_label",
    "is_subdomain",
    "is_wildcard_host",
    "nearest",
    "overlaps",
]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_FIRST = re.compile(r"(?=.{1,63}$)(\*|(\*-?)?[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)")


def is_dns_label(text: str) -> bool:
    """RFC 1123 label, lower case, at most 63 characters."""
    return _LABEL.fullmatch(text) is not None


def is_host_label(text: str) -> bool:
    """One label of a host, at most 63 characters, in either case: what Istio takes for the name of a subset."""
    return _DNS.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """DNS name of labels up to 63 characters, 255 in all; the last one is no number, a final dot is allowed.

    As Istio's ValidateFQDN has it: underscores are no part of a host, and an IPv4 address is none.
    """
    return 0 < len(text) <= 255 and _are_labels(text)


def is_wildcard_host(text: str) -> bool:
    """A DNS name whose first label may be, or begin with, ``*`` (Istio's ValidateWildcardDomain)."""
    first, dot, rest = text.partition(".")
    return 0 < len(text) <= 255 and _FIRST.fullmatch(first) is not None and (not dot or _are_labels(rest))


def _are_labels(text: str) -> bool:
    labels = text.split(".")
    if labels[-1].isdecimal():
        return False
    return all(_DNS.fullmatch(label) for label in (labels if labels[-1] else labels[:-1]))


def covers(pattern: str, host: str) -> bool:
    """Say whether every name that ``host`` stands for is one of ``pattern``'s."""
    if pattern in ("*", host):
        return True
    return pattern.startswith("*") and host.endswith(pattern[1:]) and host != pattern[1:]


def overlaps(one: str, other: str) -> bool:
    """Say whether some name belongs to both."""
    return covers(one, other) or covers(other, one)


def nearest(word: str, known: list[str]) -> str:
    """Return the known word that a person most likely meant, or an empty text."""
    from difflib import get_close_matches

    lower = {item.lower(): item for item in known}
    if word.lower() in lower:
        return lower[word.lower()]
    plain = word.replace("_", "").replace("-", "").lower()
    if plain in lower:
        return lower[plain]
    found = get_close_matches(word.lower(), list(lower), n=1, cutoff=0.6)
    return lower[found[0]] if found else ""
