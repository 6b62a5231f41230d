"""Which judge decides: the statistical one, or for a hotfix the one that asks for absolute limits only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.hotfix import HotfixJudge
from gitlab_mesh.core.judge.judge import Judge
from gitlab_mesh.driver.watch import JudgeLike

__all__ = ["build_judge", "load_judge"]


def build_judge(service: ServiceConfig, hotfix: str) -> JudgeLike:
    """Return a judge that has seen nothing yet."""
    if hotfix:
        return HotfixJudge(service.judge)
    return Judge(service.judge, look_seconds=service.rollout.look_interval, user_metrics=service.metrics.queries)


def load_judge(service: ServiceConfig, hotfix: str, state: Mapping[str, Any]) -> JudgeLike:
    """Return the judge whose state was recorded.

    Raises:
        UsageError: The state is of another version, or of other settings.
    """
    if hotfix:
        return HotfixJudge.load(service.judge, state)
    return Judge.load(
        service.judge, state, look_seconds=service.rollout.look_interval, user_metrics=service.metrics.queries
    )
