"""Building the adapters and handing them to a job as ports; each is built at its first use."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import PurePosixPath

from gitlab_mesh.adapters.ci_env import CIContext, driver_from
from gitlab_mesh.adapters.clock import Interrupts, SystemClock
from gitlab_mesh.adapters.commands import SubprocessCommands
from gitlab_mesh.adapters.credentials import token_end, token_of
from gitlab_mesh.adapters.gitlab import build_feedback
from gitlab_mesh.adapters.kubernetes.client import KubernetesAccess, KubernetesCluster, KubernetesPodProxy, connect
from gitlab_mesh.adapters.kubernetes.connection import Connection
from gitlab_mesh.adapters.kubernetes.kubeconfig import find_target
from gitlab_mesh.adapters.kubernetes.lock import LeaseLock
from gitlab_mesh.adapters.kubernetes.routers import build_router
from gitlab_mesh.adapters.kubernetes.store import ConfigMapRolloutStore
from gitlab_mesh.adapters.load.files import ProjectFiles
from gitlab_mesh.adapters.load.plugin import BUILTIN
from gitlab_mesh.adapters.metrics.plugin import SourceContext
from gitlab_mesh.cli.plugins import LOAD_ENGINE_API, METRIC_SOURCE_API, load_group
from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.record import Driver
from gitlab_mesh.errors import ConfigError
from gitlab_mesh.ports import Console, Deployments, LoadGenerator, MergeRequestNotes, MetricSource, TrafficRouter

__all__ = ["Wiring"]


class Wiring:
    """``ServicePorts`` of one service on the real outside.

    Args:
        service: Its configuration.
        environment: Name of the GitLab environment, or "".
        console: The job's log.
        interrupts: Signals.
        ci: What GitLab CI says.
        environ: The process' environment.
        kube_context: Context of the kubeconfig, or None.
        output: Directory of the reports, as given.
    """

    def __init__(
        self,
        service: ServiceConfig,
        *,
        environment: str,
        console: Console,
        interrupts: Interrupts,
        ci: CIContext,
        environ: Mapping[str, str],
        kube_context: str | None,
        output: str = "mesh-out",
    ) -> None:
        self.service = service
        self.environment = environment
        self.console = console
        self.signal = interrupts
        self.clock = SystemClock(interrupts)
        self._ci = ci
        self._environ = environ
        self._kube_context = kube_context
        self._output = output

    def for_service(self, service: ServiceConfig) -> Wiring:
        """Return the wiring of another service, or of this one with other settings; the connections are shared."""
        other = Wiring(
            service,
            environment=self.environment,
            console=self.console,
            interrupts=self.signal,
            ci=self._ci,
            environ=self._environ,
            kube_context=self._kube_context,
            output=self._output,
        )
        other.__dict__["_connection"] = self._connection  # fills the cached property
        other.__dict__["_feedback"] = self._feedback
        return other

    @property
    def driver(self) -> Driver:
        """Who drives: this CI job, or this very process of this machine."""
        found = driver_from(self._ci)
        if found.pipeline or found.job:
            return found
        machine = "".join(char if char.isalnum() else "-" for char in socket.gethostname().lower())[:40].strip("-")
        return replace(found, job=f"local-{machine}-{os.getpid()}")

    @property
    def report_url(self) -> str:
        """Where GitLab shows the report page once the artifacts are uploaded."""
        path = PurePosixPath(self._output)
        if not self._ci.job_url or path.is_absolute() or ".." in path.parts:
            return ""
        return f"{self._ci.job_url}/artifacts/file/{path}/report.html"

    @property
    def remaining_seconds(self) -> float | None:
        """Time that the CI job has left, and no more than the cluster's credential has."""
        limits = (self._ci.remaining_seconds(self.clock.now()), self.credential_seconds)
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def credential_seconds(self) -> float | None:
        """How long the cluster's token lives; None where it has no end, or renews itself."""
        end = token_end(token_of(find_target(self._kube_context, self._environ)))
        return None if end is None else end - self.clock.now().timestamp()

    @cached_property
    def cluster(self) -> KubernetesCluster:
        """The Kubernetes API."""
        return KubernetesCluster(self._connection)

    @cached_property
    def pod_proxy(self) -> KubernetesPodProxy:
        """Pods through the Kubernetes API."""
        return KubernetesPodProxy(self._connection)

    @cached_property
    def access(self) -> KubernetesAccess:
        """Our rights."""
        return KubernetesAccess(self._connection)

    @cached_property
    def router(self) -> TrafficRouter:
        """The service's route."""
        return build_router(self.cluster, self.service, self.clock)

    @cached_property
    def store(self) -> ConfigMapRolloutStore:
        """The rollout record."""
        return ConfigMapRolloutStore(self.cluster, self.service.name, self.service.namespace)

    @cached_property
    def lock(self) -> LeaseLock:
        """The service's Lease."""
        return LeaseLock(
            self.cluster,
            self.service.name,
            self.service.namespace,
            duration_seconds=self.service.rollout.lease,
            clock=self.clock,
        )

    @cached_property
    def metrics(self) -> MetricSource:
        """The metric source that ``mesh.yaml`` names."""
        plugins = load_group("gitlab_mesh.metric_sources", METRIC_SOURCE_API)
        config = self.service.metrics
        if config.source not in plugins:
            raise ConfigError(
                f"metrics.source {config.source!r} is not known",
                why=f"installed are {', '.join(sorted(plugins))}",
                hint="correct it in mesh.yaml, or install the plug-in",
            )
        context = SourceContext(self.clock, self.pod_proxy, self._list_pods, self._environ)
        source: MetricSource = plugins[config.source].build(config, context)
        return source

    @cached_property
    def _feedback(self) -> tuple[MergeRequestNotes, Deployments]:
        links = {name.lower(): url for name, url in self.service.links.items()}
        return build_feedback(self._ci, interrupted=self.signal, environment_url=links.get("environment", ""))

    @property
    def notes(self) -> MergeRequestNotes:
        """The note in the merge request."""
        return self._feedback[0]

    @property
    def deployments(self) -> Deployments:
        """GitLab's deployment records."""
        return self._feedback[1]

    @cached_property
    def commands(self) -> SubprocessCommands:
        """Programs of this environment."""
        return SubprocessCommands()

    @cached_property
    def files(self) -> ProjectFiles:
        """Files of the project."""
        return ProjectFiles()

    @cached_property
    def load(self) -> LoadGenerator:
        """The load engine that ``mesh.yaml`` names."""
        plugins = {**load_group("gitlab_mesh.load_engines", LOAD_ENGINE_API), BUILTIN.name: BUILTIN}
        name = self.service.load.engine
        if name not in plugins:
            raise ConfigError(
                f"load.engine {name!r} is not known",
                why=f"installed are {', '.join(sorted(plugins))}",
                hint="correct it in mesh.yaml, or install the plug-in",
            )
        generator: LoadGenerator = plugins[name].build(self._environ)
        return generator

    @cached_property
    def _connection(self) -> Connection:
        return connect(self._kube_context, self._environ, sleep=self.clock.sleep)

    def _list_pods(self, namespace: str, selector: str) -> Sequence[str]:
        return [pod["metadata"]["name"] for pod in self.cluster.list("Pod", namespace, label_selector=selector)]
