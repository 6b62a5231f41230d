"""``gitlab-mesh init``: find out what the project releases, ask what only a person knows, write the first files."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from gitlab_mesh.errors import AccessDeniedError, GitlabMeshError, ObjectMissingError, UsageError
from gitlab_mesh.scaffold import Candidate, Source, discover, include_into, render_mesh_yaml, render_pipeline

__all__ = ["init"]

_PIPELINE = ".gitlab-ci.yml"
_OWN_PIPELINE = ".gitlab/mesh.gitlab-ci.yml"
_KINDS = ("Deployment", "Service", "VirtualService", "DestinationRule", "HTTPRoute")
# Rights of a GitLab agent lie in the repository that it is registered in (docs, "Installing the agent").
_AGENTS = ".gitlab/agents/*/config.yaml"


@click.command()
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--live", is_flag=True, help="Look into the cluster, too: what is applied there goes before the files.")
@click.option("--kube-context", envvar="GITLAB_MESH_KUBE_CONTEXT", help="Context of the kubeconfig, for --live.")
@click.option("--namespace", default="", help="Namespace of objects that name none; with --live the one to look into.")
@click.option("--service", "chosen", multiple=True, help="Only this service; may be given several times.")
@click.option("--include-project", default="", help="Project of this GitLab with the templates; default: copy them.")
@click.option("--include-ref", default="", help="Its tag or branch.")
@click.option("--directory", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="The checkout.")
@click.option("--yes", is_flag=True, help="Ask nothing: take the defaults, fail where there is none.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def init(**values: Any) -> None:
    """Write .gitlab-ci.yml and mesh.yaml for what is found in PATHS (manifests; default: the checkout)."""
    asker = _Asker(silent=values["yes"] or not _is_terminal())
    directory: Path = values["directory"]
    objects = _read_files(values["paths"] or (str(directory),))
    found = discover(objects)
    if values["live"] or not found:
        found = _merge(found, discover([*_read_cluster(values, required=values["live"]), *objects]))
    found = [item for item in found if not values["chosen"] or item.name in values["chosen"]]
    if not found:
        raise UsageError(
            "nothing that could be released was found",
            why="that takes a Deployment and a VirtualService (or HTTPRoute) that leads to its Service",
            hint="name the manifests (helm template … | gitlab-mesh init -), or look into the cluster: --live "
            "--namespace NAME",
        )
    services = [asker.complete(item, values["namespace"]) for item in found]
    source = Source(values["include_project"] or asker.project(), values["include_ref"])
    texts = _plan(directory, services, source, kube_context=_agent_context(directory))
    _write(directory, texts, asker, force=values["force"])
    _tell_rest(services)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _read_files(paths: Sequence[str]) -> list[Mapping[str, Any]]:
    from gitlab_mesh.adapters.manifests import FileManifests

    read = FileManifests().read(paths)
    broken = sorted({problem.document.file for problem in read.problems})
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        click.echo(f"left aside, no plain YAML (a Helm template?): {broken[0]}{more}", err=True)
    return [document.body for document in read.documents]


def _read_cluster(values: Mapping[str, Any], *, required: bool) -> list[Mapping[str, Any]]:
    """List what a release is about; without --live a cluster that cannot be asked is no reason to stop."""
    import os

    from gitlab_mesh.adapters.kubernetes.client import KubernetesCluster, connect

    objects: list[Mapping[str, Any]] = []
    denied: list[AccessDeniedError] = []
    try:
        cluster = KubernetesCluster(connect(values["kube_context"], os.environ))
        for kind in _KINDS:
            try:
                objects += [{**item, "kind": kind} for item in cluster.list(kind, values["namespace"])]
            except ObjectMissingError:  # a kind that this cluster does not know
                continue
            except AccessDeniedError as error:  # who uses VirtualServices needs no right on HTTPRoutes
                denied.append(error)
        if denied and not objects:
            raise denied[0]
    except GitlabMeshError as error:
        if required:
            raise
        click.echo(f"the cluster was not asked: {error.what}", err=True)
    return objects


def _merge(files: Sequence[Candidate], live: Sequence[Candidate]) -> list[Candidate]:
    names = {item.name for item in live}
    return [*live, *(item for item in files if item.name not in names)]


@dataclass(frozen=True)
class _Asker:
    """Asks a person; silent, it takes the default and refuses where there is none."""

    silent: bool

    def complete(self, found: Candidate, namespace: str) -> Candidate:
        """Return the candidate with every choice made."""
        click.echo(f"found {found.name}: {found.kind} {found.route}, Deployment {found.workload or '?'}", err=True)
        space = found.namespace or namespace
        if not space:
            space = self._text(f"Namespace of {found.name}", f"--namespace, or metadata.namespace of {found.route}")
        if not found.workload:
            name = self._choice(f"Deployment of {found.name}", found.workload_choices)
            found = replace(found, workload=name)
        if found.container_choices:
            container = self._choice(f"Container of {found.workload} that is released", found.container_choices)
            found = replace(found, container=container)
        if len(found.http_choices) > 1 and not self.silent:
            told = click.prompt(
                f"HTTP routes of {found.route} that share the canary, with commas ({', '.join(found.http_choices)})",
                default=",".join(found.http), err=True,
            )  # fmt: skip
            found = replace(found, http=tuple(part.strip() for part in told.split(",") if part.strip()))
        return replace(found, namespace=space)

    def project(self) -> str:
        """Return the project that holds the templates, "" to copy them."""
        question = "Project of this GitLab that holds the templates (empty: copy them into this repository)"
        return "" if self.silent else str(click.prompt(question, default="", show_default=False, err=True))

    def confirm(self, question: str) -> bool:
        """Return a person's yes; nobody there is a no."""
        return not self.silent and click.confirm(question, err=True)

    def _text(self, question: str, hint: str) -> str:
        if self.silent:
            raise UsageError(f"{question}: nothing says it", hint=f"say it: {hint}")
        return str(click.prompt(question, err=True))

    def _choice(self, question: str, choices: Sequence[str]) -> str:
        if self.silent:
            raise UsageError(
                f"{question}: could be {', '.join(choices)}",
                hint="run it without --yes at a terminal, or name --service",
            )
        return str(click.prompt(question, type=click.Choice(choices), err=True))


def _agent_context(directory: Path) -> str:
    """Return the context of the repository's own GitLab agent, where it has exactly one."""
    agents = sorted(path.parent.name for path in directory.glob(_AGENTS))
    return f"$CI_PROJECT_PATH:{agents[0]}" if len(agents) == 1 else ""


def _plan(directory: Path, services: Sequence[Candidate], source: Source, *, kube_context: str) -> dict[str, str]:
    """Return the text of every file by its path."""
    from gitlab_mesh import __version__
    from gitlab_mesh.templating import RELEASE_FILE, render_templates
    from gitlab_mesh_jobs import JOBS

    texts = {"mesh.yaml": render_mesh_yaml(services)}
    if not source.project:
        texts[f"ci-templates/{RELEASE_FILE}"] = render_templates(JOBS, __version__)[RELEASE_FILE]
    pipeline = render_pipeline(services, source, kube_context=kube_context)
    there = _present(directory / _PIPELINE)
    if there is None or there == pipeline:
        return {**texts, _PIPELINE: pipeline}
    if re.search(rf"(?m)^[^#\n]*{re.escape(RELEASE_FILE)}", there):  # the project has it already, its own way
        return {"mesh.yaml": texts["mesh.yaml"]}
    joined = include_into(there, _OWN_PIPELINE)
    if joined is None:
        raise UsageError(
            f"{_PIPELINE} cannot be edited by a program",
            hint=f"write `- local: {_OWN_PIPELINE}` into its include, run it again, and keep this in that file:\n"
            + pipeline,
        )
    return {**texts, _OWN_PIPELINE: pipeline, _PIPELINE: joined}


def _present(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read", why=str(error)) from error


def _write(directory: Path, texts: Mapping[str, str], asker: _Asker, *, force: bool) -> None:
    """Show what would change; write all of it or, where somebody's file would be overwritten unasked, nothing."""
    former = {name: _present(directory / name) for name in texts}
    changed = [name for name, text in texts.items() if former[name] != text]
    for name in changed:
        _show(name, former[name], texts[name])
    in_the_way = [name for name in changed if former[name] is not None]
    if in_the_way and not force and not asker.confirm(f"Overwrite {', '.join(in_the_way)}?"):
        raise UsageError(
            f"{', '.join(in_the_way)} would be overwritten; nothing was written", hint="look at the diff, then --force"
        )
    for name in changed:
        path = directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts[name], encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be written", why=str(error.strerror)) from error
        click.echo(f"{'written' if former[name] is None else 'changed'}: {path}", err=True)
    if not changed:
        click.echo("everything is there already", err=True)


def _show(name: str, former: str | None, text: str) -> None:
    """Print a diff; of a copied template only that it is new."""
    if former is None and name.startswith("ci-templates/"):
        click.echo(
            f"--- /dev/null\n+++ {name}  ({len(text.splitlines())} lines, as gitlab-mesh template render has it)"
        )
        return
    lines = difflib.unified_diff(
        (former or "").splitlines(), text.splitlines(), name if former is not None else "/dev/null", name, lineterm=""
    )
    paint: Callable[[str], str] = _painted if sys.stdout.isatty() else str
    for line in lines:
        click.echo(paint(line))


def _painted(line: str) -> str:
    colour = {"+": "green", "-": "red"}.get(line[:1])
    return click.style(line, fg=colour) if colour else line


def _tell_rest(services: Sequence[Candidate]) -> None:
    """Say what is left for a person."""
    rest = [line for item in services for line in item.todo]
    rest += [
        "for notes in merge requests: variable GITLAB_MESH_TOKEN (masked, not protected), a project access token",
        "give the job's account its rights: gitlab-mesh rbac render | kubectl apply -f -",
        "commit, and check the rest from inside a job: GITLAB_MESH_WITH_DOCTOR=true, or gitlab-mesh doctor here",
    ]
    for number, line in enumerate(rest, start=1):
        click.echo(f"{number}. {line}", err=True)
