"""``gitlab-mesh explain CODE``: what a rule finds, why it matters, how to mend it; ``--write`` makes the pages."""

from __future__ import annotations

from pathlib import Path

import click

from gitlab_mesh.errors import UsageError

__all__ = ["explain"]


@click.command()
@click.argument("code", required=False)
@click.option(
    "--write", type=click.Path(file_okay=False, path_type=Path), help="Write a page a rule into this directory."
)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of findings.json and --format json.")
def explain(code: str | None, write: Path | None, *, schema: bool) -> None:
    """Explain a finding's code (GM0101, or Istio's IST0101); without a code, list all."""
    if schema:
        from importlib.resources import files

        click.echo(files("gitlab_mesh.core.analysis").joinpath("findings.schema.json").read_text("utf-8"), nl=False)
        return
    from gitlab_mesh.core.analysis.pages import render_index, render_page
    from gitlab_mesh.core.analysis.ruleset import find_rule, registered

    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        (write / "README.md").write_text(render_index(), encoding="utf-8")
        for rule in registered().values():
            (write / f"{rule.code}.md").write_text(render_page(rule), encoding="utf-8")
        click.echo(f"{len(registered())} pages in {write}")
        return
    if code is None:
        for rule in registered().values():
            click.echo(f"{rule.code}  {rule.istio or '-':7}  {rule.level.value:7}  {rule.title}")
        return
    found = find_rule(code)
    if found is None:
        raise UsageError(f"no rule {code}", hint="gitlab-mesh explain lists them all")
    click.echo(render_page(found), nl=False)
