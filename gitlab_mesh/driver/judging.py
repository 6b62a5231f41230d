"""Which judge decides: the statistical one, or for a hotfix the one that asks for absolute limits only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.hotfix import HotfixJudge
from gitlab_mesh.core.judge.evidence import Standing
from gitlab_mesh.core.judge.judge import Judge
from gitlab_mesh.core.judge.model import Judgement, Look

__all__ = ["JudgeLike", "build_judge", "load_judge"]


class JudgeLike(Protocol):
    """Who decides from counts; its state survives the job that asked it."""

    @property
    def time(self) -> float | None:
        """Time of the last look, seconds since judging began."""

    @property
    def standing(self) -> Standing | None:
        """Where it stands, for weights that follow the evidence; None: it cannot tell."""

    def look(self, look: Look) -> Judgement:
        """Take one look."""

    def dump(self) -> Mapping[str, Any]:
        """Return the state as JSON, at most 8 KiB."""


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
