"""``gitlab-mesh doctor`` (also ``gitlab-mesh job doctor``): the outside for the doctor, its report, its exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from gitlab_mesh.adapters.artifacts import DirectoryArtifacts
from gitlab_mesh.adapters.clock import Interrupts
from gitlab_mesh.adapters.console import CIConsole
from gitlab_mesh.adapters.kubernetes.kubeconfig import find_target
from gitlab_mesh.adapters.redaction import Redactor, secrets_of
from gitlab_mesh.cli.job import job
from gitlab_mesh.cli.run import write_artifacts
from gitlab_mesh.cli.wiring import Wiring
from gitlab_mesh.config.load import load_config
from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.report.wording import OUTCOME_TONE
from gitlab_mesh.gitlab import Connection, read_ci
from gitlab_mesh.job import NO_SERVICE, Job

__all__ = ["DoctorWiring", "doctor", "run_doctor_job"]

doctor = job.get_command(click.Context(job), "doctor")
"""The job's own command, under the name that people look for."""


class DoctorWiring:
    """``DoctorPorts`` on the real outside.

    Args:
        values: The command's options.
        overrides: ``--set``.
        environ: The process' environment.
        console: The job's log.
    """

    def __init__(
        self, values: Mapping[str, Any], overrides: Mapping[str, str], environ: Mapping[str, str], console: CIConsole
    ) -> None:
        self.env = environ
        self.console = console
        self.config = str(values.get("config") or "mesh.yaml")
        self._values = values
        self._overrides = overrides
        self._interrupts = Interrupts()
        self._interrupts.install()
        self._ci = read_ci(environ)

    @cached_property
    def gitlab(self) -> Connection:
        """GitLab, with every token that the job has."""
        return Connection(self._ci, interrupted=self._interrupts)

    @cached_property
    def clock(self) -> Any:
        """Time."""
        return self._wiring(NO_SERVICE).clock

    def services(self) -> Sequence[Wiring]:
        """Load ``mesh.yaml``; the chosen service, or each."""
        chosen = self._values.get("service")
        loaded = load_config(
            Path(self.config),
            environment=self._environment or None,
            service=chosen,
            env=self.env,
            overrides=self._overrides,
        )
        return [self._wiring(item) for name, item in loaded.config.services.items() if chosen in (None, "", name)]

    def cluster_name(self) -> str:
        """Say which cluster it is and what chose it."""
        return str(find_target(self._values.get("kube_context"), self.env))

    def credential_seconds(self) -> float | None:
        """How long the cluster's token lives, None where it has no end or renews itself."""
        return self._wiring(NO_SERVICE).credential_seconds

    @property
    def _environment(self) -> str:
        return str(self._values.get("environment") or self._ci.environment)

    def _wiring(self, service: ServiceConfig) -> Wiring:
        return Wiring(
            service,
            environment=self._environment,
            console=self.console,
            interrupts=self._interrupts,
            ci=self._ci,
            environ=self.env,
            kube_context=self._values.get("kube_context"),
        )


def run_doctor_job(
    found: Job, values: Mapping[str, Any], *, overrides: Mapping[str, str], environ: Mapping[str, str]
) -> int:
    """Run it, write the report, return the exit code."""
    redact = Redactor(secrets_of(environ))
    console = CIConsole(environ=environ, redact=redact)
    result = found.run(DoctorWiring(values, overrides, environ, console), values)
    write_artifacts(DirectoryArtifacts(Path(values.get("output") or "mesh-out"), redact=redact), result, console)
    console.line(result.report.headline, tone=OUTCOME_TONE[result.report.outcome].value)
    return result.exit_code
