"""What ``mesh.yaml`` (version 1) can say, as frozen dataclasses; every default has its reason.

The loader, the JSON Schema and the reference in the docs are derived from these fields (``core.fields``).
Seconds, ratios and shares are base units here; text such as ``90s`` or ``5%`` exists in YAML only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gitlab_mesh.core.fields import setting
from gitlab_mesh.core.judge.settings import JudgeSettings, UserMetric
from gitlab_mesh.core.load.settings import LoadConfig

__all__ = [
    "FreezeConfig",
    "GatewayPods",
    "HttpSmoke",
    "MeshConfig",
    "MetricsConfig",
    "RolloutConfig",
    "RouteConfig",
    "ServiceConfig",
    "SmokeCheck",
    "StepConfig",
    "SubsetsConfig",
    "WatchConfig",
    "WorkloadConfig",
]


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """Which route of which VirtualService or HTTPRoute carries the service's traffic."""

    virtual_service: str | None = setting(
        None, key="virtualService", unit="name", help="Name of the VirtualService in the service's namespace.",
        why="without it, the one VirtualService that routes to the service's host is taken",
    )  # fmt: skip
    also: tuple[str, ...] = setting(
        (), unit="name",
        help="Further routes of the same kind that lead to the service and are moved as one with the first.",
        why="a gateway's and the mesh's route are often two objects; half a move would be a second canary",
    )  # fmt: skip
    host: str | None = setting(
        None, unit="text", help="Find the VirtualService by this entry of its hosts instead of by name."
    )
    http: tuple[str, ...] = setting(
        (), unit="text", help="Names of the HTTP routes (of an HTTPRoute: of the rules) to move together.",
        why="needed only where more than one HTTP route leads to the service: we never guess",
    )  # fmt: skip
    http_route: str | None = setting(
        None, key="httpRoute", unit="name",
        help="Name of the Gateway API HTTPRoute in the service's namespace, instead of a VirtualService.",
        why="it knows no subsets: while a release runs, each side has a Service of its own, made and removed by us",
    )  # fmt: skip

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all routes to move, as far as the configuration names them."""
        first = self.http_route or self.virtual_service
        return (*((first,) if first else ()), *self.also)

    @property
    def kind(self) -> str:
        """Kind of the route."""
        return "HTTPRoute" if self.http_route else "VirtualService"


@dataclass(frozen=True, slots=True)
class SubsetsConfig:
    """How the two sides are told apart."""

    label: str = setting("version", unit="text", help="Pod label whose value differs between the sides.")
    stable: str = setting("stable", unit="label", help="Name of the stable subset in the DestinationRule.")
    canary: str = setting("canary", unit="label", help="Name of the canary subset in the DestinationRule.")


@dataclass(frozen=True, slots=True)
class WorkloadConfig:
    """What runs behind the route."""

    name: str | None = setting(None, unit="name", help="Name of the stable Deployment; default: the service's name.")
    canary: str | None = setting(None, unit="name", help="Name of the canary Deployment; default: <name>-canary.")
    container: str | None = setting(
        None,
        unit="label",
        help="Container that --image is for; default: the only one, or the one named like the service.",
    )
    port: int | None = setting(
        None, unit="count", minimum=1, maximum=65535,
        help="Port of the application for smoke checks; default: the container's first port.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class StepConfig:
    """One step of the weight schedule."""

    weight: float = setting(
        unit="percent", minimum=0.05, maximum=100, help="Percent of the route's requests that the canary gets.",
        why="weights are whole numbers in Istio: less than 1:1999 cannot be told apart from 0",
    )  # fmt: skip
    bake: float | None = setting(
        None, unit="duration", minimum=0, help="Shortest time at this step; default: rollout.step_bake."
    )
    pause: bool = setting(
        False,
        help="Stop before this step (exit code 0, MESH_PHASE=paused) until `gitlab-mesh job canary --continue`.",
    )


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """After the promote gate: most users have the release, stable keeps a small share as control."""

    duration: float = setting(
        0.0, unit="duration", minimum=0, maximum=86400,
        help="How long; 0: promoted at once. With judge.bake: 0s a release reaches most users within minutes.",
        why="the default bake already holds every release for ten minutes at half of the users; late faults cost "
        "less there than at 95 % (docs/judge.md#holdback), and a second ten minutes for everybody buys little",
    )  # fmt: skip
    stable_share: float = setting(
        5.0, unit="percent", minimum=0.1, maximum=50, help="What stable keeps as control.",
        why="less control finds a late fault later: at 5 % and 500 requests/s a minute",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RolloutConfig:
    """How a release moves."""

    steps: tuple[StepConfig, ...] = setting(
        (StepConfig(5), StepConfig(10), StepConfig(25), StepConfig(50)),
        help="Weights in percent, rising; or a list of {weight, bake}.",
        why="the last step before everything is half of the traffic: more tells no more",
    )
    schedule: str = setting(
        "steps", choices=("steps", "budget"),
        help="steps: the weights above; budget: each next weight follows from the traffic and the evidence, so that "
        "a bad release costs about judge.bad_request_budget failed requests.",
        why="fixed steps can be read before the release; a hotfix and judge: {mode: dry-run} always take them",
    )  # fmt: skip
    step_bake: float = setting(60.0, unit="duration", minimum=0, maximum=86400, help="Shortest time at each step.")
    watch: WatchConfig = setting(WatchConfig(), help="Most users have the release, stable is kept as control.")
    look_interval: float = setting(
        5.0, unit="duration", minimum=0.2, maximum=300, help="Time between two looks at the evidence.",
        why="5 s costs nothing with Envoy's own counters; the judge keeps its promise at any interval",
    )  # fmt: skip
    deadline: float = setting(
        2400.0, unit="duration", minimum=10, maximum=86400, help="All phases from deploy to the end.",
        why="templates give the script 50 min; 40 min leave room for the rollback",
    )  # fmt: skip
    ready_deadline: float = setting(
        300.0, unit="duration", minimum=1, maximum=7200, help="Until new pods must be ready."
    )
    confirm_deadline: float = setting(
        120.0,
        unit="duration",
        minimum=1,
        maximum=3600,
        help="Until the observed share must not contradict the weight.",
    )
    drain: float = setting(
        30.0, unit="duration", minimum=0, maximum=3600, help="Longest wait for requests to end after weight 0.",
        why="Istio's own default for terminating proxies is 5–45 s",
    )  # fmt: skip
    promote: str = setting(
        "image", choices=("image", "external"),
        help="image: the stable Deployment gets the new pod template; external: GitOps or helm does it, we hold.",
    )  # fmt: skip
    on_inconclusive: str = setting(
        "rollback", choices=("rollback", "hold"), help="What to do when the deadline comes without a decision.",
        why="promotion without evidence is never an option",
    )  # fmt: skip
    events: bool = setting(True, help="Write Kubernetes Events on the VirtualService, for kubectl describe.")
    on_newer: str = setting(
        "refuse", choices=("refuse", "wait", "supersede"),
        help="What a newer pipeline does while an older one's rollout is open: refuse (22), wait for it, or take it "
        "back and go on.",
        why="GitLab's resource_group already lets pipelines wait; who gets here nevertheless should know",
    )  # fmt: skip
    pause_limit: float = setting(
        86400.0, unit="duration", minimum=60, maximum=2592000,
        help="A rollout that waits (paused, held, awaiting promotion) is taken back by the nets after this time.",
        why="a canary that everybody forgot must not serve users for ever",
    )  # fmt: skip
    reassert: int = setting(
        2,
        unit="count",
        minimum=0,
        maximum=10,
        help="How often a weight changed by somebody else is written again.",
    )
    lease: float = setting(
        30.0,
        unit="duration",
        minimum=2,
        maximum=3600,
        help="After this time without renewal others may take over.",
    )


@dataclass(frozen=True, slots=True)
class FreezeConfig:
    """A time in which no release may start; several conditions in one entry must all hold."""

    reason: str = setting(unit="text", help="Shown to whoever is refused.")
    days: tuple[str, ...] = setting(
        (), choices=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), help="Days of the week; default: all."
    )
    begin: str | None = setting(None, key="from", unit="text", help='Time of day, "16:00"; default: "00:00".')
    end: str | None = setting(None, key="until", unit="text", help='Time of day, "24:00" at the latest, exclusive.')
    first_day: str | None = setting(None, key="first", unit="text", help='First day, "2026-12-20".')
    last_day: str | None = setting(None, key="last", unit="text", help='Last day, "2027-01-02", inclusive.')
    timezone: str = setting("UTC", unit="text", help="Of times and days, for example Europe/Berlin.")


@dataclass(frozen=True, slots=True)
class GatewayPods:
    """The gateway's pods, for counts by the source (what users saw)."""

    namespace: str = setting("istio-system", unit="label", help="Namespace of the gateway's pods.")
    selector: str = setting("istio=ingressgateway", unit="text", help="Label selector of the gateway's pods.")


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """Where the counts come from."""

    source: str = setting(
        "istio-proxy",
        unit="name",
        help="istio-proxy (through the Kubernetes API), prometheus, or a plug-in's name.",
    )
    address: str | None = setting(None, unit="text", help="URL of Prometheus, without /api.")
    reporter: str = setting(
        "auto", choices=("auto", "source", "destination"), help="Whose counts; auto: source where a gateway is known.",
        why="the source sees failures that never reach the canary; the destination sees every caller",
    )  # fmt: skip
    gateway: GatewayPods | None = setting(None, help="The gateway's pods, for reporter: source.")
    timeout: float = setting(5.0, unit="duration", minimum=0.1, maximum=60, help="Of one reading.")
    max_age: float = setting(
        60.0, unit="duration", minimum=1, maximum=3600, help="A sample older than this is no data."
    )
    queries: tuple[UserMetric, ...] = setting((), help="Metrics of the user's own.")


@dataclass(frozen=True, slots=True)
class HttpSmoke:
    """One HTTP request to a canary pod through the Kubernetes API, before the first user."""

    path: str = setting("/", unit="text", help="Path and query.")
    status: int = setting(200, unit="count", minimum=100, maximum=599, help="Expected status.")
    contains: str | None = setting(None, unit="text", help="Text that the body must contain.")


@dataclass(frozen=True, slots=True)
class SmokeCheck:
    """One check on the canary alone: an HTTP request, or a command of the job's environment."""

    name: str = setting("smoke", unit="text", help="Name in the log.")
    http: HttpSmoke | None = setting(None, help="HTTP through pods/proxy.")
    command: tuple[str, ...] = setting(
        (),
        unit="text",
        help="Program and arguments; exit code 0 passes. MESH_CANARY_POD, MESH_NAMESPACE are set.",
    )
    timeout: float = setting(10.0, unit="duration", minimum=0.1, maximum=600, help="Of one attempt.")
    attempts: int = setting(3, unit="count", minimum=1, maximum=100, help="Attempts, 1 s apart.")


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """One service of the mesh; the minimum is namespace and route."""

    name: str = setting(unit="label", help="The key under services; also the name of the Kubernetes Service.")
    namespace: str = setting(unit="label", help="Kubernetes namespace.")
    route: RouteConfig = setting(RouteConfig(), help="The route to move.")
    host: str | None = setting(
        None, unit="text", help="Host of the Kubernetes Service in destinations; default: the service's name."
    )
    subsets: SubsetsConfig = setting(SubsetsConfig(), help="How the sides are told apart.")
    workload: WorkloadConfig = setting(WorkloadConfig(), help="What runs behind the route.")
    rollout: RolloutConfig = setting(RolloutConfig(), help="How a release moves.")
    metrics: MetricsConfig = setting(MetricsConfig(), help="Where the counts come from.")
    judge: JudgeSettings = setting(JudgeSettings(), help="How evidence decides.")
    smoke: tuple[SmokeCheck, ...] = setting((), help="Checks on the canary alone, before the first user.")
    freeze: tuple[FreezeConfig, ...] = setting(
        (), help="Times in which no release starts (exit code 16); --hotfix gets past them."
    )
    load: LoadConfig = setting(LoadConfig(), help="What load-check sends, and what it holds the answers against.")
    traffic: str = setting(
        "natural", choices=("natural", "synthetic"),
        help="synthetic: a canary job sends what load says (load.target, load.rate, …) while the release runs.",
        why="a service that nobody calls at night gives no evidence; users' own requests are the better ones",
    )  # fmt: skip
    links: Mapping[str, str] = setting(factory=dict, unit="text", help="Links for the note: Grafana, Kiali, …")

    @property
    def stable_workload(self) -> str:
        """Name of the stable Deployment."""
        return self.workload.name or self.name

    @property
    def canary_workload(self) -> str:
        """Name of the canary Deployment."""
        return self.workload.canary or f"{self.stable_workload}-canary"


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """A whole ``mesh.yaml``, with the overrides of one environment already applied."""

    services: Mapping[str, ServiceConfig]
    environment: str | None = None
