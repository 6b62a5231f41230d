"""``gitlab-mesh inventory export``: what the cluster has, for ``validate --inventory`` in jobs that cannot see it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gitlab_mesh.errors import UsageError

__all__ = ["inventory"]


@click.group()
def inventory() -> None:
    """Write down what the cluster has, for jobs that cannot see it."""


@inventory.command()
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write; default: standard output."
)
@click.option("--namespace", default="", help="One namespace; default: all of them.")
@click.option("--kube-context", help="Context of the kubeconfig.")
def export(output: Path | None, namespace: str, kube_context: str | None) -> None:
    """Read namespaces, services, workloads, routes and policies; Secrets are never read."""
    from gitlab_mesh.adapters.inventory import export_inventory
    from gitlab_mesh.adapters.kubernetes.client import KubernetesCluster, connect

    text, left_out = export_inventory(KubernetesCluster(connect(kube_context, os.environ)), namespace=namespace)
    for kind in left_out:
        click.echo(f"not readable, or not installed: {kind}", err=True)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{output} cannot be written", why=str(error.strerror)) from error
