"""What a load run sends, with every bound in it: time, count, rate, connections, and whom it may reach."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from gitlab_mesh.core.load.profile import Profile, Stage
from gitlab_mesh.core.load.request import RequestPlan, build_packets
from gitlab_mesh.errors import UsageError

__all__ = ["LoadPlan", "TlsPlan"]

_MAX_RATE = 50_000.0
_MAX_CONNECTIONS = 10_000
_MAX_SECONDS = 86_400.0
_MAX_TIMEOUT_SECONDS = 600.0
_MAX_KINDS = 100


@dataclass(frozen=True, slots=True)
class TlsPlan:
    """How ``https`` is checked; paths of PEM files.

    Attributes:
        ca: Authorities to trust instead of the system's; "": the system's.
        certificate: Our certificate for mutual TLS, with its chain; "": none.
        key: Its key; "": in the certificate's file.
        server_name: Name to ask for and to check; "": the URL's host.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to send; every field is a bound.

    Attributes:
        url: ``http://…`` or ``https://…``. Loopback, or a host listed in ``allowed_hosts``.
        rate: Requests per second, over the whole duration; not read if there are ``stages``.
        duration_seconds: Of sending; not read if there are ``stages``.
        stages: Ramps and steps one after the other.
        arrivals: ``constant`` or ``poisson``.
        connections: Most connections at once.
        max_requests: Ends the sending earlier.
        max_rate: The rate may not exceed it at any moment.
        timeout_seconds: Of one request, from its intended send.
        max_body_bytes: An answer with a larger body is cut off and counts as an error.
        method: Of every request, without ``requests``.
        headers: Of every request, besides ``Host``; a request's own win.
        body: Of every request, without ``requests``.
        requests: Kinds of requests, mixed by weight; empty: one kind, from the fields above.
        tls: How ``https`` is checked.
        origin_header: Header that the application itself sets: answers are counted by its value, and a 5xx without
            it (made by a proxy on the way) is a ``proxy_5xx``.
        allowed_hosts: Hosts outside loopback that may be loaded.
        options: Of the engine, where it is a plug-in.
        seed: Of the Poisson arrivals and of the mix; None: different each time.

    Raises:
        UsageError: A value is out of its bounds, or the host is not allowed.
    """

    url: str
    rate: float = 0.0
    duration_seconds: float = 0.0
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
    stages: tuple[Stage, ...] = ()
    requests: tuple[RequestPlan, ...] = ()
    tls: TlsPlan = TlsPlan()
    max_rate: float = _MAX_RATE
    max_body_bytes: int = 16 * 1024 * 1024
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = self.parts
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"load: {self.url!r} is not an http:// or https:// URL")
        if not (_is_loopback(parts.hostname) or parts.hostname in self.allowed_hosts):
            raise UsageError(
                f"load: {parts.hostname} may not be loaded",
                why="only loopback may be without being listed, so that a typo cannot hammer a stranger",
                hint=f"if it is yours, list it in mesh.yaml: load: {{allowed_hosts: [{parts.hostname}]}}",
            )
        bounds: tuple[tuple[str, float, float], ...] = (
            ("connections", self.connections, _MAX_CONNECTIONS),
            ("timeout_seconds", self.timeout_seconds, _MAX_TIMEOUT_SECONDS),
            ("max_rate", self.max_rate, math.inf),
        )
        if not self.stages:
            bounds = (
                ("rate", self.rate, _MAX_RATE),
                ("duration_seconds", self.duration_seconds, _MAX_SECONDS),
                *bounds,
            )
        for name, value, limit in bounds:
            if not 0 < value <= limit:
                raise UsageError(f"load: {name} must be above 0 and at most {limit:g}, not {value:g}")
        profile = self.profile
        if profile.seconds > _MAX_SECONDS:
            raise UsageError(f"load: the stages last {profile.seconds:g} s; a run may last {_MAX_SECONDS:g} s")
        if profile.top_rate > min(self.max_rate, _MAX_RATE):
            limit = min(self.max_rate, _MAX_RATE)
            raise UsageError(
                f"load: {profile.top_rate:g} requests/s are more than the {limit:g} allowed here",
                hint="lower the rate, or raise GITLAB_MESH_LOAD_MAX_RPS if it is yours to raise",
            )
        if self.arrivals not in {"constant", "poisson"}:
            raise UsageError(f"load: arrivals must be constant or poisson, not {self.arrivals!r}")
        self._check_requests()

    def _check_requests(self) -> None:
        names = [request.name for request in self.requests]
        if len(set(names)) < len(names) or len(names) > _MAX_KINDS:
            raise UsageError(f"load: requests need names of their own, and at most {_MAX_KINDS} kinds", why=str(names))
        for request in self.requests:
            if not 0 < request.weight < math.inf:
                raise UsageError(f"load: request {request.name}: its weight must be above 0, not {request.weight:g}")

    @property
    def parts(self) -> SplitResult:
        """The URL, taken apart."""
        try:
            parts = urlsplit(self.url)
            parts.port  # noqa: B018 - raises where it is no number
        except ValueError as error:
            raise UsageError(f"load: {self.url!r} is not an http:// or https:// URL", why=str(error)) from None
        return parts

    @property
    def profile(self) -> Profile:
        """A fresh course through the run's moments."""
        return Profile(self.stages or (Stage(self.rate, self.duration_seconds),))

    @property
    def kinds(self) -> tuple[RequestPlan, ...]:
        """The kinds of requests; at least one."""
        if self.requests:
            return self.requests
        return (RequestPlan(method=self.method, body=self.body),)

    def packets(self) -> tuple[tuple[bytes, ...], ...]:
        """Build the bytes of all requests, by kind; the same order as ``kinds``."""
        return tuple(build_packets(_with_headers(kind, self.headers), self.parts) for kind in self.kinds)


def _with_headers(kind: RequestPlan, common: Mapping[str, str]) -> RequestPlan:
    own = {name.lower() for name in kind.headers}
    headers = {**{name: value for name, value in common.items() if name.lower() not in own}, **kind.headers}
    return RequestPlan(kind.name, kind.method, kind.path, headers, kind.body, kind.weight, kind.rows, kind.checks)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
