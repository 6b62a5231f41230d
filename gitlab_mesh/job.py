"""The contract of a job: what ``gitlab-mesh job <name>`` runs.

A job composes: it asks the core, performs through ports, and answers with an ``Outcome``. It never builds an
adapter and never decides an exit code by itself: errors own codes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.model import Report
from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh.ports import (
    Access,
    Clock,
    Cluster,
    Commands,
    Console,
    Deployments,
    Files,
    LoadGenerator,
    Lock,
    MergeRequestNotes,
    MetricSource,
    PodProxy,
    RolloutStore,
    Signals,
    TrafficRouter,
)

__all__ = ["JOB_API", "NO_SERVICE", "Job", "JobOption", "JobResult", "ServicePorts"]

JOB_API = 1
"""Raised when the contract of plug-ins changes; checked when a plug-in is loaded."""


NO_SERVICE = ServiceConfig("", "")
"""The service of a job that is about none: everything is at its default, and its name is empty."""


@dataclass(frozen=True, slots=True)
class JobOption:
    """One option of a job's command line; also an environment variable ``GITLAB_MESH_<NAME>``.

    ``kind``: "text", "flag", "choice" (with ``choices``), "seconds", "deployment" (a YAML file; the job gets the
    object).
    """

    name: str
    help: str
    kind: str = "text"
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()


class ServicePorts(Protocol):
    """Everything of the outside that a job about one service may use; each is built at its first use."""

    @property
    def service(self) -> ServiceConfig: ...
    @property
    def environment(self) -> str: ...
    @property
    def driver(self) -> Driver: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def console(self) -> Console: ...
    @property
    def cluster(self) -> Cluster: ...
    @property
    def pod_proxy(self) -> PodProxy: ...
    @property
    def access(self) -> Access: ...
    @property
    def router(self) -> TrafficRouter: ...
    @property
    def store(self) -> RolloutStore: ...
    @property
    def lock(self) -> Lock: ...
    @property
    def metrics(self) -> MetricSource: ...
    @property
    def notes(self) -> MergeRequestNotes: ...
    @property
    def deployments(self) -> Deployments: ...
    @property
    def report_url(self) -> str:
        """Where the report page will be once the job's artifacts are uploaded; empty where nobody knows."""

    @property
    def commands(self) -> Commands: ...
    @property
    def files(self) -> Files: ...
    @property
    def load(self) -> LoadGenerator: ...
    @property
    def signal(self) -> Signals: ...
    def for_service(self, service: ServiceConfig) -> ServicePorts:
        """Return the ports of another service, or of this one with other settings, on the same outside."""

    @property
    def remaining_seconds(self) -> float | None:
        """Time that the CI job has left, None where nobody knows."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended: the report, and the error whose exit code it has (None: 0).

    ``stdout`` is what a machine asked for (``--format json``); ``files`` go beside the report, by name.
    """

    report: Report
    error: GitlabMeshError | None = None
    stdout: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Exit code of the process."""
        return self.error.exit_code if self.error else 0


@dataclass(frozen=True, slots=True)
class Job:
    """One job.

    Attributes:
        name: On the command line, kebab-case.
        summary: One line for ``--help``.
        options: Besides ``--service``, ``--config``, ``--environment``, which every job has.
        run: The work.
        scope: "service": about one service of ``mesh.yaml``;
            "target": about one service, or without ``mesh.yaml`` about none (then ``ports.service`` is ``NO_SERVICE``).
        note: Whether its report belongs into the merge request's note.
        across: Whether it may run without ``mesh.yaml`` (``--namespace``, ``--all``), on what it finds in the cluster.
        without_service: Whether it may run about no service: ``ports.service`` is then ``NO_SERVICE``.
        package: Python package that holds ``template.yml.j2`` and ``README.md``.
        api: Must equal ``JOB_API``.
    """

    name: str
    summary: str
    run: Callable[[ServicePorts, Mapping[str, Any]], JobResult]
    options: tuple[JobOption, ...] = ()
    note: bool = False
    across: bool = False
    scope: str = "service"
    package: str = ""
    api: int = JOB_API
