"""Requests and answers as values, GitLab's forms of refusal, and its paging headers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

__all__ = ["Answer", "ApiError", "Request", "json_answer", "paginate"]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, decoded.

    Attributes:
        segments: Parts of the path below ``/api/v4``, percent-decoded one by one (``acme%2Fshop`` is one part).
        query: Query parameters, last value each; ``name[]`` keeps a list.
        fields: Query and body parameters together, as Grape does it.
        files: Files of a multipart body: name → (file name, content).
    """

    method: str
    path: str
    segments: tuple[str, ...]
    headers: Mapping[str, str]
    query: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; the rest are faults for the listener to act out.

    Attributes:
        delay_seconds: Wait before the first byte.
        drip_seconds: Pause between single bytes of the body.
        drop: Reset the connection instead of answering.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    drop: bool = False

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


class ApiError(Exception):
    """A refusal in one of GitLab's two forms: ``{"message": …}`` (its own) or ``{"error": …}`` (Grape's)."""

    def __init__(self, status: int, message: Any, *, key: str = "message", headers: Mapping[str, str] | None = None):
        super().__init__(str(message))
        self.status = status
        self.body = message if key == "" else {key: message}
        self.headers = dict(headers or {})

    def answer(self) -> Answer:
        """Return it as an answer."""
        return json_answer(self.body, self.status, self.headers)


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a JSON answer."""
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})


def paginate(items: Sequence[Any], request: Request, base_url: str) -> tuple[list[Any], dict[str, str]]:
    """Return one page and GitLab's paging headers (docs, "Offset-based pagination"): 20 a page, at most 100."""
    page = max(1, _number(request.query.get("page"), 1))
    size = min(100, max(1, _number(request.query.get("per_page"), 20)))
    pages = max(1, -(-len(items) // size))

    def link(number: int, relation: str) -> str:
        query = {**request.query, "page": number, "per_page": size}
        return f'<{base_url}{request.path}?{urlencode(query, doseq=True)}>; rel="{relation}"'

    links = [link(page + 1, "next")] if page < pages else []
    links += [link(page - 1, "prev")] if page > 1 else []
    headers = {
        "X-Total": str(len(items)),
        "X-Total-Pages": str(pages),
        "X-Page": str(page),
        "X-Per-Page": str(size),
        "X-Next-Page": str(page + 1) if page < pages else "",
        "X-Prev-Page": str(page - 1) if page > 1 else "",
        "Link": ", ".join([*links, link(1, "first"), link(pages, "last")]),
    }
    return list(items[(page - 1) * size : page * size]), headers


def _number(value: Any, default: int) -> int:
    text = str(value or "")
    return int(text) if text.isascii() and text.isdigit() else default
