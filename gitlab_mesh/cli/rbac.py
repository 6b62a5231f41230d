"""``gitlab-mesh rbac``: the smallest rights of the CI job's service account."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gitlab_mesh.errors import ConfigError

__all__ = ["rbac"]


@click.group()
def rbac() -> None:
    """Print the smallest Role that a release needs."""


@rbac.command()
@click.option("--config", "path", type=click.Path(path_type=Path), default=Path("mesh.yaml"), show_default=True)
@click.option("--environment", help="Environment whose overrides apply.")
@click.option("--service", "name", help="Only this service; default: all of mesh.yaml.")
@click.option("--account", default="gitlab-mesh", show_default=True, help="Service account of the CI job.")
@click.option("--account-namespace", help="Its namespace; default: that of the first service.")
def render(path: Path, environment: str | None, name: str | None, account: str, account_namespace: str | None) -> None:
    """Write Role and RoleBinding as YAML; for `kubectl apply -f -`."""
    import yaml

    from gitlab_mesh.config.load import load_config
    from gitlab_mesh.driver.rights import render_rbac

    loaded = load_config(path, environment=environment, service=name, env=os.environ, overrides={})
    services = loaded.config.services
    if name is not None and name not in services:
        raise ConfigError(f"service {name!r} is not in mesh.yaml", why=f"it has {', '.join(services)}")
    chosen = [service for key, service in services.items() if name in (None, key)]
    objects = render_rbac(chosen, account=account, account_namespace=account_namespace)
    click.echo(yaml.safe_dump_all(objects, sort_keys=False), nl=False)
