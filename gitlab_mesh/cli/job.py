"""``gitlab-mesh job <name>``: one subcommand a registered job, its options from the job's own declaration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from gitlab_mesh.errors import UsageError
from gitlab_mesh.job import Job, JobOption

__all__ = ["job"]


class _JobGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        from gitlab_mesh.cli.plugins import load_jobs

        return sorted(load_jobs())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from gitlab_mesh.cli.plugins import load_jobs

        found = load_jobs().get(cmd_name)
        return None if found is None else _command(found)


@click.group(cls=_JobGroup)
def job() -> None:
    """Run one job; ``gitlab-mesh job <name> --help`` shows its options."""


def _command(found: Job) -> click.Command:
    def callback(**values: Any) -> None:
        raise SystemExit(_run(found, values))

    common: list[click.Parameter] = [
        _option(JobOption("service", "Service in mesh.yaml; default: the only one.")),
        _option(JobOption("config", "Path of mesh.yaml.", default="mesh.yaml")),
        _option(JobOption("environment", "Environment whose overrides apply; default: CI_ENVIRONMENT_NAME.")),
        _option(JobOption("kube-context", "Context of the kubeconfig.")),
        _option(JobOption("output", "Directory for report.html, report.json, …", default="mesh-out")),
        click.Option(["--set"], multiple=True, metavar="PATH=VALUE", help="Override a setting of the service."),
    ]
    own = [_option(option) for option in found.options]
    params = own if found.scope == "files" else [*common, *own]
    return click.Command(found.name, params=params, callback=callback, help=found.summary)


def _option(option: JobOption) -> click.Parameter:
    if option.kind == "paths":
        return click.Argument([option.name], nargs=-1, envvar=f"GITLAB_MESH_{option.name.upper()}")
    kinds: Mapping[str, Any] = {
        "choice": click.Choice(option.choices),
        "seconds": click.FLOAT,
        "deployment": click.Path(),
    }
    return click.Option(
        [f"--{option.name}"],
        help=option.help,
        is_flag=option.kind == "flag",
        type=None if option.kind == "flag" else kinds.get(option.kind, click.STRING),
        default=option.default,
        required=option.required,
        show_default=option.default is not None,
        envvar=f"GITLAB_MESH_{option.name.upper().replace('-', '_')}",
    )


def _run(found: Job, values: dict[str, Any]) -> int:
    if found.scope == "files":
        from gitlab_mesh.cli.run_files import run_files_job

        return run_files_job(found, values, environ=os.environ)
    overrides = dict(_split(item) for item in values.pop("set", ()))
    if found.scope == "doctor":
        from gitlab_mesh.cli.doctor import run_doctor_job

        return run_doctor_job(found, values, overrides=overrides, environ=os.environ)
    from gitlab_mesh.cli.run import run_job

    return run_job(found, values, overrides=overrides, environ=os.environ)


def _split(item: str) -> tuple[str, str]:
    key, sign, value = item.partition("=")
    if not sign:
        raise UsageError(f"--set {item}: expected PATH=VALUE", hint="for example --set rollout.step_bake=30s")
    return key, value
