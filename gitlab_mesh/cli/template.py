"""``gitlab-mesh template``: write the CI templates, or check that the checked-in ones are current."""

from __future__ import annotations

from pathlib import Path

import click

from gitlab_mesh import __version__
from gitlab_mesh.errors import FindingsError, UsageError

__all__ = ["template"]

_OUTPUT = click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("ci-templates"),
    show_default=True,
    help="Directory of the templates.",
)


@click.group()
def template() -> None:
    """Write the CI templates that projects include, or check that they are current."""


@template.command()
@_OUTPUT
def render(output: Path) -> None:
    """Write the templates of the built-in jobs."""
    from gitlab_mesh.templating import render_templates, write_templates
    from gitlab_mesh_jobs import JOBS

    rendered = render_templates(JOBS, __version__)
    try:
        write_templates(output, rendered)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}", hint="choose another --output") from error
    for name in rendered:
        click.echo(output / name)


@template.command()
@_OUTPUT
def check(output: Path) -> None:
    """Compare the templates with what would be written; exit code 13 if they differ."""
    from gitlab_mesh.templating import RENDER_COMMAND, find_stale, render_templates
    from gitlab_mesh_jobs import JOBS

    problems = find_stale(output, render_templates(JOBS, __version__))
    if problems:
        option = "" if output == Path("ci-templates") else f" --output {output}"
        raise FindingsError(
            "generated templates differ: " + "; ".join(problems), hint=f"write them anew: {RENDER_COMMAND}{option}"
        )
    click.echo(f"{output} is current")
