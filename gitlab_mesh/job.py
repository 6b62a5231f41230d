"""The contract of a job: what ``gitlab-mesh job <name>`` runs.

A job composes: it asks the core, performs through ports, and answers with an ``Outcome``. It never builds an
adapter and never decides an exit code by itself: errors own codes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.analysis.custom import CustomSchemas
from gitlab_mesh.core.analysis.mesh_file import MeshFile
from gitlab_mesh.core.analysis.model import Document
from gitlab_mesh.core.analysis.reading import Manifests
from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.model import Report
from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh.ports import (
    Access,
    Artifacts,
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
    object), "paths" (the command's arguments, any number).
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


class FilePorts(Protocol):
    """Everything of the outside that a job about files may use (``Job.scope`` "files")."""

    @property
    def clock(self) -> Clock: ...
    @property
    def console(self) -> Console: ...
    @property
    def manifests(self) -> Manifests: ...
    @property
    def commands(self) -> Commands: ...
    @property
    def artifacts(self) -> Artifacts | None:
        """Directory for reports; None where nobody asked for one."""

    @property
    def colour(self) -> bool:
        """Whether standard output shows colour."""

    def output(self, text: str) -> None:
        """Write to standard output."""

    def read_file(self, path: str) -> str:
        """Read a text file; UsageError if that fails."""

    def write_file(self, path: str, text: str) -> None:
        """Write a text file; UsageError if that fails."""

    @property
    def merge_base(self) -> str:
        """Commit from which the merge request of this pipeline goes out; empty outside of one."""

    def former(self, reference: str) -> Mapping[str, bytes | None]:
        """Read what the changed files were at the merge base with ``reference`` (None: they were not)."""

    def live(self) -> list[Document]:
        """Read the objects that rules are about from the cluster."""

    def mesh_file(self) -> MeshFile:
        """Read ``mesh.yaml`` (GITLAB_MESH_CONFIG), if there is one; its mistakes are problems of it, no error."""

    def crds(self, path: str) -> CustomSchemas:
        """Read CustomResourceDefinitions; UsageError if there are none, or their libraries are not installed."""


_FORMATS = ("text", "json", "sarif", "junit", "codequality", "sast")
_LEVELS = ("error", "warning", "info")

FILE_OPTIONS = (
    JobOption(
        "paths", "Files, directories, globs, or - for standard input; default: the working directory.", kind="paths"
    ),
    JobOption("format", "What is written to standard output.", kind="choice", default="text", choices=_FORMATS),
    JobOption(
        "fail-on",
        "Findings from this level on end the job with code 13.",
        kind="choice",
        default="error",
        choices=(*_LEVELS, "never"),
    ),
    JobOption("level", "Leave out what is below it.", kind="choice", default="info", choices=_LEVELS),
    JobOption("inventory", "File or directory with objects that exist elsewhere (gitlab-mesh inventory export)."),
    JobOption("live", "Take the inventory from the cluster.", kind="flag"),
    JobOption("kube-context", "Context of the kubeconfig, for --live."),
    JobOption("complete", "Files and inventory are everything: what is missing is an error.", kind="flag"),
    JobOption("assume", "Hosts that exist elsewhere, with commas: pay.shop.svc.cluster.local,*.example.com."),
    JobOption("mesh-config", "File with Istio's MeshConfig."),
    JobOption("crds", "File or directory with CustomResourceDefinitions whose schemas and rules (CEL) hold."),
    JobOption("cluster-domain", "Domain of the cluster's services.", default="cluster.local"),
    JobOption("root-namespace", "Istio's root namespace.", default="istio-system"),
    JobOption("changed", "Only findings that the changes since the merge base with this reference cause: origin/main."),
    JobOption("baseline", "File of known findings; only new ones count."),
    JobOption("write-baseline", "Write today's findings as the baseline into this file, and pass.", kind="flag"),
    JobOption("output", "Directory for reports (code quality, SAST, SARIF, JUnit, page)."),
)
"""Options of every job about files."""


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
        options: Besides ``--service``, ``--config``, ``--environment``, which every job about a service has.
        run: The work; gets ``ServicePorts``, or ``FilePorts`` where the scope is "files".
        scope: "service": about one service of ``mesh.yaml``; "files": about files, with ``FilePorts``;
            "target": about one service, or without ``mesh.yaml`` about none (then ``ports.service`` is ``NO_SERVICE``);
            "doctor": about the setup, with the ports of ``gitlab_mesh_jobs.doctor.model``.
        note: Whether its report belongs into the merge request's note.
        package: Python package that holds ``template.yml.j2`` and ``README.md``.
        api: Must equal ``JOB_API``.
    """

    name: str
    summary: str
    run: Callable[[Any, Mapping[str, Any]], JobResult]
    options: tuple[JobOption, ...] = ()
    note: bool = False
    package: str = ""
    api: int = JOB_API
    scope: str = "service"
