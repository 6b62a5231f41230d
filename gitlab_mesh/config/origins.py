"""Where a value of the configuration comes from, and what a loaded configuration is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gitlab_mesh.config.model import MeshConfig

__all__ = ["DEFAULT", "LoadedConfig", "Origin"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who said a value.

    Attributes:
        kind: "option", "environment", "file" or "default"; earlier ones win over later ones.
        detail: "rollout.step_bake", "GITLAB_MESH_JUDGE_BAKE", "mesh.yaml:14"; empty for a default.
        column: Column in the file, from 1; 0 elsewhere.
    """

    kind: str
    detail: str = ""
    column: int = 0

    def __str__(self) -> str:
        return self.detail if self.kind == "file" else f"{self.kind} {self.detail}".rstrip()

    @property
    def where(self) -> str:
        """Place for a message: ``mesh.yaml:14:5``, or as ``str``."""
        return f"{self.detail}:{self.column}" if self.column else str(self)


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, and for each of its settings who said it.

    Attributes:
        config: All services; the environment's overrides are applied.
        origins: By dotted path: ``services.shop.rollout.step_bake``.
        source: Name of the file, for people.
        inventory: Files with objects that exist elsewhere, for validate and security-scan.
        assume: Hosts that exist elsewhere, for the same jobs.
    """

    config: MeshConfig
    origins: Mapping[str, Origin]
    source: str
    inventory: tuple[str, ...] = ()
    assume: tuple[str, ...] = ()
