"""What a load run sends, with every bound in it: time, count, rate, connections, and whom it may reach."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gitlab_mesh.errors import UsageError

__all__ = ["LoadPlan"]

_MAX_RATE = 50_000.0
_MAX_CONNECTIONS = 10_000
_MAX_SECONDS = 86_400.0
_MAX_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to send; every field is a bound.

    Attributes:
        url: ``http://…`` or ``https://…``. Loopback, or a host listed in ``allowed_hosts``.
        rate: Requests per second.
        duration_seconds: Of sending.
        arrivals: ``constant`` or ``poisson``.
        connections: Most connections at once.
        max_requests: Ends the sending earlier.
        timeout_seconds: Of one request, from its intended send.
        method: Of every request.
        headers: Of every request, besides ``Host``.
        body: Of every request.
        origin_header: Header that the application itself sets: answers are counted by its value, and a 5xx without
            it (made by a proxy on the way) is a ``proxy_5xx``.
        allowed_hosts: Hosts outside loopback that may be loaded.
        seed: Of the Poisson arrivals; None: different each time.

    Raises:
        UsageError: A value is out of its bounds, or the host is not allowed.
    """

    url: str
    rate: float
    duration_seconds: float
    arrivals: str = "constant"
    connections: int = 100
    max_requests: int | None = None
    timeout_seconds: float = 10.0
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    origin_header: str = ""
    allowed_hosts: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"load: {self.url!r} is not an http:// or https:// URL")
        if not (_is_loopback(parts.hostname) or parts.hostname in self.allowed_hosts):
            raise UsageError(
                f"load: {parts.hostname} may not be loaded",
                why="only loopback may be without being listed, so that a typo cannot hammer a stranger",
                hint="add it to the allowed hosts if it is yours",
            )
        bounds = (
            ("rate", self.rate, _MAX_RATE),
            ("duration_seconds", self.duration_seconds, _MAX_SECONDS),
            ("connections", self.connections, _MAX_CONNECTIONS),
            ("timeout_seconds", self.timeout_seconds, _MAX_TIMEOUT_SECONDS),
        )
        for name, value, limit in bounds:
            if not 0 < value <= limit:
                raise UsageError(f"load: {name} must be above 0 and at most {limit:g}, not {value:g}")
        if self.arrivals not in {"constant", "poisson"}:
            raise UsageError(f"load: arrivals must be constant or poisson, not {self.arrivals!r}")

    @property
    def packet(self) -> bytes:
        """The bytes of one request."""
        parts = urlsplit(self.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        names = {name.lower() for name in self.headers}
        lines = [f"{self.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers.items())]
        if "host" not in names:
            lines.insert(1, f"host: {parts.netloc.rpartition('@')[2]}")
        if self.body or self.method not in {"GET", "HEAD"}:
            lines.append(f"content-length: {len(self.body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
