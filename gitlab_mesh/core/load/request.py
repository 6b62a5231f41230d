"""One kind of request of a load plan, and its bytes on the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote

from gitlab_mesh.core.load.checks import AnswerChecks
from gitlab_mesh.errors import UsageError

__all__ = ["MAX_PACKET_BYTES", "RequestPlan", "build_packets"]

MAX_PACKET_BYTES = 64 * 1024 * 1024
"""Of all prepared requests together: they are built before the run, so that sending costs next to nothing."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FILLED = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """One kind of request.

    Attributes:
        name: In reports and thresholds.
        method: HTTP method.
        path: Path and query, beginning with ``/``; empty: the URL's own.
        headers: Besides ``Host``; a ``Host`` here replaces it.
        body: Text, sent as UTF-8; or bytes.
        weight: Share of the run's requests, relative to the others.
        rows: Values for ``{{ name }}`` in path, headers and body; the requests go through them in turn.
        checks: What its answers must be like.
    """

    name: str = "request"
    method: str = "GET"
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | bytes = b""
    weight: float = 1.0
    rows: tuple[Mapping[str, str], ...] = ()
    checks: AnswerChecks = AnswerChecks()


def build_packets(request: RequestPlan, url: SplitResult) -> tuple[bytes, ...]:
    """Build the bytes of the request, once a row.

    Raises:
        UsageError: A name, a value or a path cannot be sent; a row lacks a name; all of it is too large.
    """
    where = f"load: request {request.name}"
    if not _TOKEN.fullmatch(request.method):
        raise UsageError(f"{where}: {request.method!r} is no HTTP method")
    own = (url.path or "/") + (f"?{url.query}" if url.query else "")
    target = request.path or own
    if not target.startswith("/"):
        raise UsageError(f"{where}: the path {target!r} does not begin with /", hint="the host is the target's")
    packets = []
    size = 0
    for row in request.rows or ({},):
        packet = _build(request, url, _fill(target, row, where, escape=True), row, where)
        size += len(packet)
        if size > MAX_PACKET_BYTES:
            raise UsageError(f"{where}: its requests are more than {MAX_PACKET_BYTES >> 20} MB together")
        packets.append(packet)
    return tuple(packets)


def _build(request: RequestPlan, url: SplitResult, target: str, row: Mapping[str, str], where: str) -> bytes:
    if any(character <= " " or character == "\x7f" for character in target):
        raise UsageError(f"{where}: the path {target!r} has a blank or a control character", hint="percent-encode it")
    body = request.body if isinstance(request.body, bytes) else _fill(request.body, row, where).encode()
    headers = {name: _fill(value, row, where) for name, value in request.headers.items()}
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or any(character in value for character in "\r\n\0"):
            raise UsageError(
                f"{where}: header {name!r} cannot be sent", why="its name or value has forbidden characters"
            )
    names = {name.lower() for name in headers}
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if "host" not in names:
        lines.insert(1, f"host: {url.netloc.rpartition('@')[2]}")
    if body or request.method not in {"GET", "HEAD"}:
        lines.append(f"content-length: {len(body)}")
    try:
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    except UnicodeEncodeError as error:
        raise UsageError(f"{where}: path and headers must be Latin-1", why=str(error)) from None


def _fill(text: str, row: Mapping[str, str], where: str, *, escape: bool = False) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in row:
            known = f"the data has {', '.join(row)}" if row else "the request has no data"
            raise UsageError(f"{where}: nothing fills {match[0]}", why=known)
        return quote(row[match[1]], safe="") if escape else row[match[1]]

    return _FILLED.sub(value, text) if "{{" in text else text
