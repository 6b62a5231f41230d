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
_COMPONENTS = click.option(
    "--components",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("templates"),
    show_default=True,
    help="Directory of the CI/CD Catalog components.",
)


@click.group()
def template() -> None:
    """Write the CI templates that projects include, or check that they are current."""


@template.command()
@_OUTPUT
@_COMPONENTS
def render(output: Path, components: Path) -> None:
    """Write the templates and the components of the built-in jobs."""
    from gitlab_mesh.templating import write_templates

    for directory, rendered in _render_all(output, components):
        try:
            write_templates(directory, rendered)
        except OSError as error:
            option = "--output" if directory == output else "--components"
            raise UsageError(
                f"{directory} cannot be written: {error.strerror}", hint=f"choose another {option}"
            ) from error
        for name in rendered:
            click.echo(directory / name)


@template.command()
@_OUTPUT
@_COMPONENTS
def check(output: Path, components: Path) -> None:
    """Compare both with what would be written; exit code 13 if they differ."""
    from gitlab_mesh.templating import RENDER_COMMAND, find_stale

    pairs = _render_all(output, components)
    problems = [problem for directory, rendered in pairs for problem in find_stale(directory, rendered)]
    if problems:
        options = "" if output == Path("ci-templates") else f" --output {output}"
        options += "" if components == Path("templates") else f" --components {components}"
        raise FindingsError(
            "generated templates differ: " + "; ".join(problems), hint=f"write them anew: {RENDER_COMMAND}{options}"
        )
    for directory, _ in pairs:
        click.echo(f"{directory} is current")


def _render_all(output: Path, components: Path) -> list[tuple[Path, dict[str, str]]]:
    from gitlab_mesh.components import render_components
    from gitlab_mesh.templating import render_templates
    from gitlab_mesh_jobs import JOBS

    return [(output, render_templates(JOBS, __version__)), (components, render_components(JOBS, __version__))]
