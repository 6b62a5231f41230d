"""All ports of a job on fakes, around a ``ShopModel``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gitlab_mesh.adapters.kubernetes.lock import LeaseLock
from gitlab_mesh.adapters.kubernetes.routers import build_router
from gitlab_mesh.adapters.kubernetes.store import ConfigMapRolloutStore
from gitlab_mesh.config.model import RouteConfig, ServiceConfig
from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.review import Review
from gitlab_mesh.ports import MetricSource
from gitlab_mesh.testing.clock import FakeClock
from gitlab_mesh.testing.cluster import MemoryCluster
from gitlab_mesh.testing.console import RecordingConsole
from gitlab_mesh.testing.load import MemoryFiles, ScriptedLoad
from gitlab_mesh.testing.shop import ShopModel

__all__ = ["ModelPorts", "RecordingCommands", "RecordingDeployments", "RecordingNotes", "ScriptedSignal"]


T = TypeVar("T")


@dataclass
class RecordingNotes:
    """Fake of ``MergeRequestNotes``: keeps the last body by key, and every review."""

    bodies: dict[str, str] = field(default_factory=dict)
    reviews: list[tuple[str, Review]] = field(default_factory=list)
    problem: str = ""

    def post(self, key: str, text: str | Callable[[str], str], *, explicit: bool = False) -> str:
        """Keep it, or fail as told."""
        if not self.problem:
            self.bodies[key] = text if isinstance(text, str) else text(self.bodies.get(key, ""))
        return self.problem

    def review(self, key: str, change: Review) -> str:
        """Keep it, or fail as told."""
        self.reviews.append((key, change))
        return self.problem


@dataclass
class RecordingDeployments:
    """Fake of ``Deployments``."""

    states: list[tuple[str, str]] = field(default_factory=list)
    problem: str = ""

    def record(self, environment: str, status: str, *, commit: str = "") -> str:
        """Keep it, or fail as told."""
        self.states.append((environment, status))
        return self.problem


@dataclass
class RecordingCommands:
    """Fake of ``Commands``: answers by program name."""

    answers: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], timeout: float) -> tuple[int, str]:
        """Answer as told; 0 without being told."""
        self.calls.append(tuple(argv))
        return self.answers.get(argv[0], (0, ""))


@dataclass
class ScriptedSignal:
    """Fake of ``SignalCheck``: comes at a time of the simulated clock."""

    clock: FakeClock
    at: float = float("inf")
    number: int = 15

    def __call__(self) -> int:
        """Return the number once its time has come."""
        return self.number if self.clock.monotonic() >= self.at else 0

    def abortable(self, work: Callable[[], T]) -> T | None:
        """Do it: nothing hangs on a simulated clock."""
        return work()


class ModelPorts:
    """``ServicePorts`` on fakes.

    Args:
        model: The world.
        service: Configuration; default: the minimum.
        driver: Who drives.
        cluster: Another actor on the model's cluster, for example with faults.
    """

    def __init__(
        self,
        model: ShopModel,
        service: ServiceConfig | None = None,
        *,
        driver: Driver = Driver("100", "1000", "https://gitlab.example/acme/shop/-/jobs/1000"),  # noqa: B008 - frozen
        cluster: MemoryCluster | None = None,
        environment: str = "production",
    ) -> None:
        self.model = model
        self.service = service or ServiceConfig("shop", "shop", RouteConfig(virtual_service="shop"))
        self.environment = environment
        self.driver = driver
        self.clock = model.clock
        self.console = RecordingConsole()
        self.cluster = cluster or model.cluster
        self.pod_proxy = self.cluster
        self.access = self.cluster
        self.router = build_router(self.cluster, self.service, self.clock)
        self.store = ConfigMapRolloutStore(self.cluster, self.service.name, self.service.namespace)
        self.lock = LeaseLock(
            self.cluster,
            self.service.name,
            self.service.namespace,
            duration_seconds=self.service.rollout.lease,
            clock=self.clock,
        )
        self.metrics: MetricSource = model.metrics
        self.notes = RecordingNotes()
        self.deployments = RecordingDeployments()
        self.commands = RecordingCommands()
        self.files = MemoryFiles()
        self.load = ScriptedLoad()
        self.signal = ScriptedSignal(self.clock)
        self.remaining_seconds: float | None = None
        self.report_url = f"{driver.url}/artifacts/file/mesh-out/report.html"

    def for_service(self, service: ServiceConfig) -> ModelPorts:
        """Return ports of another service, or of other settings, on the same world."""
        other = ModelPorts(self.model, service, driver=self.driver, cluster=self.cluster, environment=self.environment)
        other.console, other.metrics, other.signal = self.console, self.metrics, self.signal
        other.notes, other.deployments, other.commands = self.notes, self.deployments, self.commands
        other.files, other.load = self.files, self.load
        other.remaining_seconds, other.clock = self.remaining_seconds, self.clock
        return other
