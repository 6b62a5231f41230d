"""``gitlab-mesh guard``: the in-cluster net for rollouts whose CI job is lost."""

from __future__ import annotations

import click

__all__ = ["guard"]


@click.group()
def guard() -> None:
    """Print the guard: a CronJob that ends rollouts whose job is lost."""


@guard.command()
@click.option("--namespace", required=True, help="Namespace that is guarded, and where the guard runs.")
@click.option("--image", required=True, help="Container image with gitlab-mesh in it.")
@click.option("--schedule", default="*/2 * * * *", show_default=True, help="Of the CronJob.")
@click.option("--all-namespaces", is_flag=True, help="Guard every namespace (a ClusterRole).")
@click.option("--gateway-api", is_flag=True, help="Guard releases through HTTPRoutes, too (may delete Services).")
def render(namespace: str, image: str, schedule: str, all_namespaces: bool, gateway_api: bool) -> None:
    """Write ServiceAccount, smallest Role, binding and CronJob as YAML; for `kubectl apply -f -`."""
    import yaml

    from gitlab_mesh.driver.guarding import render_guard

    objects = render_guard(
        namespace=namespace,
        image=image,
        schedule=schedule,
        every_namespace=all_namespaces,
        gateway_api=gateway_api,
    )
    click.echo(yaml.safe_dump_all(objects, sort_keys=False), nl=False)
