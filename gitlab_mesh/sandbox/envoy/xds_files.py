"""The files that Envoy watches, and which of their versions it has accepted.

Facts, measured with Envoy 1.40: only a rename into place triggers a reading; a refused file leaves the old
configuration in force, counts ``update_rejected`` and leaves ``version_text`` as it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gitlab_mesh.sandbox.envoy.model import Json

__all__ = ["TYPES", "XdsFiles"]

TYPES = {
    "cds": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    "eds": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    "lds": "type.googleapis.com/envoy.config.listener.v3.Listener",
    "rds": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
}


@dataclass(frozen=True, slots=True)
class _Written:
    version: str
    text: str


class XdsFiles:
    """Discovery files in one directory.

    Args:
        directory: Envoy's working directory: the configuration names files by relative paths.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._written: dict[str, _Written] = {}

    @staticmethod
    def statistic(name: str) -> str:
        """Return the prefix of a file's statistics; ``name`` is the file's without ``.json``."""
        kind, _, resource = name.partition(".")
        return {
            "cds": "cluster_manager.cds",
            "lds": "listener_manager.lds",
            "eds": f"cluster.{resource}",
            "rds": f"http.{resource}.rds.{resource}",
        }[kind]

    def write(self, name: str, resources: Mapping[str, Json], version: str) -> bool:
        """Write one file by rename, unless its resources are what it already holds; return whether it was written."""
        kind = name.partition(".")[0]
        listed = [{"@type": TYPES[kind], **one} for _, one in sorted(resources.items())]
        text = json.dumps(listed, sort_keys=True)
        before = self._written.get(name)
        if before and before.text == text:
            return False
        self._written[name] = _Written(version, text)
        target = self._directory / f"{name}.json"
        fresh = target.with_suffix(".new")
        fresh.write_text(f'{{"version_info": {json.dumps(version)}, "resources": {text}}}')
        os.replace(fresh, target)  # noqa: PTH105 - the rename is the point
        return True

    def remove(self, name: str) -> None:
        """Remove a file that no resource names any more."""
        self._written.pop(name, None)
        (self._directory / f"{name}.json").unlink(missing_ok=True)

    def versions(self) -> dict[str, str]:
        """Return the version of every file."""
        return {name: written.version for name, written in self._written.items()}
