"""Keeps secrets out of everything that we write: exact values that we know, and texts that look like one.

GitLab masks masked variables and its own token prefixes in job logs only, and only exact text; notes, artifacts and
a terminal have nobody but us.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

__all__ = ["REDACTED", "Redactor", "secrets_of"]

REDACTED = "[redacted]"
_SHORTEST = 5
"""Shorter "secrets" would blank out ordinary words, which helps nobody and hides the log."""

_SHORTEST_OF_VARIABLE = 8
"""A variable may be called a secret and hold a plain word, such as ``true``."""

# Every repetition that follows a free start is bounded: a hostile log must not be able to make this slow.
_NAME = r"(?:token|passw(?:or)?d|secret|api[_-]?key|private[_-]?key)[\w-]{0,40}[\"']?"
_PATTERNS = (
    # GitLab's token prefixes (docs: "Token prefixes"): personal, project, job, deploy, runner, agent, trigger, …
    (re.compile(r"\bgl(?:pat|cbt|dt|rt|rtr|ptt|ft|imt|agent|oas|soat|ffct|wt)-[\w.-]{8,}"), REDACTED),
    # JSON Web Tokens: OIDC id_tokens, Kubernetes service accounts
    (re.compile(r"\beyJ[\w-]{8,1000}\.[\w-]{8,8000}\.[\w-]*"), REDACTED),
    (re.compile(r"(?i)\b(bearer|basic)(\s{1,9})[A-Za-z0-9._~+/=-]{8,}"), rf"\1\2{REDACTED}"),
    # user and password in a URL
    (re.compile(r"(://[^\s/:@]{0,200}:)[^\s/@]{1,400}(?=@)"), rf"\1{REDACTED}"),
    # name=value is never prose; after a colon only what looks random is taken, or sentences would suffer.
    # A value ends before quotes, backslashes and tags, so that JSON and HTML stay whole.
    (re.compile(rf"(?i)({_NAME}\s{{0,9}}=\s{{0,9}}[\"']?)[^\s\\\"'<>&,;)]+"), rf"\1{REDACTED}"),
    (
        re.compile(rf"(?i)({_NAME}\s{{0,9}}:\s{{0,9}}[\"']?)(?=[\w./+=-]{{0,400}}\d)[\w./+=-]{{8,}}"),
        rf"\1{REDACTED}",
    ),
)


_SECRET_VARIABLE = re.compile(r"(TOKEN|PASSWORD|PASSWD|SECRET|API_KEY|ACCESS_KEY|PRIVATE_KEY|WEBHOOK_URL)$")


def secrets_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of the variables whose names say that they are secret; paths of files are none."""
    named = (value.strip() for name, value in environ.items() if _SECRET_VARIABLE.search(name.upper()))
    return tuple(value for value in named if len(value) >= _SHORTEST_OF_VARIABLE and not value.startswith("/"))


class Redactor:
    """Callable that replaces secrets in a text.

    Args:
        secrets: Known values (tokens, passwords); also found line by line, and as they stand in URLs, JSON and HTML.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: tuple[str, ...] = ()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Register one more value; too short ones are ignored."""
        parts = {secret.strip(), *(line.strip() for line in secret.splitlines())}
        found = {
            form
            for part in parts
            if len(part) >= _SHORTEST
            for form in (
                part,
                quote(part, safe=""),
                json.dumps(part)[1:-1],
                json.dumps(part, ensure_ascii=False)[1:-1],
                html.escape(part),
            )
        }
        # the longest first: a secret that contains another one must go as a whole
        self._known = tuple(sorted(found | set(self._known), key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in self._known:
            text = text.replace(secret, REDACTED)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text
