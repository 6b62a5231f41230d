"""Running one job about files: ports, standard output, reports, exit code."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gitlab_mesh.adapters.artifacts import DirectoryArtifacts
from gitlab_mesh.adapters.clock import Interrupts, SystemClock
from gitlab_mesh.adapters.commands import SubprocessCommands
from gitlab_mesh.adapters.console import CIConsole
from gitlab_mesh.adapters.manifests import FileManifests
from gitlab_mesh.core.analysis.custom import CustomSchemas
from gitlab_mesh.core.analysis.mesh_file import MeshFile
from gitlab_mesh.core.analysis.model import Document
from gitlab_mesh.core.report.model import Link, LinksSection, Report
from gitlab_mesh.errors import GitlabMeshError, UsageError
from gitlab_mesh.job import Job
from gitlab_mesh.ports import Artifacts, Clock, Commands, Console

__all__ = ["FileWiring", "run_files_job"]


class FileWiring:
    """``FilePorts`` on the real outside.

    Args:
        environ: The process' environment.
        output: Directory for reports, or empty.
        kube_context: Context of the kubeconfig, for live objects.
    """

    def __init__(self, environ: Mapping[str, str], *, output: str = "", kube_context: str | None = None) -> None:
        self._environ = environ
        self._kube_context = kube_context
        self.console: Console = CIConsole(environ=environ)
        self.manifests = FileManifests()
        self.artifacts: Artifacts | None = DirectoryArtifacts(Path(output)) if output else None

    @cached_property
    def clock(self) -> Clock:
        """Time."""
        return SystemClock(Interrupts())

    @cached_property
    def commands(self) -> Commands:
        """Programs (git)."""
        return SubprocessCommands()

    @property
    def colour(self) -> bool:
        """Whether standard output shows colour."""
        if "NO_COLOR" in self._environ:
            return False
        return sys.stdout.isatty() or bool(self._environ.get("FORCE_COLOR") or self._environ.get("GITLAB_CI"))

    def output(self, text: str) -> None:
        """Write to standard output."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def read_file(self, path: str) -> str:
        """Read a text file."""
        try:
            return Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read", why=str(error)) from error

    def write_file(self, path: str, text: str) -> None:
        """Write a text file."""
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be written", why=str(error.strerror)) from error

    @property
    def merge_base(self) -> str:
        """Commit from which the merge request goes out (GitLab sets it in its pipelines)."""
        return self._environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", "")

    def former(self, reference: str) -> Mapping[str, bytes | None]:
        """Read what the changed files were at the merge base."""
        from gitlab_mesh.adapters.git_base import read_base

        return read_base(reference)

    def live(self) -> list[Document]:
        """Read the objects that rules are about from the cluster."""
        from gitlab_mesh.adapters.inventory import read_live
        from gitlab_mesh.adapters.kubernetes.client import KubernetesCluster, connect

        return read_live(KubernetesCluster(connect(self._kube_context, self._environ)))

    def mesh_file(self) -> MeshFile:
        """Read ``mesh.yaml``, if there is one."""
        path = Path(self._environ.get("GITLAB_MESH_CONFIG") or "mesh.yaml")
        if not path.is_file():
            return MeshFile()
        from gitlab_mesh.cli.mesh_file import read_mesh_file

        return read_mesh_file(path)

    def crds(self, path: str) -> CustomSchemas:
        """Read CustomResourceDefinitions."""
        from gitlab_mesh.adapters.crds import Crds

        found = FileManifests().read([path]).documents
        return Crds(item for item in found if item.kind == "CustomResourceDefinition")


def run_files_job(job: Job, values: Mapping[str, Any], *, environ: Mapping[str, str]) -> int:
    """Run the job and return its exit code, which never depends on the format."""
    running = gc.isenabled()
    gc.disable()  # what is read lives to the end, hundreds of thousands of containers: collecting them frees nothing
    try:
        return _run(job, values, environ)
    finally:
        if running:
            gc.enable()


def _run(job: Job, values: Mapping[str, Any], environ: Mapping[str, str]) -> int:
    options = {name.replace("-", "_"): value for name, value in values.items()}
    wiring = FileWiring(environ, output=options.get("output") or "", kube_context=options.get("kube_context"))
    try:
        result = job.run(wiring, options)
    except GitlabMeshError as error:
        wiring.console.line(str(error), tone="bad")
        return error.exit_code
    report = _with_links(result.report, environ, output=options.get("output") or "")
    if wiring.artifacts is not None:
        _write(wiring.artifacts, report, wiring.console)
    if job.note:
        _post(report, wiring.console, environ)
    return result.exit_code


def _with_links(report: Report, environ: Mapping[str, str], *, output: str) -> Report:
    """Add where GitLab shows the job and, once its artifacts are uploaded, the report."""
    address = environ.get("CI_JOB_URL", "")
    if not address:
        return report
    links = [Link("Job log", address)]
    if output and not Path(output).is_absolute() and ".." not in Path(output).parts:
        links.append(Link("Report", f"{address}/artifacts/file/{Path(output).as_posix()}/report.html"))
    return replace(report, sections=(*report.sections, LinksSection(tuple(links))))


def _post(report: Report, console: Console, environ: Mapping[str, str]) -> None:
    """Write the job's own note; only in a pipeline of a merge request, and whatever happens, the exit code stays.

    The colon in its key tells it from the notes of services.
    """
    if not (environ.get("CI_MERGE_REQUEST_IID") or environ.get("CI_OPEN_MERGE_REQUESTS")):
        return
    from gitlab_mesh.adapters.ci_env import read_ci
    from gitlab_mesh.adapters.gitlab import build_feedback
    from gitlab_mesh.core.report.renderers import carry_history, render_note

    notes, _ = build_feedback(read_ci(environ))
    problem = notes.post(f"{report.job}:findings", lambda former: render_note(report, carry_history(former, report)))
    if problem:
        console.line(problem, tone="warn")


def _write(artifacts: Artifacts, report: Report, console: Console) -> None:
    from gitlab_mesh.core.report.renderers import render_dotenv, render_html, render_json, render_note

    for name, render in (
        ("report.json", render_json),
        ("report.html", render_html),
        ("mesh.env", render_dotenv),
        ("note.md", render_note),
    ):
        problem = artifacts.write(name, render(report))
        if problem:
            console.line(problem, tone="warn")
