"""``load`` of a service in ``mesh.yaml``: what load-check sends, and what it holds the answers against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gitlab_mesh.core.fields import setting

__all__ = ["LoadBaseline", "LoadChecks", "LoadConfig", "LoadMesh", "LoadRequest", "LoadStage", "LoadTls"]


@dataclass(frozen=True, slots=True)
class LoadStage:
    """A stretch of the run: a plateau, or a ramp from the rate before."""

    rate: float = setting(help="Requests per second, of a ramp at its end.", minimum=0, maximum=50000)
    duration: float = setting(help="How long it lasts.", unit="duration", minimum=0.001, maximum=86400)
    ramp: bool = setting(False, help="Rise or fall evenly from the stage before; the first one from 0.")


@dataclass(frozen=True, slots=True)
class LoadChecks:
    """What an answer must be like; what fails a check counts as an error."""

    status: tuple[str, ...] = setting(
        ("200-399",), unit="text", help="Allowed status codes: 200, 2xx, 200-399.",
        why="a load on an error page measures nothing",
    )  # fmt: skip
    headers: Mapping[str, str] = setting(
        factory=dict, unit="text", help='Header → text that its value must contain; "": it must be there.'
    )
    contains: str = setting("", unit="text", help="Text that the body must contain.")
    json: Mapping[str, str] = setting(
        factory=dict, unit="text", help="Path in the JSON body, such as items.0.id → its value."
    )
    min_bytes: int | None = setting(None, unit="count", minimum=0, help="Least size of the body.")
    max_bytes: int | None = setting(None, unit="count", minimum=0, help="Largest size of the body.")


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """One kind of request; the run mixes them by weight."""

    name: str = setting(unit="text", help="Name in reports and thresholds.")
    method: str = setting("GET", unit="text", help="HTTP method.")
    path: str = setting("", unit="text", help="Path and query; default: the target's. {{ column }} comes from data.")
    weight: float = setting(1.0, minimum=0.0001, maximum=1000000, help="Share of the requests, relative to the others.")
    headers: Mapping[str, str] = setting(factory=dict, unit="text", help="Headers; a Host here replaces the target's.")
    body: str = setting("", unit="text", help="Body, as text.")
    body_file: str | None = setting(None, unit="text", help="File with the body instead.")
    data: str | None = setting(
        None, unit="text", help="CSV (with a head line) or JSON lines; each request takes the next row."
    )
    checks: LoadChecks = setting(LoadChecks(), help="What its answers must be like.")
    thresholds: tuple[str, ...] = setting((), unit="text", help="Thresholds of this request alone.")


@dataclass(frozen=True, slots=True)
class LoadTls:
    """How https is checked; PEM files."""

    ca: str = setting("", unit="text", help="Authorities to trust instead of the system's.")
    certificate: str = setting("", unit="text", help="Our certificate, for mutual TLS.")
    key: str = setting("", unit="text", help="Its key.")
    server_name: str = setting("", unit="text", help="Name to ask for and to check; default: the target's host.")


@dataclass(frozen=True, slots=True)
class LoadBaseline:
    """The run that this one is compared with."""

    file: str | None = setting(
        None, unit="text", help="load.json of a former run; while it is missing, nothing is compared."
    )
    tolerance: float = setting(
        0.10, unit="ratio", minimum=0, maximum=10, help="This much slower, relative, is never held against the run.",
        why="two runs on shared machines differ by some percent without any change",
    )  # fmt: skip
    margin: float = setting(
        0.20, unit="ratio", minimum=0, maximum=10, help="A run must be shown to be less than this much slower to pass."
    )


@dataclass(frozen=True, slots=True)
class LoadMesh:
    """What the mesh's own counters of the canary are held against."""

    canary: str = setting(
        "off", choices=("off", "required"),
        help="required: the mesh's counters must show the load at the canary; off: only the client's side counts.",
    )  # fmt: skip
    thresholds: tuple[str, ...] = setting(
        ("canary.errors < 1%", "canary.connection_failures = 0", "canary.circuit_breaker = 0"),
        unit="text",
        help="Of the canary's side; also canary.p99 < 300ms, canary.retries < 1%, canary.rate_limited = 0.",
    )
    settle: float = setting(
        30.0, unit="duration", minimum=0, maximum=600, help="Longest wait for complete counters after the run.",
        why="Envoy's histograms lag by 5 s, Prometheus by a scrape interval",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """What load-check sends, and what it holds the answers against."""

    target: str | None = setting(None, unit="text", help="URL.")
    engine: str = setting("built-in", unit="name", help="built-in, or a plug-in's name.")
    engine_options: Mapping[str, str] = setting(
        factory=dict, unit="text",
        help="Options of a plug-in's engine; locust: file, users, spawn_rate, processes, expect_workers, bind, port, "
        "classes.",
    )  # fmt: skip
    rate: float = setting(
        50.0, minimum=0.001, maximum=50000, help="Requests per second; not read if there are stages.",
        why="low enough not to hurt anybody who forgot to say one",
    )  # fmt: skip
    duration: float = setting(60.0, unit="duration", minimum=0.1, maximum=86400, help="How long to send.")
    stages: tuple[LoadStage, ...] = setting((), help="Ramps, steps and soaks one after the other.")
    arrivals: str = setting(
        "constant", choices=("constant", "poisson"), help="When requests leave: evenly spaced, or as users come.",
        why="evenly spaced ones are exact in number; poisson shows queues that even spacing hides",
    )  # fmt: skip
    connections: int | None = setting(
        None, unit="count", minimum=1, maximum=10000,
        help="Most connections at once; default: two seconds of the highest rate, at least 100.",
    )  # fmt: skip
    timeout: float = setting(10.0, unit="duration", minimum=0.01, maximum=600, help="Of one request.")
    max_requests: int | None = setting(None, unit="count", minimum=1, help="Ends the run earlier.")
    headers: Mapping[str, str] = setting(factory=dict, unit="text", help="Headers of all requests.")
    requests: tuple[LoadRequest, ...] = setting((), help="Kinds of requests; default: GET of the target.")
    checks: LoadChecks = setting(LoadChecks(), help="What answers must be like, where there are no requests.")
    thresholds: tuple[str, ...] = setting(
        (), unit="text", help="Such as p99 < 300ms, errors < 1%, checks > 99%, rate > 95%.",
        why="errors < 1% always holds unless another limit of errors stands there",
    )  # fmt: skip
    allowed_hosts: tuple[str, ...] = setting(
        (), unit="text", help="Hosts outside loopback that may be loaded.",
        why="a typo must not hammer a stranger",
    )  # fmt: skip
    max_rps: float | None = setting(
        None, minimum=0.001, maximum=50000, help="Refuse any plan with a higher rate, all shards together.",
        why="as a variable of the project or the group it is a leash for everybody: GITLAB_MESH_LOAD_MAX_RPS",
    )  # fmt: skip
    version_header: str = setting(
        "", unit="text", help="Header by which the application tells its version; answers are counted by it."
    )
    tls: LoadTls = setting(LoadTls(), help="How https is checked.")
    baseline: LoadBaseline = setting(LoadBaseline(), help="The run that this one is compared with.")
    mesh: LoadMesh = setting(LoadMesh(), help="The mesh's side.")
