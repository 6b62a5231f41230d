"""``gitlab-mesh config``: what is in force and why, the JSON Schema, the reference."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["config"]


@click.group()
def config() -> None:
    """Show the settings with their origins; print the schema and the reference of mesh.yaml."""


@config.command()
@click.option("--config", "path", default="mesh.yaml", show_default=True, envvar="GITLAB_MESH_CONFIG", help="The file.")
@click.option("--service", envvar="GITLAB_MESH_SERVICE", help="Only this service; default: all.")
@click.option(
    "--environment",
    envvar=["GITLAB_MESH_ENVIRONMENT", "CI_ENVIRONMENT_NAME"],
    help="Environment whose overrides apply; default: CI_ENVIRONMENT_NAME.",
)
@click.option("--set", "settings", multiple=True, metavar="PATH=VALUE", help="Override a setting, as in a job.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def show(path: str, service: str | None, environment: str | None, settings: tuple[str, ...], form: str) -> None:
    """Show every setting in force, and who said it: option, variable, file with line, or default."""
    import json
    import os

    from gitlab_mesh.config.load import load_config
    from gitlab_mesh.config.show import list_rows, render_json, render_rows

    loaded = load_config(
        Path(path),
        environment=environment or None,
        service=service or None,
        env=os.environ,
        overrides=_split(settings),
    )
    chosen = [found for name, found in loaded.config.services.items() if not service or name == service]
    if form == "json":
        services = {found.name: render_json(list_rows(loaded, found)) for found in chosen}
        document = {"file": loaded.source, "environment": loaded.config.environment, "services": services}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for number, found in enumerate(chosen):
        where = f", environment {environment}" if environment else ""
        click.echo(f"{'' if number == 0 else chr(10)}service {found.name} ({loaded.source}{where})")
        click.echo(render_rows(list_rows(loaded, found)))


@config.command()
def schema() -> None:
    """Print the JSON Schema of mesh.yaml, for editors and checkers."""
    from gitlab_mesh.config.schema import render_schema_text

    click.echo(render_schema_text(), nl=False)


@config.command()
@click.option("--update", type=click.Path(exists=True, dir_okay=False), help="Write it into this page instead.")
def reference(update: str | None) -> None:
    """Print the reference of mesh.yaml as Markdown."""
    from gitlab_mesh.config.reference import insert_reference, render_reference

    if update is None:
        click.echo(render_reference(), nl=False)
        return
    page = Path(update)
    page.write_text(insert_reference(page.read_text(encoding="utf-8")), encoding="utf-8")


def _split(settings: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for setting in settings:
        path, sign, value = setting.partition("=")
        if not sign:
            raise click.UsageError(f"--set {setting}: write PATH=VALUE, such as rollout.step_bake=90s")
        found[path] = value
    return found
