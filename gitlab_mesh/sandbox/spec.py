"""What a sandbox is made of, as its user chooses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitlab_mesh.sandbox.app.behaviour import Behaviour
from gitlab_mesh.sandbox.controllers.kubelet import KubeletPolicy
from gitlab_mesh.sandbox.shop import RULES

__all__ = ["SandboxSpec", "TrafficCommand"]

TrafficCommand = Callable[[str], Sequence[str]]
"""Gateway URL → program and arguments of background traffic; its requests must carry ``Host: shop.example``."""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What to start.

    Attributes:
        image: Of the stable Deployment.
        replicas: Of the stable Deployment.
        behaviours: Tag → behaviour, before the table of ``app.behaviour``.
        policy: Times of the kubelet.
        traffic: Background traffic from the start; None: none.
        rules: Users of the cluster API and their rights.
        title: Of the merge request.
        seed: For the applications' luck; None: honest randomness.
        directory: For files and logs, kept at the end; None: a temporary one, removed at the end.
    """

    image: str = "registry.example/shop:1.4.2"
    replicas: int = 2
    behaviours: Mapping[str, Behaviour] = field(default_factory=dict)
    policy: KubeletPolicy = KubeletPolicy()
    traffic: TrafficCommand | None = None
    rules: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=lambda: RULES)
    title: str = "Release shop 1.5.0"
    seed: int | None = None
    directory: Path | None = None
