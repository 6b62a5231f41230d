"""Reading ``--manifest``: one Deployment in a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gitlab_mesh.errors import UsageError

__all__ = ["read_manifest"]


def read_manifest(path: str) -> Mapping[str, Any]:
    """Read the one Deployment of a YAML file; other documents in it are refused, not skipped.

    Raises:
        UsageError: The file cannot be read, is no YAML, or holds anything but one Deployment.
    """
    import yaml

    try:
        documents = [item for item in yaml.safe_load_all(Path(path).read_text(encoding="utf-8")) if item is not None]
    except OSError as error:
        raise UsageError(f"{path} cannot be read", why=str(error.strerror)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid YAML", why=str(error)) from error
    kinds = [str(item.get("kind")) if isinstance(item, Mapping) else type(item).__name__ for item in documents]
    if kinds != ["Deployment"]:
        raise UsageError(
            f"{path} must hold one Deployment; it holds {', '.join(kinds) or 'nothing'}",
            why="everything else belongs to a deployment step of its own",
        )
    deployment: Mapping[str, Any] = documents[0]
    containers = (((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}).get("containers")
    if not containers:
        raise UsageError(f"{path}: spec.template.spec.containers is empty")
    return deployment
